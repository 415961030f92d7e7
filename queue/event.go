package queue

import (
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/metric"
)

// Target is one queue that an event goes to.
type Target struct {
	Queue  QueueID
	QoS    uint8 // effective
	Retain bool
	SubIDs []uint32
	Seq    uint64 // filled in by Append
}

// Inbound is a publisher's QoS 2 packet id (R4): its session's queue, 0 for
// none.
type Inbound struct {
	Queue    QueueID
	PacketID uint16
	// Begun says that the message goes to other nodes when this is durable, and is
	// not confirmed before Store.Confirmed says so. If the packet id stands for this
	// very message from before a crash, queues that have it do not get it again.
	Begun bool
}

// Event is one message for some queues. The store keeps nothing of it but the
// message; Targets may be used again once done was called.
type Event struct {
	Msg     *Message
	Targets []Target
	Inbound Inbound
	Applied *Applied // the frame that brought it, recorded in the same commit (R2); nil for none
	// Again says that the message may come a second time, for the same receivers:
	// its id is remembered in the same commit until it is settled (R3). If it is
	// known already, this is the second time, and nothing is stored.
	Again bool
}

// leaveOut clears what Append fills in.
func (ev *Event) leaveOut() {
	for i := range ev.Targets {
		ev.Targets[i].Seq = 0
	}
}

// Done says that something is durable, or never will be. It is called from the
// completion goroutine, in commit order; it must be quick and must not call a
// method of the Store that blocks (Append, Sync, Open); AppendNow is for it.
type Done func(err error)

// with is done that tells of an error, whatever becomes of the commit that it
// waits for.
func (done Done) with(err error) Done {
	if done == nil {
		return nil
	}
	return func(error) { done(err) }
}

// Answer is Done for the ops of Do. For an OpRead es are the entries, in order,
// and more says that there may be others behind them.
type Answer func(tag uint64, es []Entry, more bool, err error)

// Durability says what a Done is worth.
type Durability uint8

const (
	// Fsync: the event survives the loss of power.
	Fsync Durability = iota
	// OS: it survives the end of this process.
	OS
	// Memory: nothing survives; the store is emptied when it is opened.
	Memory
)

// String is the value of the option "durability".
func (d Durability) String() string {
	switch d {
	case Fsync:
		return "fsync"
	case OS:
		return "os"
	}
	return "memory"
}

// StoreConfig is the configuration of a Store; zero values take the defaults.
type StoreConfig struct {
	Durability Durability
	// CommitDelayMax is how long the committer may let others go first, as long
	// as they hand something in; it never waits when one publisher has one message
	// outstanding. Default 200 µs, negative for not at all.
	CommitDelayMax time.Duration
	// MaxBytesPending bounds what was handed in and is not committed; Append
	// blocks at the bound. Default 32 MiB.
	MaxBytesPending int
	// AckDelay and AckCount bound how long, and how many, acknowledgements of
	// one queue stay in memory. A crash turns them into duplicates. Defaults
	// 10 ms and 64.
	AckDelay time.Duration
	AckCount int
	// TidyEvery is how often the sweeper looks for sparse segments and for space
	// to give back. Default 30 s.
	TidyEvery time.Duration
	// Incarnation makes the first half of message ids; 0 takes one that the
	// store keeps in the database.
	Incarnation uint64
	// BatchEnd is called from the completion goroutine after a run of Dones and
	// answers: those of one commit or read, or of several that ended meanwhile.
	BatchEnd func()
	// Fault is told about damage, once for each place.
	Fault   func(err error)
	Clock   clock.Clock      // default: the system's
	Metrics *metric.Registry // may be nil
}
