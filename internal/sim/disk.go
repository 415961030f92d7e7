package sim

import (
	"fmt"

	"tombolo/internal/kv"
)

// powerLoss is what a Write panics with when the power goes inside it; the
// World recovers it.
type powerLoss struct{}

// Disk is a database whose process can die at each commit boundary, and that
// forgets what was not synced. It outlives the cores that are opened on it.
// Owned by the World.
type Disk struct {
	*kv.Memory
	durable *kv.Memory // what a crash leaves; nil while everything is synced
	commits int        // since the last arm
	written uint64     // batches ever
	crashAt int        // the power goes in this commit; 0: never
	after   bool       // behind the write instead of before it
	full    bool       // ENOSPC
	liar    bool       // says synced and is not: a planted bug
	splits  bool       // writes a batch in two halves: another

	lastApplied bool // the last batch was applied
}

// NewDisk is an empty disk.
func NewDisk() *Disk { return &Disk{Memory: kv.NewMemory()} }

// Write applies a batch, unless the power goes or the disk is full.
func (d *Disk) Write(b *kv.Batch, sync bool) error {
	d.commits++
	d.written++
	d.lastApplied = false
	crash := d.crashAt != 0 && d.commits == d.crashAt
	if crash && !d.after {
		panic(powerLoss{})
	}
	if d.full {
		return fmt.Errorf("%w: simulated", kv.ErrFull)
	}
	if crash && d.splits {
		_ = d.Memory.Write(firstHalf(b), sync)
		panic(powerLoss{})
	}
	if d.durable == nil && (!sync || d.liar) {
		d.durable = d.Memory.Fork()
	}
	if err := d.Memory.Write(b, sync); err != nil {
		return err
	}
	d.lastApplied = true
	if sync && !d.liar {
		d.durable = nil
	}
	if crash {
		panic(powerLoss{})
	}
	return nil
}

func firstHalf(b *kv.Batch) *kv.Batch {
	var half kv.Batch
	b.Each(func(key, value []byte, deleted bool) {
		switch {
		case half.Len() >= b.Len()/2:
		case deleted:
			half.Delete(key)
		default:
			half.Put(key, value)
		}
	})
	return &half
}

// arm lets the power go in the nth commit from now.
func (d *Disk) arm(n int, after bool) { d.commits, d.crashAt, d.after = 0, n, after }

// lose is the crash itself: what was not synced is gone.
func (d *Disk) lose() {
	if d.durable != nil {
		d.Memory, d.durable = d.durable, nil
	}
	d.crashAt, d.full = 0, false
}

// image is a backup of what is durable.
func (d *Disk) image() *kv.Memory {
	if d.durable != nil {
		return d.durable.Fork()
	}
	return d.Memory.Fork()
}

// restore replaces the content by an image.
func (d *Disk) restore(m *kv.Memory) { d.Memory, d.durable, d.crashAt = m.Fork(), nil, 0 }

// Close keeps the memory: the disk outlives the process.
func (d *Disk) Close() error { return nil }
