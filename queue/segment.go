package queue

import "encoding/binary"

// A segment is full at either bound. It is freed as a whole, so it should not be
// so large that one body holds much; and its record is written once in each
// commit that changes it, so it should not be small.
const (
	segmentBodiesMax = 1024
	segmentBytesMax  = 4 << 20
)

// inlineBytes is up to where a body stands in each queue's record, also if
// there are several. docs/decisions/queue-layout.md has the measurements.
const inlineBytes = 128

// segment is a run of shared bodies. Guarded by Store.mu.
//
//	version   1 byte
//	bodies    uvarint; indexes below were used
//	bytes     uvarint
//	live      uvarint; records that refer to bodies in here
//
// The record changes in the same commit as the records that refer to it, so
// that live is exact after any crash.
type segment struct {
	id     uint64
	bodies uint32
	bytes  uint64
	live   uint64
	dirty  bool // in Store.touched
	// moved: its bodies were put elsewhere or it is freed. What refers to it has
	// to look at its record to learn where its body is.
	moved bool
	// rewritten: all that referred to it was moved; what live still counts is
	// lost, or goes with a cursor within AckDelay.
	rewritten bool
	// inexact: the database may have lost something, so live is not to be
	// trusted; the segment is only freed after a rewrite.
	inexact bool
}

func (g *segment) append(dst []byte) []byte {
	dst = append(dst, formatVersion)
	dst = binary.AppendUvarint(dst, uint64(g.bodies))
	dst = binary.AppendUvarint(dst, g.bytes)
	return binary.AppendUvarint(dst, g.live)
}

func decodeSegment(v []byte) (segment, error) {
	var g segment
	r := reader{rest: v}
	r.version()
	g.bodies = r.uint32()
	g.bytes = r.uvarint()
	g.live = r.uvarint()
	return g, r.failed("segment")
}

// shareLocked puts a body into the segment that is being filled and returns
// where it is.
func (s *Store) shareLocked(g *group, m *Message, holders []holder) place {
	seg := s.mu.filling
	if seg == nil || seg.bodies >= segmentBodiesMax || seg.bytes >= segmentBytesMax {
		seg = &segment{id: s.takeSegmentLocked(g)}
		old := s.mu.filling
		s.mu.filling = seg
		s.mu.segments[seg.id] = seg
		if old != nil {
			s.touchLocked(old)
		}
	}
	at := place{seg.id, seg.bodies}
	v := appendBodyHead(s.mu.scratch[:0], len(holders))
	for _, h := range holders {
		v = appendHolder(v, h)
	}
	v = append(v, m.Body...)
	s.mu.scratch = v
	var k key
	g.batch.Put(k.body(at.segment, at.index), v)
	seg.bodies++
	seg.bytes += uint64(len(v))
	seg.live += uint64(len(holders))
	s.touchLocked(seg)
	return at
}

func (s *Store) touchLocked(seg *segment) {
	if !seg.dirty {
		seg.dirty = true
		s.mu.touched = append(s.mu.touched, seg)
	}
}

// releaseLocked takes n references from a segment.
func (s *Store) releaseLocked(id, n uint64) {
	if id == 0 {
		return
	}
	seg := s.mu.segments[id]
	if seg == nil || seg.bodies == 0 {
		return
	}
	if !seg.inexact {
		seg.live -= min(n, seg.live)
	}
	s.touchLocked(seg)
}

// segmentsLocked writes the segments that changed into the group that is being
// closed, so that they tell what is true once it is committed, and frees those
// that nobody refers to.
func (s *Store) segmentsLocked(g *group) {
	var k key
	for _, seg := range s.mu.touched {
		seg.dirty = false
		if seg.live > 0 || seg == s.mu.filling {
			s.mu.scratch = seg.append(s.mu.scratch[:0])
			g.batch.Put(k.segment(seg.id), s.mu.scratch)
			continue
		}
		s.mu.deleted += uint64(seg.bodies)
		for i := range seg.bodies {
			g.batch.Delete(k.body(seg.id, i))
		}
		g.batch.Delete(k.segment(seg.id))
		// One from before this run stays in the map as moved, so that a reader
		// that still sees it on disk does not bring it back.
		seg.moved, seg.bodies = true, 0
		if seg.id >= s.firstSegment {
			delete(s.mu.segments, seg.id)
		}
		s.counts.segmentsFreed.Inc()
	}
	clear(s.mu.touched)
	s.mu.touched = s.mu.touched[:0]
}
