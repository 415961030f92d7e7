package queue

import "slices"

// Do does what a Queue asked for. It does no I/O and never blocks. done is
// called for each op with a tag: when it is durable, or with the answer to a
// read; always from the completion goroutine, unless the store was stopped or
// the queue is gone: then it is called before Do returns.
//
// Two goroutines may take ops out of a Queue, one after the other, and race to
// here. What comes too early waits for what was taken out before it: a read that
// overtook an acknowledgement would bring a message back.
func (s *Store) Do(id QueueID, ops []Op, done Answer) {
	if len(ops) == 0 {
		return
	}
	s.mu.Lock()
	l := s.mu.lanes[id]
	if s.mu.stopped || l == nil || l.dropped {
		err := ErrNoQueue
		if s.mu.stopped {
			err = ErrStopped
		}
		s.mu.Unlock()
		for i := range ops {
			if ops[i].Tag != 0 {
				done(ops[i].Tag, nil, false, err)
			}
		}
		return
	}
	for len(ops) > 0 {
		n := 1
		for n < len(ops) && ops[n].batch == ops[0].batch && ops[n].instance == ops[0].instance {
			n++
		}
		s.inTurnLocked(l, ops[:n], done)
		ops = ops[n:]
	}
	s.mu.Unlock()
}

// turns is the order in which batches of ops are to be done. Guarded by
// Store.mu.
type turns struct {
	instance uint64 // the newest Queue that was heard of
	done     uint64 // its batches that were done
	early    map[uint64]earlyBatch
}

// earlyBatch waits for its turn. There are never more than goroutines between
// Ops and Do.
type earlyBatch struct {
	ops    []Op
	answer Answer
}

// inTurnLocked does one batch, now or when its turn comes.
func (s *Store) inTurnLocked(l *lane, ops []Op, done Answer) {
	t := &l.turns
	if ops[0].instance > t.instance {
		s.newTurnsLocked(l, ops[0].instance)
	}
	if ops[0].instance == t.instance && ops[0].batch > t.done+1 {
		if t.early == nil {
			t.early = map[uint64]earlyBatch{}
		}
		t.early[ops[0].batch] = earlyBatch{append([]Op(nil), ops...), done}
		return
	}
	for i := range ops {
		s.doLocked(l, &ops[i], done)
	}
	if ops[0].instance != t.instance || t.instance == 0 {
		return // from an older Queue, or made by a session
	}
	t.done = ops[0].batch
	if next, ok := t.early[t.done+1]; ok {
		delete(t.early, t.done+1)
		s.inTurnLocked(l, next.ops, next.answer)
	}
}

// newTurnsLocked forgets the Queue before this one: what of it waits is done
// now, in order; what is missing was never handed in.
func (s *Store) newTurnsLocked(l *lane, instance uint64) {
	early := l.turns.early
	l.turns = turns{instance: instance}
	batches := make([]uint64, 0, len(early))
	for n := range early {
		batches = append(batches, n)
	}
	slices.Sort(batches)
	for _, n := range batches {
		b := early[n]
		for i := range b.ops {
			s.doLocked(l, &b.ops[i], b.answer)
		}
	}
}

func (s *Store) doLocked(l *lane, op *Op, done Answer) {
	switch op.Kind {
	case OpComplete:
		if st := l.complete(op.PacketID); st != nil {
			s.dirtyLocked(st, 1)
		}
		return
	case OpInboundDone:
		s.inboundDoneLocked(l, op, done)
		return
	}
	st := l.strand(op.generation)
	if st == nil {
		// A generation that was empty and is no longer remembered.
		if op.Tag != 0 {
			s.mu.open.tickets = append(s.mu.open.tickets, ticket{answer: done, tag: op.Tag})
			s.wake()
		}
		return
	}
	switch op.Kind {
	case OpAck:
		s.forgetLocked(st, op)
	case OpEvict:
		if op.N != 0 {
			s.readLocked(readJob{strand: st, op: *op})
			break
		}
		s.forgetLocked(st, op)
	case OpBind:
		st.bind(op.Seq, op.PacketID)
		s.answerLocked(st, op.Tag, done)
	case OpRelease, opAway:
		// Both halves of a release are in one cursor, or the message would come
		// again under an id that the client has released.
		if s.unknownLocked(op.segment) {
			s.readLocked(readJob{strand: st, op: *op, answer: done})
			break
		}
		s.forgetLocked(st, op)
		if op.Kind == OpRelease {
			st.release(op.PacketID)
		}
		s.answerLocked(st, op.Tag, done)
	case OpSent:
		if op.Seq > st.sent {
			st.sent = op.Seq
			s.dirtyLocked(st, 0)
		}
	case OpRead:
		s.readLocked(readJob{strand: st, op: *op, answer: done})
	}
}

func (s *Store) inboundDoneLocked(l *lane, op *Op, done Answer) {
	s.endReceivedLocked(l, op.PacketID, false)
	var k key
	s.mu.open.batch.Delete(k.inbound(l.id, op.PacketID))
	if op.Tag != 0 {
		s.mu.open.tickets = append(s.mu.open.tickets, ticket{answer: done, tag: op.Tag})
	}
	s.wake()
}

// answerLocked answers tag when the cursor as it is now is durable.
func (s *Store) answerLocked(st *strand, tag uint64, done Answer) {
	s.dirtyLocked(st, 1)
	if tag != 0 {
		st.lane.tags = append(st.lane.tags, ticket{answer: done, tag: tag})
	}
	s.urgeLocked(st.lane)
}

// forgetLocked forgets records. Where their bodies are is known from the op,
// unless the segment was rewritten since the message was read: then a reader
// looks at the record first.
func (s *Store) forgetLocked(st *strand, op *Op) {
	n := max(op.N, 1)
	if s.unknownLocked(op.segment) {
		s.readLocked(readJob{strand: st, op: Op{Kind: OpAck, Seq: op.Seq, N: n}})
		return
	}
	s.forgotLocked(st, st.forget(op.Seq, uint64(n), op.segment, op.Kind == opAway), op.Kind)
}

// forgotLocked counts n records that an op of a kind took out.
func (s *Store) forgotLocked(st *strand, n int, kind OpKind) {
	if n == 0 {
		return
	}
	if kind == opAway {
		s.counts.exported.Add(uint64(n))
	} else {
		s.counts.acks.Add(uint64(n))
	}
	s.dirtyLocked(st, n)
}

// unknownLocked says whether a segment's references may have gone elsewhere.
func (s *Store) unknownLocked(id uint64) bool {
	if id == 0 {
		return false
	}
	seg := s.mu.segments[id]
	return seg == nil || seg.moved
}
