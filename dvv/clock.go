package dvv

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Clock is the server-wide clock of one store: exactly which dots it has seen.
// For each actor it holds a base, below which nothing is missing, and the dots
// that arrived early, as runs (a bitmap with its zeros left out). Immutable; the
// zero value has seen nothing.
//
// Invariants, by check:
//  1. actors ascend;
//  2. no entry is empty: base > 0 or there are runs;
//  3. runs ascend, do not touch each other, and the first begins above base+1.
type Clock struct {
	entries []entry
}

// entry is what a Clock knows of one actor. Immutable once it stands in a Clock.
type entry struct {
	actor Actor
	base  uint64
	runs  []Run
}

func (c Clock) find(a Actor) (int, bool) {
	low, high := 0, len(c.entries) // by hand: it is in every path, and a closure costs half of it
	for low < high {
		if mid := int(uint(low+high) >> 1); c.entries[mid].actor < a {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(c.entries) && c.entries[low].actor == a
}

func (c Clock) entry(a Actor) entry {
	if i, ok := c.find(a); ok {
		return c.entries[i]
	}
	return entry{actor: a}
}

// Base is the counter up to which every dot of a was seen.
func (c Clock) Base(a Actor) uint64 {
	if i, ok := c.find(a); ok {
		return c.entries[i].base
	}
	return 0
}

// Top is the highest counter of a that was seen.
func (c Clock) Top(a Actor) uint64 {
	if i, ok := c.find(a); ok {
		return c.entries[i].top()
	}
	return 0
}

func (e *entry) top() uint64 {
	if n := len(e.runs); n > 0 {
		return e.runs[n-1].Last
	}
	return e.base
}

// Has says whether d was seen.
func (c Clock) Has(d Dot) bool {
	i, ok := c.find(d.Actor)
	return ok && d.Counter > 0 && c.entries[i].has(d.Counter)
}

func (e *entry) has(n uint64) bool {
	if n <= e.base || len(e.runs) == 0 {
		return n <= e.base
	}
	i, _ := slices.BinarySearchFunc(e.runs, n, func(r Run, n uint64) int { return cmp.Compare(r.Last, n) })
	return i < len(e.runs) && e.runs[i].First <= n
}

// Len is the number of actors.
func (c Clock) Len() int { return len(c.entries) }

// At is the ith actor in ascending order, its base, its top, and how many gaps lie
// between.
func (c Clock) At(i int) (a Actor, base, top uint64, gaps int) {
	e := &c.entries[i]
	return e.actor, e.base, e.top(), len(e.runs)
}

// SameOf says whether both have seen the same dots of a.
func (c Clock) SameOf(o Clock, a Actor) bool {
	x, y := c.entry(a), o.entry(a)
	return x.base == y.base && slices.Equal(x.runs, y.runs)
}

// Actors is all that were seen, ascending.
func (c Clock) Actors() []Actor {
	list := make([]Actor, len(c.entries))
	for i, e := range c.entries {
		list[i] = e.actor
	}
	return list
}

// IsEmpty says whether nothing was seen.
func (c Clock) IsEmpty() bool { return len(c.entries) == 0 }

// Contiguous says whether nothing of a below its top is missing.
func (c Clock) Contiguous(a Actor) bool { return len(c.entry(a).runs) == 0 }

// Gaps is the counters of a below its top that were not seen.
func (c Clock) Gaps(a Actor) []Run {
	e := c.entry(a)
	var gaps []Run
	from := e.base + 1
	for _, r := range e.runs {
		gaps = append(gaps, Run{from, r.First - 1})
		from = r.Last + 1
	}
	return gaps
}

// Bases is the vector of all bases: what is known without exception.
func (c Clock) Bases() VV {
	v := make([]Dot, 0, len(c.entries))
	for i := range c.entries {
		if e := &c.entries[i]; e.base > 0 {
			v = append(v, Dot{e.actor, e.base})
		}
	}
	return VV{v}
}

// Tops is the vector of the highest counters.
func (c Clock) Tops() VV { return VV{c.AppendTops(make([]Dot, 0, len(c.entries)))} }

// AppendTops appends the last dot of each actor.
func (c Clock) AppendTops(dst []Dot) []Dot {
	dst = slices.Grow(dst, len(c.entries))
	for i := range c.entries {
		dst = append(dst, Dot{c.entries[i].actor, c.entries[i].top()})
	}
	return dst
}

// Same says, at a glance, that both are one value; two that came about apart may be
// equal and not the same.
func (c Clock) Same(o Clock) bool {
	return len(c.entries) == len(o.entries) && (len(c.entries) == 0 || &c.entries[0] == &o.entries[0])
}

// HasBases says whether v is the vector of all bases.
func (c Clock) HasBases(v VV) bool {
	n := 0
	for i := range c.entries {
		if e := &c.entries[i]; e.base > 0 {
			if n == len(v.entries) || v.entries[n] != (Dot{e.actor, e.base}) {
				return false
			}
			n++
		}
	}
	return n == len(v.entries)
}

// Is says whether c has seen exactly what v covers.
func (c Clock) Is(v VV) bool {
	if len(c.entries) != len(v.entries) {
		return false
	}
	for i := range c.entries {
		if e := &c.entries[i]; len(e.runs) > 0 || v.entries[i] != (Dot{e.actor, e.base}) {
			return false
		}
	}
	return true
}

// Add is c with the dots seen; a zero counter is no dot.
func (c Clock) Add(dots ...Dot) Clock {
	unseen, last := 0, 0
	for i, d := range dots {
		if d.Counter == 0 || c.Has(d) || unseen == 1 && d == dots[last] {
			continue
		}
		unseen, last = unseen+1, i
	}
	switch { // most often they come one at a time
	case unseen == 0:
		return c
	case unseen == 1:
		return c.addOne(dots[last])
	}
	sorted := slices.Clone(dots)
	slices.SortFunc(sorted, Dot.Compare)
	var add Clock
	for _, d := range sorted {
		n := len(add.entries)
		if d.Counter == 0 {
			continue
		}
		if n == 0 || add.entries[n-1].actor != d.Actor {
			add.entries = append(add.entries, entry{actor: d.Actor})
			n++
		}
		e := &add.entries[n-1]
		if k := len(e.runs); k > 0 && d.Counter <= e.runs[k-1].Last+1 {
			e.runs[k-1].Last = d.Counter
		} else {
			e.runs = append(e.runs, Run{d.Counter, d.Counter})
		}
	}
	for i := range add.entries {
		add.entries[i] = norm(add.entries[i])
	}
	return c.Join(add)
}

// addOne is c with d seen, which was not.
func (c Clock) addOne(d Dot) Clock {
	i, ok := c.find(d.Actor)
	n := len(c.entries)
	if !ok {
		n++
	}
	out := append(make([]entry, 0, n), c.entries[:i]...)
	switch {
	case !ok && d.Counter == 1:
		out = append(out, entry{actor: d.Actor, base: 1})
	case !ok:
		out = append(out, entry{actor: d.Actor, runs: []Run{{d.Counter, d.Counter}}})
	case len(c.entries[i].runs) == 0 && d.Counter == c.entries[i].base+1:
		out = append(out, entry{actor: d.Actor, base: d.Counter})
	default:
		one := [1]Run{{d.Counter, d.Counter}}
		out = append(out, joinRuns(&c.entries[i], 0, one[:]))
	}
	if ok {
		i++
	}
	return Clock{append(out, c.entries[i:]...)}
}

// AddSpan is c with all dots of s seen. An empty span, and counter zero, add
// nothing.
func (c Clock) AddSpan(s Span) Clock {
	first := max(s.First, 1)
	switch {
	case s.Last < first:
		return c
	case s.Last == first:
		return c.Add(Dot{s.Actor, first})
	}
	return c.Join(Clock{[]entry{norm(entry{actor: s.Actor, runs: []Run{{first, s.Last}}})}})
}

// Meet is the dots that both have seen.
func (c Clock) Meet(o Clock) Clock {
	switch { // mostly one of the two has it all
	case o.Descends(c):
		return c
	case c.Descends(o):
		return o
	}
	out := Clock{make([]entry, 0, len(c.entries))}
	for _, e := range c.entries {
		if m := meetEntry(e, o.entry(e.actor)); m.base > 0 || len(m.runs) > 0 {
			out.entries = append(out.entries, m)
		}
	}
	return out
}

// meetEntry is the counters that lie in a and in b, the base being the run from 1.
func meetEntry(a, b entry) entry {
	if len(a.runs) == 0 && len(b.runs) == 0 {
		return entry{actor: a.actor, base: min(a.base, b.base)}
	}
	var room [2][8]Run // enough for most
	x, y := a.appendAll(room[0][:0]), b.appendAll(room[1][:0])
	out := entry{actor: a.actor}
	for len(x) > 0 && len(y) > 0 {
		if r := (Run{max(x[0].First, y[0].First), min(x[0].Last, y[0].Last)}); r.First <= r.Last {
			if out.runs == nil {
				out.runs = make([]Run, 0, len(x)+len(y)-1)
			}
			out.runs = append(out.runs, r)
		}
		if x[0].Last < y[0].Last {
			x = x[1:]
		} else {
			y = y[1:]
		}
	}
	return norm(out)
}

// appendAll appends every run of e, the base among them.
func (e entry) appendAll(dst []Run) []Run {
	if e.base > 0 {
		dst = append(dst, Run{1, e.base})
	}
	return append(dst, e.runs...)
}

// Seal is c with the gaps of a closed: for an actor that will never be heard of
// again.
func (c Clock) Seal(a Actor) Clock { return c.AddSpan(Span{a, 1, c.Top(a)}) }

// norm takes the first run into the base if it touches it.
func norm(e entry) entry {
	if len(e.runs) > 0 && e.runs[0].First <= e.base+1 {
		e.base = max(e.base, e.runs[0].Last)
		e.runs = e.runs[1:]
	}
	if len(e.runs) == 0 {
		e.runs = nil
	}
	return e
}

// Join is the dots that either has seen.
func (c Clock) Join(o Clock) Clock {
	switch {
	case c.Descends(o):
		return c
	case o.Descends(c):
		return o
	}
	out := make([]entry, 0, len(c.entries)+1)
	a, b := c.entries, o.entries
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].actor < b[0].actor:
			out = append(out, a[0])
			a = a[1:]
		case len(a) == 0 || b[0].actor < a[0].actor:
			out = append(out, b[0])
			b = b[1:]
		default:
			out = append(out, joinRuns(&a[0], b[0].base, b[0].runs))
			a, b = a[1:], b[1:]
		}
	}
	return Clock{out}
}

// joinRuns merges what e has and another entry, the bases being the runs from 1. It keeps
// nothing of runs.
func joinRuns(e *entry, base uint64, runs []Run) entry {
	out := entry{actor: e.actor, base: max(e.base, base)}
	x, y := e.runs, runs
	for len(x) > 0 || len(y) > 0 {
		var r Run
		if len(y) == 0 || len(x) > 0 && x[0].First <= y[0].First {
			r, x = x[0], x[1:]
		} else {
			r, y = y[0], y[1:]
		}
		n := len(out.runs)
		switch {
		case r.First <= out.base+1:
			out.base = max(out.base, r.Last) // no run is kept yet: they ascend
		case n > 0 && r.First <= out.runs[n-1].Last+1:
			out.runs[n-1].Last = max(out.runs[n-1].Last, r.Last)
		default:
			if n == 0 {
				out.runs = make([]Run, 0, 1+len(x)+len(y))
			}
			out.runs = append(out.runs, r)
		}
	}
	return out
}

// String lists the entries: "{3f01:7 a200:2+5-6+9}".
func (c Clock) String() string {
	parts := make([]string, len(c.entries))
	for i, e := range c.entries {
		parts[i] = Dot{e.actor, e.base}.String()
		for _, r := range e.runs {
			if r.First == r.Last {
				parts[i] += fmt.Sprintf("+%d", r.First)
			} else {
				parts[i] += fmt.Sprintf("+%d-%d", r.First, r.Last)
			}
		}
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// check reports the first broken invariant of the type's comment.
func (c Clock) check() error {
	for i, e := range c.entries {
		if i > 0 && c.entries[i-1].actor >= e.actor {
			return fmt.Errorf("invariant 1: actor %v stands behind %v", e.actor, c.entries[i-1].actor)
		}
		if e.base == 0 && len(e.runs) == 0 {
			return fmt.Errorf("invariant 2: the entry of %v is empty", e.actor)
		}
		last := e.base
		for _, r := range e.runs {
			if r.First < last+2 || r.Last < r.First {
				return fmt.Errorf("invariant 3: run %d-%d of %v after %d", r.First, r.Last, e.actor, last)
			}
			last = r.Last
		}
	}
	return nil
}
