package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tombolo/internal/kv"
)

// The pace of what runs in the background: a batch, then a pause as long as
// the batch took, so that it takes at most half of the disk's time.
const (
	sweepBatch   = 1000
	sweepIdle    = 30 * time.Second // between two looks for sparse segments
	compactWorth = 200_000          // deleted records that are worth a compaction of what is idle
)

// Drop removes the queue and all that is in it. Its name is free at once; done
// is called when it is durable that the queue is gone. Its records are deleted
// in the background, also after a restart.
func (s *Store) Drop(id QueueID, done Done) {
	s.mu.Lock()
	if err := s.refusalLocked(); err != nil {
		s.refuseLocked(done, err)
		return
	}
	if l := s.mu.lanes[id]; l != nil && !l.dropped {
		s.dropLocked(l)
	}
	s.handedLocked(s.mu.open, s.mu.open.batch.Bytes(), done)
}

// dropLocked takes a queue out of everything but lanes, where it stays until it
// is swept.
func (s *Store) dropLocked(l *lane) {
	s.newTurnsLocked(l, l.turns.instance)
	g := s.groupLocked(0)
	var k key
	g.batch.Delete(nameKey(l.name))
	for _, st := range l.strands {
		g.batch.Delete(k.cursor(l.id, st.generation))
		st.gone = nil
	}
	if l.moving != nil {
		g.batch.Delete(k.moving(l.id))
	}
	if l.fences != nil {
		g.batch.Delete(k.fences(l.id))
	}
	for _, id := range slices.Sorted(maps.Keys(l.received)) {
		s.endReceivedLocked(l, id, false)
		g.batch.Delete(k.inbound(l.id, id))
	}
	g.batch.Put(k.dropped(l.id), []byte{formatVersion})
	// Whoever waits for the cursor waits no more: what it would say is moot.
	g.tickets = append(g.tickets, l.tags...)
	l.dropped, l.dirty, l.urgent, l.tags, l.received, l.moving, l.fences = true, false, false, nil, nil, nil, nil
	delete(s.mu.names, l.name)
	s.mu.drops++
	id := l.id
	g.tickets = append(g.tickets, ticket{done: func(err error) {
		if err == nil {
			s.mu.Lock()
			s.mu.dropped = append(s.mu.dropped, id)
			s.mu.Unlock()
			s.wakeSweeper()
		}
	}})
}

func (s *Store) wakeSweeper() {
	select {
	case s.sweeps <- struct{}{}:
	default:
	}
}

// sweepUntil is the sweeper: it deletes the records of dropped queues, rewrites
// sparse segments, and has the database compacted when much was deleted and
// nothing else goes on.
func (s *Store) sweepUntil(ctx context.Context) {
	if err := s.findDropped(); err != nil {
		s.c.Fault(fmt.Errorf("look for dropped queues: %w", err))
	}
	timer := s.c.Clock.NewTimer(s.c.sweepIdle())
	defer timer.Stop()
	for {
		id, ok := s.nextDropped()
		if ok {
			s.sweep(ctx, id)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.sweeps:
			continue
		case <-timer.C():
		}
		s.tidy(ctx)
		timer.Reset(s.c.sweepIdle())
	}
}

func (c *StoreConfig) sweepIdle() time.Duration {
	if c.TidyEvery > 0 {
		return c.TidyEvery
	}
	return sweepIdle
}

// findDropped finds the queues whose sweep a stop interrupted.
func (s *Store) findDropped() error {
	it := s.db.Iterator(kv.PrefixRange([]byte{tableDropped}))
	defer it.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for it.Next() {
		id := QueueID(number(it.Key(), 0))
		if l := s.mu.lanes[id]; l == nil {
			s.mu.lanes[id] = &lane{id: id, dropped: true}
			s.mu.dropped = append(s.mu.dropped, id)
		}
	}
	return it.Err()
}

func (s *Store) nextDropped() (QueueID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.dropped) == 0 || s.mu.stopped || s.mu.failed != nil {
		return 0, false
	}
	id := s.mu.dropped[0]
	s.mu.dropped = s.mu.dropped[1:]
	return id, true
}

// sweep deletes the records of a dropped queue.
func (s *Store) sweep(ctx context.Context, id QueueID) {
	var lo, hi key
	from := lo.one(tableRecord, uint64(id))
	limit := append([]byte(nil), hi.one(tableRecord, uint64(id)+1)...)
	swept := 0
	for ctx.Err() == nil {
		started := s.c.Clock.Now()
		records, err := s.records(from, limit, sweepBatch)
		if err != nil {
			s.c.Fault(fmt.Errorf("delete messages of dropped queue %d: %w", id, err))
			return
		}
		last := len(records) < sweepBatch
		if s.deleteSwept(id, records, last) != nil {
			return
		}
		swept += len(records)
		if last {
			break
		}
		from = append(records[len(records)-1].key, 0)
		s.pause(ctx, s.c.Clock.Now().Sub(started))
	}
	if swept >= compactWorth/10 {
		var lo key
		_ = s.compact(ctx, kv.Range{Start: lo.one(tableRecord, uint64(id)), Limit: limit})
	}
}

// deleteSwept deletes records and waits until that is durable.
func (s *Store) deleteSwept(id QueueID, records []sweptRecord, last bool) error {
	var k key
	result := make(chan error, 1)
	s.mu.Lock()
	if s.mu.stopped {
		s.mu.Unlock()
		return ErrStopped
	}
	g := s.groupLocked(sweepBatch * 32)
	before := g.batch.Bytes()
	for _, r := range records {
		g.batch.Delete(r.key)
		s.releaseLocked(r.segment, 1)
	}
	s.mu.deleted += uint64(len(records))
	if last {
		g.batch.Delete(k.dropped(id))
		delete(s.mu.lanes, id)
	}
	s.handedLocked(g, before, func(err error) { result <- err })
	return <-result
}

type sweptRecord struct {
	key     []byte
	segment uint64
}

// records reads up to n records with their segments.
func (s *Store) records(from, limit []byte, n int) ([]sweptRecord, error) {
	it := s.db.Iterator(kv.Range{Start: from, Limit: limit})
	defer it.Close()
	var found []sweptRecord
	for len(found) < n && it.Next() {
		var e Entry
		var m Message
		at, err := decodeRecord(it.Value(), &e, &m)
		if err == nil && at.segment != 0 {
			err = s.loadSegment(at.segment)
		}
		if err != nil {
			at.segment = 0
		}
		found = append(found, sweptRecord{append([]byte(nil), it.Key()...), at.segment})
	}
	return found, it.Err()
}

func (s *Store) pause(ctx context.Context, d time.Duration) {
	timer := s.c.Clock.NewTimer(min(d, time.Second))
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// tidy is the round of the sweeper while the store is quiet or not.
func (s *Store) tidy(ctx context.Context) {
	if err := s.rewriteSparse(ctx); err != nil {
		s.c.Fault(fmt.Errorf("rewrite sparse segments: %w", err))
	}
	s.mu.Lock()
	worth := s.mu.deleted >= compactWorth
	if worth {
		s.mu.deleted = 0
	}
	s.mu.Unlock()
	if worth {
		if err := s.compact(ctx, kv.Range{}); err != nil && ctx.Err() == nil {
			s.c.Fault(err)
		}
	}
}

// Compact gives the space of all that was deleted back to the disk. It may take
// long; the store serves meanwhile, and the database ends it when it is closed.
// All at once: a walk through the tables one by one would take what is written
// meanwhile down with each of them, over all that is there.
func (s *Store) Compact() error { return s.compact(context.Background(), kv.Range{}) }
