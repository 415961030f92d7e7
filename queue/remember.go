package queue

import (
	"encoding/binary"
	"fmt"
	"slices"

	"tombolo/internal/kv"
)

// The bounds of what is remembered, for all ingresses together, and of derived
// ids alone, which no mark settles. At the bound the oldest id of the ingress that
// has most goes, and a second copy of it would be stored; a counter tells.
const (
	rememberedMax = 1 << 17
	derivedMax    = 1 << 12
)

// memory is which messages this node has taken in that may come a second time: by
// another way, or from a process that was started again (R3). An id is there
// whether its queues still hold it or have acknowledged it, and goes when its
// ingress says that it is settled; nothing is inferred from higher ids. Guarded by
// Store.mu.
//
//  1. What is in ids is in the database, or in a group that waits.
//  2. order holds what is in ids, each once, in the order of arrival.
type memory struct {
	ingresses map[uint64]*remembered
	derived   remembered
	size      int // of all ingresses, without derived
}

type remembered struct {
	ids   map[MessageID]struct{}
	order []MessageID
}

func (m *memory) of(id MessageID) *remembered {
	if id.Derived() {
		return &m.derived
	}
	r := m.ingresses[id.Ingress]
	if r == nil {
		if m.ingresses == nil {
			m.ingresses = map[uint64]*remembered{}
		}
		r = &remembered{}
		m.ingresses[id.Ingress] = r
	}
	return r
}

// add remembers an id; false if it is known.
func (m *memory) add(id MessageID) bool {
	r := m.of(id)
	if _, known := r.ids[id]; known {
		return false
	}
	if r.ids == nil {
		r.ids = map[MessageID]struct{}{}
	}
	r.ids[id] = struct{}{}
	r.order = append(r.order, id)
	if r != &m.derived {
		m.size++
	}
	return true
}

// over takes out one id that is too many, if there is one.
func (m *memory) over() (id MessageID, over bool) {
	r := &m.derived
	switch {
	case len(r.ids) > derivedMax:
	case m.size > rememberedMax:
		for _, x := range m.ingresses {
			if r == &m.derived || len(x.order) > len(r.order) {
				r = x
			}
		}
		m.size--
	default:
		return id, false
	}
	id = r.order[0]
	r.order = r.order[1:]
	delete(r.ids, id)
	return id, true
}

// firstTimeLocked remembers a message that may come again, in the group that
// stores it; false if it is here, or was.
func (s *Store) firstTimeLocked(g *group, id MessageID) bool {
	if !s.mu.memory.add(id) {
		s.counts.leftOut.Inc()
		return false
	}
	var k key
	g.batch.Put(k.remembered(id), binary.AppendUvarint([]byte{formatVersion}, uint64(s.c.Clock.Now().UnixMilli())))
	if old, over := s.mu.memory.over(); over {
		s.counts.idsForgotten.Inc()
		g.batch.Delete(k.remembered(old))
	}
	return true
}

// Settled takes the word of an ingress that every message of it below a number is
// confirmed by all nodes and waits in no spool: none of them comes again (R3), but
// for some. except has their numbers, ascending. What was remembered of the others is
// forgotten, with the next commit.
func (s *Store) Settled(below MessageID, except []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.mu.memory
	r := m.ingresses[below.Ingress]
	if r == nil || below.Derived() || s.refusalLocked() != nil {
		return
	}
	g := s.groupLocked(0)
	before := g.batch.Bytes()
	var k key
	was := len(r.order)
	r.order = slices.DeleteFunc(r.order, func(id MessageID) bool {
		if _, excepted := slices.BinarySearch(except, id.N); excepted || id.N >= below.N {
			return false
		}
		delete(r.ids, id)
		g.batch.Delete(k.remembered(id))
		return true
	})
	m.size -= was - len(r.order)
	if len(r.order) == 0 {
		delete(m.ingresses, below.Ingress)
	}
	s.grewLocked(g, before)
}

// Remembered is how many messages are remembered that may come again.
func (s *Store) Remembered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.memory.size + len(s.mu.memory.derived.ids)
}

// loadMemory reads what is remembered; the bound holds for the database too.
func (s *Store) loadMemory() error {
	type aged struct {
		id MessageID
		at uint64
	}
	var list []aged
	it := s.db.Iterator(kv.PrefixRange([]byte{tableRemembered}))
	defer it.Close()
	for it.Next() {
		k := it.Key()
		r := reader{rest: it.Value()}
		r.version()
		at := r.uvarint()
		err := r.failed("remembered id")
		if err == nil && len(k) != 17 {
			err = damaged("key")
		}
		if err != nil {
			s.c.Fault(fmt.Errorf("a message that may come again is not known any more: %w", err))
			continue
		}
		list = append(list, aged{MessageID{number(k, 0), number(k, 1)}, at})
	}
	if err := it.Err(); err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b aged) int { return compare(a.at, b.at) })
	for _, x := range list {
		s.mu.memory.add(x.id)
	}
	return nil
}
