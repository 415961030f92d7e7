package queue

import (
	"fmt"
	"maps"
	"slices"

	"tombolo/internal/wire"
)

// exportJob is a batch that somebody wants.
type exportJob struct {
	lane               *lane
	after              Place
	countMax, bytesMax int
	done               func(b *Batch, err error)
}

// Export reads what follows after a place, at most so many records and, beyond
// the first, so many bytes of bodies. It changes nothing. done is called from the
// completion goroutine, or at once if the queue is not open; a batch that says
// nothing (Records and Acknowledged are empty) says that there is nothing.
func (s *Store) Export(id QueueID, after Place, countMax, bytesMax int, done func(b *Batch, err error)) {
	s.mu.Lock()
	l := s.mu.lanes[id]
	if s.mu.stopped || l == nil || l.dropped {
		err := ErrNoQueue
		if s.mu.stopped {
			err = ErrStopped
		}
		s.mu.Unlock()
		done(nil, err)
		return
	}
	job := &exportJob{lane: l, after: after, countMax: min(max(countMax, 1), wire.MigratedMax), bytesMax: bytesMax, done: done}
	s.readLocked(readJob{strand: l.current, op: Op{Kind: OpRead}, export: job})
	s.mu.Unlock()
}

// export makes the batch. It is called by a reader.
func (s *Store) export(j *exportJob) (*Batch, error) {
	at := j.after
	if at.Generation == 0 {
		if b := s.exportIDs(j.lane, at.Seq, j.countMax); b != nil {
			return b, nil
		}
		at = Place{Generation: 1}
	}
	for {
		s.mu.Lock()
		st := j.lane.from(at)
		if st == nil {
			s.mu.Unlock()
			return &Batch{Generation: at.Generation, Next: at}, nil
		}
		from := uint64(1)
		if st.generation == at.Generation {
			from = at.Seq + 1
		}
		w := st.window(from)
		s.mu.Unlock()
		b, err := s.exportStrand(w, from, j)
		if err != nil || len(b.Records) > 0 || len(b.Acknowledged) > 0 || !b.More {
			return b, err
		}
		at = Place{w.generation, ^uint64(0)}
	}
}

// from returns the first generation of which something may follow after a
// place. Called with Store.mu held.
func (l *lane) from(at Place) *strand {
	for _, st := range l.strands {
		if st.generation > at.Generation || st.generation == at.Generation && at.Seq < ^uint64(0) {
			return st
		}
	}
	return nil
}

func (s *Store) exportStrand(w window, from uint64, j *exportJob) (*Batch, error) {
	c := &collector{s: s, w: w, max: j.countMax, bytesMax: j.bytesMax}
	err := s.walk(w, c.take)
	if err != nil && len(c.entries) == 0 {
		return nil, fmt.Errorf("export queue %d, generation %d from %d: %w", w.id, w.generation, from, err)
	}
	c.finish()
	b := &Batch{Generation: w.generation, Receipt: Receipt{generation: w.generation}}
	full := c.full || err != nil
	to := w.hi
	if full {
		to = c.entries[len(c.entries)-1].Seq + 1
	}
	s.mu.Lock()
	b.Acknowledged, to = w.strand.acknowledged(from, to)
	whole := !full && to >= w.hi
	b.Last = whole && w.strand != j.lane.current
	b.More = !whole || j.lane.from(Place{w.generation, ^uint64(0)}) != nil
	s.mu.Unlock()
	b.Next = Place{w.generation, max(to, from) - 1}
	if b.Last {
		b.Next.Seq = ^uint64(0)
	}
	for i := range c.entries {
		e := &c.entries[i]
		if e.Seq >= to {
			break
		}
		b.Receipt.add(e.Seq, e.Msg.segment)
		b.Records = append(b.Records, Record{Seq: e.Seq, Msg: e.Msg, QoS: e.QoS, Retain: e.Retain, SubIDs: e.SubIDs,
			Dup: e.Dup || w.isBound(e.Seq), PacketID: w.packetID(e.Seq)})
	}
	return b, nil
}

func (w *window) packetID(seq uint64) uint16 {
	for _, b := range w.bound {
		if b.Seq == seq {
			return b.PacketID
		}
	}
	return 0
}

// acknowledged lists what of [lo, hi) nobody needs any more, as far as there is
// room for in a frame, and where that ends.
func (st *strand) acknowledged(lo, hi uint64) ([]wire.Span, uint64) {
	var found []wire.Span
	end := hi
	list := func(lo, hi uint64) {
		if len(found) == wire.MigratedMax {
			end = min(end, lo)
			return
		}
		found = append(found, wire.Span{First: lo, Count: hi - lo})
	}
	if lo < st.head {
		st.absent.missing(lo, min(hi, st.head), list)
	}
	for _, s := range st.forgotten[st.forgotten.from(lo):] {
		if s.lo >= hi || end < hi {
			break
		}
		st.absent.missing(max(lo, s.lo), min(hi, s.hi), list)
	}
	return found, end
}

// ExportIDs is Export of generation 0 alone, and at once: the batch may be empty.
func (s *Store) ExportIDs(id QueueID, after Place, countMax int) (*Batch, error) {
	s.mu.Lock()
	l := s.mu.lanes[id]
	err := s.refusalLocked()
	s.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case l == nil:
		return nil, ErrNoQueue
	}
	if b := s.exportIDs(l, after.Seq, min(max(countMax, 1), wire.MigratedMax)); b != nil {
		return b, nil
	}
	return &Batch{Last: true}, nil
}

// exportIDs is generation 0: what is known of the client's QoS 2 packet ids. nil
// if there is nothing behind a sequence.
func (s *Store) exportIDs(l *lane, after uint64, countMax int) *Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &Batch{More: true}
	for _, id := range slices.Sorted(maps.Keys(l.received)) {
		if uint64(id) > after {
			r := l.received[id]
			b.Records = append(b.Records, Record{Seq: uint64(id), PacketID: id, Received: true, Begun: r.begun(), Msg: &Message{ID: r.id}})
		}
	}
	var released []uint16
	for _, st := range l.strands {
		released = append(released, st.released...)
	}
	slices.Sort(released)
	for _, id := range released {
		if releasedFrom+uint64(id) > after {
			b.Records = append(b.Records, Record{Seq: releasedFrom + uint64(id), PacketID: id, Released: true})
		}
	}
	if len(b.Records) == 0 {
		return nil
	}
	b.Last = len(b.Records) <= countMax
	b.Records = b.Records[:min(len(b.Records), countMax)]
	for i := range b.Records {
		b.Receipt.add(b.Records[i].Seq, 0)
	}
	b.Next = b.end()
	return b
}
