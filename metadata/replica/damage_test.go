package replica

import (
	"fmt"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// TestDamage: a store lost some of its records, and knows that it may have. What
// the peers have comes back; what was deleted stays deleted; nothing of theirs
// is lost. A crash in the middle of the rebuild begins it again.
func TestDamage(t *testing.T) {
	c := calm(t, 3, nil)
	n := c.nodes[0]
	for i := range 1500 {
		c.write(n, fmt.Sprintf("r%04d", i), "x")
		c.write(c.nodes[1], fmt.Sprintf("s%04d", i), "y")
	}
	c.settle(900)
	c.put(n, "s0000", "")
	c.settle(900)
	n.core.Release()
	for i := 0; i < 1500; i += 3 {
		var b kv.Batch
		b.Delete(objectKey(fmt.Appendf(nil, "r%04d", i)))
		b.Delete(objectKey(fmt.Appendf(nil, "s%04d", i)))
		if i%2 == 0 {
			b.Put(objectKey(fmt.Appendf(nil, "s%04d", i+1)), []byte("not a record"))
		}
		if err := n.db.Write(&b, true); err != nil {
			t.Fatal(err)
		}
	}
	suspect := true
	c.tune = func(cfg *Config) { cfg.Suspect = suspect && cfg.Node == n.id }
	c.start(n)
	for range 3 {
		n.core.Work(c.now)
		ready, _ := n.core.Ready()
		if err := n.db.Write(ready.Batch, true); err != nil {
			t.Fatal(err)
		}
		n.core.Committed(ready.Seq)
	}
	suspect = false // the mark in the store itself is enough
	c.start(n)
	c.link()
	for n.core.rebuild != nil {
		n.core.Work(c.now)
		if ready, ok := n.core.Ready(); ok {
			if err := n.db.Write(ready.Batch, true); err != nil {
				t.Fatal(err)
			}
			n.core.Committed(ready.Seq)
		}
	}
	c.settle(2000)
	for i := 1; i < 1500; i += 100 {
		c.wantAll(fmt.Sprintf("r%04d", i), "x")
		c.wantAll(fmt.Sprintf("s%04d", i), "y")
	}
	c.wantAll("s0000", "")
	c.check(true)
}

// TestDamageAlone: the same for a store without peers: it goes on with what is
// left.
func TestDamageAlone(t *testing.T) {
	c := calm(t, 1, nil)
	n := c.nodes[0]
	c.put(n, "r1", "lost")
	c.put(n, "r2", "kept")
	n.core.Release()
	var b kv.Batch
	b.Delete(objectKey([]byte("r1")))
	if err := n.db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	c.tune = func(cfg *Config) { cfg.Suspect = true }
	c.start(n)
	c.run(time.Second)
	c.put(n, "r3", "new")
	c.wantAll("r2", "kept")
	c.check(false)
}
