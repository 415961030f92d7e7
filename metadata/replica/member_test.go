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

// lose has a write of n under key reach nobody, and the next one, of other, reach
// node 1: a gap. The members go on without n.
func (c *cluster) lose(n *node, key, other string) dvv.Dot {
	c.isolate(n, true)
	c.put(n, key, "lost")
	d := dvv.Dot{Actor: n.core.actor, Counter: n.core.own}
	c.put(n, other, "arrived")
	o, err := n.core.get(objectKey([]byte(other)))
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.nodes[0].core
	r.merge(c.now, r.peer(n.id), n.core.bases, &wireRecord{key: []byte(other), object: o})
	for _, m := range c.nodes {
		if m != n {
			m.core.SetMembers(c.now, 2, []Member{{ID: 1}, {ID: 2}})
		}
	}
	return d
}

// TestGapStaysOpen: what nobody has is put aside with its contexts, and if it comes
// back after all it counts as what it is: news, or overwritten (I14, I24, I28).
func TestGapStaysOpen(t *testing.T) {
	c := calm(t, 3, nil)
	a, away := c.nodes[0], c.nodes[2]
	d := c.lose(away, "s1", "s2")
	// An object that had overwritten the lost value, by a write that is lost as well,
	// and one that had deleted it.
	for _, key := range []string{"s3", "s4"} {
		e := dvv.Dot{Actor: 77, Counter: 1}
		w := stale(key, e)
		if key == "s4" {
			e = dvv.Dot{Actor: 78, Counter: 1}
			w = &wireRecord{key: []byte(key), deletes: []dvv.Dot{e}}
		}
		w.object = dvv.NewObject(dvv.NewVV(e, dvv.Dot{Actor: d.Actor, Counter: d.Counter + 3}), w.object.Siblings()...)
		a.core.merge(c.now, a.core.peer(2), dvv.VV{}, w)
	}
	c.run(5 * time.Second)
	for _, n := range c.nodes[:2] {
		if n.core.clock.Has(d) || len(n.core.lasting.contexts) < 2 {
			t.Fatalf("clock %v, lasting contexts %v", n.core.clock, n.core.lasting.contexts)
		}
		for key, p := range map[string]string{"s3": "x", "s4": ""} {
			o, err := n.core.get(objectKey([]byte(key)))
			if err != nil || o.Context().Len() > 0 {
				t.Fatalf("%s holds %v, not %q, and %v", key, o, p, err)
			}
		}
	}
	c.put(away, "s3", "overwritten")
	c.put(away, "s4", "deleted")
	for _, n := range c.nodes {
		c.members(n, 3, 3)
	}
	c.isolate(away, false)
	c.settle(900)
	c.wantAll("s1", "lost")
	c.wantAll("s2", "arrived")
	c.wantAll("s4", "")
	c.run(2 * time.Second)
	for _, n := range c.nodes {
		if o, _ := n.core.get(objectKey([]byte("s3"))); len(o.Siblings()) != 1 || o.Siblings()[0].Dot.Actor != 77 {
			t.Fatalf("node %d: s3 is %v", n.id, o)
		}
		if len(n.core.lasting.contexts) > 0 {
			t.Fatalf("node %d: %v under %v", n.id, n.core.lasting.contexts, n.core.clock)
		}
	}
	if away.core.actor == d.Actor {
		t.Fatal("the retired actor still writes")
	}
	c.check(false)
}
