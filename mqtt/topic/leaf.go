package topic

import "sync/atomic"

// sub is one subscription as it stands in the table. Immutable.
type sub[S comparable] struct {
	s S
	o Options
}

func (s sub[S]) key() S { return s.s }

func (s sub[S]) hit() Hit[S] {
	h := Hit[S]{Sub: s.s, Options: s.o}
	if s.o.ID != 0 {
		h.IDs = []uint32{s.o.ID}
	}
	return h
}

// leaf is where a filter ends: who subscribed to it. Immutable itself; the
// writer replaces it when a filter goes from one subscriber to more or back.
// Most filters of a large table have exactly one subscriber, and for those a
// leaf is all there is.
type leaf[S comparable] struct {
	only  sub[S]
	crowd *crowd[S] // if not nil, only does not count
}

// crowd is a leaf's subscribers when they are not exactly one plain one.
// Written under the Index's mutex, read without a lock.
type crowd[S comparable] struct {
	direct audience[S]
	groups roster[string, *group[S]]
}

// group is a shared subscription: one (group name, filter). Written under
// the Index's mutex, read without a lock.
type group[S comparable] struct {
	name    string
	filter  Filter
	turn    atomic.Uint64
	members audience[S]
}

func (g *group[S]) key() string { return g.name }

// audience is a roster of subscriptions that remembers its hits, so that all
// topics that match through one filter share one slice of them. Written
// under the Index's mutex, read without a lock.
type audience[S comparable] struct {
	roster[S, sub[S]]
	memo atomic.Pointer[memo[S]]
}

// memo is what an audience looked like at a version. Immutable.
type memo[S comparable] struct {
	version uint64
	hits    []Hit[S]
}

// hits returns the audience as hits. The version is read before the values
// and moves after them, so what is built while a writer is at work carries a
// version that is over as soon as that writer is done.
func (a *audience[S]) hits() []Hit[S] {
	version := a.version.Load()
	if m := a.memo.Load(); m != nil && m.version == version {
		return m.hits
	}
	count, ids := 0, 0
	for s := range a.all {
		count++
		if s.o.ID != 0 {
			ids++
		}
	}
	hits := make([]Hit[S], 0, count)
	store := make([]uint32, 0, ids) // one array for all identifiers
	for s := range a.all {
		h := Hit[S]{Sub: s.s, Options: s.o}
		if s.o.ID != 0 {
			n := len(store)
			store = append(store, s.o.ID)
			h.IDs = store[n : n+1 : n+1]
		}
		hits = append(hits, h)
	}
	a.memo.Store(&memo[S]{version: version, hits: hits})
	return hits
}

// place is where a leaf hangs: in the exact table or at a node of the trie.
type place[S comparable] = atomic.Pointer[leaf[S]]

// change is what a write did to the table.
type change struct {
	had bool // the subscription was there before
	new bool // something is different now
}

// join adds a subscription to the leaf at p; group "" is a plain one.
func join[S comparable](p *place[S], name string, f Filter, s sub[S]) change {
	l := p.Load()
	if name == "" {
		switch {
		case l == nil:
			p.Store(&leaf[S]{only: s})
			return change{new: true}
		case l.crowd == nil && l.only.s == s.s:
			if l.only == s {
				return change{had: true}
			}
			p.Store(&leaf[S]{only: s})
			return change{had: true, new: true}
		}
	}
	c := new(crowd[S])
	if l != nil && l.crowd != nil {
		c = l.crowd
	} else if l != nil {
		c.direct.put(l.only)
	}
	a := &c.direct
	var fresh *group[S]
	if name != "" {
		g, ok := c.groups.get(name)
		if !ok {
			g = &group[S]{name: name, filter: f}
			fresh = g
		}
		a = &g.members
	}
	old, had := a.get(s.s)
	if had && old == s {
		return change{had: true}
	}
	a.put(s)
	if fresh != nil {
		c.groups.put(fresh) // only now: no reader sees a group without members
	}
	if l == nil || l.crowd != c {
		p.Store(&leaf[S]{crowd: c})
	}
	return change{had: had, new: true}
}

// part takes a subscription out of the leaf at p, which may leave p empty.
func part[S comparable](p *place[S], name string, s S) bool {
	l := p.Load()
	if l == nil {
		return false
	}
	if l.crowd == nil {
		if name != "" || l.only.s != s {
			return false
		}
		p.Store(nil)
		return true
	}
	c := l.crowd
	if name == "" {
		if !c.direct.remove(s) {
			return false
		}
	} else {
		g, ok := c.groups.get(name)
		if !ok || !g.members.remove(s) {
			return false
		}
		if g.members.count == 0 {
			c.groups.remove(name)
		}
	}
	if c.groups.count > 0 || c.direct.count > 1 {
		return true
	}
	if c.direct.count == 0 {
		p.Store(nil)
		return true
	}
	for last := range c.direct.all {
		p.Store(&leaf[S]{only: last})
	}
	return true
}
