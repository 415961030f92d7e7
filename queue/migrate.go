package queue

import "tombolo/internal/wire"

// Place is where a migration stands: everything up to Seq of Generation is
// behind it. The zero value is the beginning.
type Place struct{ Generation, Seq uint64 }

// Record is one message of a queue on its way to another node, or the state of
// a QoS 2 packet id. A value; Msg is shared and immutable.
type Record struct {
	Seq    uint64   // in its generation, which is that of its Batch
	Msg    *Message // only ID is set if Received, nil if Released
	QoS    uint8
	Retain bool
	SubIDs []uint32
	Dup    bool // the client may have been handed it before
	// PacketID is that of a QoS 2 message that is bound to one, or of what
	// follows.
	PacketID uint16
	Released bool // outbound: the client has it, PUBREL is outstanding
	Received bool // inbound: PacketID of the client's own is bound to Msg.ID (R4)
	Begun    bool // Received, and not all that are to have the message may have it
}

// releasedFrom is added to a released packet id to make its sequence in
// generation 0.
const releasedFrom = 1 << 16

// Batch is a part of one generation of a queue, in order: what one migration
// frame carries. Generation 0 is the queue's QoS 2 packet ids and comes first.
// Immutable once built, but for what Import notes in it.
type Batch struct {
	Generation   uint64
	Acknowledged []wire.Span // what nobody needs any more, up to the last record
	Records      []Record
	Last         bool    // of the generation: what follows is of a newer one
	Partial      bool    // other nodes have parts as well: what is not in it may still come (target only)
	Next         Place   // where the next Export begins (source only)
	More         bool    // Export has more at once (source only)
	Receipt      Receipt // what Exported wants to know (source only)

	// kept are the records that the target has already, of which the source knows
	// more. Import sets it.
	kept []knownRecord
}

// knownRecord is a record at its place in a generation of the target.
type knownRecord struct {
	generation uint64
	Record
}

// end is the place up to which a batch tells all that its source knows.
func (b *Batch) end() Place {
	switch {
	case b.Last:
		return Place{b.Generation, ^uint64(0)}
	case len(b.Records) > 0:
		return Place{b.Generation, b.Records[len(b.Records)-1].Seq}
	}
	return Place{Generation: b.Generation}
}

// Receipt names the records of a batch. It holds no bodies.
type Receipt struct {
	generation uint64
	parts      []goneRange
}

func (r *Receipt) add(seq, segment uint64) {
	if n := len(r.parts); n > 0 {
		if last := &r.parts[n-1]; last.segment == segment && last.seq+last.n == seq {
			last.n++
			return
		}
	}
	r.parts = append(r.parts, goneRange{seq, 1, segment})
}

// Exported deletes what a batch held, since its target has it durably (R22). It
// is not forgotten as acknowledged: it may come back.
func (s *Store) Exported(id QueueID, r Receipt, done Done) {
	s.mu.Lock()
	l := s.mu.lanes[id]
	err := s.refusalLocked()
	if err == nil && (l == nil || l.dropped) {
		err = ErrNoQueue
	}
	if err != nil {
		s.refuseLocked(done.with(err), err)
		return
	}
	if r.generation == 0 || len(r.parts) == 0 {
		g := s.groupLocked(0)
		before := g.batch.Bytes()
		s.exportedIDsLocked(g, l, r)
		s.handedLocked(g, before, done)
		return
	}
	// Answers come from one goroutine, one for each part.
	left := len(r.parts)
	var first error
	answer := func(_ uint64, _ []Entry, _ bool, err error) {
		if left--; first == nil {
			first = err
		}
		if left == 0 && done != nil {
			done(first)
		}
	}
	for _, p := range r.parts {
		s.doLocked(l, &Op{Kind: opAway, Seq: p.seq, N: int(p.n), Tag: 1, generation: r.generation, segment: p.segment}, answer)
	}
	s.mu.Unlock()
}

func (s *Store) exportedIDsLocked(g *group, l *lane, r Receipt) {
	var k key
	for _, p := range r.parts {
		for seq := p.seq; seq < p.seq+p.n; seq++ {
			if seq >= releasedFrom {
				if st := l.complete(uint16(seq - releasedFrom)); st != nil {
					st.changed = true
				}
				continue
			}
			s.endReceivedLocked(l, uint16(seq), true)
			g.batch.Delete(k.inbound(l.id, uint16(seq)))
		}
	}
	s.cursorLocked(g, l)
}
