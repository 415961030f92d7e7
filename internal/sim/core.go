package sim

import (
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// NodeID names a node; an id outlives its stores.
type NodeID = uint64

// Phase is how far a core is on its way to serve.
type Phase uint8

// The phases, in the words of all cores.
const (
	PhaseStarting Phase = iota // finds out whether its actor is still its own
	PhaseJoining               // lacks what others have
	PhaseReady                 // takes writes
	PhaseRefused               // another holder of its node id is alive
	PhaseRemoved               // no member
)

// Op is a client's operation.
type Op struct {
	ID     uint64
	Key    string
	Delete bool
	Clean  bool // raises the floor of a session record (R18)
}

// Ack is a core's answer to an operation.
type Ack struct {
	Op      uint64
	Refused bool
	Dot     dvv.Dot
	HLC     uint64
}

// Packet is a message on its way. Trace is nil where a core's frames are opaque.
type Packet struct {
	To    NodeID
	Body  any
	Bytes int
	Trace *Trace
}

// Kind is what a message is for.
type Kind uint8

// The kinds that checkers look at.
const (
	KindOther     Kind = iota
	KindReplicate      // one pushed write
	KindRequest        // a pull begins
	KindChunk          // a part of a transfer
)

// Trace is what a checker may know of a message.
type Trace struct {
	Kind     Kind
	Transfer uint64
	Seq      int
	Last     bool
	Full     bool
	Clock    dvv.Clock // the sender's clock as the message tells it
	Snapshot dvv.Clock // the clock with which the objects of a chunk were stored
	Horizon  dvv.Clock
	Items    []TraceItem
}

// TraceItem is a key in a message.
type TraceItem struct {
	Key     string
	Object  dvv.Object
	Deletes []dvv.Dot
}

// Output is the effects of a step.
type Output struct {
	Send []Packet
	Acks []Ack
}

// Members is a versioned member set.
type Members struct {
	Version uint64
	IDs     []NodeID
}

// View is a look inside a core; the maps are read only and change with it.
type View struct {
	Phase     Phase
	Actor     dvv.Actor
	Clock     dvv.Clock
	Objects   map[string]dvv.Object // as stored: stripped
	Digest    uint64
	HLC       uint64 // zero where the core does not show it: then only stamps are checked
	Members   Members
	Retired   map[dvv.Actor]bool
	Lasting   map[string]dvv.VV // the part of an object's context that lies apart from it, for good
	Horizon   dvv.Clock
	NeedsFull bool
	JoinsMade int    // full joins begun, and
	Donor     NodeID // with whom the last one was; zero where the core does not show it
	FullJoins int
	Conflicts int
	Residual  int // objects with a context that is not stripped yet
}

// whole is the object of key with all of its context.
func (v View) whole(key string) dvv.Object { return v.Objects[key].Fill(v.Lasting[key]) }

// Core is one replica under simulation. It is stepped; it writes its batches to
// the disk that it was opened on and leaves everything else in the Output. An
// error means that its disk failed: the process ends.
type Core interface {
	Tick(now time.Duration, out *Output) error
	Receive(now time.Duration, from NodeID, body any, out *Output) error
	Write(now time.Duration, op Op, out *Output) error
	// Link tells that the link to a peer stands, or fell.
	Link(now time.Duration, peer NodeID, up bool, out *Output) error
	SetMembers(now time.Duration, m Members, out *Output) error
	// Stop is an orderly end.
	Stop(now time.Duration, out *Output) error
	View() View
	// Phase is that of the View.
	Phase() Phase
	// EachIndex walks the index: what each dot did.
	EachIndex(fn func(d dvv.Dot, key string, del bool))
	// Floor is the floor that a session record shows.
	Floor(key string) uint64
	// Verify holds the store against itself and returns the first fault, led by
	// its invariant and a colon. It may pass over some calls unless it must.
	Verify(must bool) string
}

// changer is a core that can tell what changed since it was last asked, so that the
// checkers need not look at all it has after each step.
type changer interface {
	Changes() (keys []string, dropped []droppedAt)
}

// CoreConfig is what a maker of cores is told.
type CoreConfig struct {
	Node    NodeID
	Members Members // as the operators decided; for a store that knows of none
	Joins   bool    // an empty store must join before it serves
	Seeds   []NodeID
	Rand    func() uint64
	Records *records // nil: each core reads by itself
}

// Maker opens a core on a disk.
type Maker func(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error)
