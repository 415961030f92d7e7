package netsplit

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

// slowPrimary tries every subset: the oracle of choose.
func slowPrimary(adjacent []uint64) uint64 {
	best := uint64(0)
	for g := uint64(1); g < 1<<len(adjacent); g++ {
		clique := true
		for rest := g; rest != 0; rest &= rest - 1 {
			if adjacent[bits.TrailingZeros64(rest)]&g != g {
				clique = false
				break
			}
		}
		if clique && better(g, best) {
			best = g
		}
	}
	return best
}

// TestPrimary compares the group search with trying everything: exhaustively
// for every graph of up to four nodes, at random for up to ten.
func TestPrimary(t *testing.T) {
	check := func(n int, edges uint64) {
		m := matrix{rows: make([]uint64, n)}
		bit := 0
		for i := range n {
			for j := range n {
				if i != j {
					if edges&(1<<bit) != 0 {
						m.rows[i] |= 1 << j
					}
					bit++
				}
			}
		}
		m.doubts = make([]uint64, n)
		got, want := m.choose(func(uint64) bool { return false }).primary, slowPrimary(m.mutual())
		if got != want {
			t.Fatalf("%d nodes, edges %b: primary %b, want %b", n, edges, got, want)
		}
	}
	for n := 1; n <= 4; n++ {
		for edges := uint64(0); edges < 1<<(n*(n-1)); edges++ {
			check(n, edges)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 5 + r.IntN(3)
		check(n, r.Uint64()|r.Uint64())
	}
}
