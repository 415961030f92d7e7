package kv

import (
	"bytes"
	"sync"

	"github.com/google/btree"
)

// memoryDegree is the branching of the tree: wide enough that a look-up in
// a million keys touches four nodes, small enough that the copy of a node
// after a snapshot stays below 1 KiB.
const memoryDegree = 16

type item struct{ key, value []byte }

func itemLess(a, b item) bool { return bytes.Compare(a.key, b.key) < 0 }

// Memory is a DB in memory. It forgets everything on Close; nothing about it
// is durable. Its fields are guarded by mu.
//
// Snapshots and forks share the tree and copy a node when it is next written,
// so that both cost nothing at the instant they are taken.
type Memory struct {
	mu struct {
		sync.RWMutex
		tree   *btree.BTreeG[item]
		bytes  int64 // keys and values
		closed bool
	}
}

// NewMemory returns an empty database.
func NewMemory() *Memory {
	m := &Memory{}
	m.mu.tree = btree.NewG(memoryDegree, itemLess)
	return m
}

// OpenMemory is NewMemory for those who want a DB.
func OpenMemory() DB { return NewMemory() }

// Fork returns a database of its own that begins with what m holds now: a copy
// of a directory, a backup, the state before a crash.
func (m *Memory) Fork() *Memory {
	f := &Memory{}
	m.mu.Lock()
	defer m.mu.Unlock()
	f.mu.tree, f.mu.bytes = m.mu.tree.Clone(), m.mu.bytes
	return f
}

// Len is the number of keys.
func (m *Memory) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mu.tree.Len()
}

// Get returns a copy of the value of key.
func (m *Memory) Get(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.closed {
		return nil, ErrClosed
	}
	return treeGet(m.mu.tree, key)
}

func treeGet(t *btree.BTreeG[item], key []byte) ([]byte, error) {
	it, ok := t.Get(item{key: key})
	if !ok {
		return nil, ErrNotFound
	}
	return append(make([]byte, 0, len(it.value)), it.value...), nil
}

// Write applies b under one hold of the lock.
func (m *Memory) Write(b *Batch, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return ErrClosed
	}
	b.Each(m.applyLocked)
	return nil
}

func (m *Memory) applyLocked(key, value []byte, deleted bool) {
	if deleted {
		if old, had := m.mu.tree.Delete(item{key: key}); had {
			m.mu.bytes -= int64(len(old.key) + len(old.value))
		}
		return
	}
	// One allocation for both; they die together in most uses.
	kv := make([]byte, len(key)+len(value))
	copy(kv, key)
	copy(kv[len(key):], value)
	old, had := m.mu.tree.ReplaceOrInsert(item{kv[:len(key):len(key)], kv[len(key):]})
	m.mu.bytes += int64(len(kv))
	if had {
		m.mu.bytes -= int64(len(old.key) + len(old.value))
	}
}

// Snapshot is the database at this instant.
func (m *Memory) Snapshot() (Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return nil, ErrClosed
	}
	return &memorySnapshot{tree: m.mu.tree.Clone()}, nil
}

// Iterator walks r at this instant.
func (m *Memory) Iterator(r Range) Iterator {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return failedIterator{ErrClosed}
	}
	return &memoryIterator{tree: m.mu.tree.Clone(), r: r}
}

// CompactRange has nothing to do.
func (m *Memory) CompactRange(Range) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.closed {
		return ErrClosed
	}
	return nil
}

// Size is the bytes of keys and values in r.
func (m *Memory) Size(r Range) (int64, error) {
	it := m.Iterator(r)
	defer it.Close()
	var n int64
	for it.Next() {
		n += int64(len(it.Key()) + len(it.Value()))
	}
	return n, it.Err()
}

// Stats says how much is held.
func (m *Memory) Stats() Stats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return Stats{Engine: "memory", MemoryBytes: m.mu.bytes}
}

// Suspect is always empty: memory loses everything or nothing.
func (m *Memory) Suspect() []string { return nil }

// ClearSuspect has nothing to forget.
func (m *Memory) ClearSuspect() error { return nil }

// Close makes every further call fail with ErrClosed.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return ErrClosed
	}
	m.mu.closed = true
	return nil
}

// memorySnapshot shares its tree with nobody who writes; immutable once built,
// but for released.
type memorySnapshot struct {
	mu   sync.RWMutex // guards tree, which Release sets to nil
	tree *btree.BTreeG[item]
}

func (s *memorySnapshot) Get(key []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tree == nil {
		return nil, ErrClosed
	}
	return treeGet(s.tree, key)
}

func (s *memorySnapshot) Iterator(r Range) Iterator {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tree == nil {
		return failedIterator{ErrClosed}
	}
	return &memoryIterator{tree: s.tree, r: r}
}

func (s *memorySnapshot) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree = nil
}

// failedIterator is an iterator that could not be made. Immutable.
type failedIterator struct{ err error }

func (failedIterator) First() bool      { return false }
func (failedIterator) Last() bool       { return false }
func (failedIterator) Seek([]byte) bool { return false }
func (failedIterator) Next() bool       { return false }
func (failedIterator) Prev() bool       { return false }
func (failedIterator) Key() []byte      { return nil }
func (failedIterator) Value() []byte    { return nil }
func (f failedIterator) Err() error     { return f.err }
func (failedIterator) Close()           {}
