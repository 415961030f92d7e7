package queue

// Do does what a Queue asked for. It does no I/O and never blocks. done is
// called for each op with a tag: when it is durable, or with the answer to a
// read; always from the completion goroutine, unless the store was stopped.
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
	for i := range ops {
		s.doLocked(l, &ops[i], done)
	}
	s.mu.Unlock()
}

func (s *Store) doLocked(l *lane, op *Op, done Answer) {
	switch op.Kind {
	case OpAck:
		s.forgetLocked(l, op)
	case OpEvict:
		if op.N != 0 {
			s.readLocked(readJob{lane: l, op: *op})
			break
		}
		s.forgetLocked(l, op)
	case OpBind:
		l.bind(op.Seq, op.PacketID)
		s.answerLocked(l, op.Tag, done)
	case OpRelease:
		// Both halves are in one cursor, or the message would come again under
		// an id that the client has released.
		if s.unknownLocked(op.segment) {
			s.readLocked(readJob{lane: l, op: *op, answer: done})
			break
		}
		s.forgetLocked(l, op)
		l.release(op.PacketID)
		s.answerLocked(l, op.Tag, done)
	case OpComplete:
		l.complete(op.PacketID)
		s.dirtyLocked(l, 1)
	case OpSent:
		if op.Seq > l.sent {
			l.sent = op.Seq
			s.dirtyLocked(l, 0)
		}
	case OpInboundDone:
		delete(l.received, op.PacketID)
		var k key
		s.mu.open.batch.Delete(k.inbound(l.id, op.PacketID))
		if op.Tag != 0 {
			s.mu.open.tickets = append(s.mu.open.tickets, ticket{answer: done, tag: op.Tag})
		}
		s.wake()
	case OpRead:
		s.readLocked(readJob{lane: l, op: *op, answer: done})
	}
}

// answerLocked answers tag when the cursor as it is now is durable.
func (s *Store) answerLocked(l *lane, tag uint64, done Answer) {
	s.dirtyLocked(l, 1)
	if tag != 0 {
		l.tags = append(l.tags, ticket{answer: done, tag: tag})
	}
	s.urgeLocked(l)
}

// forgetLocked forgets records. Where their bodies are is known from the op,
// unless the segment was rewritten since the message was read: then a reader
// looks at the record first.
func (s *Store) forgetLocked(l *lane, op *Op) {
	n := max(op.N, 1)
	if s.unknownLocked(op.segment) {
		s.readLocked(readJob{lane: l, op: Op{Kind: OpAck, Seq: op.Seq, N: n}})
		return
	}
	if forgotten := l.forget(op.Seq, uint64(n), op.segment); forgotten > 0 {
		s.counts.acks.Add(uint64(forgotten))
		s.dirtyLocked(l, forgotten)
	}
}

// unknownLocked says whether a segment's references may have gone elsewhere.
func (s *Store) unknownLocked(id uint64) bool {
	if id == 0 {
		return false
	}
	seg := s.mu.segments[id]
	return seg == nil || seg.moved
}
