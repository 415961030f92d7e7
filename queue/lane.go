package queue

import (
	"slices"
	"time"
)

// lane is the store's side of one queue that was opened. Guarded by Store.mu.
// strands is empty and current nil only if it is dropped.
type lane struct {
	id       QueueID
	name     string
	strands  []*strand            // ascending by generation
	current  *strand              // the one that takes what is appended: the last, but after a heal
	named    bool                 // the name on disk tells which one is current
	received map[uint16]*received // QoS 2 packet ids of the client
	moving   *moving              // nil: nothing of the queue is at another node
	fences   []byte               // nil: none were noted; its bytes do not change
	dirty    bool                 // in Store.dirty: a cursor on disk is behind
	urgent   bool                 // in Store.urgent: it is to be written with the next commit
	count    int                  // acknowledgements since the cursors were written
	dueAt    time.Time
	tags     []ticket // answers that wait for the cursors
	turns    turns
	dropped  bool
}

// goneRange is n records in a row whose bodies are in the same segment.
type goneRange struct {
	seq     uint64
	n       uint64
	segment uint64
}

func newLane(id QueueID, name string) *lane { return &lane{id: id, name: name} }

// strand returns a generation, nil if it is not here; 0 is the current one.
func (l *lane) strand(generation uint64) *strand {
	if c := l.current; c != nil && (generation == 0 || c.generation == generation) {
		return c
	}
	if i, found := l.search(generation); found {
		return l.strands[i]
	}
	return nil
}

func (l *lane) search(generation uint64) (int, bool) {
	return slices.BinarySearchFunc(l.strands, generation, func(st *strand, generation uint64) int { return compare(st.generation, generation) })
}

// add makes a generation that holds nothing.
func (l *lane) add(generation uint64) *strand {
	i, _ := l.search(generation)
	st := &strand{lane: l, generation: generation, cursor: cursor{head: 1, tail: 1, lease: 1}, committed: 1, changed: true}
	l.strands = slices.Insert(l.strands, i, st)
	return st
}

// state is what New wants to know. What is not committed yet comes with
// Committed.
func (l *lane) state() State {
	n := l.current
	st := State{
		Generation: n.generation, Head: n.head, Tail: n.committed, SentThrough: n.sent,
		Count: n.live(), Bound: slices.Clone(n.bound),
	}
	for _, s := range l.strands {
		st.Released = append(st.Released, s.released...)
		if s != n && s.live() > 0 {
			st.Older = append(st.Older, Part{Generation: s.generation, Head: s.head, Tail: s.committed, SentThrough: s.sent,
				Count: s.live(), Bound: slices.Clone(s.bound)})
		}
	}
	for id, r := range l.received {
		st.Received = append(st.Received, Received{id, r.id, r.begun()})
	}
	slices.SortFunc(st.Received, func(a, b Received) int { return int(a.PacketID) - int(b.PacketID) })
	if l.moving != nil {
		st.MovingFrom = l.moving.from
	}
	st.Fences = l.fences
	return st
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// complete forgets a released packet id, of whatever generation.
func (l *lane) complete(packetID uint16) *strand {
	for _, st := range l.strands {
		if i := slices.Index(st.released, packetID); i >= 0 {
			st.released = slices.Delete(st.released, i, i+1)
			return st
		}
	}
	return nil
}
