package replica

import (
	"slices"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// A merge stores an object with the context that the clock does not say yet, since it
// has gaps. Once they are filled the object is written again without it, here.

// sweepMax is how many objects one step looks at.
const sweepMax = 512

// sweepEvery is how often contexts that were waiting for a gap are looked at.
const sweepEvery = time.Second

// sweeping is a round in which contexts are stripped. Owned by the Replica.
type sweeping struct {
	from    []byte // the next key; nil: no round is under way
	again   bool   // there is reason for another round
	goesOn  bool   // the last piece was worth its while: the next one need not wait
	next    time.Time
	settled map[dvv.Actor]bool // what this round found out
}

// tickSweep looks at the next contexts that were waiting for a gap. What Work does
// of a round is all that can be stripped; of what will not strip, and is put aside, or
// stays, a piece is looked at every second.
func (r *Replica) tickSweep(now time.Time) {
	s := &r.sweep
	if now.Before(s.next) || !s.again && s.from == nil || r.join != nil {
		return // what a full join brings is stripped by the clock that it adopts at its end
	}
	s.next = now.Add(sweepEvery)
	if s.from == nil {
		s.again, s.from, s.settled = false, []byte{areaResidual}, map[dvv.Actor]bool{}
		r.stripLasting()
	}
	for range 8 {
		if r.sweepStep(); s.from == nil || s.goesOn {
			return
		}
	}
}

// sweeps says that Work has something to strip.
func (r *Replica) sweeps() bool { return r.sweep.goesOn && r.join == nil }

// sweepStep strips the next piece.
func (r *Replica) sweepStep() {
	s := &r.sweep
	s.goesOn = false
	keys := kv.PrefixRange([]byte{areaResidual})
	keys.Start = s.from
	it := r.view.Iterator(keys)
	defer it.Close()
	s.from = nil
	stripped := 0
	for n := 0; it.Next(); n++ {
		if n == sweepMax {
			s.from, s.goesOn = slices.Clone(it.Key()), stripped >= sweepMax/4
			return
		}
		key := objectKey(it.Key()[1:])
		old, err := r.get(key)
		if err != nil {
			r.event(Event{Kind: EventDamaged, Text: "sweep: " + err.Error()})
			return
		}
		next := r.outlast(key[1:], r.strip(key[1:], old), s.settled)
		if !next.Equal(old) {
			r.store(key, old, next)
			stripped++
		}
	}
	if err := it.Err(); err != nil {
		r.event(Event{Kind: EventDamaged, Text: "sweep: " + err.Error()})
	}
}
