package queue

import "fmt"

// forgetByReading forgets records whose segments are not known: those that an
// eviction finds, or those of an op whose segment was rewritten. It returns false
// if what it read was moved meanwhile.
func (s *Store) forgetByReading(j readJob) bool {
	st := j.strand
	l := st.lane
	s.mu.Lock()
	moves := s.mu.moves
	s.mu.Unlock()
	found := s.find(st, j.op)
	s.mu.Lock()
	if s.mu.stopped || l.dropped {
		s.mu.Unlock()
		if j.answer != nil {
			s.completions <- reply{answer: j.answer, tag: j.op.Tag, err: ErrNoQueue}
		}
		return true
	}
	defer s.mu.Unlock()
	if moves%2 == 1 || moves != s.mu.moves {
		for _, f := range found {
			if s.unknownLocked(f.segment) {
				for s.mu.moves%2 == 1 && !s.mu.stopped {
					s.mu.space.Wait()
				}
				return false
			}
		}
	}
	for _, f := range found {
		s.forgotLocked(st, st.forget(f.seq, 1, f.segment, j.op.Kind == opAway), j.op.Kind)
	}
	if j.op.Kind == OpRelease {
		st.release(j.op.PacketID)
	}
	if j.op.Kind == OpRelease || j.op.Kind == opAway {
		s.answerLocked(st, j.op.Tag, j.answer)
	}
	return true
}

// find lists the records that an op is about, with their segments.
func (s *Store) find(st *strand, op Op) []goneRange {
	w := s.window(st, 0)
	limit := op.N
	switch {
	case op.Kind != OpEvict:
		limit = max(op.N, 1)
		w.lo, w.hi = max(w.lo, op.Seq), min(w.hi, op.Seq+uint64(limit))
	case op.N > 0:
		w.lo = max(w.lo, op.Seq)
	default:
		w.hi = min(w.hi, op.Seq+1)
		w.lo, limit = w.lastLive(-op.N), -op.N
	}
	var found []goneRange
	err := s.walk(w, func(seq uint64, v []byte) bool {
		if len(found) >= limit {
			return false
		}
		if op.Kind == OpEvict && w.isBound(seq) {
			return true
		}
		var e Entry
		var m Message
		at, err := decodeRecord(v, &e, &m)
		if err == nil && at.segment != 0 {
			err = s.loadSegment(at.segment)
		}
		if err != nil {
			s.damage(w, seq, err)
			return true
		}
		found = append(found, goneRange{seq: seq, n: 1, segment: at.segment})
		return true
	})
	if err != nil {
		s.c.Fault(fmt.Errorf("look for messages of queue %d: %w", w.id, err))
	}
	return found
}
