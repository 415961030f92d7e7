package queue

// OpKind is what the store is asked to do for one queue.
type OpKind uint8

const (
	// OpAck forgets the N messages from Seq on.
	OpAck OpKind = iota + 1
	// OpBind binds the message Seq to PacketID (QoS 2). Answered with Tag when
	// durable.
	OpBind
	// OpRelease forgets the message Seq and keeps PacketID. Answered with Tag
	// when durable.
	OpRelease
	// OpComplete forgets PacketID, which was released.
	OpComplete
	// OpInboundDone forgets a publisher's PacketID (QoS 2, R4). The session
	// makes this one itself. Answered with Tag when durable.
	OpInboundDone
	// OpSent notes that messages up to Seq may have been handed to the client.
	OpSent
	// OpRead reads up to N messages from Seq on. Always answered.
	OpRead
	// OpEvict drops the message Seq if N is 0; the first N live and unbound
	// ones at or after Seq if N is positive; the last -N at or before Seq if it
	// is negative.
	OpEvict
	// opAway forgets the N messages from Seq on, which another node has. Answered
	// with Tag when durable.
	opAway
)

// ReadTag marks the tags of OpRead, so that a session can tell them from its
// own, which stay below it.
const ReadTag uint64 = 1 << 63

// refUnknown is the segment of a message that the queue never had in memory.
const refUnknown = ^uint64(0)

// Op is one thing to be done for a queue. The Queue emits all but
// OpInboundDone.
type Op struct {
	Kind     OpKind
	Seq      uint64
	PacketID uint16
	N        int
	Tag      uint64 // 0: no answer is wanted

	generation uint64 // 0: the newest

	segment  uint64 // Message.segment of what is forgotten
	instance uint64 // which Queue took this out, 0 for an op that a session made
	batch    uint64 // which of its Ops
}

var opNames = [...]string{"none", "ack", "bind", "release", "complete", "inbound-done", "sent", "read", "evict", "away"}

// String names the kind.
func (k OpKind) String() string {
	if int(k) < len(opNames) {
		return opNames[k]
	}
	return "unknown"
}
