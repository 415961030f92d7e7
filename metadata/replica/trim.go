package replica

import (
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// trimMax is how many blocks of the index one step looks at.
const trimMax = 512

// trimming is a round in which the index forgets what every member has. Owned by the
// Replica.
type trimming struct {
	target dvv.Clock
	actors []dvv.Dot // up to where it goes, per actor; the first one is in hand
	cursor []byte    // in its blocks
	low    uint64    // of them the first that stays
	late   map[dvv.Actor]uint64
}

// tickTrim begins a round. For whoever lacks what the round is about all objects are
// looked through from then on, whether its blocks are gone yet or not.
func (r *Replica) tickTrim(now time.Time) {
	if r.trim != nil || r.rebuild != nil {
		return
	}
	target := r.trimmable(now).Meet(r.durable) // what is not durable could not be seen
	if r.trimmed.Descends(target) && r.trimDone {
		return
	}
	r.trimmed, r.dirty.state = r.trimmed.Join(target), true
	r.trim = &trimming{target: target, actors: target.AppendTops(nil)}
}

// trimmable is what every member is known to have, except those for whom collection
// does not wait, and those that lack more than all keys are: then to look through
// these is cheaper than to keep the index.
func (r *Replica) trimmable(now time.Time) dvv.Clock {
	c := r.clock
	for _, p := range r.peers {
		r.ripen(p)
		if !r.givenUp(now, p) && (p.established() || r.lacks(p) <= max(uint64(r.config.GarbageMax), 2*uint64(r.live))) {
			c = c.Meet(p.row)
		}
	}
	return c
}

// lacks is about how many dots p is not known to have.
func (r *Replica) lacks(p *peer) (n uint64) {
	for i := range r.clock.Len() {
		a, _, top, _ := r.clock.At(i)
		n += top - min(top, p.row.Base(a))
	}
	return n
}

// trimStep looks at the next blocks.
func (r *Replica) trimStep() {
	t := r.trim
	if len(t.actors) == 0 {
		r.trim, r.trimDone = nil, true
		return
	}
	top := t.actors[0]
	if _, late := t.late[top.Actor]; !late && r.trimFrom[top.Actor] > top.Counter {
		t.actors = t.actors[1:] // which has no block: most write no more
		return
	}
	first := max(r.trimFrom[top.Actor], 1)
	r.from = appendDotKey(r.from[:0], areaIndex, dvv.Dot{Actor: top.Actor, Counter: first - first%blockDots})
	r.upTo = appendDotKey(r.upTo[:0], areaIndex, dvv.Dot{Actor: top.Actor, Counter: top.Counter + 1})
	if t.cursor != nil {
		r.from = append(r.from[:0], t.cursor...)
	} else {
		t.low = 0
	}
	done, err := r.trimBlocks(t, kv.Range{Start: r.from, Limit: r.upTo})
	if err != nil {
		r.event(Event{Kind: EventDamaged, Text: "index: " + err.Error()})
		r.trim = nil
		return
	}
	if !done {
		return
	}
	if t.low == 0 {
		t.low = top.Counter + 1
	}
	if late, ok := t.late[top.Actor]; ok {
		t.low = min(t.low, late)
	}
	r.trimFrom[top.Actor] = t.low
	t.actors, t.cursor = t.actors[1:], nil
}

// trimBlocks takes away the blocks in keys whose dots every member has.
func (r *Replica) trimBlocks(t *trimming, keys kv.Range) (done bool, err error) {
	it := r.view.Iterator(keys)
	defer it.Close()
	var room [16]indexEntry
	list := room[:0]
	for n := 0; it.Next(); n++ {
		if n == trimMax {
			t.cursor = append([]byte{}, it.Key()...)
			return false, nil
		}
		if list, err = readBlock(list[:0], it.Key(), it.Value()); err != nil {
			return false, err
		}
		stays := false
		for _, e := range list {
			if stays = !t.target.Has(e.dot); stays {
				break
			}
		}
		if !stays {
			r.batch().Delete(it.Key())
			r.dirty.state = true
		} else if t.low == 0 {
			t.low = list[0].dot.Counter
		}
	}
	return true, it.Err()
}

// trimLate takes in that a block below the top of the clock is durable: a round may have
// passed its place.
func (r *Replica) trimLate(d dvv.Dot) {
	if from, ok := r.trimFrom[d.Actor]; ok {
		r.trimFrom[d.Actor] = min(from, d.Counter)
	}
	if r.trim != nil {
		if low, ok := r.trim.late[d.Actor]; !ok || d.Counter < low {
			if r.trim.late == nil {
				r.trim.late = map[dvv.Actor]uint64{}
			}
			r.trim.late[d.Actor] = d.Counter
		}
	}
}
