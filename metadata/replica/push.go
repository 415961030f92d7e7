package replica

import (
	"slices"

	"tombolo/dvv"
)

// push turns what this node wrote into frames for the peers that are up. The
// objects and the clock are those of the end of the batch: one cut (I19).
//
// Of our own actor a frame's clock names no more than what has gone out with it:
// with what is still to come the other side could not take the contexts of its objects
// for granted, would store them, and have to write every object again. That says no
// less of any key: our last write of a key saw all that we had written of it before, so
// that what is above that write is about other keys.
func (r *Replica) push() {
	touched := r.dirty.touched
	if len(touched) == 0 {
		return
	}
	for len(touched) > 0 {
		n, list, size := 0, r.sending[:0], 0
		for ; n < len(touched); n++ {
			w := r.pushRecord(&touched[n])
			if n > 0 && size+w.size() > r.config.ChunkBytes {
				break
			}
			list, size = append(list, w), size+w.size()
		}
		bases := r.bases
		if n < len(touched) {
			bases = r.basesBefore(&touched[n])
		}
		for i := range list {
			r.coverLast(&touched[i], &list[i], bases)
		}
		r.scratch = appendPush(r.scratch[:0], bases, list)
		body := r.scratch
		for _, p := range r.peers {
			if p.established() {
				r.send(p, append(r.begins(p, framePush, headerRoom+len(body)), body...))
			}
		}
		r.keepRoom(list)
		touched = touched[n:]
	}
	r.dirty.touched = r.dirty.touched[:0]
	clear(r.dirty.index)
}

// pushRecord is the key of t as it is at the end of the batch.
func (r *Replica) pushRecord(t *touch) wireRecord {
	p := r.objects[string(t.key)]
	w := wireRecord{key: t.key[1:], raw: p.raw, covered: t.covered, deletes: t.deletes}
	if _, ok := r.lasting.contexts[string(w.key)]; ok {
		w.raw = appendObject(nil, r.whole(w.key, p.object))
	}
	return w
}

// basesBefore is our clock without what we wrote from t on: keys stand in the order of
// the first dot that they got.
func (r *Replica) basesBefore(t *touch) dvv.VV {
	first := append(t.covered[:len(t.covered):len(t.covered)], t.deletes...)[0]
	for _, d := range t.deletes {
		if d.Actor == first.Actor && d.Counter < first.Counter {
			first = d
		}
	}
	entries := r.bases.Entries()
	for i, d := range entries {
		if d.Actor == r.actor && d.Actor == first.Actor {
			entries[i].Counter = first.Counter - 1
		}
	}
	return dvv.NewVV(slices.DeleteFunc(entries, func(d dvv.Dot) bool { return d.Counter == 0 })...)
}

// coverLast has the record of t say itself that it speaks for our last write of its key,
// where the clock of its frame does not: keys that were written again and again.
func (r *Replica) coverLast(t *touch, w *wireRecord, bases dvv.VV) {
	last := dvv.Dot{Actor: r.actor}
	for _, list := range [2][]dvv.Dot{t.covered, t.deletes} {
		if n := len(list); n > 0 && list[n-1].Actor == last.Actor {
			last.Counter = max(last.Counter, list[n-1].Counter)
		}
	}
	if last.Counter > bases.Get(last.Actor) {
		object := r.whole(w.key, r.objects[string(t.key)].object)
		w.raw = appendObject(nil, object.Fill(dvv.NewVV(last)))
	}
}
