package replica

import "tombolo/dvv"

// EventKind says what happened.
type EventKind uint8

// The kinds of events. Each is counted by the shell.
const (
	EventMinted      EventKind = iota // this store writes under a new actor
	EventAmnesia                      // a peer knows dots of ours that we lack (R30)
	EventRollback                     // a peer came back with less than it had
	EventQuarantined                  // one dot was seen with two values
	EventDigest                       // equal clocks and different digests, or two stores that went apart
	EventJoinBegan                    // a full join began
	EventJoinEnded                    // and ended
	EventServing                      // writes are taken from now on
	EventRefused                      // another live store holds this node id
	EventStranger                     // a peer does not count us as a member
	EventDrift                        // our wall clock is off, or right again (R34)
	EventCapped                       // deletes were collected without an absent member's knowledge
	EventLasting                      // what is missing of a retired actor is lost: contexts that name it were put aside
	EventClosed                       // it was too much to carry: the gaps were closed for good
	EventBadFrame                     // a peer sent what we cannot read
	EventDamaged                      // a record of our own cannot be read
	EventGaveUp                       // an exchange ended early
	EventRange                        // a range of keys has another digest at a peer, at the same cut (R32)
	EventMended                       // the disk had another record than was written: a peer's was taken over
	eventKinds
)

var eventNames = [eventKinds]string{
	"minted", "amnesia", "rollback", "quarantined", "digest", "join_began", "join_ended", "serving",
	"refused", "stranger", "drift", "capped", "lasting", "closed", "bad_frame", "damaged", "gave_up", "range", "mended",
}

// String is the kind's name in logs and metrics.
func (k EventKind) String() string { return eventNames[k] }

// EventKinds is all of them.
func EventKinds() []EventKind {
	list := make([]EventKind, eventKinds)
	for i := range list {
		list[i] = EventKind(i)
	}
	return list
}

// Event is something worth counting or logging. Immutable.
type Event struct {
	Kind EventKind
	Peer uint64 // zero if none
	Dot  dvv.Dot
	Text string
}
