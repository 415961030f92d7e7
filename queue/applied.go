package queue

import (
	"encoding/binary"
	"fmt"
	"sort"

	"tombolo/internal/kv"
	"tombolo/internal/wire"
)

// Applied is the end of one frame of a peer's numbered stream (R2): it is
// recorded in the commit that holds the frame's effect, so that a frame that is
// sent again after a crash has no second one.
type Applied struct {
	Peer        uint64
	Incarnation uint64 // of the peer's process; rises with each start
	Stream      uint32
	Sequence    uint64
	Result      wire.Result
	Reason      uint8
}

// Outcome is a frame that did not end as stored.
type Outcome = wire.Outcome

// appliedWindow is how far ends may be ahead of one that is missing. Links have
// no more frames open, so at the bound what is missing is known to its sender:
// the sequence of a part of a longer message, or one from before a restart.
const appliedWindow = wire.WindowFramesMax

// appliedMark is how far one stream of a peer has had its effect. Guarded by
// Store.mu. One is kept for each stream; a new incarnation takes it over.
//
//  1. Every frame up to through has ended; of those above, the ones in ended.
//  2. Nothing in ended touches through+1 or is more than appliedWindow above
//     through.
//  3. outcomes are ascending, disjoint, and less than appliedWindow below through.
type appliedMark struct {
	peer        uint64
	stream      uint32
	dirty       bool // in Store.applied.touched
	incarnation uint64
	through     uint64
	ended       spans
	outcomes    []outcomeRun
}

// outcomeRun is frames in a row that ended alike, not as stored. Streams whose
// messages find nobody end so for long.
type outcomeRun struct {
	first, n uint64
	result   wire.Result
	reason   uint8
}

// appliedKey names a stream.
type appliedKey struct {
	peer   uint64
	stream uint32
}

// Apply records the end of a frame that appended nothing. It is durable with the
// next commit, and asks for one only if done is not nil.
func (s *Store) Apply(a Applied, done Done) {
	s.mu.Lock()
	if err := s.roomLocked(false); err != nil {
		s.refuseLocked(done, err)
		return
	}
	s.applyLocked(&a)
	if done == nil {
		s.mu.Unlock()
		return
	}
	g := s.groupLocked(0)
	s.handedLocked(g, g.batch.Bytes(), done)
}

// AppliedThrough is the last frame of a peer's stream before which, itself
// included, all have ended, and which of the last wire.WindowFramesMax of these
// were not stored. Zero if nothing is known of this incarnation. Once the store
// was opened it tells exactly what is durable.
func (s *Store) AppliedThrough(peer, incarnation uint64, stream uint32) (through uint64, outcomes []Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mu.applied[appliedKey{peer, stream}]
	if m == nil || m.incarnation != incarnation {
		return 0, nil
	}
	for _, r := range m.outcomes {
		for i := range r.n {
			if seq := r.first + i; seq <= m.through && seq+appliedWindow > m.through {
				outcomes = append(outcomes, Outcome{Sequence: seq, Result: r.result, Reason: r.reason})
			}
		}
	}
	return m.through, outcomes
}

// applyLocked records an end; false if that frame has ended before, and must
// have no effect again.
func (s *Store) applyLocked(a *Applied) bool {
	k := appliedKey{a.Peer, a.Stream}
	m := s.mu.applied[k]
	switch {
	case m == nil:
		m = &appliedMark{peer: a.Peer, stream: a.Stream, incarnation: a.Incarnation}
		s.mu.applied[k] = m
	case a.Incarnation > m.incarnation:
		m.incarnation, m.through, m.ended, m.outcomes = a.Incarnation, 0, nil, nil
	case a.Incarnation < m.incarnation:
		return true // what a process sent that is gone; nobody will send it again
	}
	if !m.record(a) {
		return false
	}
	if !m.dirty {
		m.dirty = true
		s.mu.touchedMarks = append(s.mu.touchedMarks, m)
	}
	return true
}

func (m *appliedMark) record(a *Applied) bool {
	if a.Sequence <= m.through || m.ended.has(a.Sequence) {
		return false
	}
	if a.Sequence == m.through+1 {
		m.through++
		m.absorb()
	} else {
		m.ended.add(a.Sequence, a.Sequence+1)
		if a.Sequence > m.through+appliedWindow {
			m.through = a.Sequence - appliedWindow
			m.absorb()
		}
	}
	if a.Result != wire.Stored {
		m.remember(a)
	}
	if n := len(m.outcomes); n > 0 {
		m.trim()
	}
	return true
}

// absorb takes what follows through out of ended.
func (m *appliedMark) absorb() {
	for len(m.ended) > 0 && m.ended[0].lo <= m.through+1 {
		m.through = max(m.through, m.ended[0].hi-1)
		m.ended = m.ended[1:]
	}
	if len(m.ended) == 0 {
		m.ended = nil
	}
}

func (m *appliedMark) remember(a *Applied) {
	i := sort.Search(len(m.outcomes), func(i int) bool { return m.outcomes[i].first > a.Sequence })
	if i > 0 {
		if r := &m.outcomes[i-1]; r.first+r.n == a.Sequence && r.result == a.Result && r.reason == a.Reason {
			r.n++
			return
		}
	}
	m.outcomes = append(m.outcomes, outcomeRun{})
	copy(m.outcomes[i+1:], m.outcomes[i:])
	m.outcomes[i] = outcomeRun{a.Sequence, 1, a.Result, a.Reason}
}

// trim forgets outcomes that the sender knows for sure.
func (m *appliedMark) trim() {
	n := 0
	for n < len(m.outcomes) && m.outcomes[n].first+m.outcomes[n].n-1+appliedWindow <= m.through {
		n++
	}
	m.outcomes = m.outcomes[n:]
	if len(m.outcomes) == 0 {
		m.outcomes = nil
		return
	}
	if r := &m.outcomes[0]; r.first+appliedWindow <= m.through {
		cut := m.through - appliedWindow + 1 - r.first
		r.first, r.n = r.first+cut, r.n-cut
	}
}

// marksLocked writes the marks that rose into the group that is being closed, so
// that they tell what has ended once it is committed, and no more.
func (s *Store) marksLocked(g *group) {
	var k key
	for _, m := range s.mu.touchedMarks {
		m.dirty = false
		s.mu.scratch = m.append(s.mu.scratch[:0])
		g.batch.Put(k.applied(m.peer, m.stream), s.mu.scratch)
	}
	clear(s.mu.touchedMarks)
	s.mu.touchedMarks = s.mu.touchedMarks[:0]
}

// The value of a mark:
//
//	version      1 byte
//	incarnation  uvarint
//	through      uvarint
//	ended        uvarint count; each span as distance from the end of the one
//	             before (from through) and length
//	outcomes     uvarint count; each run as distance from the end of the one
//	             before (from 0), length, result, reason
func (m *appliedMark) append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, formatVersion), m.incarnation)
	dst = binary.AppendUvarint(dst, m.through)
	dst = binary.AppendUvarint(dst, uint64(len(m.ended)))
	last := m.through
	for _, e := range m.ended {
		dst = binary.AppendUvarint(dst, e.lo-last)
		dst = binary.AppendUvarint(dst, e.hi-e.lo)
		last = e.hi
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.outcomes)))
	last = 0
	for _, r := range m.outcomes {
		dst = binary.AppendUvarint(dst, r.first-last)
		dst = binary.AppendUvarint(dst, r.n)
		dst = append(dst, byte(r.result), r.reason)
		last = r.first + r.n
	}
	return dst
}

func decodeApplied(v []byte) (appliedMark, error) {
	var m appliedMark
	r := reader{rest: v}
	r.version()
	m.incarnation = r.uvarint()
	m.through = r.below(sequenceMax)
	last := m.through
	for range r.count(2) {
		e := span{lo: last + r.below(sequenceMax)}
		e.hi = e.lo + r.below(sequenceMax)
		if e.lo <= last || e.lo == m.through+1 || e.hi == e.lo || e.hi > m.through+appliedWindow+1 {
			r.bad = true
		}
		if r.bad {
			return m, r.failed("applied mark")
		}
		m.ended = append(m.ended, e)
		last = e.hi
	}
	last = 0
	for range r.count(4) {
		o := outcomeRun{first: last + r.below(sequenceMax), n: r.below(2 * appliedWindow)}
		o.result, o.reason = wire.Result(r.byte()), r.byte()
		last = o.first + o.n
		if o.n == 0 || o.first == 0 || last > m.through+appliedWindow+1 {
			r.bad = true
		}
		if r.bad {
			break
		}
		m.outcomes = append(m.outcomes, o)
	}
	return m, r.failed("applied mark")
}

// loadApplied reads all marks: a few for each peer. One that is damaged is
// reported; what its stream sends again may be stored twice.
func (s *Store) loadApplied() error {
	it := s.db.Iterator(kv.PrefixRange([]byte{tableApplied}))
	defer it.Close()
	for it.Next() {
		k := it.Key()
		m, err := decodeApplied(it.Value())
		if err == nil && len(k) != 13 {
			err = damaged("key")
		}
		if err != nil {
			s.c.Fault(fmt.Errorf("how far a peer's stream was applied is lost, messages may come twice: %w", err))
			continue
		}
		m.peer, m.stream = number(k, 0), binary.BigEndian.Uint32(k[9:])
		s.mu.applied[appliedKey{m.peer, m.stream}] = &m
	}
	return it.Err()
}
