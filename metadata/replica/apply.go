package replica

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// pushed merges what p just wrote. It may come twice, late, out of order or not
// at all.
func (r *Replica) pushed(now time.Time, p *peer, rd *pack.Reader) {
	bases := readVV(rd)
	list, dots := readWireRecords(rd, r.pushes.list, r.pushes.dots)
	defer r.pushes.giveBack(list, dots)
	if rd.Err() != nil {
		return
	}
	if bases.Get(r.actor) > r.own {
		r.amnesia(now, p, bases.Get(r.actor))
		return
	}
	r.mergeAll(now, p, bases, list)
	if row := r.clock; row.Is(bases) {
		r.noteRow(p, row) // one clock is one in memory, and compared at a glance
	} else {
		r.noteRow(p, bases.Clock())
	}
	r.sendHave(p)
}

// recordRoom is what the records of a frame are read into, if nothing keeps them. Owned
// by the Replica.
type recordRoom struct {
	list []wireRecord
	dots []dvv.Dot
}

func (m *recordRoom) giveBack(list []wireRecord, dots []dvv.Dot) {
	if clear(list); len(list) <= recordRoomMax && len(dots) <= recordRoomMax {
		m.list, m.dots = list[:0], dots[:0]
	}
}

// keepRoom makes list, which was sent, the room for the next one.
func (r *Replica) keepRoom(list []wireRecord) {
	if clear(list); cap(list) <= recordRoomMax {
		r.sending = list[:0]
	}
}

// recordRoomMax bounds what is kept of it.
const recordRoomMax = 128

// have takes in that p has made our dots durable.
func (r *Replica) have(p *peer, rd *pack.Reader) {
	actor, counter := dvv.Actor(rd.Uint()), rd.Uint()
	if rd.Err() != nil || actor != r.actor || counter > r.own {
		return
	}
	// Not a row: it does not say what p wrote before it knew of these.
	p.haveOwn = max(p.haveOwn, counter)
}

// merging is one record of a peer that meets our object of its key. Owned by mergeGroup.
type merging struct {
	w         *wireRecord
	old, next dvv.Object // ours as it is stored, and both together with all contexts
}

// mergeAll merges records of one cut, in groups whose keys differ.
func (r *Replica) mergeAll(now time.Time, p *peer, bases dvv.VV, list []wireRecord) {
	if len(list) == 1 { // as most pushes
		r.merge(now, p, bases, list)
		return
	}
	names := make(map[string]bool, len(list))
	for len(list) > 0 {
		n := 0
		for n < len(list) && !list[n].only && !names[string(list[n].key)] {
			names[string(list[n].key)] = true
			n++
		}
		clear(names)
		n = max(n, 1)
		r.merge(now, p, bases, list[:n])
		list = list[n:]
	}
}

// merge takes the state of some keys at p, each named once, with the bases of p's clock
// at that cut, into ours, and counts exactly the dots seen that came with them. All
// together: else the contexts of those that are merged first would name what comes
// with the others, and each object would be stored with its own and written again
// without it.
func (r *Replica) merge(now time.Time, p *peer, bases dvv.VV, list []wireRecord) {
	if list[0].only {
		r.mergeDeletes(now, p, &list[0])
		return
	}
	before := r.clock
	met, dots := r.met[:0], r.dots[:0]
	for i := range list {
		m := merging{w: &list[i]}
		from := len(dots)
		dots = m.w.appendDots(dots)
		if r.forgot(now, p, dots[from:]) {
			return
		}
		if !r.meetObject(p, bases, &m) {
			dots = dots[:from]
			continue
		}
		met = append(met, m)
	}
	if len(dots) > 0 {
		r.setClock(r.clock.Add(dots...))
	}
	for i := range met {
		r.settle(&met[i], before)
	}
	if clear(met); cap(met) <= listMax {
		r.met, r.dots = met[:0], dots[:0]
	}
}

// forgot says whether one of dots is ours, and not known here.
func (r *Replica) forgot(now time.Time, p *peer, dots []dvv.Dot) bool {
	for _, d := range dots {
		if d.Actor == r.actor && d.Counter > r.own {
			r.amnesia(now, p, d.Counter)
			return true
		}
	}
	return false
}

// mergeDeletes counts deletes of a full join as seen. Their key went before, or
// neither side held it: then nothing here says yet what they deleted, and a pull
// from here before the join has ended would pass them on without their effect.
func (r *Replica) mergeDeletes(now time.Time, p *peer, w *wireRecord) {
	if r.forgot(now, p, w.deletes) {
		return
	}
	r.noteDeletes(w, r.clock)
	if len(w.deletes) == 0 {
		return
	}
	old, err := r.getName(w.key)
	if err != nil {
		r.ranging.note(w.key)
		r.event(Event{Kind: EventDamaged, Text: fmt.Sprintf("%q: %v", w.key, err)})
		return
	}
	r.setClock(r.clock.Add(w.deletes...))
	next := r.strip(w.key, old.Fill(r.basesOf(w.key)))
	if !next.Equal(old) {
		r.store(objectKey(w.key), old, next)
	}
}

// noteDeletes remembers those of w that before had not.
func (r *Replica) noteDeletes(w *wireRecord, before dvv.Clock) {
	for _, d := range w.deletes {
		if !before.Has(d) {
			r.noteDelete(w.key, d)
		}
	}
}

// meetObject merges m's object with ours, and changes nothing yet.
func (r *Replica) meetObject(p *peer, bases dvv.VV, m *merging) bool {
	w := m.w
	if !w.fresh {
		var err error
		if m.old, err = r.getName(w.key); err != nil {
			r.ranging.note(w.key) // what peers have of it now is more than they had at the cut
			r.event(Event{Kind: EventDamaged, Text: fmt.Sprintf("%q: %v", w.key, err)})
			return false
		}
	}
	mine, theirs := r.whole(w.key, m.old).Fill(r.basesOf(w.key)), w.object.Fill(bases)
	for _, s := range theirs.Siblings() {
		if !theirs.Context().Covers(s.Dot) {
			r.event(Event{Kind: EventBadFrame, Peer: p.id, Dot: s.Dot, Text: "its object's context does not cover it (I9)"})
			return false
		}
		r.hlc.Observe(decodePayload(s.Value).hlc)
	}
	if conflicts := dvv.Conflicts(mine, theirs); len(conflicts) > 0 {
		r.quarantine(w.key, conflicts, mine, theirs)
	}
	m.next = dvv.Sync(mine, theirs)
	return true
}

// settle stores what a merge made of m's key; before is the clock from before it.
func (r *Replica) settle(m *merging, before dvv.Clock) {
	w := m.w
	next := r.strip(w.key, m.next)
	if !m.old.Equal(next) {
		r.store(objectKey(w.key), m.old, next)
	}
	if r.whole(w.key, next).Context().Len() > 0 {
		r.noteGone(w.key, m.old, m.next, dvv.Clock{})
		r.noteGone(w.key, w.object, m.next, before)
	}
	r.noteDeletes(w, before)
}

// noteGone keeps the dots of values that a merge took away, or did not take in, in
// the index, as it keeps those of deletes, where the object names dots that the
// clock does not: what took the value away is then perhaps not here yet, and
// nothing else would have a pull send the key to somebody who lacks the value and
// holds what it had overwritten. What was seen before is left out.
func (r *Replica) noteGone(name []byte, from, merged dvv.Object, seen dvv.Clock) {
	for _, s := range from.Siblings() {
		if !merged.Live(s.Dot) && !seen.Has(s.Dot) {
			r.noteDelete(name, s.Dot)
		}
	}
}

// appendDots appends every dot that w speaks of.
func (w *wireRecord) appendDots(dst []dvv.Dot) []dvv.Dot {
	dst = append(append(dst, w.covered...), w.deletes...)
	for _, s := range w.object.Siblings() {
		dst = append(dst, s.Dot)
	}
	return dst
}

// quarantine sets aside both values of a dot that was issued twice, counts it,
// and has the writer minted anew. Sync chooses the same value on every node.
func (r *Replica) quarantine(key []byte, dots []dvv.Dot, objects ...dvv.Object) {
	for _, d := range dots {
		r.event(Event{Kind: EventQuarantined, Dot: d, Text: fmt.Sprintf("key %q", key)})
		for _, o := range objects {
			for _, s := range o.Siblings() {
				if s.Dot == d {
					at := binary.BigEndian.AppendUint64(appendDotKey(nil, areaQuarantine, d), xxhash.Sum64(s.Value))
					record := pack.AppendUint(pack.AppendArray(nil, 3), recordVersion)
					r.batch().Put(at, pack.AppendBytes(pack.AppendBytes(record, key), s.Value))
				}
			}
		}
		if d.Actor == r.actor {
			r.mint("a dot of this actor was seen with two values")
		}
		for _, q := range r.peers {
			if q.established() && q.actor == d.Actor {
				r.refuse(q, refuseMint)
			}
		}
	}
}
