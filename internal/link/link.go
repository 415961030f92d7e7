package link

import (
	"tombolo/internal/wire"
)

// NodeID names a node for the life of its data directory.
type NodeID = wire.NodeID

// Result is how a message ended for the one who sent it.
type Result = wire.Ending

// The results.
const (
	Stored  = wire.EndStored
	NoMatch = wire.EndNoMatch
	InSpool = wire.EndInSpool
	Lost    = wire.EndLost
	Refused = wire.EndRefused
)

func resultOf(r wire.Result) Result {
	switch r {
	case wire.NoMatch:
		return NoMatch
	case wire.Refused:
		return Refused
	}
	return Stored
}

// Ticket is told once how a message ended. Ended is called without a lock, must
// not block, and may send.
type Ticket interface {
	Ended(peer NodeID, result Result, reason uint8)
}

// Message is one message of a numbered stream for its handler. Body may be kept
// until Done and must not be changed; it shares memory with its neighbours, so
// what is kept longer is better copied.
type Message struct {
	From        NodeID
	Incarnation wire.Incarnation // of the sender
	Stream      wire.Stream
	Sequence    uint64 // what Applied is to hold when it has ended (R2)
	Type        wire.Type
	Body        []byte

	whole    bool // it came in one frame
	peer     *peer
	receiver *receiver
}

// Done ends the message. Call it once, from any goroutine; it never blocks.
// Until then the stream's credit is held.
func (m *Message) Done(result wire.Result, reason uint8) {
	m.peer.done(m.receiver, m.Sequence, result, reason)
}

// Late is Done for a message with such a sequence, without the message: it is the
// same function for all messages of a stream.
func (m *Message) Late() func(seq uint64, result wire.Result, reason uint8) { return m.receiver.late }

// Peer is what a handshake has told of the other side. Immutable.
type Peer struct {
	ID          NodeID
	Name        string
	Incarnation wire.Incarnation
	Actor       uint64
	OpenNonce   uint64
	Durability  string
	Advertise   string
	Version     uint8 // agreed for this link
}

// Handler is what the assembly does with what comes in. Calls for one peer come
// from several goroutines, those for one stream from one.
type Handler interface {
	// Up says that both connections to a peer stand. restarted: it is another
	// process than last time, so that everything soft about it is void and
	// has to be sent to it anew.
	Up(p Peer, restarted bool)
	// Down says that a connection to a peer ended after Up, and why.
	Down(id NodeID, reason string)
	// Message takes the next message of a numbered stream. It may block: that
	// holds this stream of this peer up and nothing else, but for Run, which
	// waits for it at the end.
	Message(m Message)
	// Datagram takes a message that nothing confirms: replication, QoS 0. The
	// body is valid during the call. It must not block, and may come before
	// Up, since the two ends do not see the link stand in the same instant.
	Datagram(from NodeID, kind wire.Type, body []byte)
	// Instant offers a publish of wire.StreamPublish, before which nothing
	// waits, to be taken at once: the result is how it ended, and Done is not
	// called, or wire.Later, and Late is called once, maybe before Instant
	// returns. If it is not ok nothing has happened, and the message comes to
	// Message. It must not block; m.Body is valid during the call.
	Instant(m Message) (result wire.Result, reason uint8, ok bool)
	// Drained says, after one or more publishes on wire.StreamFast, calls of
	// Instant, or tickets that ended, that for the moment there is no more:
	// what was put off until then is to be done now. It is called by the
	// goroutine that handed them on, and must not block.
	Drained(from NodeID)
}

// Detector judges links from heartbeats. The mesh steps it from one goroutine.
type Detector interface {
	// Heard takes a heartbeat, which is valid during the call.
	Heard(from NodeID, inc wire.Incarnation, h *wire.Heartbeat, now int64)
	// Tick lets time pass (unix ms); send is called for every heartbeat that is
	// due. The result is when to call again.
	Tick(now int64, send func(to NodeID, h *wire.Heartbeat)) (wake int64)
}

// Applied knows how far the numbered streams of peers have had their effect
// here for good (R2).
type Applied interface {
	// Through is the last frame of a sender's stream whose message and all
	// before it have ended, as it was stored in the batch of their effects,
	// and the outcomes among the last wire.WindowFramesMax frames that were
	// not "stored". Zero if nothing is known.
	Through(from NodeID, inc wire.Incarnation, s wire.Stream) (uint64, []wire.Outcome)
}
