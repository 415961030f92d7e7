package queue

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"tombolo/internal/kv"
)

// How many ids are leased at once. A crash loses what is left of a block.
const (
	messageLease = 1 << 20
	queueLease   = 1 << 10
	segmentLease = 1 << 8
	seqLease     = 1 << 12
)

// The lease record says from where on ids were never given:
//
//	version      1 byte
//	incarnation  8 bytes, the first half of message ids
//	message      uvarint
//	queue        uvarint
//	segment      uvarint
type leaseRecord struct {
	incarnation             uint64
	message, queue, segment uint64
}

func (l *leaseRecord) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, formatVersion), l.incarnation)
	dst = binary.AppendUvarint(dst, l.message)
	dst = binary.AppendUvarint(dst, l.queue)
	return binary.AppendUvarint(dst, l.segment)
}

func decodeLease(v []byte) (leaseRecord, error) {
	if len(v) > 0 && v[0] > formatVersion {
		return leaseRecord{}, fmt.Errorf("format %d, this version reads up to %d; start the version that wrote it: %w", v[0], formatVersion, ErrNewerFormat)
	}
	r := reader{rest: v}
	r.version()
	l := leaseRecord{r.uint64(), r.below(sequenceMax), r.below(sequenceMax), r.below(sequenceMax)}
	return l, r.failed("lease")
}

// lease takes the first blocks and writes them, before anything is given.
func (s *Store) lease() error {
	l := leaseRecord{message: 1, queue: 1, segment: 1}
	v, err := s.db.Get(leaseKey())
	switch {
	case err == nil:
		if l, err = decodeLease(v); err != nil {
			return err
		}
	case !errors.Is(err, kv.ErrNotFound):
		return err
	}
	// Without fsync a power loss may take back the lease, so the ids of this
	// run get an incarnation of their own.
	switch {
	case s.c.Incarnation != 0:
		l.incarnation = s.c.Incarnation
	case l.incarnation == 0 || s.c.Durability != Fsync:
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		l.incarnation = binary.BigEndian.Uint64(b[:]) | 1
	}
	s.incarnation = l.incarnation
	s.nextID.Store(l.message)
	s.mu.nextQueue, s.mu.nextSegment, s.firstSegment = l.queue, l.segment, l.segment
	s.mu.leaseAsked = l.message + messageLease
	s.mu.queueLease, s.mu.segmentLease = l.queue+queueLease, l.segment+segmentLease
	var b kv.Batch
	s.putLeaseLocked(&b)
	if err := s.db.Write(&b, s.sync()); err != nil {
		return err
	}
	s.leased.Store(s.mu.leaseAsked)
	return nil
}

func (s *Store) putLeaseLocked(b *kv.Batch) {
	l := leaseRecord{s.incarnation, s.mu.leaseAsked, s.mu.queueLease, s.mu.segmentLease}
	b.Put(leaseKey(), l.append(nil))
}

// NextID returns a message id that was never given before (R1). It waits only
// if a whole block was used up before the next was durable; then, if the store
// has failed, ids go on, since nothing is acknowledged any more.
func (s *Store) NextID() MessageID {
	n := s.nextID.Add(1) - 1
	if n+messageLease/2 >= s.leased.Load() {
		s.extend(n)
	}
	return MessageID{s.incarnation, n}
}

func (s *Store) extend(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n+messageLease/2 >= s.mu.leaseAsked && s.mu.failed == nil && !s.mu.stopped {
		s.mu.leaseAsked = n + 2*messageLease
		s.putLeaseLocked(&s.mu.open.batch)
		s.mu.open.leased = s.mu.leaseAsked
		s.wake()
	}
	for n >= s.leased.Load() && s.mu.failed == nil && !s.mu.stopped {
		s.mu.space.Wait()
	}
}

func (s *Store) takeQueueLocked(g *group) QueueID {
	if s.mu.nextQueue >= s.mu.queueLease {
		s.mu.queueLease += queueLease
		s.putLeaseLocked(&g.batch)
	}
	s.mu.nextQueue++
	return QueueID(s.mu.nextQueue - 1)
}

func (s *Store) takeSegmentLocked(g *group) uint64 {
	if s.mu.nextSegment >= s.mu.segmentLease {
		s.mu.segmentLease += segmentLease
		s.putLeaseLocked(&g.batch)
	}
	s.mu.nextSegment++
	return s.mu.nextSegment - 1
}
