package netsplit

import "sync/atomic"

// Operation is what a client asks to do.
type Operation uint8

// The gated operations.
const (
	Register Operation = iota // CONNECT
	Publish
	Subscribe
	Unsubscribe
	operations
)

// Snapshot is one state of the gate. Immutable once published.
type Snapshot struct {
	Split bool   // some durable member is not reachable, or Why holds
	Why   string // why it is closed, if not for a netsplit
	Soon  bool   // Why holds for a moment only, so that a client may wait for the end of it
	open  [operations]bool
}

// NewSnapshot describes a gate; open lists what is allowed while Split holds.
func NewSnapshot(split bool, open ...Operation) *Snapshot {
	s := &Snapshot{Split: split}
	for _, o := range open {
		s.open[o] = true
	}
	return s
}

// Closed describes a gate that admits nothing, for another reason than a
// netsplit.
func Closed(why string) *Snapshot { return &Snapshot{Split: true, Why: why} }

// Starting describes the gate of a node that is about to know the others.
func Starting(why string) *Snapshot { return &Snapshot{Split: true, Why: why, Soon: true} }

// Allows reports whether o is admitted under this snapshot.
func (s *Snapshot) Allows(o Operation) bool { return !s.Split || s.open[o] }

// Gate publishes the current Snapshot. Safe for concurrent use; the zero value
// is a gate that is open for everything.
type Gate struct {
	current atomic.Pointer[Snapshot]
}

var whole = &Snapshot{}

// Now returns the current snapshot; ask it once per packet.
func (g *Gate) Now() *Snapshot {
	if s := g.current.Load(); s != nil {
		return s
	}
	return whole
}

// Publish makes s the current snapshot.
func (g *Gate) Publish(s *Snapshot) { g.current.Store(s) }
