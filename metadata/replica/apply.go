package replica

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/metadata/internal/pack"
)

// pushed merges what p just wrote. It may come twice, late, out of order or not
// at all.
func (r *Replica) pushed(now time.Time, p *peer, rd *pack.Reader) {
	bases := readVV(rd)
	list := readWireRecords(rd)
	if rd.Err() != nil {
		return
	}
	if bases.Get(r.actor) > r.own {
		r.amnesia(now, p, bases.Get(r.actor))
		return
	}
	for i := range list {
		r.merge(now, p, bases, &list[i])
	}
	r.noteRow(p, bases.Clock())
	r.sendHave(p)
}

// have takes in that p has made our dots durable.
func (r *Replica) have(p *peer, rd *pack.Reader) {
	actor, counter := dvv.Actor(rd.Uint()), rd.Uint()
	if rd.Err() != nil || actor != r.actor || counter > r.own {
		return
	}
	// Not a row: it does not say what p wrote before it knew of these.
	p.haveOwn = max(p.haveOwn, counter)
}

// merge takes one key's state at p, with the bases of p's clock at that cut, into
// ours, and counts exactly the dots seen that came with it.
func (r *Replica) merge(now time.Time, p *peer, bases dvv.VV, w *wireRecord) {
	dots := w.dots()
	for _, d := range dots {
		if d.Actor == r.actor && d.Counter > r.own {
			r.amnesia(now, p, d.Counter)
			return
		}
	}
	before := r.clock
	if !w.only && !r.mergeObject(p, bases, w, dots) {
		return
	}
	for _, d := range w.deletes {
		if !before.Has(d) {
			r.noteDelete(w.key, d)
		}
	}
	if w.only && len(w.deletes) > 0 {
		r.mergeDeletes(w)
	}
}

// mergeDeletes counts deletes of a full join as seen. Their key went before, or
// neither side held it: then nothing here says yet what they deleted, and a pull
// from here before the join has ended would pass them on without their effect.
func (r *Replica) mergeDeletes(w *wireRecord) {
	key := objectKey(w.key)
	old, err := r.get(key)
	if err != nil {
		r.event(Event{Kind: EventDamaged, Text: fmt.Sprintf("%q: %v", w.key, err)})
		return
	}
	r.setClock(r.clock.Add(w.deletes...))
	next := r.strip(w.key, old.Fill(r.basesOf(w.key)))
	if !next.Equal(old) {
		r.store(key, old, next)
	}
}

// mergeObject is merge without the deletes.
func (r *Replica) mergeObject(p *peer, bases dvv.VV, w *wireRecord, dots []dvv.Dot) bool {
	key := objectKey(w.key)
	var old dvv.Object
	if !w.fresh {
		var err error
		if old, err = r.get(key); err != nil {
			r.event(Event{Kind: EventDamaged, Text: fmt.Sprintf("%q: %v", w.key, err)})
			return false
		}
	}
	mine, theirs := r.whole(w.key, old).Fill(r.basesOf(w.key)), w.object.Fill(bases)
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
	next, before := dvv.Sync(mine, theirs), r.clock
	if len(dots) > 0 {
		r.setClock(r.clock.Add(dots...))
	}
	merged := next
	if next = r.strip(w.key, next); !old.Equal(next) {
		r.store(key, old, next)
	}
	if r.whole(w.key, next).Context().Len() > 0 {
		r.noteGone(w.key, old, merged)
		r.noteGone(w.key, w.object.Drop(func(s dvv.Sibling) bool { return before.Has(s.Dot) }), merged)
	}
	return true
}

// noteGone keeps the dots of values that a merge took away, or did not take in, in
// the index, as it keeps those of deletes, where the object names dots that the
// clock does not: what took the value away is then perhaps not here yet, and
// nothing else would have a pull send the key to somebody who lacks the value and
// holds what it had overwritten.
func (r *Replica) noteGone(name []byte, from, merged dvv.Object) {
	for _, s := range from.Siblings() {
		if !merged.Live(s.Dot) {
			r.noteDelete(name, s.Dot)
		}
	}
}

// dots is every dot that w speaks of.
func (w *wireRecord) dots() []dvv.Dot {
	dots := make([]dvv.Dot, 0, len(w.covered)+len(w.deletes)+len(w.object.Siblings()))
	dots = append(append(dots, w.covered...), w.deletes...)
	for _, s := range w.object.Siblings() {
		dots = append(dots, s.Dot)
	}
	return dots
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
