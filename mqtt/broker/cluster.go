package broker

import (
	"context"
	"fmt"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// Cluster is what the broker asks of the other nodes. A nil Config.Cluster is
// a node by itself, and costs nothing. Safe for concurrent use. No method
// calls back before it has returned.
type Cluster interface {
	// Alone reports that there is no other member: nothing has to wait for
	// anybody.
	Alone() bool
	// Register asks for a client id (R16). It blocks, on a worker, at most until
	// ctx ends. Its error is a *RegistrationError.
	Register(ctx context.Context, q Registration) (Grant, error)
	// Connected says that a client is connected here, after Register. It never
	// blocks; neither does Gone.
	Connected(k Key, epoch metadata.Epoch, bound bool)
	Gone(k Key, epoch metadata.Epoch)
	// Announce tells a change of this node's routes to all peers, in the order
	// of the calls. It is called under the lock of the routes and never blocks.
	Announce(r wire.Route)
	// Announced calls done once every reachable member has taken in what was
	// announced before (R6), or with an error after the timeout.
	Announced(done func(error))
	// Replicated calls done once every reachable member holds the metadata
	// writes that were acknowledged here so far (R6, R8, R29), or with an error
	// after the timeout.
	Replicated(done func(error))
	// Post sends publishes at QoS 0, a run (wire.OpenFrame), on wire.StreamFast.
	// They leave with Flush or before; the run is copied, and written to. It
	// returns how many were dropped.
	Post(to wire.NodeID, run []byte) (dropped int)
	// SendPublish is Send for a publish on wire.StreamPublish, which leaves with
	// Flush or before.
	SendPublish(to wire.NodeID, body []byte, tk Ticket) error
	// Flush sends the publishes that wait for a node. It may write to the link
	// in the caller's goroutine, and never blocks.
	Flush(to wire.NodeID)
	// Send puts a message on a numbered stream. body must not change until the
	// ticket has ended. An error says that the ticket never will.
	Send(to wire.NodeID, s wire.Stream, t wire.Type, body []byte, tk Ticket) error
	// Admits reports whether a message that needs the spool would find room
	// there (R11).
	Admits(to wire.NodeID) bool
	// Reachable reports the detector's verdict on a node.
	Reachable(to wire.NodeID) bool
}

// Ticket is told once how a message of a numbered stream ended. Ended is called
// with no lock held, must not block, and may send.
type Ticket interface {
	Ended(peer wire.NodeID, r Result, reason uint8)
}

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

// Registration asks for a client id (R16).
type Registration struct {
	Key        Key
	EpochSeen  metadata.Epoch // of the session record that this node has; zero for none
	HomeSeen   wire.NodeID    // in that record
	CleanStart bool
	Bound      bool // the session ends with its connection
	IfIdle     bool // only if the client is connected at no other node
}

// Grant gives a client id to this node (R17).
type Grant struct {
	Epoch    metadata.Epoch
	OldHome  wire.NodeID // 0: there was none
	OldEpoch metadata.Epoch
	Closed   bool // the old home has confirmed that the client is closed there
}

// RegistrationError says why a client id was not granted.
type RegistrationError struct {
	Reason wire.DenyReason
	Home   wire.NodeID // a live home, if there is one
	Text   string
}

func (e *RegistrationError) Error() string {
	return fmt.Sprintf("registration denied (%d): %s", e.Reason, e.Text)
}

// clustered reports whether there are other members to think of.
func (b *Broker) clustered() bool { return b.cfg.Cluster != nil && !b.cfg.Cluster.Alone() }
