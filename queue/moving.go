package queue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tombolo/internal/kv"
)

// idsMax is how many ids a moving queue remembers of what came from another node,
// and as many of what was appended here. At the bound the oldest of the former
// goes, and of the latter the new one is not taken: second copies come at the
// end of the one and at the beginning of the other, both about when the session
// moved. What is not remembered may be delivered twice; a counter tells.
const idsMax = 4096

// moving is what is known of a queue while a part of it is at another node.
// Guarded by Store.mu.
type moving struct {
	from     uint64              // the node
	taken    uint64              // of generation 0, QoS 2 packet ids, what is here or was, or comes too late: up to this sequence
	appended map[MessageID]Place // where they are
	imported map[MessageID]Place
	order    []MessageID // of imported, in a circle
	next     int
}

func (m *moving) knows(id MessageID) (at Place, known bool) {
	if at, known = m.appended[id]; !known {
		at, known = m.imported[id]
	}
	return at, known
}

// append remembers an id that was appended here; false at the bound.
func (m *moving) append(id MessageID, at Place) bool {
	if len(m.appended) >= idsMax {
		return false
	}
	if m.appended == nil {
		m.appended = map[MessageID]Place{}
	}
	m.appended[id] = at
	return true
}

// bring remembers an id that came from another node; false if one was
// forgotten for it.
func (m *moving) bring(id MessageID, at Place) bool {
	if m.imported == nil {
		m.imported = map[MessageID]Place{}
	}
	m.imported[id] = at
	if len(m.order) < idsMax {
		m.order = append(m.order, id)
		return true
	}
	delete(m.imported, m.order[m.next])
	m.order[m.next] = id
	m.next = (m.next + 1) % idsMax
	return false
}

// Moving notes durably that a part of the queue is still at another node, 0 for
// none: State.MovingFrom tells after a restart. While it is set the store knows
// the ids that came in lately and leaves a second copy out (R21), and takes QoS 2
// packet ids from another node.
func (s *Store) Moving(id QueueID, from uint64, done Done) {
	s.mu.Lock()
	if err := s.refusalLocked(); err != nil {
		s.refuseLocked(done, err)
		return
	}
	g := s.groupLocked(0)
	before := g.batch.Bytes()
	l := s.mu.lanes[id]
	switch {
	case l == nil || l.dropped:
		s.refuseLocked(done.with(ErrNoQueue), ErrNoQueue)
		return
	case from == 0 && l.moving != nil:
		l.moving = nil
		var k key
		g.batch.Delete(k.moving(id))
	case from != 0 && l.moving == nil:
		l.moving = &moving{from: from}
		s.movingLocked(g, l)
	case from != 0:
		l.moving.from, l.moving.taken = from, 0
		s.movingLocked(g, l)
	}
	s.handedLocked(g, before, done)
}

// NoInbound notes that the client of a moving queue goes on with the packet ids of its
// own publishing that are here: what comes of them from another node is late, and left
// out. It is on the disk before whatever is handed in for the queue after this.
func (s *Store) NoInbound(id QueueID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mu.lanes[id]
	if l == nil || l.dropped || l.moving == nil || l.moving.taken >= releasedFrom || s.refusalLocked() != nil {
		return
	}
	l.moving.taken = releasedFrom
	g := s.groupLocked(0)
	before := g.batch.Bytes()
	s.movingLocked(g, l)
	s.grewLocked(g, before)
}

func (s *Store) movingLocked(g *group, l *lane) {
	var k key
	g.batch.Put(k.moving(l.id), l.moving.value(nil))
}

// The value is a version, 8 bytes of node id, and taken as a uvarint.
func (m *moving) value(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, formatVersion), m.from)
	return binary.AppendUvarint(dst, m.taken)
}

func decodeMoving(v []byte) (moving, error) {
	r := reader{rest: v}
	r.version()
	m := moving{from: r.uint64(), taken: r.uvarint()}
	if m.from == 0 {
		r.bad = true
	}
	return m, r.failed("moving mark")
}

// loadMoving reads the mark of a queue, if it has one, and the ids of the first
// messages of its newest generation.
func (s *Store) loadMoving(l *lane) error {
	var k key
	v, err := s.db.Get(k.moving(l.id))
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	var m moving
	if err == nil {
		m, err = decodeMoving(v)
	}
	if errors.Is(err, errDamaged) {
		s.c.Fault(fmt.Errorf("where the rest of queue %q is is lost, it is served as if all were here: %w", l.name, err))
		return nil
	}
	if err != nil {
		return err
	}
	l.moving = &m
	return s.walk(l.current.window(0), func(seq uint64, v []byte) bool {
		var e Entry
		var msg Message
		if _, err := decodeRecord(v, &e, &msg); err == nil {
			return m.append(msg.ID, Place{l.current.generation, seq})
		}
		return true
	})
}
