package queue

import "fmt"

// Import takes a batch in, at the places that its records had (R20), with ap in
// the same commit (nil for none). stored is what was new: the rest is here, was
// acknowledged here, or came another way. Only a batch of the generation that
// takes what is appended here is refused (ErrGeneration). done is called from the completion
// goroutine; hand stored to Queue.Imported in it. It does not block, and no limit
// of the queue holds it up (R22): what comes in is bounded by the limits of its
// source and, until it is committed, by the link's credit. Bodies are not shared
// again with other queues.
func (s *Store) Import(id QueueID, b *Batch, ap *Applied, done func(stored []Record, err error)) {
	s.mu.Lock()
	err := s.roomLocked(false)
	l := s.mu.lanes[id]
	if err == nil && (l == nil || l.dropped) {
		err = ErrNoQueue
	}
	if err == nil {
		err = l.takes(b)
	}
	if err != nil {
		s.refuseLocked(func(error) { done(nil, err) }, err)
		return
	}
	bytes := 0
	for i := range b.Records {
		if m := b.Records[i].Msg; m != nil {
			bytes += len(m.Body)
		}
	}
	g := s.groupLocked(bytes)
	before := g.batch.Bytes()
	var stored []Record
	switch {
	case ap != nil && !s.applyLocked(ap):
		// This very frame was stored before a crash.
	case b.Generation == 0:
		stored = s.importIDsLocked(g, l, b)
	default:
		stored = s.importLocked(g, l, b)
	}
	s.handedLocked(g, before, func(err error) {
		if err != nil {
			stored = nil
		}
		done(stored, err)
	})
}

// takes says whether a batch may be imported: it is not of the current
// generation, and its records have bodies, sequences that rise, and no others. It
// may be of a later one, of the home that lost after a split.
func (l *lane) takes(b *Batch) error {
	if b.Generation == l.current.generation {
		return fmt.Errorf("import of generation %d into %d: %w", b.Generation, l.current.generation, ErrGeneration)
	}
	last := uint64(0)
	for i := range b.Records {
		r := &b.Records[i]
		kind := b.Generation == 0
		if r.Seq <= last || r.Seq>>ordinalShift != 0 || kind != (r.Received || r.Released) || r.Msg == nil && !r.Released ||
			kind && !r.Released && r.Seq != uint64(r.PacketID) || r.Released && r.Seq != releasedFrom+uint64(r.PacketID) {
			return fmt.Errorf("import of record %d after %d of generation %d: %w", r.Seq, last, b.Generation, errDamaged)
		}
		last = r.Seq
	}
	for _, a := range b.Acknowledged {
		if a.First == 0 || a.First+a.Count < a.First || a.First+a.Count >= sequenceMax {
			return fmt.Errorf("import of %d acknowledged from %d on: %w", a.Count, a.First, errDamaged)
		}
	}
	if b.Generation == 0 {
		return nil // packet ids, which have no places
	}
	if st := l.strand(b.Generation); st != nil && st.committed != st.tail {
		return fmt.Errorf("generation %d is still being written: %w", b.Generation, ErrGeneration)
	}
	return nil
}

// importLocked merges a batch into its generation: the union of what is there
// and the union of what is acknowledged, of which the latter wins.
func (s *Store) importLocked(g *group, l *lane, b *Batch) (stored []Record) {
	st := l.strand(b.Generation)
	if st == nil {
		st = l.add(b.Generation)
		s.nameLocked(g, l)
	}
	st.changed, b.kept = true, nil
	for _, a := range b.Acknowledged {
		s.acknowledgedLocked(st, a.First, a.First+a.Count)
	}
	for i := range b.Records {
		r := &b.Records[i]
		if !st.wants(r.Seq) {
			s.counts.leftOut.Inc()
			b.learnt(st, r, r.Seq)
			continue
		}
		if m := l.moving; m != nil {
			if at, known := m.knows(r.Msg.ID); known {
				// It came another way: this one is nobody's.
				s.counts.leftOut.Inc()
				s.acknowledgedLocked(st, r.Seq, r.Seq+1)
				if other := l.strand(at.Generation); other != nil {
					b.learnt(other, r, at.Seq)
				}
				continue
			}
			if !m.bring(r.Msg.ID, Place{b.Generation, r.Seq}) {
				s.counts.idsForgotten.Inc()
			}
		}
		stored = append(stored, s.takeInLocked(g, st, *r))
	}
	s.counts.imported.Add(uint64(len(stored)))
	s.cursorLocked(g, l)
	return stored
}

// wants says whether a record is neither here nor acknowledged.
func (st *strand) wants(seq uint64) bool {
	return seq >= st.tail || st.absent.has(seq) && !st.arriving.has(seq)
}

// learnt has the copy of a record that is here, at a sequence of a generation, take
// over what the client was told of it at another home.
func (b *Batch) learnt(st *strand, r *Record, seq uint64) {
	copied := *r
	copied.Seq = seq
	if st.learn(&copied) {
		st.changed = true
		b.kept = append(b.kept, knownRecord{st.generation, copied})
	}
}

// learn takes over what the client was told of a record at another home, if the
// record is here as well: this node gave it away and did not hear that it had
// arrived, and the session came back first; or it came another way. False if there
// is nothing to learn.
func (st *strand) learn(r *Record) bool {
	if !r.Dup && r.PacketID == 0 || !st.has(r.Seq) && !st.arriving.has(r.Seq) {
		return false
	}
	if r.Dup {
		st.sent = max(st.sent, r.Seq)
	}
	if r.PacketID != 0 && !st.isBound(r.Seq) {
		st.cursor.bind(r.Seq, r.PacketID)
	}
	return true
}

// extend makes places up to a sequence; what is between is elsewhere.
func (st *strand) extend(to uint64) {
	if to <= st.tail {
		return
	}
	st.absent.put(st.tail, to)
	st.forgotten.add(st.tail, to)
	st.tail, st.committed = to, to
	st.lease = max(st.lease, to)
	st.compact()
}

func (s *Store) takeInLocked(g *group, st *strand, r Record) Record {
	st.extend(r.Seq + 1)
	st.arriving.put(r.Seq, r.Seq+1)
	if n := len(g.arrived); n > 0 && g.arrived[n-1].strand == st && g.arrived[n-1].hi == r.Seq {
		g.arrived[n-1].hi++
	} else {
		g.arrived = append(g.arrived, arrival{st, span{r.Seq, r.Seq + 1}})
	}
	if r.Dup {
		st.sent = max(st.sent, r.Seq)
	}
	if r.PacketID != 0 {
		st.cursor.bind(r.Seq, r.PacketID)
	}
	if r.Msg.segment != 0 { // the body stands in the record here
		m := *r.Msg
		m.segment = 0
		r.Msg = &m
	}
	var k key
	s.mu.scratch = appendRecord(s.mu.scratch[:0], r.Msg, &Target{QoS: r.QoS, Retain: r.Retain, SubIDs: r.SubIDs}, place{})
	g.batch.Put(k.record(st.lane.id, st.generation, r.Seq), s.mu.scratch)
	return r
}

// acknowledgedLocked takes in that nobody needs [lo, hi) any more. Records that
// wait for their commit are left alone: they come once more than they should.
func (s *Store) acknowledgedLocked(st *strand, lo, hi uint64) {
	st.extend(hi)
	st.forgotten.missing(max(lo, st.head), max(min(hi, st.committed), max(lo, st.head)), func(lo, hi uint64) {
		s.readLocked(readJob{strand: st, op: Op{Kind: OpAck, Seq: lo, N: int(hi - lo)}})
	})
	var parts []span
	st.arriving.missing(lo, hi, func(lo, hi uint64) { parts = append(parts, span{lo, hi}) })
	for _, p := range parts {
		st.absent.cut(p.lo, p.hi)
	}
}

// importIDsLocked takes in QoS 2 packet ids, each once: when one that has ended
// here came again, the next message under it would be taken for an old one. So
// only what is behind the last is taken, and only while the queue is moving.
func (s *Store) importIDsLocked(g *group, l *lane, b *Batch) (stored []Record) {
	m := l.moving
	if m == nil || len(b.Records) == 0 {
		s.counts.leftOut.Add(uint64(len(b.Records)))
		return nil
	}
	for i := range b.Records {
		r := &b.Records[i]
		_, used := l.received[r.PacketID]
		if r.Seq <= m.taken || r.Received && used {
			s.counts.leftOut.Inc()
			continue
		}
		if r.Received {
			x := &received{id: r.Msg.ID}
			if r.Begun {
				x.state = begunElsewhere
			}
			s.setReceivedLocked(g, l, r.PacketID, x)
		} else {
			l.current.release(r.PacketID)
			l.current.changed = true
		}
		stored = append(stored, *r)
	}
	m.taken = max(m.taken, b.Records[len(b.Records)-1].Seq)
	s.movingLocked(g, l)
	s.cursorLocked(g, l)
	return stored
}
