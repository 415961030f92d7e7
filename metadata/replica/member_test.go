package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tombolo/dvv"
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
// wrote alone survives, what was deleted meanwhile stays deleted, and a gap of
// its actor that was sealed loses no value (I28).
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

// TestSealedGap: values under dots that the others have sealed are written anew
// by the one who has them.
func TestSealedGap(t *testing.T) {
	c := calm(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.isolate(b, true)
	c.put(b, "r1", "in the gap")
	d := dvv.Dot{Actor: b.core.actor, Counter: b.core.own}
	a.core.setClock(a.core.clock.Add(dvv.Dot{Actor: d.Actor, Counter: d.Counter + 1}))
	b.core.own++
	b.core.setClock(b.core.clock.Add(dvv.Dot{Actor: d.Actor, Counter: b.core.own}))
	a.core.retire(d.Actor, b.id)
	a.core.peers = nil
	a.core.sealRetired()
	c.members(a, 5, 2)
	if !a.core.clock.Has(d) {
		t.Fatal("the gap was not sealed")
	}
	c.isolate(b, false)
	c.settle(600)
	c.wantAll("r1", "in the gap")
	if b.core.actor == d.Actor {
		t.Fatal("the retired actor still writes")
	}
	c.check(false)
}
