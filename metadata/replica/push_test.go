package replica

import (
	"fmt"
	"testing"

	"tombolo/internal/kv"
)

// TestPushLeavesNoContext: of a batch that goes out in many frames every object is
// stored once at the other side, without a context, but for keys whose writes are
// frames apart. Those, and all that came out of order, are swept (I23, I24).
func TestPushLeavesNoContext(t *testing.T) {
	for _, late := range []bool{false, true} {
		c := calm(t, 2, func(c *Config) { c.ChunkBytes = 1 << 10 })
		a, b := c.nodes[0], c.nodes[1]
		c.wire, c.now = nil, c.now.Add(sweepEvery)
		const keys = 6000 // more than a second's piece of a sweep
		for i := range keys {
			c.write(a, fmt.Sprintf("s%04d", i), "value")
		}
		c.write(a, "s0007", "again") // whose first dot went with the first frame
		c.write(a, "s0009", "")      // and one that is deleted in a later one
		c.take(a)
		c.commit(a)
		if len(c.wire) < 20 {
			t.Fatalf("%d frames", len(c.wire))
		}
		if late {
			c.wire = append(c.wire[1:], c.wire[0])
		}
		stored := 0
		for _, m := range c.wire {
			b.core.Receive(c.now, a.id, m.frame)
			c.take(b)
			stored += len(b.ready[len(b.ready)-1].Changed)
			c.commit(b)
		}
		if residual := count(t, b.db, areaResidual); !late && (residual > 2 || stored > keys) {
			t.Errorf("%d keys stored %d times, %d with a context", keys, stored, residual)
		}
		for range 10 { // half a second
			c.now = c.now.Add(sweepSoon)
			b.core.Tick(c.now)
			for b.core.Busy() {
				b.core.Work(c.now)
			}
			c.take(b)
			c.commit(b)
		}
		if n := count(t, b.db, areaResidual); n > 0 || !b.core.Clock().Equal(a.core.Clock()) || a.core.Digest() != b.core.Digest() {
			t.Errorf("late %v: %d objects with a context, %v and %v", late, n, a.core.Clock(), b.core.Clock())
		}
	}
}

// count is how many entries area has.
func count(t *testing.T, db kv.DB, area byte) (n int) {
	t.Helper()
	it := db.Iterator(kv.PrefixRange([]byte{area}))
	defer it.Close()
	for it.Next() {
		n++
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}
