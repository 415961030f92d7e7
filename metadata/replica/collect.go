package replica

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// collectMax is how many entries one step collects.
const collectMax = 512

// tickCollect begins a round of collection.
func (r *Replica) tickCollect(now time.Time) {
	if now.Before(r.nextCollect) || len(r.collecting) > 0 {
		return
	}
	r.nextCollect = now.Add(r.config.CollectEvery)
	r.closeGaps()
	r.sweep.again = true // for what has settled
	r.tickTrim(now)
	if r.garbage == 0 {
		return
	}
	// Of what is not yet on disk the entries could not be seen, and would be passed.
	r.collectable = r.stable(now).Meet(r.durable)
	r.collecting = r.collectable.AppendTops(r.collecting[:0])
}

// stable is what every member is known to have seen, except those that have
// been away for too long: what is collected without their knowledge is noted as
// their need, and they join anew (R32).
func (r *Replica) stable(now time.Time) dvv.Clock {
	c := r.clock
	for _, p := range r.peers {
		r.ripen(p)
		if !r.givenUp(now, p) {
			c = c.Meet(p.row)
		}
	}
	return c
}

// Stable is what every member is known to have seen, up to the first gap.
func (r *Replica) Stable(now time.Time) dvv.VV {
	r.flushOwn()
	return r.stable(now).Bases()
}

// givenUp says whether collection no longer waits for p.
func (r *Replica) givenUp(now time.Time, p *peer) bool {
	if p.established() {
		return false
	}
	unheard := now.Sub(time.UnixMilli(p.heard))
	return r.garbage > r.config.GarbageMax || unheard > r.config.AbsentAgeMax
}

// collect forgets up to collectMax deletes that are stable.
func (r *Replica) collect(now time.Time) {
	todo := collectMax
	it := r.view.Iterator(inArea(areaGarbage)) // one for all actors: most have nothing
	defer it.Close()
	for todo > 0 && len(r.collecting) > 0 {
		top := r.collecting[0]
		done, err := r.collectActor(now, it, top, &todo)
		if err != nil {
			r.event(Event{Kind: EventDamaged, Text: "collection: " + err.Error()})
			r.collecting = nil
			return
		}
		if done {
			r.collecting = r.collecting[1:]
		}
	}
}

// collectActor forgets what it may of one actor's deletes up to top.
func (r *Replica) collectActor(now time.Time, it kv.Iterator, top dvv.Dot, todo *int) (done bool, err error) {
	// Entries that were taken away lie before those that are left, and the engine
	// would walk over them all: begin where the last round found the first one.
	// Entries that come later and lie below are noted by noteGarbage.
	low := max(r.collectFrom[top.Actor], 1)
	r.from = appendDotKey(r.from[:0], areaGarbage, dvv.Dot{Actor: top.Actor, Counter: low})
	r.upTo = appendDotKey(r.upTo[:0], areaGarbage, top)
	dropped := r.dots[:0]
	kept := false
	defer func() {
		r.collectFrom[top.Actor] = low
		r.noteCollected(now, dropped)
		r.dots = dropped[:0]
	}()
	// The actors ascend: where the one before left off is most often where this begins.
	ok := it.Key() != nil && bytes.Compare(it.Key(), r.from) >= 0
	for ok = ok || it.Seek(r.from); ok && bytes.Compare(it.Key(), r.upTo) <= 0; ok = it.Next() {
		d, _, name, err := parseGarbage(it.Key(), it.Value())
		if err != nil {
			return false, err
		}
		if !kept {
			low = d.Counter
		}
		if _, twice := r.gone[d]; twice {
			continue
		}
		if !r.collectable.Has(d) {
			kept = true
			continue
		}
		if *todo == 0 {
			return false, nil
		}
		before := len(dropped)
		if dropped, err = r.collectDot(d, name, dropped); err != nil {
			return false, err
		}
		if len(dropped) > before {
			*todo--
		} else {
			kept = true
		}
	}
	return true, it.Err()
}

// collectDot forgets one delete, and adds the dots that nobody will learn of from this
// store any more to went.
func (r *Replica) collectDot(d dvv.Dot, name []byte, went []dvv.Dot) ([]dvv.Dot, error) {
	old, err := r.getName(name)
	if err != nil {
		return went, err
	}
	if !old.Live(d) { // a set's delete: only its memory is left
		var buf [dotKeyBytes]byte
		r.batch().Delete(appendDotKey(buf[:0], areaGarbage, d))
		r.garbage--
		r.noteTaken(d)
		r.dirty.state = true
		return append(went, d), nil
	}
	drop := func(s dvv.Sibling) bool { return s.Dot == d }
	if !visible(r.config.Policy, name, old) {
		// A tombstone wins. All siblings go at once, when every member has seen
		// every one of them; before, a write could still meet one and not the
		// other.
		for _, s := range old.Siblings() {
			if !r.collectable.Has(s.Dot) {
				return went, nil
			}
		}
		drop = func(dvv.Sibling) bool { return true }
	}
	next := old.Drop(func(s dvv.Sibling) bool {
		if drop(s) {
			went = append(went, s.Dot)
			r.noteTaken(s.Dot)
			return true
		}
		return false
	})
	r.store(objectKey(name), old, r.strip(name, next))
	return went, nil
}

// noteCollected moves the collection horizon, and what the members that were not
// waited for, and those yet to come, have to know of (R32).
func (r *Replica) noteCollected(now time.Time, dropped []dvv.Dot) {
	if len(dropped) == 0 {
		return
	}
	tops := dvv.NewVV(dropped...)
	r.state.collected = r.state.collected.Join(tops)
	r.dirty.state, r.dirty.peers = true, true
	for _, p := range r.peers {
		if !slices.ContainsFunc(dropped, func(d dvv.Dot) bool { return !p.row.Has(d) }) {
			continue
		}
		if !p.capped {
			p.capped = true
			r.event(Event{Kind: EventCapped, Peer: p.id, Text: fmt.Sprintf("it has been away since %v", time.UnixMilli(p.heard).UTC())})
		}
		p.need = p.need.Join(tops)
	}
}
