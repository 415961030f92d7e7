package queue

import (
	"fmt"

	"tombolo/internal/kv"
)

// loadLane reads what is known about a queue. A cursor that is damaged or lost
// does not lose the queue: its records are served again from the first on, which
// is a duplicate where they were acknowledged, since those are deleted with the
// cursor that says so.
//
// current is the generation that takes what is appended, 0 the last.
func (s *Store) loadLane(id QueueID, name string, current uint64) (*lane, error) {
	l := newLane(id, name)
	err := s.loadCursors(l)
	if err == nil && (len(l.strands) == 0 || s.suspect) {
		err = s.loadOrphans(l)
	}
	if err != nil {
		return nil, err
	}
	if l.named = current != 0; !l.named && len(l.strands) > 0 {
		current = l.strands[len(l.strands)-1].generation
	}
	if l.current = l.strand(max(current, firstGeneration)); l.current == nil {
		if l.current, err = s.rebuild(l, max(current, firstGeneration), damaged("no cursor")); err != nil {
			return nil, err
		}
	}
	for _, st := range l.strands {
		if err := s.findTail(st); err != nil {
			return nil, err
		}
	}
	if err := s.loadReceived(l); err != nil {
		return nil, err
	}
	if err := s.loadFences(l); err != nil {
		return nil, err
	}
	return l, s.loadMoving(l)
}

// loadCursors reads one cursor for each generation.
func (s *Store) loadCursors(l *lane) error {
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.one(tableCursor, uint64(l.id)), Limit: hi.one(tableCursor, uint64(l.id)+1)})
	defer it.Close()
	for it.Next() {
		generation := number(it.Key(), 1)
		c, err := decodeCursor(it.Value())
		if err != nil {
			if _, err := s.rebuild(l, generation, err); err != nil {
				return err
			}
			continue
		}
		st := l.add(generation)
		st.cursor, st.changed = c, false
	}
	return it.Err()
}

// loadOrphans finds generations that have records and no cursor, by one seek for
// each generation.
func (s *Store) loadOrphans(l *lane) error {
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.one(tableRecord, uint64(l.id)), Limit: hi.one(tableRecord, uint64(l.id)+1)})
	defer it.Close()
	for ok := it.First(); ok; {
		generation := number(it.Key(), 1)
		if l.strand(generation) == nil || generation == 0 {
			if _, err := s.rebuild(l, generation, damaged("no cursor")); err != nil {
				return err
			}
		}
		var k key
		ok = generation < ^uint64(0) && it.Seek(k.record(l.id, generation+1, 0))
	}
	return it.Err()
}

// findTail finds what was appended after the cursor was written, by its last
// record. What was leased and never used, or lost with a crash, is passed over:
// a sequence that anybody may have seen is never given again.
func (s *Store) findTail(st *strand) error {
	if st == st.lane.current || st.lease > st.tail {
		last, found, err := s.lastRecord(st, st.tail)
		if err != nil {
			return err
		}
		if found {
			st.tail = max(st.tail, last+1)
		}
	}
	st.committed = st.tail
	if st.lease > st.tail {
		if st.head == st.tail {
			st.head = st.lease
		} else {
			st.forgotten.add(st.tail, st.lease)
		}
		st.tail, st.committed = st.lease, st.lease
	}
	st.lease = st.tail
	return nil
}

func (s *Store) lastRecord(st *strand, from uint64) (seq uint64, found bool, err error) {
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.record(st.lane.id, st.generation, from), Limit: hi.record(st.lane.id, st.generation, sequenceMax)})
	defer it.Close()
	if it.Last() {
		return number(it.Key(), 2), true, nil
	}
	return 0, false, it.Err()
}

// rebuild makes a generation of what records there are; a sequence without one is
// forgotten. It reads all of it, which only damage asks for.
func (s *Store) rebuild(l *lane, generation uint64, why error) (*strand, error) {
	s.c.Fault(fmt.Errorf("cursor of queue %q is lost, its messages are served from the first on: %w", l.name, why))
	s.counts.damaged.Inc()
	c := cursor{head: 1, tail: 1, lease: 1}
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.record(l.id, generation, 0), Limit: hi.record(l.id, generation, sequenceMax)})
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
	if err := it.Err(); err != nil {
		return nil, err
	}
	// How far sequences went is not known: the last records may be deleted. No
	// queue takes a million messages a second for all its life, so the time in
	// microseconds is above all of them.
	c.lease = max(c.tail, uint64(s.c.Clock.Now().UnixMicro()))
	c.sent = c.tail
	st := l.add(generation)
	st.cursor, st.changed = c, true
	return st, nil
}
