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
	for {
		s.mu.Lock()
		if err := s.refusalLocked(); err != nil {
			s.mu.Unlock()
			return 0, State{}, err
		}
		if l := s.mu.names[name]; l != nil {
			if fresh {
				s.dropLocked(l)
				l = s.createLocked(name)
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
		err := s.load(name)
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
func (s *Store) load(name string) error {
	s.mu.Lock()
	drops := s.mu.drops
	s.mu.Unlock()
	id, err := s.lookup(name)
	if err != nil {
		return err
	}
	var l *lane
	if id != 0 && !s.isDropped(id) {
		if l, err = s.loadLane(id, name); err != nil {
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
		s.createLocked(name)
	default:
		s.mu.lanes[id], s.mu.names[name] = l, l
	}
	return nil
}

// isDropped says whether the queue is being swept.
func (s *Store) isDropped(id QueueID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mu.lanes[id]
	return l != nil && l.dropped
}

func (s *Store) createLocked(name string) *lane {
	g := s.groupLocked(0)
	l := newLane(s.takeQueueLocked(g), name)
	g.batch.Put(nameKey(name), appendName(nil, l.id))
	s.cursorLocked(g, l)
	s.mu.lanes[l.id], s.mu.names[name] = l, l
	return l
}

// The value of a name is a version and 8 bytes of queue id.
func appendName(dst []byte, id QueueID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, formatVersion), uint64(id))
}

func decodeName(v []byte) (QueueID, error) {
	r := reader{rest: v}
	r.version()
	id := QueueID(r.uint64())
	if id == 0 {
		r.bad = true
	}
	return id, r.failed("name")
}

// The value of an inbound packet id is a version and the message id.
func appendReceived(dst []byte, id MessageID) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, formatVersion), id.Ingress)
	return binary.BigEndian.AppendUint64(dst, id.N)
}

func decodeReceived(v []byte) (MessageID, error) {
	r := reader{rest: v}
	r.version()
	id := MessageID{r.uint64(), r.uint64()}
	return id, r.failed("inbound packet id")
}

// lookup reads a name from disk; 0 if it is not there.
func (s *Store) lookup(name string) (QueueID, error) {
	v, err := s.db.Get(nameKey(name))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return decodeName(v)
}

// loadLane reads what is known about a queue. A cursor that is damaged or lost
// does not lose the queue: its records are served again from the first on, which
// is a duplicate where they were acknowledged, since those are deleted with the
// cursor that says so.
func (s *Store) loadLane(id QueueID, name string) (*lane, error) {
	l := newLane(id, name)
	var k key
	v, err := s.db.Get(k.cursor(id, l.generation))
	if err == nil {
		l.cursor, err = decodeCursor(v)
	}
	if err != nil {
		s.c.Fault(fmt.Errorf("cursor of queue %q is lost, its messages are served from the first on: %w", name, err))
		s.counts.damaged.Inc()
		if l.cursor, err = s.rebuild(l); err != nil {
			return nil, err
		}
	}
	if err := s.findTail(l); err != nil {
		return nil, err
	}
	return l, s.loadReceived(l)
}

// findTail finds what was appended after the cursor was written, by its last
// record. What was leased and never used, or lost with a crash, is passed over:
// a sequence that anybody may have seen is never given again.
func (s *Store) findTail(l *lane) error {
	last, found, err := s.lastRecord(l, l.tail)
	if err != nil {
		return err
	}
	if found {
		l.tail = max(l.tail, last+1)
	}
	l.committed = l.tail
	if l.lease > l.tail {
		if l.head == l.tail {
			l.head = l.lease
		} else {
			l.forgotten.add(l.tail, l.lease)
		}
		l.tail, l.committed = l.lease, l.lease
	}
	l.lease = l.tail
	return nil
}

func (s *Store) lastRecord(l *lane, from uint64) (seq uint64, found bool, err error) {
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.record(l.id, l.generation, from), Limit: hi.record(l.id, l.generation, sequenceMax)})
	defer it.Close()
	if it.Last() {
		return number(it.Key(), 2), true, nil
	}
	return 0, false, it.Err()
}

// rebuild makes a cursor of what records there are; a sequence without one is
// forgotten. It reads the whole queue, which only damage asks for.
func (s *Store) rebuild(l *lane) (cursor, error) {
	c := cursor{head: 1, tail: 1, lease: 1}
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.record(l.id, l.generation, 0), Limit: hi.record(l.id, l.generation, sequenceMax)})
	defer it.Close()
	for it.Next() {
		seq := number(it.Key(), 2)
		switch {
		case c.tail == c.head:
			c.head = seq
		case seq > c.tail:
			c.forgotten = append(c.forgotten, span{c.tail, seq})
		}
		c.tail = seq + 1
	}
	// How far sequences went is not known: the last records may be deleted. No
	// queue takes a million messages a second for all its life, so the time in
	// microseconds is above all of them.
	c.lease = max(c.tail, uint64(s.c.Clock.Now().UnixMicro()))
	c.sent = c.tail
	return c, it.Err()
}

func (s *Store) loadReceived(l *lane) error {
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.one(tableInbound, uint64(l.id)), Limit: hi.one(tableInbound, uint64(l.id)+1)})
	defer it.Close()
	for it.Next() {
		k := it.Key()
		id, err := decodeReceived(it.Value())
		if err != nil || len(k) != 11 {
			s.c.Fault(fmt.Errorf("inbound packet id of queue %q: %w", l.name, damaged("key or value")))
			continue
		}
		if l.received == nil {
			l.received = map[uint16]MessageID{}
		}
		l.received[binary.BigEndian.Uint16(k[9:])] = id
	}
	return it.Err()
}

// Lookup returns the queue with this name.
func (s *Store) Lookup(name string) (QueueID, bool) {
	s.mu.Lock()
	l := s.mu.names[name]
	s.mu.Unlock()
	if l != nil {
		return l.id, true
	}
	id, err := s.lookup(name)
	return id, err == nil && id != 0
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
		id, err := decodeName(it.Value())
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
			if l, err = s.loadLane(id, name); err != nil {
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
