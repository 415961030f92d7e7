package netsplit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestRandomCuts cuts, heals and freezes at random and holds every step to
// guarantee 4, and every quiet end to P3: what is cut is seen on both sides
// within 3 s, what is healed is whole again within 5 s, and a pause below one
// second is no split. Run one schedule alone with -run TestRandomCuts/SEED.
func TestRandomCuts(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			randomSchedule(t, uint64(seed))
		})
	}
}

func randomSchedule(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 99))
	n := 2 + r.IntN(4)
	c := newCluster(fmt.Sprintf("nodes %d", n))
	c.jitter(r)
	watch := func(ms int64) {
		for ; ms > 0; ms -= 50 {
			c.advance(50)
			if out := c.take(); strings.Contains(out, "BROKEN") {
				t.Fatalf("seed %d: %s", seed, out)
			}
		}
	}
	watch(5000)
	for range 6 {
		randomFault(r, c, n)
		watch(int64(200 + r.IntN(4000)))
	}
	for _, node := range c.nodes {
		if node.frozen {
			c.freeze(int(node.d.self), false)
		}
	}
	watch(5500)
	expectMutual(t, seed, c)
	clear(c.cut)
	clear(c.cutOne)
	watch(5500)
	for _, node := range c.nodes {
		if v := node.d.Verdict(); v.Split || v.Unproven || len(v.Primary) != n {
			t.Fatalf("seed %d: node %d after the heal: %+v", seed, node.d.self, v)
		}
	}
	pauseAll(t, seed, c, r, watch)
}

// jitter takes the nodes out of step, as clocks and disks do.
func (c *cluster) jitter(r *rand.Rand) {
	for _, n := range c.nodes {
		n.wake += int64(r.IntN(250))
	}
	c.lag = func() int64 { return int64(r.IntN(2400)) }
}

// TestR25MajorityStays: whoever is in the majority before a cut and after it, or
// before a heal and after it, is in the majority all the time, though the nodes
// learn of it one after the other: the gate of a node on the larger side does not
// close for any moment with majority. Run one with -run TestR25MajorityStays/SEED.
func TestR25MajorityStays(t *testing.T) {
	for seed := range 300 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 25))
			n := 3 + r.IntN(5)
			c := newCluster(fmt.Sprintf("nodes %d", n))
			c.jitter(r)
			c.advance(10_000)
			order := r.Perm(n)
			lost := 1 + r.IntN((n-1)/2)
			watch := func(what string, ms int64) {
				for ; ms > 0; ms -= 10 {
					c.advance(10)
					for _, i := range order[lost:] {
						if v := c.nodes[i].d.Verdict(); !v.Majority {
							t.Fatalf("seed %d: node %d of %d falls out of the majority %s (lost: %v): %+v", seed, i+1, n, what, order[:lost], v)
						}
					}
					if out := c.take(); strings.Contains(out, "BROKEN") {
						t.Fatalf("seed %d: %s", seed, out)
					}
				}
			}
			if r.IntN(4) == 0 {
				for _, i := range order[:lost] {
					c.freeze(i+1, true)
				}
			} else {
				c.divide(order[:lost], order[lost:], r.IntN(3))
			}
			watch("after the cut", 6000)
			for _, i := range order[:lost] {
				if v := c.nodes[i].d.Verdict(); !c.nodes[i].frozen && v.Majority {
					t.Fatalf("seed %d: node %d is lost and in the majority: %+v", seed, i+1, v)
				}
			}
			clear(c.cut)
			for i, node := range c.nodes {
				if node.frozen {
					c.freeze(i+1, false)
				}
			}
			watch("after the heal", 8000)
		})
	}
}

// divide cuts two groups from each other: both ways, or one.
func (c *cluster) divide(a, b []int, how int) {
	for _, x := range a {
		for _, y := range b {
			if how != 1 {
				c.cut[[2]int{x + 1, y + 1}] = true
			}
			if how != 2 {
				c.cut[[2]int{y + 1, x + 1}] = true
			}
		}
	}
}

// pauseAll freezes each node in turn for less than a second.
func pauseAll(t *testing.T, seed uint64, c *cluster, r *rand.Rand, watch func(int64)) {
	for id := 1; id <= len(c.nodes); id++ {
		c.freeze(id, true)
		watch(int64(100 + r.IntN(850)))
		c.freeze(id, false)
		watch(1000)
		for _, node := range c.nodes {
			if node.d.Verdict().Split {
				t.Fatalf("seed %d: node %d takes a pause of node %d for a split", seed, node.d.self, id)
			}
		}
	}
}

func randomFault(r *rand.Rand, c *cluster, n int) {
	a, b := 1+r.IntN(n), 1+r.IntN(n)
	switch r.IntN(6) {
	case 0:
		c.cut[[2]int{a, b}] = true
	case 1:
		c.cutOne[[3]int{a, b, r.IntN(int(planes))}] = true
	case 2:
		for x := 1; x <= n; x++ {
			c.cut[[2]int{a, x}], c.cut[[2]int{x, a}] = true, true
		}
	case 3:
		clear(c.cut)
		clear(c.cutOne)
	case 4:
		if !c.nodes[a-1].frozen {
			c.freeze(a, true)
		}
	case 5:
		if c.nodes[a-1].frozen {
			c.freeze(a, false)
		}
	}
}

// expectMutual holds every node to what the network really is, on both sides.
func expectMutual(t *testing.T, seed uint64, c *cluster) {
	broken := func(a, b int) bool {
		for p := range int(planes) {
			if c.cutOne[[3]int{a, b, p}] || c.cutOne[[3]int{b, a, p}] {
				return true
			}
		}
		return c.cut[[2]int{a, b}] || c.cut[[2]int{b, a}]
	}
	for _, node := range c.nodes {
		for _, other := range c.nodes {
			a, b := int(node.d.self), int(other.d.self)
			if a != b && node.d.reaches(other.d.self) == broken(a, b) {
				t.Fatalf("seed %d: node %d reaches %d: %v; the link is broken: %v", seed, a, b, node.d.reaches(other.d.self), broken(a, b))
			}
		}
	}
}
