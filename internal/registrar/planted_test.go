package registrar

import (
	"testing"

	"tombolo/internal/wire"
)

// TestPlantedBugs shows that the checkers of the random schedules can fail: each
// bug spoils the cores after every step.
func TestPlantedBugs(t *testing.T) {
	for name, plant := range map[string]func(*Core){
		"a listing counts before it is here": func(c *Core) {
			for _, id := range c.leader.members {
				c.leader.listing[id] = true
			}
		},
		"a leader forgets who has a client": func(c *Core) { forgetHomes(c) },
		"epochs begin anew":                 func(c *Core) { c.lastHLC, c.leader.resolves = 0, map[uint64]resolve{} },
		"a new view begins with what the old one knew": func(c *Core) {
			for _, id := range c.leader.members {
				if _, begun := c.leader.listing[id]; !begun && len(c.leader.members) > 1 {
					c.leader.listing[id] = true
				}
			}
		},
		"an asker waits for ever": func(c *Core) {
			for _, a := range c.asker.asks {
				a.retryAt, a.viewBy, a.deadline = 0, 0, a.deadline+10
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(300) {
				if broken := schedule(seed, func(w *world) { w.plant = plant }); len(broken) > 0 {
					return
				}
			}
			t.Error("no checker noticed")
		})
	}
}

// TestHastyBrokerIsCaught has the brokers say that a client is closed before it is.
func TestHastyBrokerIsCaught(t *testing.T) {
	for seed := range uint64(300) {
		if broken := schedule(seed, func(w *world) { w.hasty = true }); len(broken) > 0 {
			return
		}
	}
	t.Error("no checker noticed")
}

func forgetHomes(c *Core) {
	for _, s := range c.leader.seats {
		s.homes = nil
		s.last = answered{grant: wire.Grant{}}
	}
}
