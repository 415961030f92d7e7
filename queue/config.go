package queue

import "math"

// Config holds the limits of one queue.
type Config struct {
	// MaxOnline and MaxOffline bound the messages that wait, without those in
	// flight, while the client is connected and while it is not; -1 is without
	// bound, 0 takes none.
	MaxOnline, MaxOffline int
	// LIFO drops the oldest message at the bound; otherwise the new one.
	LIFO bool
	// Refuse refuses the new message at the bound, so that its publisher is
	// told; it goes before LIFO.
	Refuse bool
	// OverrideMaxOnline keeps what was taken in offline when the client comes
	// back, also above MaxOnline. Otherwise the excess is dropped.
	OverrideMaxOnline bool
	// MemoryEntries and MemoryBytes bound what a durable queue holds in memory
	// of what waits; zero takes the default. One message is always held,
	// however large.
	MemoryEntries, MemoryBytes int
}

// The defaults give a thousand reconnecting clients 64 MB between them.
const (
	DefaultMemoryEntries = 128
	DefaultMemoryBytes   = 64 << 10
)

// Admission is the answer to a message that wants to enter a queue.
type Admission uint8

const (
	// Accept: a place is reserved.
	Accept Admission = iota
	// AcceptEvictOldest: a place is reserved, and the oldest waiting message
	// goes when the reservation is settled by Committed.
	AcceptEvictOldest
	// DropNew: not taken, the publisher is not told.
	DropNew
	// Refuse: not taken, the publisher is told.
	Refuse
)

// String names the admission.
func (a Admission) String() string {
	switch a {
	case Accept:
		return "accept"
	case AcceptEvictOldest:
		return "accept-evict"
	case DropNew:
		return "drop"
	}
	return "refuse"
}

// Stats is what a queue holds and what it let go, by reason.
type Stats struct {
	Waiting  int // not in flight, in memory or stored
	Stored   int // of these, known only to the store
	InFlight int
	Bytes    int // bodies of what waits in memory

	DroppedFull   uint64 // new messages at the bound (FIFO)
	DroppedOldest uint64 // oldest messages at the bound (LIFO)
	DroppedExcess uint64 // above MaxOnline when the client came back
	DroppedQoS0   uint64 // QoS 0 while offline, or for a durable queue
	Refused       uint64
	Expired       uint64
	Failed        uint64 // reservations that were abandoned
	Lost          uint64 // counted by the store and not there any more: damage
}

// tally is what a queue let go, and how much of that LetGo has told.
type tally struct {
	Stats
	excessTold, expiredTold uint64
}

// LetGo returns how many messages the queue has dropped by itself since the last
// call: those above MaxOnline when the client came back, and those whose time was
// over. What it drops when it is asked for a place its answer says.
func (q *Queue) LetGo() (excess, expired uint64) {
	if q.counts == nil && q.elders == nil {
		return 0, 0
	}
	return q.letGo()
}

func (q *Queue) letGo() (excess, expired uint64) {
	tell := func(t *tally) {
		if t == nil {
			return
		}
		excess, expired = excess+t.DroppedExcess-t.excessTold, expired+t.Expired-t.expiredTold
		t.excessTold, t.expiredTold = t.DroppedExcess, t.Expired
	}
	tell(q.counts)
	q.eachElder(func(el *elder) { tell(el.counts) })
	return excess, expired
}

// bound turns a limit of the configuration into one that can be compared.
func bound(limit int) int32 {
	if limit < 0 || limit > math.MaxInt32 {
		return math.MaxInt32
	}
	return int32(limit)
}
