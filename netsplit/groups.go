package netsplit

import "math/bits"

// matrix says who reaches whom, as the nodes themselves report it. Row i has
// bit j if member i has a link to member j that is up. Immutable once built.
type matrix struct {
	rows   []uint64
	doubts []uint64 // of rows: links that are up and have been silent for longer than SuspectAfter
	seated uint64   // members that say they are in the majority and stay (Row.Seated)
}

// mutual is the matrix of pairs that both ends report: a link that works one
// way only is down (R25). Every node reaches itself.
func (m matrix) mutual() []uint64 {
	out := make([]uint64, len(m.rows))
	for i := range m.rows {
		out[i] = 1 << i
		for j := range m.rows {
			if i != j && m.rows[i]&(1<<j) != 0 && m.rows[j]&(1<<i) != 0 {
				out[i] |= 1 << j
			}
		}
	}
	return out
}

// trusted is what is left of adjacent among the seated, without the pairs that
// either end doubts.
func (m matrix) trusted(adjacent []uint64) []uint64 {
	out := make([]uint64, len(adjacent))
	for i := range adjacent {
		if m.seated&(1<<i) == 0 {
			continue
		}
		out[i] = adjacent[i] & m.seated
		for j := range adjacent {
			if m.doubts[i]&(1<<j) != 0 || m.doubts[j]&(1<<i) != 0 {
				out[i] &^= 1 << j
			}
		}
	}
	return out
}

// choice is which group is the primary. A value.
type choice struct {
	primary uint64
	largest uint64 // by R25 alone: the largest group, of several the one with the smallest ids
}

// choose finds the primary group: the largest in which everybody reaches
// everybody. Nodes learn of a cut one after the other, and links come back one
// after the other; meanwhile there can be several groups that hold a majority,
// and the largest for that moment may lack a node that was in the majority before
// and will be after. So among several the primary is one of those who are seated
// and do not doubt each other, if they are a majority. All that this asks for
// stands in the rows, so that every node answers it alike.
func (m matrix) choose(majority func(group uint64) bool) choice {
	adjacent := m.mutual()
	several := 0
	c := choice{}
	cliques(adjacent, all(len(adjacent)), func(group uint64) {
		holds := majority(group)
		// Of two halves the one with the tiebreaker goes first.
		if first := majority(c.largest); holds && !first || holds == first && better(group, c.largest) {
			c.largest = group
		}
		if holds {
			several++
		}
	})
	c.primary = c.largest
	if several < 2 {
		return c
	}
	kept, trusted := uint64(0), m.trusted(adjacent)
	cliques(trusted, m.seated, func(group uint64) {
		if better(group, kept) {
			kept = group
		}
	})
	if !majority(kept) {
		return c
	}
	// Whoever reaches all of them belongs to them as well.
	near := all(len(adjacent)) &^ kept
	for rest := kept; rest != 0; rest &= rest - 1 {
		near &= adjacent[bits.TrailingZeros64(rest)]
	}
	more := uint64(0)
	cliques(adjacent, near, func(group uint64) {
		if better(group, more) {
			more = group
		}
	})
	c.primary = kept | more
	return c
}

func all(n int) uint64 { return 1<<n - 1 }

// cliques calls found for every group among candidates in which everybody reaches
// everybody and which no other of them can join.
func cliques(adjacent []uint64, candidates uint64, found func(group uint64)) {
	var grow func(group, candidates, done uint64)
	// Bron and Kerbosch, "Finding all cliques of an undirected graph", 1973,
	// with a pivot. Clusters have a handful of nodes.
	grow = func(group, candidates, done uint64) {
		if candidates == 0 && done == 0 {
			found(group)
			return
		}
		pivot := bits.TrailingZeros64(candidates | done)
		for rest := candidates &^ (adjacent[pivot] &^ (1 << pivot)); rest != 0; rest &= rest - 1 {
			i := bits.TrailingZeros64(rest)
			near := adjacent[i] &^ (1 << i)
			grow(group|1<<i, candidates&near, done&near)
			candidates &^= 1 << i
			done |= 1 << i
		}
	}
	grow(0, candidates, 0)
}

// better reports whether group a goes before b: more members, then the
// smaller ids (bit i is the i-th smallest id).
func better(a, b uint64) bool {
	if na, nb := bits.OnesCount64(a), bits.OnesCount64(b); na != nb {
		return na > nb
	}
	diff := a ^ b
	return diff != 0 && a&(diff&-diff) != 0
}
