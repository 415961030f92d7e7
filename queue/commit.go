package queue

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"
)

// commitUntil is the committer.
func (s *Store) commitUntil(ctx context.Context) {
	timer := s.c.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.gather()
		g, wait := s.takeGroup()
		if g != nil {
			s.commit(g)
			continue
		}
		timer.Reset(wait)
		select {
		case <-s.work:
		case <-timer.C():
		case <-ctx.Done():
			s.drain()
			return
		}
	}
}

// gather lets those who are about to hand something in go first, as long as more
// comes: one commit costs much the same whatever it holds. It yields and does not
// sleep, since the shortest sleep of an idle runtime is a millisecond, in which the
// batch would have been written; a lone publisher waits for nobody.
func (s *Store) gather() {
	if s.c.CommitDelayMax < 0 {
		return
	}
	until := s.c.Clock.Now().Add(s.c.CommitDelayMax)
	for before := s.gathered(); ; {
		runtime.Gosched()
		n := s.gathered()
		if n == before || !s.c.Clock.Now().Before(until) {
			return
		}
		before = n
	}
}

// gathered is how many wait for the next commit.
func (s *Store) gathered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.open.tickets)
}

// groupTicketsMax is how many wait for one commit where nobody syncs. A commit costs
// little by itself there, and what is one commit is written, and then answered, by one
// goroutine at a time: in two halves the first is answered while the second is written.
const groupTicketsMax = 128

// takeGroup returns the next group to commit, or how long to sleep until a
// cursor is due.
func (s *Store) takeGroup() (*group, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.dueLocked()
	if len(s.mu.sealed) == 0 {
		if s.mu.open.empty() {
			return nil, wait
		}
		s.sealLocked()
	}
	g := s.mu.sealed[0]
	copy(s.mu.sealed, s.mu.sealed[1:])
	s.mu.sealed[len(s.mu.sealed)-1] = nil
	s.mu.sealed = s.mu.sealed[:len(s.mu.sealed)-1]
	return g, 0
}

// commit writes a group and passes it on.
func (s *Store) commit(g *group) {
	err := s.Err()
	if err == nil && g.batch.Len() > 0 {
		started := s.c.Clock.Now()
		if err = s.db.Write(&g.batch, s.sync()); err != nil {
			err = s.fail(err)
		}
		s.counts.commitSeconds.Observe(s.c.Clock.Now().Sub(started).Seconds())
	}
	s.counts.commits.Inc()
	s.counts.committedBytes.Add(uint64(g.batch.Bytes()))
	s.mu.Lock()
	s.mu.pending -= g.bytes
	s.mu.batches++
	if err == nil {
		for _, m := range g.marks {
			m.strand.committed = max(m.strand.committed, m.tail)
		}
		for _, a := range g.arrived {
			a.strand.arrived(a.lo, a.hi)
		}
		if g.leased > 0 {
			s.leased.Store(g.leased)
		}
	}
	s.mu.space.Broadcast()
	s.mu.Unlock()
	s.completions <- reply{group: g, err: err}
}

// fail makes the store read-only.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	if s.mu.failed == nil {
		s.mu.failed = fmt.Errorf("message store is read-only after a failed write; free the disk or replace it, then restart: %w", err)
	}
	err = s.mu.failed
	s.mu.Unlock()
	s.c.Fault(err)
	return err
}

// drain commits what is left, with every cursor, and stops the store.
func (s *Store) drain() {
	s.mu.Lock()
	s.mu.stopped = true
	s.mu.space.Broadcast()
	// An orderly stop gives the rest of the leases back.
	for _, id := range slices.Sorted(maps.Keys(s.mu.lanes)) {
		l := s.mu.lanes[id]
		if l.dropped {
			continue
		}
		for _, st := range l.strands {
			if st.lease != st.tail {
				st.lease, st.changed = st.tail, true
			}
		}
		s.cursorLocked(s.groupLocked(0), l)
	}
	s.marksLocked(s.mu.open) // ends that nobody waits for
	s.mu.Unlock()
	for {
		g, _ := s.takeGroup()
		if g == nil {
			return
		}
		s.commit(g)
	}
}

// complete is the completion goroutine. What it says of several commits that ended
// by the time it came to them is one run for those who are told: BatchEnd has them
// write once to a connection, not once for each commit.
func (s *Store) complete() {
	run := 0
	for r := range s.completions {
		switch {
		case r.then != nil:
			r.then()
		case r.group == nil:
			r.answer(r.tag, r.entries, r.more, r.err)
		default:
			for i := range r.group.tickets {
				r.group.tickets[i].call(r.err)
			}
			s.recycle(r.group)
		}
		if run++; run >= completionsMax || len(s.completions) == 0 {
			run = 0
			s.c.BatchEnd()
		}
	}
}

// groupsKept is how many groups are kept for later; more are only there after a
// burst.
const groupsKept = 4

func (s *Store) recycle(g *group) {
	if cap(g.tickets) > 1<<14 {
		return
	}
	g.reset()
	s.mu.Lock()
	if len(s.mu.free) < groupsKept {
		s.mu.free = append(s.mu.free, g)
	}
	s.mu.Unlock()
}

// dirtyLocked notes that the cursor on disk is behind by n acknowledgements.
func (s *Store) dirtyLocked(st *strand, n int) {
	l := st.lane
	st.changed = true
	if l.dropped {
		return
	}
	l.count += n
	if !l.dirty {
		l.dirty = true
		l.dueAt = s.c.Clock.Now().Add(s.c.AckDelay)
		s.mu.dirty = append(s.mu.dirty, due{l, l.dueAt})
		if len(s.mu.dirty) == 1 {
			s.wake() // the committer may be asleep without a deadline
		}
	}
	if l.count >= s.c.AckCount {
		s.urgeLocked(l)
	}
}

// urgeLocked has the cursor written with the next commit.
func (s *Store) urgeLocked(l *lane) {
	if !l.urgent {
		l.urgent = true
		s.mu.urgent = append(s.mu.urgent, l)
		s.wake()
	}
}

// due is when the cursor of a queue is to be on disk.
type due struct {
	lane *lane
	at   time.Time
}

// idleWait is how long the committer sleeps when nothing is due.
const idleWait = time.Hour

// dueLocked writes the cursors that are due into the open group and returns how
// long it is until the next.
func (s *Store) dueLocked() time.Duration {
	for _, l := range s.mu.urgent {
		if l.urgent {
			s.cursorLocked(s.groupLocked(0), l)
		}
	}
	clear(s.mu.urgent)
	s.mu.urgent = s.mu.urgent[:0]
	if len(s.mu.dirty) == 0 {
		return idleWait
	}
	now := s.c.Clock.Now()
	n := 0
	wait := idleWait
	until := now
	if s.fewWaitLocked() {
		// What is soon due goes along: by itself it would cost a sync that the next
		// message waits for.
		until = now.Add(s.c.AckDelay / 2)
	}
	for _, d := range s.mu.dirty {
		// A cursor that was written before it was due left a stale entry.
		stale := !d.lane.dirty || !d.lane.dueAt.Equal(d.at)
		if !stale && d.at.After(until) {
			wait = d.at.Sub(now)
			break
		}
		n++
		if !stale {
			s.cursorLocked(s.groupLocked(0), d.lane)
		}
	}
	s.mu.dirty = append(s.mu.dirty[:0], s.mu.dirty[n:]...)
	return wait
}

// fewTickets is what a group holds at most that is one of few messages: its
// publishers wait for it.
const fewTickets = 32

// fewWaitLocked says that the group that is committed next is one of few messages.
// Where many come there are commits enough.
func (s *Store) fewWaitLocked() bool {
	n := len(s.mu.open.tickets)
	return n > 0 && n < fewTickets && len(s.mu.sealed) == 0
}

// cursorLocked writes the cursors of a queue that changed and deletes what they
// forgot, in one group: after a crash either all happened or nothing.
func (s *Store) cursorLocked(g *group, l *lane) {
	l.dirty, l.urgent, l.count = false, false, 0
	before := g.batch.Bytes()
	for _, st := range l.strands {
		if st.changed {
			s.strandLocked(g, st)
		}
	}
	g.tickets = append(g.tickets, l.tags...)
	clear(l.tags)
	l.tags = l.tags[:0]
	s.grewLocked(g, before)
}

func (s *Store) strandLocked(g *group, st *strand) {
	var k key
	st.changed = false
	s.mu.scratch = st.stored().append(s.mu.scratch[:0])
	g.batch.Put(k.cursor(st.lane.id, st.generation), s.mu.scratch)
	for _, r := range st.gone {
		for i := range r.n {
			g.batch.Delete(k.record(st.lane.id, st.generation, r.seq+i))
		}
		s.releaseLocked(r.segment, r.n)
		s.mu.deleted += r.n
	}
	st.gone = st.gone[:0]
	s.counts.cursors.Inc()
}
