package queue

import (
	"context"
	"fmt"
	"slices"

	"tombolo/internal/kv"
)

// A segment of a suspect database is always rewritten: its count may be that of
// an earlier time. Else a segment is sparse when less than a quarter of its references are left, and
// it is worth rewriting when it is of some size. rewriteMax bounds the bytes of
// one round.
const (
	sparseShare   = 4
	sparseBytes   = 64 << 10
	rewriteMax    = 64 << 20
	rewriteBodies = 64 // at a time, then a pause
)

// rewriteSparse finds segments that nobody refers to and frees them, and moves
// what is left of sparse ones.
func (s *Store) rewriteSparse(ctx context.Context) error {
	ids, err := s.segmentIDs()
	if err != nil {
		return err
	}
	moved := uint64(0)
	for _, id := range ids {
		if ctx.Err() != nil || moved >= rewriteMax {
			break
		}
		if err := s.loadSegment(id); err != nil {
			return err
		}
		bytes, sparse := s.claimSparse(id)
		if !sparse {
			continue
		}
		moved += bytes
		if err := s.rewrite(ctx, id); err != nil {
			return fmt.Errorf("segment %d: %w", id, err)
		}
	}
	return nil
}

func (s *Store) segmentIDs() ([]uint64, error) {
	it := s.db.Iterator(kv.PrefixRange([]byte{tableSegment}))
	defer it.Close()
	var ids []uint64
	for it.Next() {
		ids = append(ids, number(it.Key(), 0))
	}
	return ids, it.Err()
}

// claimSparse says whether a segment is worth rewriting, and marks it as moved:
// from here on an acknowledgement that names it looks at its record first. One
// without references is freed with the next commit.
func (s *Store) claimSparse(id uint64) (bytes uint64, sparse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.mu.segments[id]
	if seg != nil && seg.rewritten {
		// Cursors that were due at the time are long written.
		seg.live = 0
	}
	if seg == nil || seg == s.mu.filling || seg.moved && !seg.rewritten {
		return 0, false
	}
	if seg.live == 0 {
		s.touchLocked(seg)
		s.wake()
		return 0, false
	}
	if seg.inexact {
		seg.moved = true
		return seg.bytes, true
	}
	if seg.bytes < sparseBytes || seg.live*sparseShare >= uint64(seg.bodies) {
		return 0, false
	}
	seg.moved = true
	return seg.bytes, true
}

// heldBody is a body that is to be moved, with the records that may refer to it.
type heldBody struct {
	index   uint32
	body    []byte
	holders []holder
}

// rewrite moves the bodies of a segment that are still referred to into the one
// that is being filled, and makes their records refer there.
func (s *Store) rewrite(ctx context.Context, id uint64) error {
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.one(tableBody, id), Limit: hi.one(tableBody, id+1)})
	defer it.Close()
	var bodies []heldBody
	for it.Next() && ctx.Err() == nil {
		v := slices.Clone(it.Value())
		body, holders, err := decodeBody(v, true)
		if err != nil {
			s.c.Fault(fmt.Errorf("segment %d: %w", id, err))
			continue
		}
		key := it.Key()
		index := uint32(key[9])<<24 | uint32(key[10])<<16 | uint32(key[11])<<8 | uint32(key[12])
		bodies = append(bodies, heldBody{index, body, holders})
		if len(bodies) < rewriteBodies {
			continue
		}
		if err := s.moveBodies(ctx, id, bodies); err != nil {
			return err
		}
		bodies = bodies[:0]
	}
	if err := it.Err(); err != nil {
		return err
	}
	if err := s.moveBodies(ctx, id, bodies); err != nil || ctx.Err() != nil {
		return err
	}
	s.mu.Lock()
	if seg := s.mu.segments[id]; seg != nil {
		seg.rewritten = true
	}
	s.mu.Unlock()
	return nil
}

// keptRecord is a record that refers to a body that is moved.
type keptRecord struct {
	holder holder
	entry  Entry
	msg    Message
}

func (s *Store) moveBodies(ctx context.Context, id uint64, bodies []heldBody) error {
	started := s.c.Clock.Now()
	kept := make([][]keptRecord, len(bodies))
	for i, b := range bodies {
		for _, h := range b.holders {
			r, ok, err := s.keptRecord(h, place{id, b.index})
			if err != nil {
				return err
			}
			if ok {
				kept[i] = append(kept[i], r)
			}
		}
	}
	result := make(chan error, 1)
	s.mu.Lock()
	if s.mu.stopped || s.mu.failed != nil {
		s.mu.Unlock()
		return ErrStopped
	}
	s.mu.moves++
	total := 0
	for i, b := range bodies {
		if len(kept[i]) > 0 {
			g := s.groupLocked(len(b.body))
			before := g.batch.Bytes()
			total += s.moveLocked(g, id, b.body, kept[i])
			s.grewLocked(g, before)
		}
	}
	s.counts.bodiesMoved.Add(uint64(total))
	s.handedLocked(s.mu.open, s.mu.open.batch.Bytes(), func(err error) { result <- err })
	err := <-result
	s.mu.Lock()
	s.mu.moves++
	s.mu.space.Broadcast()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.pause(ctx, s.c.Clock.Now().Sub(started))
	return nil
}

// keptRecord reads the record of a holder, if it is still there and refers to
// the body.
func (s *Store) keptRecord(h holder, at place) (keptRecord, bool, error) {
	var k key
	v, err := s.db.Get(k.record(h.queue, h.generation, h.seq))
	if isNotFound(err) {
		return keptRecord{}, false, nil
	}
	if err != nil {
		return keptRecord{}, false, err
	}
	r := keptRecord{holder: h}
	was, err := decodeRecord(v, &r.entry, &r.msg)
	if err != nil || was != at {
		return keptRecord{}, false, nil
	}
	return r, true, nil
}

// holds says whether a record is committed and wanted.
func (l *lane) holds(h holder) bool {
	st := l.strand(h.generation)
	return !l.dropped && st != nil && st.has(h.seq)
}

// moveLocked puts a body elsewhere for those of its records that nobody forgot
// meanwhile: those go with their cursor, and with the old segment.
func (s *Store) moveLocked(g *group, from uint64, body []byte, records []keptRecord) int {
	live := records[:0]
	var holders []holder
	for _, r := range records {
		l := s.mu.lanes[r.holder.queue]
		if l != nil && !l.holds(r.holder) {
			continue
		}
		live = append(live, r)
		holders = append(holders, r.holder)
	}
	if len(live) == 0 {
		return 0
	}
	at := s.shareLocked(g, &Message{Body: body}, holders)
	var k key
	for i := range live {
		r := &live[i]
		t := Target{Queue: r.holder.queue, QoS: r.entry.QoS, Retain: r.entry.Retain, SubIDs: r.entry.SubIDs}
		s.mu.scratch = appendRecord(s.mu.scratch[:0], &r.msg, &t, at)
		g.batch.Put(k.record(r.holder.queue, r.holder.generation, r.holder.seq), s.mu.scratch)
	}
	s.releaseLocked(from, uint64(len(live)))
	return len(live)
}
