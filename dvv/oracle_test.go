package dvv

import (
	"fmt"
	"slices"
	"strings"
)

// The naive twin: plain sets of dots. It knows nothing of bases, runs or order.

type dotSet map[Dot]bool

func (s dotSet) union(o dotSet) dotSet {
	out := dotSet{}
	for d := range s {
		out[d] = true
	}
	for d := range o {
		out[d] = true
	}
	return out
}

func (s dotSet) contains(o dotSet) bool {
	for d := range o {
		if !s[d] {
			return false
		}
	}
	return true
}

func (s dotSet) String() string {
	list := make([]string, 0, len(s))
	for d := range s {
		list = append(list, d.String())
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// setOf is the dots of c up to counter limit.
func setOf(c Clock, limit uint64) dotSet {
	out := dotSet{}
	for _, a := range c.Actors() {
		for n := uint64(1); n <= limit; n++ {
			if c.Has(Dot{a, n}) {
				out[Dot{a, n}] = true
			}
		}
	}
	return out
}

// naiveObject is live values and the set of all dots accounted for.
type naiveObject struct {
	live map[Dot]string
	seen dotSet
}

func naiveOf(o Object) naiveObject {
	n := naiveObject{live: map[Dot]string{}, seen: dotSet{}}
	for _, s := range o.Siblings() {
		n.live[s.Dot] = string(s.Value)
	}
	for _, d := range o.Context().Entries() {
		for k := uint64(1); k <= d.Counter; k++ {
			n.seen[Dot{d.Actor, k}] = true
		}
	}
	return n
}

func (n naiveObject) sync(m naiveObject) naiveObject {
	out := naiveObject{live: map[Dot]string{}, seen: n.seen.union(m.seen)}
	for d, v := range n.live {
		if w, both := m.live[d]; both {
			out.live[d] = max(v, w)
		} else if !m.seen[d] {
			out.live[d] = v
		}
	}
	for d, v := range m.live {
		if _, both := n.live[d]; !both && !n.seen[d] {
			out.live[d] = v
		}
	}
	return out
}

func (n naiveObject) String() string { return fmt.Sprint(n.live, n.seen) }
