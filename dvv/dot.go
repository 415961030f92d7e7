package dvv

import (
	"cmp"
	"fmt"
)

// Actor names one incarnation of one store: a random number, minted anew
// whenever the store cannot prove that it remembers all it ever sent.
type Actor uint64

// String is the actor in hexadecimal, always 16 digits.
func (a Actor) String() string { return fmt.Sprintf("%016x", uint64(a)) }

// Dot names one event: the Counter-th of Actor. Counters begin at 1 and are
// contiguous; the zero Dot names nothing.
type Dot struct {
	Actor   Actor
	Counter uint64
}

// Compare orders dots by actor, then by counter.
func (d Dot) Compare(o Dot) int {
	if c := cmp.Compare(d.Actor, o.Actor); c != 0 {
		return c
	}
	return cmp.Compare(d.Counter, o.Counter)
}

// String is "actor:counter", the actor shortened to its first 4 digits.
func (d Dot) String() string { return fmt.Sprintf("%04x:%d", uint64(d.Actor)>>48, d.Counter) }

// Run is the counters from First to Last, both included.
type Run struct {
	First, Last uint64
}

// Span is a run of one actor's dots.
type Span struct {
	Actor       Actor
	First, Last uint64
}
