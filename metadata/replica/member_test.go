package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestAbsentCap: deletes are collected without a member that stays away; when
// it returns, under steady writes, it joins and nothing comes back (R32, I22).
func TestAbsentCap(t *testing.T) {
	c := calm(t, 3, func(cfg *Config) { cfg.GarbageMax = 5 })
	away := c.nodes[2]
	for i := range 10 {
		c.put(c.nodes[0], fmt.Sprintf("s%d", i), "x")
	}
	c.settle(300)
	c.isolate(away, true)
	c.put(away, "s9", "while away")
	for i := range 10 {
		c.put(c.nodes[1], fmt.Sprintf("s%d", i), "")
	}
	c.run(3 * time.Second)
	if g := c.nodes[1].core.garbage; g > 5 {
		t.Fatalf("%d deletes still wait for the absent member", g)
	}
	if c.nodes[1].core.peer(3).need.Len() == 0 {
		t.Fatal("no horizon was noted")
	}
	c.isolate(away, false)
	for i := range 20 {
		c.put(c.nodes[i%2], fmt.Sprintf("r%d", i), "steady")
		c.run(40 * time.Millisecond)
	}
	c.settle(900)
	if away.events[EventJoinEnded] == 0 {
		t.Fatalf("no full join: %v", away.events)
	}
	for i := range 9 {
		c.wantAll(fmt.Sprintf("s%d", i), "")
	}
	c.wantAll("s9", "while away")
	c.check(false)
}

// TestRemovedReturns: a member is removed while it is away and returns: what it
// wrote alone survives, what was deleted meanwhile stays deleted, and a value that
// lies in a gap of its actor is not lost (I28).
func TestRemovedReturns(t *testing.T) {
	c := calm(t, 3, nil)
	away := c.nodes[2]
	c.put(c.nodes[0], "s1", "deleted later")
	c.settle(300)
	// A gap: the first write never leaves the node, the second one does.
	c.isolate(away, true)
	c.put(away, "s2", "in the gap")
	c.wire = nil
	c.isolate(away, false)
	c.run(60 * time.Millisecond)
	c.wire = slices.DeleteFunc(c.wire, func(m wired) bool { return m.from == 2 })
	c.isolate(away, true)
	c.put(away, "s3", "alone")
	for _, n := range c.nodes[:2] {
		n.core.SetMembers(c.now, 2, []Member{{ID: 1}, {ID: 2}})
	}
	c.put(c.nodes[1], "s1", "")
	c.run(3 * time.Second)
	if g := c.nodes[0].core.garbage; g != 0 {
		t.Fatalf("%d deletes wait for a member that was removed", g)
	}
	for _, n := range c.nodes {
		c.members(n, 3, 3)
	}
	c.isolate(away, false)
	c.settle(900)
	c.wantAll("s1", "")
	c.wantAll("s2", "in the gap")
	c.wantAll("s3", "alone")
	c.check(false)
}
