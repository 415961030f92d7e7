package topic

import "sync/atomic"

// Options are what a subscriber asked for with one filter. Immutable.
type Options struct {
	QoS               uint8
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    uint8
	ID                uint32 // MQTT 5 subscription identifier, 0 for none
}

// Result is what one topic matches. Immutable and shared between all callers
// that ask for the same topic: neither it nor its slices may be written.
type Result[S comparable] struct {
	Direct []Hit[S]   // at most one Hit per subscriber
	Shared []Group[S] // one per (group, filter)
}

// Hit is one subscriber of a Result. Immutable.
type Hit[S comparable] struct {
	Sub S
	// Options folds all filters of Sub that match: the highest QoS,
	// RetainAsPublished if any has it, NoLocal only if all have it, the rest
	// from the first of them.
	Options Options
	IDs     []uint32 // the identifiers of all matching filters that have one; equal ones repeat (MQTT 5 §3.3.4)
}

// Group is one shared subscription of a Result. Immutable except for the
// turn counter, which all results that hold the group share.
type Group[S comparable] struct {
	Name    string
	Filter  Filter
	Members []Hit[S] // in a fixed order
	turn    *atomic.Uint64
}

// Turn returns the number of turns taken so far in this group and takes one.
func (g *Group[S]) Turn() uint64 { return g.turn.Add(1) - 1 }
