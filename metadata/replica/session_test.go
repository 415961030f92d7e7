package replica

import (
	"fmt"
	"testing"
	"time"
)

// TestSessionAfterHeal: the two ends of a link do not see it stand in the same instant.
// What one of them wrote behind the split is at the other within moments all the same:
// what is asked for is asked again if the session of the other end was not there yet,
// and long before the transfer is given up (R28: a gate waits for it).
func TestSessionAfterHeal(t *testing.T) {
	const hop = time.Millisecond
	for _, late := range []time.Duration{0, hop, 2 * hop, 5 * hop, 50 * hop} {
		for writer := range 2 {
			t.Run(fmt.Sprintf("late by %v, writer %d", late, writer), func(t *testing.T) {
				c := newCluster(t, 1, 2, func(cfg *Config) { cfg.ExchangeEvery = 1500 * time.Millisecond })
				c.settle(900)
				c.wire = nil
				for i, n := range c.nodes {
					n.core.PeerDown(c.now, uint64(2-i))
				}
				c.write(c.nodes[writer], "r1", "behind the split")
				began := c.now
				up := []time.Time{began, began.Add(late)}
				for c.nodes[0].core.digest != c.nodes[1].core.digest || c.now.Before(up[1]) {
					if took := c.now.Sub(up[1]); took > 100*time.Millisecond {
						t.Fatalf("not there after %v", took)
					}
					c.hop(hop, up)
				}
			})
		}
	}
}

// hop is a moment of a network that keeps order: what was sent before it arrives.
func (c *cluster) hop(d time.Duration, up []time.Time) {
	arriving := c.wire
	c.wire = nil
	for i, n := range c.nodes {
		if c.now.Equal(up[i]) {
			n.core.PeerUp(c.now, uint64(2-i))
		}
	}
	for _, m := range arriving {
		to := c.nodes[m.to]
		to.core.Receive(c.now, uint64(m.from+1), m.frame)
		c.take(to)
	}
	for _, n := range c.nodes {
		n.core.Tick(c.now)
		for n.core.Busy() {
			n.core.Work(c.now)
		}
		c.take(n)
		for len(n.ready) > 0 {
			c.commit(n)
		}
	}
	c.now = c.now.Add(d)
}
