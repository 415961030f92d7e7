package registrar

import (
	"math/bits"
	"testing"

	"tombolo/internal/wire"
)

// TestR24Enough: of two groups that have nobody in common at most one may
// register clients, with a tiebreaker and without; and half of the members may if
// it holds the tiebreaker. Every division of up to six members.
func TestR24Enough(t *testing.T) {
	for n := 1; n <= 6; n++ {
		for tie := range n + 1 { // 0: nobody
			holds := func(group int) bool {
				v := View{Members: n, Tie: wire.NodeID(tie)}
				for i := range n {
					if group&(1<<i) != 0 {
						v.Reachable = append(v.Reachable, wire.NodeID(i+1))
					}
				}
				return v.enough(v.reaches())
			}
			for group := range 1 << n {
				size := bits.OnesCount(uint(group))
				want := 2*size > n || 2*size == n && tie != 0 && group&(1<<(tie-1)) != 0
				if got := holds(group); got != want {
					t.Errorf("%d members, tiebreaker %d, group %b: %v", n, tie, group, got)
				}
				if holds(group) && holds((1<<n-1)&^group) {
					t.Errorf("%d members, tiebreaker %d: %b and the others", n, tie, group)
				}
			}
		}
	}
}
