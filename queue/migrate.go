package queue

import (
	"errors"

	"tombolo/internal/wire"
)

// errNotBuilt goes with the last commit of this part.
var errNotBuilt = errors.New("migration of queues is not built yet")

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
}

// Batch is a part of one generation of a queue, in order: what one migration
// frame carries. Generation 0 is the queue's QoS 2 packet ids and comes first.
// Immutable once built.
type Batch struct {
	Generation   uint64
	Acknowledged []wire.Span // what nobody needs any more, up to the last record
	Records      []Record
	Last         bool    // of the generation: nothing more can come to it here
	Next         Place   // where the next Export begins (source only)
	More         bool    // Export has more at once (source only)
	Receipt      Receipt // what Exported wants to know (source only)
}

// Receipt names the records of a batch. It holds no bodies.
type Receipt struct {
	generation uint64
	parts      []goneRange
}

// OpenGeneration is Open for a session's new home or its new connection: what
// is appended from here on belongs to this generation (R20), which is its
// session's epoch and never below those that are stored. Older ones are kept
// and come first. Fresh drops what was there. The State has all of them.
//
// Whoever calls it sees to it that no Append to this queue is under way whose
// Done goes to another Queue than the one made of the State.
func (s *Store) OpenGeneration(name string, generation uint64, fresh bool) (QueueID, State, error) {
	return 0, State{}, errNotBuilt
}

// Moving notes durably that a part of the queue is still at another node, 0 for
// none: State.MovingFrom tells after a restart. While it is set the store knows
// the ids that came in and leaves a second copy out (R21).
func (s *Store) Moving(id QueueID, from uint64, done Done) {
	s.mu.Lock()
	s.refuseLocked(done, errNotBuilt)
}

// Export reads what follows after a place, at most so many records and, beyond
// the first, so many bytes of bodies. It changes nothing. done is called from the
// completion goroutine, or at once if the queue is not open; a batch without
// records and with Next equal to after says that there is nothing.
func (s *Store) Export(id QueueID, after Place, countMax, bytesMax int, done func(b *Batch, err error)) {
	done(nil, errNotBuilt)
}

// Exported deletes what a batch held, since its target has it durably (R22).
func (s *Store) Exported(id QueueID, r Receipt, done Done) {
	s.mu.Lock()
	s.refuseLocked(done, errNotBuilt)
}

// Import takes a batch in, behind what is there of its generation, with ap in
// the same commit (nil for none). stored is what was new: the rest is here, was
// acknowledged here, or came another way. done is called from the completion
// goroutine; hand stored to Queue.Imported in it. It does not block, and no
// limit of the queue holds it up (R22): what comes in is bounded by the limits
// of its source and, until it is committed, by the link's credit.
func (s *Store) Import(id QueueID, b *Batch, ap *Applied, done func(stored []Record, err error)) {
	done(nil, errNotBuilt)
}
