package faulty

import (
	"fmt"
	"maps"
)

// Dead says that power was lost by an armed fault and is not back yet.
func (d *Disk) Dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.dead
}

// PowerLoss forgets what was not durable and brings the power back; the
// faults are disarmed.
func (d *Disk) PowerLoss() {
	d.mu.Lock()
	defer d.mu.Unlock()
	garble := d.mu.faults.Garble
	d.settleLocked(d.mu.rng.IntN(len(d.mu.pending) + 1))
	d.mu.pending = nil
	d.mu.dir = maps.Clone(d.mu.durable)
	for _, name := range d.namesLocked(true) {
		d.tearLocked(d.mu.dir[name], garble)
	}
	d.renewLocked()
}

// tearLocked keeps a part of what was not synced: nothing, all, or a cut.
func (d *Disk) tearLocked(n *inode, garble bool) {
	loose := len(n.data) - n.synced
	if loose <= 0 {
		return
	}
	keep := 0
	switch d.mu.rng.IntN(3) {
	case 1:
		keep = loose
	case 2:
		keep = d.mu.rng.IntN(loose + 1)
	}
	n.data = n.data[: n.synced+keep : n.synced+keep]
	if garble && keep > 0 && d.mu.rng.IntN(2) == 0 {
		from := n.synced + d.mu.rng.IntN(keep)
		tail := append([]byte(nil), n.data...)
		zero := d.mu.rng.IntN(2) == 0
		for i := from; i < len(tail); i++ {
			tail[i] = 0
			if !zero {
				tail[i] = byte(d.mu.rng.Uint32())
			}
		}
		n.data = tail
	}
	n.synced = len(n.data)
}

// Kill ends the process that used the disk: everything written stays.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renewLocked()
}

func (d *Disk) renewLocked() {
	d.mu.epoch++
	d.mu.locked, d.mu.dead = false, false
	d.mu.faults = Faults{}
}

// Image is the durable content of a disk at one instant. Immutable.
type Image struct{ files map[string][]byte }

// Snapshot is what a backup of the durable files would hold.
func (d *Disk) Snapshot() *Image {
	d.mu.Lock()
	defer d.mu.Unlock()
	img := &Image{files: map[string][]byte{}}
	for name, n := range d.mu.durable {
		img.files[name] = append([]byte(nil), n.data[:n.synced]...)
	}
	return img
}

// Restore replaces everything by an older image, as an operator restores a
// backup; what was open dies.
func (d *Disk) Restore(img *Image) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.dir, d.mu.durable, d.mu.pending = map[string]*inode{}, map[string]*inode{}, nil
	for name, data := range img.files {
		n := &inode{data: append([]byte(nil), data...), synced: len(data)}
		d.mu.dir[name], d.mu.durable[name] = n, n
	}
	d.renewLocked()
}

// Clone is a second disk with the durable files of this one, as a directory
// that was copied to another machine.
func (d *Disk) Clone(seed uint64) *Disk {
	c := New(seed)
	c.Restore(d.Snapshot())
	return c
}

// Names is every file, those in folders too.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.namesLocked(true)
}

// Size is the bytes of a file, -1 if there is none.
func (d *Disk) Size(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.mu.dir[name]
	if !ok {
		return -1
	}
	return len(n.data)
}

// Content is a copy of a file, nil if there is none.
func (d *Disk) Content(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.mu.dir[name]
	if !ok {
		return nil
	}
	return append([]byte{}, n.data...)
}

// Flip turns one bit over.
func (d *Disk) Flip(name string, bit int) {
	d.damage(name, func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
}

// Truncate cuts a file at size.
func (d *Disk) Truncate(name string, size int) {
	d.damage(name, func(b []byte) []byte { return b[:size] })
}

// Overwrite replaces the content of a file.
func (d *Disk) Overwrite(name string, data []byte) {
	d.damage(name, func([]byte) []byte { return append([]byte(nil), data...) })
}

// Lose takes a file away durably.
func (d *Disk) Lose(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mu.dir, name)
	delete(d.mu.durable, name)
}

func (d *Disk) damage(name string, how func([]byte) []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.mu.dir[name]
	if !ok {
		panic(fmt.Sprintf("no file %q to damage", name))
	}
	n.data = how(append([]byte(nil), n.data...))
	n.synced = len(n.data)
}
