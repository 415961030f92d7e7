package replica

import (
	"slices"
	"time"

	"tombolo/dvv"
)

// A merge stores an object with the context that the clock does not say yet, since it
// has gaps. Once they are filled the object is written again without it, here.

// The pace of it. An object takes some ten microseconds, and a write here waits for one
// step at most.
const (
	sweepStepMax = 128                   // objects that one step looks at
	sweepEvery   = time.Second           // between looks at contexts that did not strip,
	sweepLookMax = 4096                  // so many at a time
	sweepSoon    = 50 * time.Millisecond // and while they do strip,
	sweepSoonMax = 512                   // so many: 10,000 a second, a third of a core
)

// sweeping is a round in which contexts are stripped. Owned by the Replica.
type sweeping struct {
	from    []byte // the next key; nil: no round is under way
	again   bool   // there is reason for another round
	strips  bool   // the last step was worth its while
	left    int    // objects until the next turn,
	turn    time.Time
	settled map[dvv.Actor]bool // what this round found out
}

// due is when the next turn is.
func (s *sweeping) due() time.Time {
	if s.strips {
		return s.turn.Add(sweepSoon)
	}
	return s.turn.Add(sweepEvery)
}

// tickSweep has Work go on with the contexts that were waiting for a gap: to strip
// them, and to put aside what will not strip.
func (r *Replica) tickSweep(now time.Time) {
	s := &r.sweep
	if now.Before(s.due()) || !s.again && s.from == nil || r.join != nil {
		return // what a full join brings is stripped by the clock that it adopts at its end
	}
	if s.from == nil {
		s.again, s.from = false, inArea(areaResidual).Start
		if s.settled == nil {
			s.settled = map[dvv.Actor]bool{}
		}
		clear(s.settled)
		r.stripLasting()
	}
	s.turn, s.left = now, sweepLookMax
	if s.strips {
		s.left = sweepSoonMax
	}
}

// sweeps says that Work has something to strip.
func (r *Replica) sweeps() bool { return r.sweep.from != nil && r.sweep.left > 0 && r.join == nil }

// sweepStep looks at the next objects.
func (r *Replica) sweepStep() {
	s := &r.sweep
	keys := inArea(areaResidual)
	keys.Start = s.from
	it := r.view.Iterator(keys)
	defer it.Close()
	s.from = nil
	looked, stripped := 0, 0
	for it.Next() {
		if looked == sweepStepMax {
			s.from = slices.Clone(it.Key())
			break
		}
		name := it.Key()[1:]
		old, err := r.getName(name)
		if err != nil {
			r.event(Event{Kind: EventDamaged, Text: "sweep: " + err.Error()})
			return
		}
		next := r.outlast(name, r.strip(name, old), s.settled)
		if !next.Equal(old) {
			r.store(objectKey(name), old, next)
			stripped++
		}
		looked++
	}
	if err := it.Err(); err != nil {
		r.event(Event{Kind: EventDamaged, Text: "sweep: " + err.Error()})
	}
	s.left -= looked
	s.strips = stripped > looked/4
}
