package queue

// Append stores an event. The sequences of its targets are assigned before it
// returns, in the order of calls; a target whose queue is gone is left out and
// keeps sequence 0, and so do all of a frame that was applied before a crash
// (R2). It does no I/O, and blocks only while MaxBytesPending is reached. done may
// be nil.
//
// Whoever calls it must hold no lock that a Done takes: the bound falls when
// commits end, and those wait for Dones. A Done itself uses AppendNow.
func (s *Store) Append(ev *Event, done Done) { s.append(ev, done, true) }

// AppendNow is Append without the wait: for a message that a Done or an answer
// gives rise to, a will for one. It goes over MaxBytesPending if it must.
func (s *Store) AppendNow(ev *Event, done Done) { s.append(ev, done, false) }

func (s *Store) append(ev *Event, done Done, wait bool) {
	s.mu.Lock()
	if err := s.roomLocked(wait); err != nil {
		s.refuseLocked(done, err)
		return
	}
	g := s.groupLocked(len(ev.Msg.Body))
	before := g.batch.Bytes()
	if ev.Applied != nil && !s.applyLocked(ev.Applied) {
		// This very frame was stored before a crash.
		ev.leaveOut()
		s.handedLocked(g, before, done)
		return
	}
	again := s.againLocked(ev)
	if (ev.Again || again != nil && again.state == begunElsewhere) && !s.firstTimeLocked(g, ev.Msg.ID) {
		ev.leaveOut()
	} else {
		s.appendLocked(g, ev, again)
	}
	if ev.Inbound.Queue != 0 {
		s.receivedLocked(g, ev, again)
	}
	s.handedLocked(g, before, done)
	s.counts.events.Inc()
}

// roomLocked waits until there is room for more, if wanted, and says why nothing
// more is taken.
func (s *Store) roomLocked(wait bool) error {
	if wait && s.mu.pending >= s.c.MaxBytesPending {
		s.counts.blocked.Inc()
	}
	for wait && s.mu.pending >= s.c.MaxBytesPending && s.mu.failed == nil && !s.mu.stopped {
		s.mu.space.Wait()
	}
	if s.mu.stopped {
		return ErrStopped
	}
	return s.mu.failed
}

// refuseLocked unlocks. The refusal of a running store takes its turn behind
// what was handed in before.
func (s *Store) refuseLocked(done Done, err error) {
	if done == nil {
		s.mu.Unlock()
		return
	}
	if s.mu.stopped {
		s.mu.Unlock()
		done(err)
		return
	}
	s.mu.open.tickets = append(s.mu.open.tickets, ticket{done: done})
	s.mu.Unlock()
	s.wake()
}

// grewLocked counts what was put into g, whose batch had before bytes.
func (s *Store) grewLocked(g *group, before int) {
	grown := g.batch.Bytes() - before
	g.bytes += grown
	s.mu.pending += grown
}

// handedLocked counts what was put into g, takes done, and unlocks.
func (s *Store) handedLocked(g *group, before int, done Done) {
	s.grewLocked(g, before)
	if done != nil {
		g.tickets = append(g.tickets, ticket{done: done})
		if !s.sync() && g == s.mu.open && len(g.tickets) >= groupTicketsMax {
			s.sealLocked()
		}
	}
	s.mu.Unlock()
	s.wake()
}

// note puts something small into the group in hand. put is called with the lock held,
// done, which may be nil, when it is on the disk.
func (s *Store) note(size int, done Done, put func(g *group)) {
	s.mu.Lock()
	if err := s.refusalLocked(); err != nil {
		s.refuseLocked(done, err)
		return
	}
	g := s.groupLocked(size)
	before := g.batch.Bytes()
	put(g)
	s.handedLocked(g, before, done)
}

// groupLocked returns the group that takes what comes; a full one is closed.
func (s *Store) groupLocked(bytes int) *group {
	g := s.mu.open
	if g.batch.Bytes() > 0 && g.batch.Bytes()+bytes > groupBytesMax {
		s.sealLocked()
		g = s.mu.open
	}
	return g
}

// sealLocked closes the open group: what it says about segments and streams is
// true from here on.
func (s *Store) sealLocked() {
	g := s.mu.open
	s.segmentsLocked(g)
	s.marksLocked(g)
	s.mu.sealed = append(s.mu.sealed, g)
	if n := len(s.mu.free); n > 0 {
		s.mu.open = s.mu.free[n-1]
		s.mu.free = s.mu.free[:n-1]
	} else {
		s.mu.open = &group{}
	}
}

// appendLocked appends to all targets but those that have the message already:
// again is what is known of that, nil if nothing is.
func (s *Store) appendLocked(g *group, ev *Event, again *received) {
	shared := len(ev.Targets) > 1 && len(ev.Msg.Body) >= inlineBytes
	var at place
	var holders []holder
	for i := range ev.Targets {
		t := &ev.Targets[i]
		t.Seq = 0
		l := s.mu.lanes[t.Queue]
		if l == nil || l.dropped || again.has(t.Queue) || l.moving != nil && !s.firstCopyLocked(l, ev.Msg.ID) {
			continue
		}
		t.Seq = s.sequenceLocked(g, l.current)
		if m := l.moving; m != nil && !m.append(ev.Msg.ID, Place{l.current.generation, t.Seq}) {
			s.counts.idsForgotten.Inc()
		}
		if shared {
			holders = append(holders, holder{l.id, l.current.generation, t.Seq})
		}
	}
	if len(holders) > 0 {
		at = s.shareLocked(g, ev.Msg, holders)
	}
	ev.Msg.segment = at.segment
	var k key
	for i := range ev.Targets {
		t := &ev.Targets[i]
		if t.Seq == 0 {
			continue
		}
		s.mu.scratch = appendRecord(s.mu.scratch[:0], ev.Msg, t, at)
		g.batch.Put(k.record(t.Queue, s.mu.lanes[t.Queue].current.generation, t.Seq), s.mu.scratch)
	}
}

// sequenceLocked gives the next sequence of a queue. A lease that is used up is
// renewed in the group that holds the record, so that either both are there
// after a crash or neither.
func (s *Store) sequenceLocked(g *group, st *strand) uint64 {
	seq := st.tail
	if seq >= st.lease {
		st.lease, st.changed = seq+seqLease, true
		s.cursorLocked(g, st.lane)
	}
	st.tail++
	g.marks = append(g.marks, mark{st, st.tail})
	return seq
}

// firstCopyLocked says whether a message is new to a queue whose session moved
// here lately: it may have come through its old home too (R21).
func (s *Store) firstCopyLocked(l *lane, id MessageID) bool {
	_, known := l.moving.knows(id)
	if known {
		s.counts.leftOut.Inc()
	}
	return !known
}
