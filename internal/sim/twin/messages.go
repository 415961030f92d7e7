package twin

import "tombolo/dvv"

// Node is the id of a node.
type Node uint64

// Message is one of the kinds below. Messages are shared between replicas of
// one simulation: nobody changes one after it was sent.
type Message interface{ head() *Head }

// Head stands in every message.
type Head struct {
	From    Node
	Nonce   uint64 // of the sender's opening
	Prev    uint64 // of the opening before, as its store remembers
	HLC     uint64
	Members Members
	Retired map[dvv.Actor]Seal
}

func (h *Head) head() *Head { return h }

// Seal is what is known of a retired actor. Immutable.
type Seal struct {
	Done bool
	Gaps []dvv.Run // what nobody had when it was done
}

// Probe asks the holder of a node id whether it is alive; Alive answers.
type Probe struct {
	Head
	Holder, Number uint64
}

// Alive answers a Probe.
type Alive struct {
	Head
	Number uint64
}

// Members is the versioned member set; the higher version wins.
type Members struct {
	Version uint64
	IDs     []Node // ascending
	Gone    bool   // somebody was removed once
}

// Has says whether n is a member.
func (m Members) Has(n Node) bool {
	for _, id := range m.IDs {
		if id == n {
			return true
		}
	}
	return false
}

// Hello opens: it is what a starting replica asks every member.
type Hello struct {
	Head
	Actor dvv.Actor
}

// Welcome answers a Hello.
type Welcome struct {
	Head
	For     uint64 // the nonce of the Hello
	Top     uint64 // highest counter of the asker's actor here
	Broken  bool   // the opening before is not the one that was seen here last
	Refused bool   // another holder of the asker's id is alive
}

// Replicate pushes one write.
type Replicate struct {
	Head
	Key    string
	Object dvv.Object // filled
	Dot    dvv.Dot
	Delete bool
}

// Request begins an exchange: the sender pulls.
type Request struct {
	Head
	Transfer uint64
	Actor    dvv.Actor
	Clock    dvv.Clock
	Digest   uint64
	Full     bool
}

// Next asks for the chunk of a transfer.
type Next struct {
	Head
	Transfer uint64
	Seq      int
}

// Item is a key in a chunk.
type Item struct {
	Key     string
	Object  dvv.Object // filled with the bases of Chunk.Clock
	Deletes []dvv.Dot  // delete dots of the key
}

// Chunk is a part of a transfer. The clock is the responder's at the instant of
// the snapshot; it counts only with the last chunk, to fill apart.
type Chunk struct {
	Head
	Transfer uint64
	Seq      int
	Last     bool
	Full     bool
	FromKey  string // keys ≥ FromKey …
	ToKey    string // … and < ToKey, "" for open, are told completely by a full chunk
	Items    []Item
	Clock    dvv.Clock
	Objects  dvv.Clock // the clock that the objects were stripped with: for checkers only
	Digest   uint64
	Horizon  dvv.Clock
	Matrix   map[Node]dvv.Clock
	Actor    dvv.Actor
	Broken   bool // the asker's store is older than what was heard of it
}

// Conflict tells the writer of a dot that it was seen with two values.
type Conflict struct {
	Head
	Actor dvv.Actor
}

// Outgoing is a message and where it goes.
type Outgoing struct {
	To Node
	M  Message
}

// Ack is the answer to an operation.
type Ack struct {
	Op      uint64
	Refused bool
	Dot     dvv.Dot
	HLC     uint64
}

// Output is what a step wants of the world. It belongs to the caller.
type Output struct {
	Send []Outgoing
	Acks []Ack
}
