package netsplit

import "math/bits"

// matrix says who reaches whom, as the nodes themselves report it. Row i has
// bit j if member i has a link to member j that is up. Immutable once built.
type matrix struct {
	rows []uint64
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

// primary is the largest group in which everybody reaches everybody; of
// several the one with the smallest ids, compared from the smallest on.
func primary(adjacent []uint64) uint64 {
	best := uint64(0)
	var grow func(group, candidates, done uint64)
	// Bron and Kerbosch, "Finding all cliques of an undirected graph", 1973,
	// with a pivot. Clusters have a handful of nodes.
	grow = func(group, candidates, done uint64) {
		if candidates == 0 && done == 0 {
			if better(group, best) {
				best = group
			}
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
	all := uint64(0)
	for i := range adjacent {
		all |= 1 << i
	}
	grow(0, all, 0)
	return best
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
