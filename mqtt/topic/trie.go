package topic

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
)

// node is one level of the wildcard filters. Written by the one holding the
// Index's mutex, read by anyone without a lock. A node stays in its place as
// long as a filter needs it, so a reader never misses one that is moving.
type node[S comparable] struct {
	level string                   // "" for the root and below '+'
	first atomic.Pointer[node[S]]  // a child; most nodes have no other
	kids  table[node[S], *node[S]] // the other children
	plus  atomic.Pointer[node[S]]  // the child that stands for '+'
	rest  place[S]                 // the filter that ends in '#' below here
	here  place[S]                 // the filter that ends here
}

func (n *node[S]) label() string { return n.level }

// child returns the child with the given literal level, nil if there is none.
func (n *node[S]) child(k *kind[node[S]], level []byte) *node[S] {
	if c := n.first.Load(); c != nil && c.level == string(level) {
		return c
	}
	return n.kids.get(k, level)
}

// adopt makes the child with the given literal level.
func (n *node[S]) adopt(k *kind[node[S]], level []byte) *node[S] {
	// A copy, since a part of a filter would keep all of it alive.
	c := &node[S]{level: string(level)}
	if n.first.Load() == nil {
		n.first.Store(c)
	} else {
		n.kids.add(k, c)
	}
	return c
}

// disown removes a child that has become empty.
func (n *node[S]) disown(k *kind[node[S]], c *node[S]) {
	switch {
	case n.plus.Load() == c:
		n.plus.Store(nil)
	case n.first.Load() == c:
		n.first.Store(nil)
	default:
		n.kids.remove(k, c)
	}
}

// empty reports whether nothing needs the node.
func (n *node[S]) empty() bool {
	return n.first.Load() == nil && n.plus.Load() == nil && n.rest.Load() == nil &&
		n.here.Load() == nil && n.kids.size() == 0
}

// cutLevel splits the first level off.
func cutLevel(f []byte) (level, rest []byte, more bool) {
	if i := bytes.IndexByte(f, '/'); i >= 0 {
		return f[:i], f[i+1:], true
	}
	return f, nil, false
}

// grow returns the place of a wildcard filter, made if it is not there.
func (n *node[S]) grow(k *kind[node[S]], f []byte) *place[S] {
	for {
		level, rest, more := cutLevel(f)
		if !more && string(level) == "#" {
			return &n.rest
		}
		var c *node[S]
		if string(level) == "+" {
			if c = n.plus.Load(); c == nil {
				c = new(node[S])
				n.plus.Store(c)
			}
		} else if c = n.child(k, level); c == nil {
			c = n.adopt(k, level)
		}
		if !more {
			return &c.here
		}
		n, f = c, rest
	}
}

// prune calls remove with the place of a wildcard filter, if there is one,
// and takes away the nodes that this leaves empty.
func (n *node[S]) prune(k *kind[node[S]], f []byte, remove func(*place[S]) bool) bool {
	path := make([]*node[S], 1, 16)
	path[0] = n
	p := (*place[S])(nil)
	for p == nil {
		level, rest, more := cutLevel(f)
		if !more && string(level) == "#" {
			p = &n.rest
			break
		}
		if string(level) == "+" {
			n = n.plus.Load()
		} else {
			n = n.child(k, level)
		}
		if n == nil {
			return false
		}
		path = append(path, n)
		f = rest
		if !more {
			p = &n.here
		}
	}
	if !remove(p) {
		return false
	}
	for i := len(path) - 1; i > 0 && path[i].empty(); i-- {
		path[i-1].disown(k, path[i])
	}
	return true
}

// search collects the leaves of all filters below n that match the levels
// in name. wild is false at the root for names that begin with '$'.
func (n *node[S]) search(k *kind[node[S]], name []byte, wild bool, found []*leaf[S]) []*leaf[S] {
	if wild {
		if l := n.rest.Load(); l != nil {
			found = append(found, l)
		}
	}
	level, rest, more := cutLevel(name)
	if wild {
		if c := n.plus.Load(); c != nil {
			found = c.enter(k, rest, more, found)
		}
	}
	if c := n.child(k, level); c != nil {
		found = c.enter(k, rest, more, found)
	}
	return found
}

// enter goes on at n with what is left of the name.
func (n *node[S]) enter(k *kind[node[S]], rest []byte, more bool, found []*leaf[S]) []*leaf[S] {
	if more {
		return n.search(k, rest, true, found)
	}
	if l := n.rest.Load(); l != nil { // "a/#" matches "a"
		found = append(found, l)
	}
	if l := n.here.Load(); l != nil {
		found = append(found, l)
	}
	return found
}

// children returns the literal children in order of their levels.
func (n *node[S]) children(k *kind[node[S]]) []*node[S] {
	var kids []*node[S]
	if c := n.first.Load(); c != nil {
		kids = append(kids, c)
	}
	n.kids.all(k, func(c *node[S]) bool {
		kids = append(kids, c)
		return true
	})
	slices.SortFunc(kids, func(a, b *node[S]) int { return strings.Compare(a.level, b.level) })
	return kids
}

// each yields every filter below n with its leaf; prefix is the path to n
// and ends in '/', except at the root.
func (n *node[S]) each(k *kind[node[S]], prefix string, yield func(Filter, *leaf[S]) bool) bool {
	if l := n.rest.Load(); l != nil && !yield(Filter(prefix+"#"), l) {
		return false
	}
	visit := func(level string, c *node[S]) bool {
		if l := c.here.Load(); l != nil && !yield(Filter(prefix+level), l) {
			return false
		}
		return c.each(k, prefix+level+"/", yield)
	}
	if c := n.plus.Load(); c != nil && !visit("+", c) {
		return false
	}
	for _, c := range n.children(k) {
		if !visit(c.level, c) {
			return false
		}
	}
	return true
}
