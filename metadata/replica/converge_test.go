package replica

import (
	"flag"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed alone")
	seedsFlag = flag.Uint64("seeds", 100, "how many seeds each test of chaos runs")
)

// seeds calls run for each seed of the dose.
func seeds(t *testing.T, run func(t *testing.T, seed uint64)) {
	if *seedFlag != 0 {
		run(t, *seedFlag)
		return
	}
	for seed := range *seedsFlag {
		run(t, seed+1)
	}
}

// TestConverge: loss, reordering, duplication and cuts, commits at any time;
// after the heal all agree, and with what the writers did.
func TestConverge(t *testing.T) {
	seeds(t, func(t *testing.T, seed uint64) {
		c := newCluster(t, seed, 2+int(seed%3), nil)
		c.settle(300)
		c.loss = int(seed % 40)
		for range 600 {
			c.chaos(false)
		}
		c.settle(600)
		c.check(true)
		c.noDigestAlarm()
	})
}

// noDigestAlarm: the safety net below the protocol must not have been needed.
func (c *cluster) noDigestAlarm() {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.events[EventDigest] > 0 {
			c.fatalf("node %d met equal clocks with different digests", n.id)
		}
	}
}

// TestCrash: the same with stops, clean and not, at every boundary of a commit.
func TestCrash(t *testing.T) {
	seeds(t, func(t *testing.T, seed uint64) {
		c := newCluster(t, seed, 3, nil)
		c.settle(300)
		c.loss = int(seed % 20)
		for range 900 {
			c.chaos(true)
		}
		c.settle(1500)
		c.check(true)
		c.noDigestAlarm()
	})
}
