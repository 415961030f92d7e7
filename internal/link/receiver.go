package link

import (
	"errors"
	"sort"

	"tombolo/internal/wire"
)

// The faults of a peer's stream.
var (
	errGap     = errors.New("a frame of the stream is missing")
	errCredit  = errors.New("more was sent than was granted")
	errChunk   = errors.New("chunks of a message do not fit together")
	errTooLong = errors.New("a message is longer than any may be")
)

// arrival is one message that a stream has brought. Owned by the receiver of
// the stream.
type arrival struct {
	last   uint64 // its last frame
	bytes  uint64 // of all bodies up to it
	done   bool
	result wire.Result
	reason uint8
}

// receiver is the receiving end of one numbered stream: a pure core. Owned by
// whoever holds the peer's lock.
//
// Invariants, checked by check:
//
//	(1) applied ≤ received; every arrival lies in (applied, received], in order
//	(2) the first arrival is not done, or there is none
//	(3) outcomes are in order and none is older than the window
//	(4) no more messages are open than the window has frames
type receiver struct {
	stream      wire.Stream
	incarnation wire.Incarnation // of the sender
	window      int              // bytes that may be taken in and not ended

	received uint64 // the last frame taken in
	accepted uint64 // bytes of bodies up to received
	applied  uint64 // everything up to here has ended
	consumed uint64 // bytes of bodies up to applied
	arrivals []arrival
	outcomes []wire.Outcome // of what did not end as stored, for as long as the sender may not know

	assembly   []byte // of a message in chunks
	assembling bool
	kind       wire.Type

	ackDue     bool
	toldEnd    uint64 // through of the last ack on this connection
	granted    uint64 // credit in it
	duplicates uint64
	skipped    uint64 // frames that the sender says have ended, and of which nothing is known here

	late func(seq uint64, result wire.Result, reason uint8) // Message.Done for whoever has no Message any more; immutable
}

// newReceiver begins a stream of an incarnation of the peer with what is
// durable here (R2): everything up to applied has ended, as outcomes say.
func newReceiver(s wire.Stream, window int, inc wire.Incarnation, applied uint64, outcomes []wire.Outcome) *receiver {
	return &receiver{stream: s, window: window, incarnation: inc, received: applied, applied: applied,
		outcomes: append([]wire.Outcome(nil), outcomes...)}
}

// resume is what the sender has to know on a new connection.
func (r *receiver) resume(m *wire.Resume) {
	r.granted = r.grant()
	r.toldEnd, r.ackDue = r.applied, false
	*m = wire.Resume{Received: r.received, Accepted: r.accepted, Ack: wire.Ack{
		Stream: r.stream, Incarnation: r.incarnation, Through: r.applied, Credit: r.granted, Outcomes: r.outcomes,
	}}
}

// grant is up to which byte the sender may send. What is half here is taken in
// to its end, however long, since only its end frees anything.
func (r *receiver) grant() uint64 {
	g := r.consumed + uint64(r.window)
	if r.assembling {
		g = max(g, r.accepted+uint64(r.window))
	}
	return max(g, r.granted)
}

// open takes the sender's word which frame comes first. It goes beyond what is
// known here if the sender was told of ends that we have forgotten.
func (r *receiver) open(o *wire.Open) error {
	if o.Next <= r.received {
		return errChunk
	}
	if o.Next == r.received+1 {
		return nil
	}
	if len(r.arrivals) > 0 {
		return errGap // what we still hold has not ended, whatever the sender says
	}
	r.assembling, r.assembly = false, nil
	if r.received > 0 {
		r.skipped += o.Next - 1 - r.received
	}
	r.received, r.applied = o.Next-1, o.Next-1
	r.consumed = r.accepted
	return nil
}

// frame takes a frame in. ok says that it ends a message, which is body: a view
// of the frame, or for a message in chunks a slice of its own.
func (r *receiver) frame(h *wire.Header, frame []byte) (body []byte, ok bool, err error) {
	if h.Sequence <= r.received {
		r.duplicates++
		return nil, false, nil
	}
	if h.Sequence != r.received+1 {
		return nil, false, errGap
	}
	if r.accepted+uint64(len(frame)) > r.granted || len(r.arrivals) > 0 && h.Sequence-r.applied > wire.WindowFramesMax {
		return nil, false, errCredit // frames without a body would cost no byte of credit, and are kept all the same
	}
	first, last := h.Flags&wire.FlagFirst != 0, h.Flags&wire.FlagLast != 0
	if first == r.assembling || !first && h.Type != r.kind {
		return nil, false, errChunk
	}
	r.received++
	r.accepted += uint64(len(frame))
	switch {
	case first && last:
		body = frame
	case len(r.assembly)+len(frame) > wire.MessageBytesMax:
		return nil, false, errTooLong
	default:
		r.assembling, r.kind = !last, h.Type
		r.assembly = append(r.assembly, frame...)
		if !last {
			// The rest may come before anything else ends.
			r.ackDue = r.ackDue || r.granted-r.accepted < uint64(r.window)/2
			return nil, false, nil
		}
		body, r.assembly = r.assembly, nil
	}
	r.arrivals = append(r.arrivals, arrival{last: h.Sequence, bytes: r.accepted})
	return body, true, nil
}

// done ends the message whose last frame is seq. One that is not open, such as
// one of an earlier incarnation, is ignored.
func (r *receiver) done(seq uint64, result wire.Result, reason uint8) {
	i := sort.Search(len(r.arrivals), func(i int) bool { return r.arrivals[i].last >= seq })
	if i == len(r.arrivals) || r.arrivals[i].last != seq || r.arrivals[i].done {
		return
	}
	a := &r.arrivals[i]
	a.done, a.result, a.reason = true, result, reason
	n := 0
	for ; n < len(r.arrivals) && r.arrivals[n].done; n++ {
		a := &r.arrivals[n]
		r.applied, r.consumed = a.last, a.bytes
		if a.result != wire.Stored {
			r.outcomes = append(r.outcomes, wire.Outcome{Sequence: a.last, Result: a.result, Reason: a.reason})
		}
	}
	if n > 0 {
		if rest := len(r.arrivals) - n; rest <= n {
			copy(r.arrivals, r.arrivals[n:])
			r.arrivals = r.arrivals[:rest]
		} else {
			r.arrivals = r.arrivals[n:]
		}
		r.ackDue = true
		r.trim()
	}
}

// trim forgets outcomes that the sender knows for sure: it never has more
// frames open than the window, so it could not have sent received otherwise.
func (r *receiver) trim() {
	n := 0
	for n < len(r.outcomes) && r.outcomes[n].Sequence+wire.WindowFramesMax <= r.received {
		n++
	}
	if n > 0 {
		r.outcomes = append(r.outcomes[:0], r.outcomes[n:]...)
	}
}

// ack is the next acknowledgement on this connection.
func (r *receiver) ack(a *wire.Ack) {
	i := sort.Search(len(r.outcomes), func(i int) bool { return r.outcomes[i].Sequence > r.toldEnd })
	r.granted = r.grant()
	r.toldEnd, r.ackDue = r.applied, false
	*a = wire.Ack{Stream: r.stream, Incarnation: r.incarnation, Through: r.applied, Credit: r.granted, Outcomes: r.outcomes[i:]}
}

// backlog is how many messages are here and have not ended.
func (r *receiver) backlog() int { return len(r.arrivals) }
