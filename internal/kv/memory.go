package kv

import "sync"

// Memory is a DB in memory. It forgets everything on Close; nothing about it
// is durable. Its fields are guarded by mu.
//
// Snapshots, iterators and forks share the leaves; what is written while one of
// them is open goes to copies. An iterator that is closed before the next write
// costs nothing.
type Memory struct {
	mu struct {
		sync.RWMutex
		leaves *leaves
		bytes  int64 // keys and values
		closed bool
	}
}

// NewMemory returns an empty database.
func NewMemory() *Memory {
	m := &Memory{}
	m.mu.leaves = newLeaves()
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
	if !m.mu.leaves.shared { // else another fork may be reading it
		m.mu.leaves.shared = true
	}
	f.mu.leaves, f.mu.bytes = m.mu.leaves, m.mu.bytes
	return f
}

// Len is the number of keys.
func (m *Memory) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mu.leaves.count
}

// Get returns a copy of the value of key.
func (m *Memory) Get(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.closed {
		return nil, ErrClosed
	}
	return copyOf(m.mu.leaves, key)
}

func copyOf(l *leaves, key []byte) ([]byte, error) {
	value, ok := l.get(key)
	if !ok {
		return nil, ErrNotFound
	}
	return append([]byte{}, value...), nil
}

// Write applies b under one hold of the lock.
func (m *Memory) Write(b *Batch, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return ErrClosed
	}
	m.mu.leaves = m.mu.leaves.writable()
	b.Each(m.applyLocked)
	return nil
}

func (m *Memory) applyLocked(key, value []byte, deleted bool) {
	if deleted {
		old, _ := m.mu.leaves.remove(key)
		m.mu.bytes -= int64(len(old.data))
	} else {
		m.mu.bytes += int64(m.mu.leaves.put(key, value))
	}
}

// Snapshot is the database at this instant.
func (m *Memory) Snapshot() (Snapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.closed {
		return nil, ErrClosed
	}
	m.mu.leaves.readers.Add(1)
	return &memorySnapshot{leaves: m.mu.leaves}, nil
}

// Iterator walks r at this instant.
func (m *Memory) Iterator(r Range) Iterator {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.closed {
		return failedIterator{ErrClosed}
	}
	return newMemoryIterator(m.mu.leaves, r)
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

// memorySnapshot shares its leaves with nobody who writes; immutable once built,
// but for its release.
type memorySnapshot struct {
	mu     sync.RWMutex // guards leaves, which Release sets to nil
	leaves *leaves
}

func (s *memorySnapshot) Get(key []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.leaves == nil {
		return nil, ErrClosed
	}
	return copyOf(s.leaves, key)
}

func (s *memorySnapshot) Iterator(r Range) Iterator {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.leaves == nil {
		return failedIterator{ErrClosed}
	}
	return newMemoryIterator(s.leaves, r)
}

func (s *memorySnapshot) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaves != nil {
		s.leaves.readers.Add(-1)
	}
	s.leaves = nil
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
