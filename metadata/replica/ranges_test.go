package replica

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// compared is a cluster at rest that compares by range every second, with some keys.
func compared(t *testing.T, size int) *cluster {
	c := calm(t, size, func(c *Config) { c.RangesEvery = time.Second })
	for i := range 100 {
		c.put(c.nodes[0], fmt.Sprintf("s%02d", i), fmt.Sprintf("value %d", i))
		c.put(c.nodes[1], fmt.Sprintf("r%02d", i), fmt.Sprintf("value %d", i))
	}
	c.settle(600)
	return c
}

// rot changes the disk of n behind its back: change gets the record of key and gives
// what is there instead, nil for nothing.
func (c *cluster) rot(n *node, key string, change func(record []byte) []byte) {
	c.t.Helper()
	at := objectKey([]byte(key))
	c.rotten = true
	record, err := n.db.Get(at)
	if err != nil {
		record = nil
	}
	var b kv.Batch
	if next := change(record); next == nil {
		b.Delete(at)
	} else {
		b.Put(at, next)
	}
	if err := n.db.Write(&b, true); err != nil {
		c.fatalf("%v", err)
	}
}

// flip changes the last byte, which is of the value.
func flip(record []byte) []byte {
	out := bytes.Clone(record)
	out[len(out)-1] ^= 1
	return out
}

// TestR32RangesMend: whatever a disk made of a record behind the store's back, a
// comparison by range finds it and takes over what a peer has.
func TestR32RangesMend(t *testing.T) {
	for _, v := range []struct {
		name   string
		key    string
		change func(record []byte) []byte
	}{
		{"a value changed", "s07", flip},
		{"a register's value changed", "r07", flip},
		{"a record is gone", "s08", func([]byte) []byte { return nil }},
		{"a record is nonsense", "s09", func([]byte) []byte { return []byte{0xc1, 0xff} }},
		{"a record is cut off", "r09", func(r []byte) []byte { return r[:len(r)-3] }},
		{"a key that was never written", "s99x", func([]byte) []byte { return appendObject(nil, dvv.NewObject(dvv.VV{}, sampleObject().Siblings()[0])) }},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := compared(t, 3)
			b := c.nodes[1]
			actor := b.core.actor
			c.rot(b, v.key, v.change)
			c.compareAll()
			if b.events[EventRange] == 0 || b.events[EventMended] != 1 {
				t.Errorf("events %v", b.events)
			}
			for i, n := range c.nodes {
				want, _ := c.nodes[2].db.Get(objectKey([]byte(v.key)))
				if got, _ := n.db.Get(objectKey([]byte(v.key))); !bytes.Equal(got, want) {
					t.Errorf("node %d has %q, not %q", i+1, got, want)
				}
			}
			if b.core.actor != actor || b.events[EventJoinBegan] > 1 {
				t.Error("the whole store was joined anew")
			}
			c.check(false)
		})
	}
}

// compareAll runs until each node has compared with each other twice and found
// nothing.
func (c *cluster) compareAll() {
	c.t.Helper()
	was := map[*node]uint64{}
	for _, n := range c.nodes {
		was[n] = n.core.Compared()
	}
	for round := 0; ; round++ {
		done := true
		for _, n := range c.nodes {
			done = done && n.core.Compared()-was[n] >= 2*uint64(len(c.nodes)-1)
		}
		if done {
			break
		}
		if round == 2000 {
			c.fatalf("no comparisons: %v", was)
		}
		c.tickAll()
		c.deliverAll()
	}
	c.settle(900)
}

// TestR32TwoDisks: two disks changed, each is mended from a third.
func TestR32TwoDisks(t *testing.T) {
	c := compared(t, 3)
	c.rot(c.nodes[0], "s10", flip)
	c.rot(c.nodes[1], "s11", flip)
	c.compareAll()
	c.wantAll("s10", "value 10")
	c.wantAll("s11", "value 11")
	c.check(false)
}

// TestR32WrittenMeanwhile: a key that was written after the cut keeps what was written.
func TestR32WrittenMeanwhile(t *testing.T) {
	c := compared(t, 2)
	b := c.nodes[1]
	c.rot(b, "s12", flip)
	for n := 0; b.core.ranging == nil || b.core.ranging.mask == 0; n++ {
		c.run(10 * time.Millisecond)
		if n > 1000 {
			c.fatalf("nothing was found")
		}
	}
	c.put(b, "s12", "later")
	c.compareAll()
	c.wantAll("s12", "later")
	if b.events[EventMended] != 0 {
		t.Errorf("%d records were taken over", b.events[EventMended])
	}
}

// TestR32InSyncIsShort: a comparison that finds nothing costs less than 1 KiB however
// many keys there are, and the snapshots are let go.
func TestR32InSyncIsShort(t *testing.T) {
	c := compared(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	bytes, was := 0, a.core.Compared()
	for n := 0; a.core.Compared() == was || b.core.peer(1).served != nil; n++ {
		for _, n := range c.nodes {
			c.tick(n, 10*time.Millisecond)
			for len(n.ready) > 0 {
				c.commit(n)
			}
		}
		for _, m := range c.wire {
			rd := pack.NewReader(m.frame)
			if h := readHeader(&rd); h.kind >= frameRanges && h.kind <= frameMended && (m.from == 0) == (h.kind == frameRanges || h.kind == frameMend) {
				bytes += len(m.frame)
			}
		}
		c.deliverAll()
		if n > 1000 {
			c.fatalf("no comparison")
		}
	}
	if bytes == 0 || bytes > 1024 {
		t.Errorf("%d bytes", bytes)
	}
}

// TestR32EarlierBuild: who does not say that it knows these frames is not asked.
func TestR32EarlierBuild(t *testing.T) {
	c := compared(t, 2)
	r, p := c.nodes[0].core, c.nodes[0].core.peer(2)
	g := r.greeting(c.now)
	f := appendGreeting(nil, &g, false)
	rd := pack.NewReader(f[:len(f)-1]) // without its last field, which is one byte
	if got := (*known)(nil).readGreeting(&rd, false, header{kind: frameHello, fields: 7}); rd.Err() != nil || got.frames != 0 {
		t.Fatalf("%+v, %v", got, rd.Err())
	}
	p.frames, p.rangesAt = 0, time.Time{}
	if r.tickRanges(c.now); r.ranging != nil {
		t.Fatal("it was asked")
	}
	p.frames = frameTypesMax
	if r.tickRanges(c.now); r.ranging == nil {
		t.Fatal("one that knows them was not")
	}
}
