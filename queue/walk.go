package queue

import (
	"errors"

	"tombolo/internal/kv"
)

// window is what a reader needs to know about one generation of a queue.
type window struct {
	strand     *strand
	id         QueueID
	generation uint64
	lo, hi     uint64
	forgotten  spans
	bound      []Binding
	sent       uint64
}

func (s *Store) window(st *strand, from uint64) window {
	s.mu.Lock()
	defer s.mu.Unlock()
	return st.window(from)
}

func (st *strand) window(from uint64) window {
	w := window{strand: st, id: st.lane.id, generation: st.generation, lo: max(from, st.head), hi: st.committed, sent: st.sent}
	w.forgotten = append(w.forgotten, st.forgotten...)
	w.bound = append(w.bound, st.bound...)
	return w
}

// walk calls fn for each wanted record of w, in order, until it returns false.
// Behind a place that cannot be read it goes on record by record.
func (s *Store) walk(w window, fn func(seq uint64, v []byte) bool) error {
	for w.lo < w.hi {
		next, done, err := s.scan(w, fn)
		if done {
			return nil
		}
		if errors.Is(err, kv.ErrClosed) {
			return err
		}
		w.lo = next
		if w.lo, done = s.pointReads(w, fn); done {
			return nil
		}
	}
	return nil
}

// scan walks with an iterator and returns where it failed.
func (s *Store) scan(w window, fn func(seq uint64, v []byte) bool) (next uint64, done bool, err error) {
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.record(w.id, w.generation, w.lo), Limit: hi.record(w.id, w.generation, w.hi)})
	defer it.Close()
	next = w.lo
	gap := func(to uint64) {
		w.forgotten.missing(next, to, func(lo, hi uint64) { s.lost(w, lo, hi, kv.ErrNotFound) })
	}
	for it.Next() {
		seq := number(it.Key(), 2)
		if seq > next {
			gap(seq)
		}
		if !w.forgotten.has(seq) && !fn(seq, it.Value()) {
			return seq, true, nil
		}
		next = seq + 1
	}
	if err = it.Err(); err == nil && next < w.hi {
		gap(w.hi)
	}
	return next, err == nil, err
}

// pointReads looks up records one by one, and returns where an iterator may try
// again.
func (s *Store) pointReads(w window, fn func(seq uint64, v []byte) bool) (next uint64, done bool) {
	end := min(w.hi, w.lo+pointReadsMax)
	var k key
	for seq := w.lo; seq < end; seq++ {
		if w.forgotten.has(seq) {
			continue
		}
		v, err := s.db.Get(k.record(w.id, w.generation, seq))
		if err != nil {
			s.damage(w, seq, err)
			continue
		}
		if !fn(seq, v) {
			return seq, true
		}
	}
	return end, end == w.hi
}

func (w *window) isBound(seq uint64) bool {
	st := strand{cursor: cursor{bound: w.bound}}
	return st.isBound(seq)
}

// lastLive returns the sequence from which on n records are wanted and unbound.
func (w *window) lastLive(n int) uint64 {
	seq := w.hi
	for i := w.forgotten.from(seq); seq > w.lo && n > 0; {
		for i > 0 && (i == len(w.forgotten) || w.forgotten[i].lo >= seq) {
			i--
		}
		// Jump over what is forgotten: after damage that can be a long way.
		if i < len(w.forgotten) && w.forgotten[i].lo < seq && w.forgotten[i].hi >= seq {
			seq = max(w.forgotten[i].lo, w.lo)
			continue
		}
		seq--
		if !w.isBound(seq) {
			n--
		}
	}
	return seq
}
