package queue

import "strings"

// QueueID names a queue on this node. The Store assigns it and never assigns
// it again; zero is no queue.
type QueueID uint64

// Name is the name of a client's queue in the store, and SplitName its inverse.
func Name(mountpoint, clientID string) string { return mountpoint + "\x00" + clientID }

// SplitName gives what Name made a name of.
func SplitName(name string) (mountpoint, clientID string) {
	mountpoint, clientID, _ = strings.Cut(name, "\x00")
	return mountpoint, clientID
}

// MessageID names a message in the whole cluster (R1): the incarnation of the
// node that took it in, and a number that this incarnation gave once. Numbers
// are leased in blocks, so gaps are legal.
type MessageID struct{ Ingress, N uint64 }

// Derived reports whether the id was not given by a node but derived from what
// the message is, so that whoever publishes the same again does so under the same
// id (R29). Incarnations are odd.
func (id MessageID) Derived() bool { return id.Ingress&1 == 0 }

// Message is one published message. Immutable once handed to a queue or to the
// store, and shared by all its receivers.
type Message struct {
	ID        MessageID
	QoS       uint8
	ExpiresAt int64  // unix milliseconds, 0 never
	Body      []byte // opaque to this package

	// segment is where the store keeps the body, 0 where the body stands in
	// the queue's own record. Written by Store.Append before anybody else
	// can see the message, or by the reader that builds it.
	segment uint64
}

// Expired says whether the message is past its time at now (unix
// milliseconds).
func (m *Message) Expired(now int64) bool { return m.ExpiresAt != 0 && now >= m.ExpiresAt }

// Entry is one message in one queue.
type Entry struct {
	Seq    uint64 // its place in the queue
	Msg    *Message
	QoS    uint8 // the effective one
	Retain bool
	SubIDs []uint32
	// Dup says that the client may have been handed this message before. It is
	// never false for one that was acknowledged as sent (OpSent) before a crash.
	Dup bool
	// PacketID is set for a QoS 2 message that is bound to a packet id
	// already: send it again with that id, without another Bind.
	PacketID uint16
	// Released stands for a QoS 2 message that the client has (PUBREC came):
	// only PUBREL and PUBCOMP are outstanding, Msg is nil.
	Released bool
}

// Binding is a QoS 2 message whose packet id is durable.
type Binding struct {
	Seq      uint64
	PacketID uint16
}

// Received is a publisher's QoS 2 packet id that is bound to a message (R4).
type Received struct {
	PacketID uint16
	ID       MessageID
	Begun    bool // not all that are to have the message may have it: if it is sent again it is this one
}

// Part is what is durable about an older generation of a queue, as in State.
type Part struct {
	Generation  uint64
	Head, Tail  uint64
	Count       int
	SentThrough uint64
	Bound       []Binding
}

// Total counts the messages of all generations.
func (st *State) Total() int {
	n := st.Count
	for i := range st.Older {
		n += st.Older[i].Count
	}
	return n
}

// State is what is durable about a queue, as Store.Open restores it. The zero
// value is a fresh queue.
type State struct {
	Generation  uint64
	Head, Tail  uint64 // live messages have sequences in [Head, Tail)
	Count       int    // messages of this generation that are not acknowledged
	SentThrough uint64 // messages up to here may have been handed to the client
	Bound       []Binding
	Released    []uint16   // in the order in which PUBREC came
	Received    []Received // inbound QoS 2, ascending by packet id

	// Older are the generations before this one, ascending (R20), and MovingFrom
	// the node that still holds a part of the queue, 0 for none.
	Older      []Part
	MovingFrom uint64
	Fences     []byte // what Store.Fences was told last; it does not change

	instance uint64 // rises with each Store.Open
}
