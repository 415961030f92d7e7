package replica

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// steady runs a cluster in which a write is made at every node before each round of
// messages, of which the last are still on their way: no two clocks are ever the same.
// Deletes are among the writes. It ends when until says so.
func (c *cluster) steady(rounds int, until func() bool) {
	c.t.Helper()
	for round := range rounds {
		if until() {
			return
		}
		for i, n := range c.nodes {
			value := fmt.Sprintf("at %d", round)
			if round%5 == 4 {
				value = ""
			}
			c.put(n, fmt.Sprintf("%cbusy%d-%d", "sr"[round%2], i, round/2%20), value)
			for len(n.ready) > 0 {
				c.commit(n)
			}
		}
		for on := len(c.wire); on > 4*len(c.nodes); on-- {
			c.deliver()
			for _, n := range c.nodes {
				for n.core.Busy() {
					n.core.Work(c.now)
				}
				c.take(n)
			}
		}
		for _, n := range c.nodes {
			c.tick(n, 10*time.Millisecond)
			for len(n.ready) > 0 {
				c.commit(n)
			}
		}
	}
	c.fatalf("not in %d rounds", rounds)
}

// TestR32UnderWrites: writes that never pause keep no disk from being compared and
// mended, and bring about no difference that is none.
func TestR32UnderWrites(t *testing.T) {
	c := compared(t, 3)
	b, equal, rounds := c.nodes[1], 0, 0
	key := objectKey([]byte("s07"))
	want, _ := b.db.Get(key)
	compared := func(n *node, times uint64) func() bool {
		was := n.core.Compared()
		return func() bool {
			if rounds++; c.nodes[0].core.clock.Equal(b.core.clock) || b.core.clock.Equal(c.nodes[2].core.clock) {
				equal++
			}
			return n.core.Compared() >= was+times
		}
	}
	c.steady(3000, compared(b, 4))
	for i, n := range c.nodes {
		if n.events[EventRange]+n.events[EventMended]+n.events[EventDigest] > 0 {
			t.Errorf("node %d found what is not there: %v", i+1, n.events)
		}
	}
	c.rot(b, "s07", func([]byte) []byte { return nil })
	c.steady(3000, func() bool { return b.events[EventMended] > 0 })
	c.steady(3000, compared(b, 4))
	if got, _ := b.db.Get(key); !bytes.Equal(got, want) || b.events[EventMended] != 1 {
		t.Errorf("it has %q, not %q: %v", got, want, b.events)
	}
	if equal > rounds/10 {
		t.Errorf("clocks were the same in %d of %d rounds: these writes pause", equal, rounds)
	}
	c.settle(900)
	c.wantAll("s07", "value 7")
	c.check(false)
}

// TestR32DeletedMeanwhile: what a disk lost and everybody deletes after the cut does not
// come back with the mending.
func TestR32DeletedMeanwhile(t *testing.T) {
	c := compared(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	c.rot(b, "s12", func([]byte) []byte { return nil })
	c.rot(b, "s13", func([]byte) []byte { return nil })
	found := func() bool { return b.core.ranging != nil && b.core.ranging.mask != 0 }
	for n := 0; !found(); n++ {
		if n > 1000 {
			c.fatalf("nothing was found")
		}
		c.run(10 * time.Millisecond)
	}
	joins := a.events[EventJoinBegan] + b.events[EventJoinBegan]
	c.put(a, "s12", "")
	for _, m := range c.wire { // the push alone: it overtakes what was asked for
		if m.to == 1 && m.frame[2] == framePush {
			b.core.Receive(c.now, 1, m.frame)
			c.take(b)
		}
	}
	c.compareAll()
	c.wantAll("s12", "")
	c.wantAll("s13", "value 13")
	if n := a.events[EventJoinBegan] + b.events[EventJoinBegan]; n != joins || b.events[EventMended] != 2 { // the other record, and the digest
		t.Errorf("%d full joins more; %v", n-joins, b.events)
	}
	c.check(false)
}

// TestR32Apart: two stores that hold what they ought to, and not the same, take from each
// other what they lack once that has lasted, under writes as well: there the digests of
// equal clocks are never compared.
func TestR32Apart(t *testing.T) {
	c := compared(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	drop := func(n *node, name string) { // as a fault of the protocol would
		key := objectKey([]byte(name))
		old, err := n.core.get(key)
		if err != nil || old.IsEmpty() {
			t.Fatal(old, err)
		}
		n.core.store(key, old, dvv.Object{})
		c.take(n)
	}
	drop(a, "s10")
	drop(b, "s20")
	drop(b, "r30")
	joins := a.events[EventJoinBegan] + b.events[EventJoinBegan]
	c.steady(3000, func() bool { return a.events[EventMended]+b.events[EventMended] == 3 })
	c.settle(2000)
	c.wantAll("s10", "value 10")
	c.wantAll("s20", "value 20")
	c.wantAll("r30", "value 30")
	c.check(false)
	if a.events[EventDigest]+b.events[EventDigest] == 0 || a.events[EventJoinBegan]+b.events[EventJoinBegan] != joins {
		t.Errorf("%v, %v", a.events, b.events)
	}
}

// TestR32JoinFromALoser: a store joins from a disk that has lost a value, and claims to have
// seen it. Who still has it does not lose it to the two: they get it back.
func TestR32JoinFromALoser(t *testing.T) {
	c := compared(t, 3)
	b := c.nodes[1]
	c.rot(b, "s12", func([]byte) []byte { return nil })
	a := c.nodes[0]
	a.core.Release()
	a.db, a.core = kv.NewMemory(), nil
	c.cut[[2]int{0, 2}], c.cut[[2]int{2, 0}] = true, true
	c.start(a)
	c.members(a, 1, 3)
	c.link()
	for n := 0; a.events[EventJoinEnded] == 0; n++ {
		if n > 500 {
			c.fatalf("no join: %v", a.events)
		}
		c.run(20 * time.Millisecond)
	}
	c.cut = map[[2]int]bool{}
	c.link()
	c.compareAll()
	c.wantAll("s12", "value 12")
	c.check(false)
}

// TestR32Crowded: when too much was written between the snapshots nothing is compared.
func TestR32Crowded(t *testing.T) {
	c := compared(t, 2)
	n := c.nodes[0]
	var d reading
	err := n.core.openReading(&d)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.begin(dvv.Clock{}) // who has seen nothing
	for last := false; !last; {
		if last, err = d.step(); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.touched) != 200 || d.sums != (rangeSums{}) || d.crowded() || !d.sound() {
		t.Errorf("%d touched, of %d bytes; %v", len(d.touched), d.bytes, d.sums)
	}
	d.bytes = touchedBytesMax + 1
	d.begin(dvv.Clock{})
	if last, _ := d.step(); !last || !d.crowded() {
		t.Error("it reads on")
	}
}
