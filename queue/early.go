package queue

// ahead is an entry that was handed out before the store had committed it. A
// value.
type ahead struct {
	seq   uint64
	acked bool // the client has it already
}

// Early hands an entry out that was appended and is not committed yet: true says
// that it is in flight. It has to be the next of this queue, with nothing that
// waits before it, so that order is that of Append as ever; else nothing has
// happened and it comes with Committed. Committed or Failed follow in any case:
// an acknowledgement that comes before is kept until then, since the store knows
// nothing of the message yet.
//
// For QoS 1 only: what is handed out before a crash that takes the commit with it
// comes again when its publisher sends it again, as another message.
func (q *Queue) Early(e *Entry, now int64) bool {
	b := q.backlog
	switch {
	case b == nil || !q.online || q.elders != nil || e.QoS != 1 || e.Msg.QoS != 1 || e.Msg.Expired(now):
		return false
	case q.waiting.n > 0 || b.stored > 0 || b.reading:
		return false
	case e.Seq != b.last()+1 || b.through < b.landed:
		return false
	}
	q.sent(e.Seq)
	q.flight.enter(e)
	b.early = append(b.early, ahead{seq: e.Seq})
	return true
}

// Failed is Abandoned for an entry that may have been handed out early.
func (q *Queue) Failed(seq uint64) {
	q.Abandoned()
	if q.backlog == nil {
		return
	}
	if a, was := q.backlog.caughtUp(seq); was && !a.acked {
		q.flight.forget(q.flight.find(seq))
	}
}

// last is the highest sequence that is committed or was handed out.
func (b *backlog) last() uint64 {
	if n := len(b.early); n > 0 {
		return b.early[n-1].seq
	}
	return b.through
}

// caughtUp takes an entry out of those that were handed out early.
func (b *backlog) caughtUp(seq uint64) (ahead, bool) {
	if len(b.early) == 0 || b.early[0].seq != seq {
		return ahead{}, false
	}
	a := b.early[0]
	b.early = append(b.early[:0], b.early[1:]...)
	return a, true
}

// ackedEarly notes the acknowledgement of an entry that is not committed; false
// if it is.
func (b *backlog) ackedEarly(seq uint64) bool {
	for i := range b.early {
		if b.early[i].seq == seq {
			b.early[i].acked = true
			return true
		}
	}
	return false
}

// landEarly takes what is not committed out of flight: it waits again when it
// is, and until then nothing overtakes it.
func (q *Queue) landEarly() {
	b := q.backlog
	kept := b.early[:0]
	for _, a := range b.early {
		if a.acked {
			kept = append(kept, a)
			continue
		}
		b.landed = a.seq
		q.flight.forget(q.flight.find(a.seq))
	}
	b.early = kept
}
