package session

import "tombolo/mqtt/packet"

// Request is what a step asks of the broker.
type Request uint8

// The requests. Each is answered by the method named in its comment, with the
// token of the Effects that carried it.
const (
	RequestNone        Request = iota
	RequestConnect             // Effects.Connect; answered by attaching a Session, or Handshake.Refuse
	RequestAuth                // Effects.Auth; answered by Handshake.Challenge, or Session.AuthContinue, AuthDone
	RequestPublish             // Effects.Publish; Session.PublishDone, also at QoS 0 when it is refused
	RequestSubscribe           // Effects.Subscribe; Session.SubscribeDone
	RequestUnsubscribe         // Effects.Unsubscribe; Session.UnsubscribeDone
	RequestForget              // Effects.PacketID, an inbound QoS 2 id; Session.Forgotten once that is durable
)

// Close says that the connection ends and how.
type Close struct {
	Reason packet.ReasonCode
	Detail string // a fixed sentence; labels a counter and the log line
	Client bool   // the client sent DISCONNECT
	Clean  bool   // it did so with 0x00: no will
	Will   bool   // the client asked for its will, or the end is abnormal
}

// Body is a payload that is sent from where it lies: nobody writes to it ever
// again, so it may wait in many outboxes at once. It belongs before Out[At].
type Body struct {
	At      int
	Payload []byte
}

// ShareBytesMin is from which size on a payload is worth a Body of its own
// instead of a copy (docs/benchmarks/conn.md).
const ShareBytesMin = 8 << 10

// Effects is what one step wants done. It belongs to the caller, who reuses it
// for the next step after Reset; the packet fields are views into the bytes
// that were stepped and die with them.
type Effects struct {
	Out         []byte // packets for this session's connection, in order
	Bodies      []Body // payloads of packets in Out that stand beside it, in order
	Request     Request
	Token       uint64
	PacketID    packet.ID
	Publish     packet.Publish
	Connect     packet.Connect
	Subscribe   packet.Subscribe
	Unsubscribe packet.Unsubscribe
	Auth        packet.Auth
	Closing     bool
	Close       Close
	// SessionExpiry is set with Close when DISCONNECT changed the interval.
	HasSessionExpiry bool
	SessionExpiry    uint32
	// Dropped counts deliveries given up in this step because the packet was
	// larger than the client accepts.
	Dropped int
	// Sent counts PUBLISH packets put into Out, by QoS.
	Sent [3]int

	ack        packet.Ack
	disconnect packet.Disconnect
	outgoing   packet.Publish // decoded from the queue
	direct     packet.Publish // borrows the publisher's slices; never decoded into
}

// Reset empties e for the next step and keeps its buffers.
func (e *Effects) Reset() {
	e.Out = e.Out[:0]
	if len(e.Bodies) > 0 {
		clear(e.Bodies)
		e.Bodies = e.Bodies[:0]
	}
	e.Request = RequestNone
	e.Token = 0
	e.Closing = false
	e.Close = Close{}
	e.HasSessionExpiry = false
	e.Dropped = 0
	e.Sent = [3]int{}
}

// share files a payload that stands behind the bytes in Out.
func (e *Effects) share(payload []byte) {
	e.Bodies = append(e.Bodies, Body{At: len(e.Out), Payload: payload})
}

// request files the one request of this step.
func (e *Effects) request(r Request, token uint64) {
	e.Request = r
	e.Token = token
}

// close files the end of the connection; the first reason wins.
func (e *Effects) close(c Close) {
	if !e.Closing {
		e.Closing = true
		e.Close = c
	}
}
