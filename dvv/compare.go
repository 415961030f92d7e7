package dvv

import "slices"

// Descends says whether c has seen all that o has.
func (c Clock) Descends(o Clock) bool {
	if c.Same(o) {
		return true
	}
	if len(o.entries) > len(c.entries) {
		return false
	}
	i := 0
	for k := range o.entries {
		e := &o.entries[k] // none is copied: this is in every path
		for i < len(c.entries) && c.entries[i].actor < e.actor {
			i++
		}
		if i == len(c.entries) || c.entries[i].actor != e.actor {
			return false
		}
		if have := &c.entries[i]; e.top() > have.base && !have.covers(e) {
			return false
		}
	}
	return true
}

// DescendsUpTo says whether c has seen all that o has and limit covers.
func (c Clock) DescendsUpTo(limit VV, o Clock) bool {
	for _, d := range limit.entries {
		if c.Base(d.Actor) < min(d.Counter, o.Top(d.Actor)) {
			return c.Descends(o.Clip(limit)) // there may be gaps on both sides
		}
	}
	return true
}

// covers says whether every dot of o is in e.
func (e *entry) covers(o *entry) bool {
	if o.base > e.base {
		return false // e lacks the one above its base
	}
	rest := e.runs
	for _, r := range o.runs {
		if r.Last <= e.base {
			continue
		}
		for len(rest) > 0 && rest[0].Last < r.Last {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0].First > r.First {
			return false
		}
	}
	return true
}

// Equal says whether both have seen the same dots.
func (c Clock) Equal(o Clock) bool {
	return c.Same(o) || slices.EqualFunc(c.entries, o.entries, func(a, b entry) bool {
		return a.actor == b.actor && a.base == b.base && slices.Equal(a.runs, b.runs)
	})
}

// Missing is what c has seen and o has not, ascending.
func (c Clock) Missing(o Clock) []Span { return c.AppendMissing(nil, o) }

// AppendMissing appends what c has seen and o has not.
func (c Clock) AppendMissing(spans []Span, o Clock) []Span {
	i := 0
	for k := range c.entries {
		e := &c.entries[k]
		for i < len(o.entries) && o.entries[i].actor < e.actor {
			i++
		}
		have := entry{actor: e.actor}
		if i < len(o.entries) && o.entries[i].actor == e.actor {
			have = o.entries[i]
		}
		switch {
		case len(e.runs) > 0 || len(have.runs) > 0:
			spans = missing(spans, *e, have)
		case e.base > have.base:
			spans = append(spans, Span{e.actor, have.base + 1, e.base})
		}
	}
	return spans
}

// missing appends the dots of e that o lacks.
func missing(dst []Span, e, o entry) []Span {
	lack := func(first, last uint64) { // what o lacks of first..last
		first = max(first, o.base+1)
		for _, r := range o.runs {
			if first > last || r.First > last {
				break
			}
			if r.Last < first {
				continue
			}
			if r.First > first {
				dst = append(dst, Span{e.actor, first, r.First - 1})
			}
			first = r.Last + 1
		}
		if first <= last {
			dst = append(dst, Span{e.actor, first, last})
		}
	}
	if e.base > 0 {
		lack(1, e.base)
	}
	for _, r := range e.runs {
		lack(r.First, r.Last)
	}
	return dst
}

// Clip is the dots of c that limit covers.
func (c Clock) Clip(limit VV) Clock {
	var out Clock
	for _, e := range c.entries {
		top := limit.Get(e.actor)
		k := entry{actor: e.actor, base: min(e.base, top)}
		for _, r := range e.runs {
			if r.First <= top {
				k.runs = append(k.runs, Run{r.First, min(r.Last, top)})
			}
		}
		if k.base > 0 || len(k.runs) > 0 {
			out.entries = append(out.entries, k)
		}
	}
	return out
}
