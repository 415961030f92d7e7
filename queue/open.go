package queue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tombolo/internal/kv"
)

// Open returns the queue with this name (mountpoint, a zero byte, client id) and
// its durable state; it is created if there is none, and emptied first if fresh.
// It reads a few keys, whatever the queue holds. What it changes is durable with
// the next commit: who must know calls Barrier.
func (s *Store) Open(name string, fresh bool) (QueueID, State, error) {
	return s.open(name, 0, fresh)
}

// OpenGeneration is Open for a session that has a new home: what is appended
// from here on belongs to this generation (R20), which is its session's epoch and
// not below those that are stored. Older ones are kept and come first. Fresh
// drops what was there. The State has all of them.
//
// Whoever calls it sees to it that no Append to this queue is under way whose
// Done goes to another Queue than the one made of the State.
func (s *Store) OpenGeneration(name string, generation uint64, fresh bool) (QueueID, State, error) {
	if generation < firstGeneration || generation > sequenceMax {
		return 0, State{}, fmt.Errorf("open queue %q: no generation %d", name, generation)
	}
	return s.open(name, generation, fresh)
}

// open takes generation 0 for the newest that is there.
func (s *Store) open(name string, generation uint64, fresh bool) (QueueID, State, error) {
	for {
		s.mu.Lock()
		if err := s.refusalLocked(); err != nil {
			s.mu.Unlock()
			return 0, State{}, err
		}
		if l := s.mu.names[name]; l != nil {
			if fresh {
				s.dropLocked(l)
				l = s.createLocked(name, generation)
			}
			if err := s.beginLocked(l, generation); err != nil {
				s.mu.Unlock()
				return 0, State{}, fmt.Errorf("open queue %q: %w", name, err)
			}
			for l.unsettled() && s.mu.failed == nil && !s.mu.stopped {
				s.wake()
				s.mu.space.Wait()
			}
			id, st := l.id, l.state()
			s.mu.instances++
			st.instance = s.mu.instances
			s.mu.Unlock()
			s.wake()
			return id, st, nil
		}
		wait, busy := s.mu.opening[name]
		if !busy {
			s.mu.opening[name] = make(chan struct{})
		}
		s.mu.Unlock()
		if busy {
			<-wait
			continue
		}
		err := s.load(name, generation)
		s.mu.Lock()
		close(s.mu.opening[name])
		delete(s.mu.opening, name)
		s.mu.Unlock()
		if err != nil {
			return 0, State{}, fmt.Errorf("open queue %q: %w", name, err)
		}
	}
}

func (s *Store) refusalLocked() error {
	if s.mu.stopped {
		return ErrStopped
	}
	return s.mu.failed
}

// load puts the queue with this name into memory, from disk or as a new one.
func (s *Store) load(name string, generation uint64) error {
	s.mu.Lock()
	drops := s.mu.drops
	s.mu.Unlock()
	id, current, err := s.lookup(name)
	if err != nil {
		return err
	}
	var l *lane
	if id != 0 && !s.isDropped(id) {
		if l, err = s.loadLane(id, name, current); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.drops != drops:
		// The name on disk may be that of a queue that is just being dropped:
		// Open looks again.
	case l == nil:
		s.createLocked(name, generation)
	default:
		s.enterLocked(l)
	}
	return nil
}

// enterLocked puts a queue that was read from disk into memory.
func (s *Store) enterLocked(l *lane) {
	s.mu.lanes[l.id], s.mu.names[l.name] = l, l
	for packetID, r := range l.received {
		s.noteReceivedLocked(l, packetID, r)
	}
}

// isDropped says whether the queue is being swept.
func (s *Store) isDropped(id QueueID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mu.lanes[id]
	return l != nil && l.dropped
}

func (s *Store) createLocked(name string, generation uint64) *lane {
	g := s.groupLocked(0)
	l := newLane(s.takeQueueLocked(g), name)
	l.current = l.add(max(generation, firstGeneration))
	g.batch.Put(nameKey(name), appendName(nil, l.id, 0))
	s.cursorLocked(g, l)
	s.mu.lanes[l.id], s.mu.names[name] = l, l
	return l
}

// The value of a name is a version, 8 bytes of queue id, and, if the last
// generation is not the one that takes what is appended, that as a uvarint.
func appendName(dst []byte, id QueueID, current uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, formatVersion), uint64(id))
	if current != 0 {
		dst = binary.AppendUvarint(dst, current)
	}
	return dst
}

func decodeName(v []byte) (id QueueID, current uint64, err error) {
	r := reader{rest: v}
	r.version()
	id = QueueID(r.uint64())
	if len(r.rest) > 0 {
		current = r.uvarint()
	}
	if id == 0 {
		r.bad = true
	}
	return id, current, r.failed("name")
}

// lookup reads a name from disk; 0 if it is not there.
func (s *Store) lookup(name string) (id QueueID, current uint64, err error) {
	v, err := s.db.Get(nameKey(name))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	return decodeName(v)
}

// Lookup returns the queue with this name.
func (s *Store) Lookup(name string) (QueueID, bool) {
	s.mu.Lock()
	l := s.mu.names[name]
	s.mu.Unlock()
	if l != nil {
		return l.id, true
	}
	id, _, err := s.lookup(name)
	return id, err == nil && id != 0
}

// Names calls fn with the name of every queue that is on disk, until it returns
// false. It reads names alone.
func (s *Store) Names(fn func(name string) bool) error {
	it := s.db.Iterator(kv.PrefixRange([]byte{tableName}))
	defer it.Close()
	for it.Next() && fn(string(it.Key()[1:])) {
	}
	return it.Err()
}

// Each calls fn for every queue, by name; false ends it. Queues that are open
// tell their state from memory, others from disk; a queue that is created or
// dropped meanwhile may be left out.
func (s *Store) Each(fn func(name string, id QueueID, st State) bool) error {
	s.mu.Lock()
	running := s.mu.running && !s.mu.stopped && s.mu.failed == nil
	s.mu.Unlock()
	if running {
		if err := s.Sync(); err != nil {
			return err
		}
	}
	it := s.db.Iterator(kv.PrefixRange([]byte{tableName}))
	defer it.Close()
	for it.Next() {
		name := string(it.Key()[1:])
		id, current, err := decodeName(it.Value())
		if err != nil {
			s.c.Fault(fmt.Errorf("queue %q: %w", name, err))
			continue
		}
		s.mu.Lock()
		l := s.mu.lanes[id]
		var st State
		known, dropped := l != nil, l != nil && l.dropped
		if known {
			st = l.state()
		}
		s.mu.Unlock()
		if dropped {
			continue
		}
		if !known {
			if l, err = s.loadLane(id, name, current); err != nil {
				return fmt.Errorf("queue %q: %w", name, err)
			}
			st = l.state()
		}
		if !fn(name, id, st) {
			return nil
		}
	}
	return it.Err()
}
