package replica

import (
	"fmt"
	"testing"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// dotsIndexed is how many dots the index of n names.
func dotsIndexed(t *testing.T, n *node) (dots int) {
	t.Helper()
	it := n.db.Iterator(kv.PrefixRange([]byte{areaIndex}))
	defer it.Close()
	for it.Next() {
		if err := ReadBlock(it.Key(), it.Value(), func(dvv.Dot, []byte) { dots++ }); err != nil {
			t.Fatal(err)
		}
	}
	return dots
}

// save makes all effects of n durable.
func (c *cluster) save(n *node) {
	c.take(n)
	for len(n.ready) > 0 {
		c.commit(n)
	}
}

// TestIndexForgets: what every member has leaves the index, in blocks; what one of
// them lacks stays, a block for each batch.
func TestIndexForgets(t *testing.T) {
	c := calm(t, 2, nil)
	n := c.nodes[0]
	for i := range 40 {
		c.put(n, fmt.Sprint("r", i), "v")
	}
	c.settle(300)
	if dots := dotsIndexed(t, n); dots != 0 || !n.core.trimmed.Descends(n.core.clock) {
		t.Fatalf("both have all, and %d dots are indexed beside %v of %v", dots, n.core.trimmed, n.core.clock)
	}
	c.cut[[2]int{0, 1}], c.cut[[2]int{1, 0}] = true, true
	c.link()
	for i := range 40 {
		c.write(n, fmt.Sprint("r", i), "w")
	}
	c.save(n)
	if dots := dotsIndexed(t, n); dots != 40 {
		t.Fatalf("the other one lacks 40 dots, and %d are indexed", dots)
	}
	c.cut = map[[2]int]bool{}
	c.link()
	c.settle(300)
	if dots := dotsIndexed(t, n); dots != 0 {
		t.Fatalf("after the heal %d dots are indexed", dots)
	}
	c.check(false)
}

// TestPullBeyondIndex: who asks for what the index has forgotten is sent it from all
// objects, and the deletes with it.
func TestPullBeyondIndex(t *testing.T) {
	c := calm(t, 2, nil)
	n := c.nodes[0]
	for i := range 40 {
		c.put(n, fmt.Sprint("s", i), "v")
	}
	c.settle(300)
	c.cut[[2]int{0, 1}], c.cut[[2]int{1, 0}] = true, true
	c.link()
	c.write(n, "s7", "")
	c.save(n)
	snapshot, err := n.db.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Release()
	s := state{clock: n.core.clock, trimmed: n.core.trimmed}
	o := &outgoing{snapshot: snapshot, dots: newDotWalk(snapshot, dvv.Clock{}, &s)}
	defer o.dots.close()
	sent, deletes := map[string]bool{}, 0
	for last := false; !last; {
		var ch chunk
		if err := n.core.fillDelta(o, &ch); err != nil {
			t.Fatal(err)
		}
		for _, w := range ch.list {
			sent[string(w.key)] = true
			deletes += len(w.deletes)
		}
		last = ch.last
	}
	if len(sent) != 40 || deletes != 1 {
		t.Fatalf("%d keys and %d deletes were sent", len(sent), deletes)
	}
}

// TestIndexAlone: a store without other members has no index, and one that gets a
// member gives it all.
func TestIndexAlone(t *testing.T) {
	c := calm(t, 1, nil)
	n := c.nodes[0]
	for i := range 10 {
		c.put(n, fmt.Sprint("r", i), "v")
	}
	c.write(n, "r11", "in the batch in which there is a member")
	c.members(n, 2, 2)
	c.write(n, "r12", "after it")
	c.save(n)
	if dots := dotsIndexed(t, n); dots != 1 || !n.core.trimmed.Has(dvv.Dot{Actor: n.core.actor, Counter: n.core.own - 1}) {
		t.Fatalf("%d dots are indexed, and %v trimmed of %v", dots, n.core.trimmed, n.core.clock)
	}
}

// TestVerifyMissesBlock: an index without a block that it ought to have is found (I7).
func TestVerifyMissesBlock(t *testing.T) {
	c := calm(t, 2, nil)
	n := c.nodes[0]
	c.cut[[2]int{0, 1}], c.cut[[2]int{1, 0}] = true, true
	c.link()
	c.write(n, "r1", "v")
	c.save(n)
	verify := func() int {
		snapshot, _ := n.db.Snapshot()
		defer snapshot.Release()
		faults, err := Verify(snapshot, testPolicy{})
		if err != nil {
			t.Fatal(err)
		}
		return len(faults)
	}
	it := n.db.Iterator(kv.PrefixRange([]byte{areaIndex}))
	defer it.Close()
	if faults := verify(); faults != 0 || !it.Next() {
		t.Fatalf("%d faults in a sound store, or no index", faults)
	}
	var b kv.Batch
	b.Delete(it.Key())
	if err := n.db.Write(&b, true); err != nil || verify() != 1 {
		t.Fatalf("%v, %d faults without the block", err, verify())
	}
}
