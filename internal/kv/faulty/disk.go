package faulty

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"syscall"

	"tombolo/internal/kv"
)

// inode is the content of a file; its disk's mutex guards it.
type inode struct {
	data   []byte
	synced int // bytes that are durable
}

// change is one entry of the directory that is not durable yet: name points
// to node from now on, nil if it is gone.
type change struct {
	name string
	node *inode
	with *change // happens in the same step: the other half of a rename
}

// Disk is a directory in memory. Guarded by mu.
type Disk struct {
	mu struct {
		sync.Mutex
		rng     *rand.Rand
		dir     map[string]*inode
		durable map[string]*inode
		pending []change
		epoch   int // of power: handles of an earlier one are dead
		locked  bool
		dead    bool // power is lost and not back yet
		faults  Faults
		bytes   int64 // written since the faults were armed
		ops     int64 // operations since then
	}
}

// Faults are armed by [Disk.Arm] and count from there; zero fields are off.
type Faults struct {
	FullAfterBytes  int64 // ENOSPC once this many more bytes are written
	FailOp          int64 // EIO on the nth operation
	CrashAfterBytes int64 // power is lost inside the write that passes this byte
	CrashAfterOps   int64 // power is lost before the operation after the nth
	ReadOnly        bool  // EROFS on everything that changes the disk
	Garble          bool  // a torn tail may end in bytes that nobody wrote
}

// New is an empty disk whose chances come from seed.
func New(seed uint64) *Disk {
	d := &Disk{}
	d.mu.rng = rand.New(rand.NewPCG(seed, 0x746f6d62))
	d.mu.dir, d.mu.durable = map[string]*inode{}, map[string]*inode{}
	return d
}

// Arm sets the faults to come and begins to count anew.
func (d *Disk) Arm(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.faults, d.mu.bytes, d.mu.ops = f, 0, 0
}

// Counted is the bytes and operations since Arm.
func (d *Disk) Counted() (bytes, ops int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.bytes, d.mu.ops
}

// Name says what this is.
func (d *Disk) Name() string { return "faulty disk" }

// failure makes the error that a system call would return.
func failure(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// stepLocked counts one operation and says how it fails.
func (d *Disk) stepLocked(op, name string, changes bool) error {
	d.mu.ops++
	f := d.mu.faults
	switch {
	case d.mu.dead:
		return failure(op, name, syscall.EIO)
	case f.CrashAfterOps > 0 && d.mu.ops > f.CrashAfterOps:
		d.mu.dead = true
		return failure(op, name, syscall.EIO)
	case f.FailOp > 0 && d.mu.ops == f.FailOp:
		return failure(op, name, syscall.EIO)
	case f.ReadOnly && changes:
		return failure(op, name, syscall.EROFS)
	}
	return nil
}

// Lock keeps a second opener out.
func (d *Disk) Lock(readOnly bool) (func() error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stepLocked("lock", "LOCK", !readOnly); err != nil {
		return nil, err
	}
	if d.mu.locked {
		return nil, fmt.Errorf("%w: %s is in use by this test", kv.ErrLocked, d.Name())
	}
	d.mu.locked = true
	epoch := d.mu.epoch
	return func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.mu.epoch == epoch {
			d.mu.locked = false
		}
		return nil
	}, nil
}

// List is the names at the top.
func (d *Disk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stepLocked("readdir", ".", false); err != nil {
		return nil, err
	}
	return d.namesLocked(false), nil
}

func (d *Disk) namesLocked(inFolders bool) []string {
	var names []string
	for name := range d.mu.dir {
		if inFolders || !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Open reads a file as it is now and as it grows.
func (d *Disk) Open(name string) (kv.DiskReader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stepLocked("open", name, false); err != nil {
		return nil, err
	}
	node, ok := d.mu.dir[name]
	if !ok {
		return nil, failure("open", name, fs.ErrNotExist)
	}
	return &handle{d: d, node: node, name: name, epoch: d.mu.epoch}, nil
}

// Create makes a file; one of that name loses its name.
func (d *Disk) Create(name string) (kv.DiskWriter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stepLocked("create", name, true); err != nil {
		return nil, err
	}
	node := &inode{}
	d.enterLocked(change{name: name, node: node})
	return &handle{d: d, node: node, name: name, epoch: d.mu.epoch}, nil
}

// Remove takes a name away.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stepLocked("remove", name, true); err != nil {
		return err
	}
	if _, ok := d.mu.dir[name]; !ok {
		return failure("remove", name, fs.ErrNotExist)
	}
	d.enterLocked(change{name: name})
	return nil
}

// Rename gives a file another name in one step.
func (d *Disk) Rename(oldName, newName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stepLocked("rename", oldName, true); err != nil {
		return err
	}
	node, ok := d.mu.dir[oldName]
	if !ok {
		return failure("rename", oldName, fs.ErrNotExist)
	}
	d.enterLocked(change{name: newName, node: node, with: &change{name: oldName}})
	return nil
}

// SyncDir makes all changes of names durable.
func (d *Disk) SyncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stepLocked("sync", ".", true); err != nil {
		return err
	}
	d.settleLocked(len(d.mu.pending))
	return nil
}

func (d *Disk) enterLocked(c change) {
	apply(d.mu.dir, &c)
	d.mu.pending = append(d.mu.pending, c)
}

// settleLocked makes the first n pending changes durable.
func (d *Disk) settleLocked(n int) {
	for i := range d.mu.pending[:n] {
		apply(d.mu.durable, &d.mu.pending[i])
	}
	d.mu.pending = append([]change(nil), d.mu.pending[n:]...)
}

func apply(dir map[string]*inode, c *change) {
	for ; c != nil; c = c.with {
		if c.node == nil {
			delete(dir, c.name)
		} else {
			dir[c.name] = c.node
		}
	}
}

// handle is an open file. The disk's mutex guards its content; name and
// epoch are fixed.
type handle struct {
	d     *Disk
	node  *inode
	name  string
	epoch int
}

func (h *handle) stepLocked(op string, changes bool) error {
	if h.epoch != h.d.mu.epoch {
		return failure(op, h.name, fs.ErrClosed)
	}
	return h.d.stepLocked(op, h.name, changes)
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.stepLocked("read", false); err != nil {
		return 0, err
	}
	if off >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.stepLocked("stat", false); err != nil {
		return 0, err
	}
	return int64(len(h.node.data)), nil
}

// Write appends. A full disk and a loss of power take what fits first, as a
// real one does.
func (h *handle) Write(p []byte) (int, error) {
	d := h.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := h.stepLocked("write", true); err != nil {
		return 0, err
	}
	room, cause := int64(len(p)), error(nil)
	if full := d.mu.faults.FullAfterBytes; full > 0 && d.mu.bytes+room > full {
		room, cause = max(full-d.mu.bytes, 0), syscall.ENOSPC
	}
	if crash := d.mu.faults.CrashAfterBytes; crash > 0 && d.mu.bytes+room > crash {
		room, cause = max(crash-d.mu.bytes, 0), syscall.EIO
		d.mu.dead = true
	}
	h.node.data = append(h.node.data, p[:room]...)
	d.mu.bytes += room
	if cause != nil {
		return int(room), failure("write", h.name, cause)
	}
	return len(p), nil
}

func (h *handle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.stepLocked("sync", true); err != nil {
		return err
	}
	h.node.synced = len(h.node.data)
	return nil
}

// Close never fails: what matters was synced before.
func (h *handle) Close() error { return nil }
