package replica

import (
	"tombolo/dvv"
	"tombolo/internal/invariant"
	"tombolo/internal/kv"
)

// get reads the object of key, which begins with its area.
func (r *Replica) get(key []byte) (dvv.Object, error) {
	if p, ok := r.objects[string(key)]; ok {
		return p.object, nil
	}
	raw, err := r.view.Get(key)
	if err != nil {
		return dvv.Object{}, ignoreNotFound(err)
	}
	o, err := r.known.object(key[1:], raw)
	if err == nil {
		r.known.keepObject(key[1:], raw, o)
	}
	return o, err
}

// getName is get for table and key.
func (r *Replica) getName(name []byte) (dvv.Object, error) {
	r.sought = append(append(r.sought[:0], AreaObject), name...)
	return r.get(r.sought)
}

// store puts the object of key into the batch: object, index, garbage,
// residual, digest and counts change here and in replace, nowhere else. Both objects are
// stripped.
func (r *Replica) store(key []byte, old, next dvv.Object) { r.storeRaw(key, old, next, nil) }

// storeRaw is store with the record of next, if it is made already.
func (r *Replica) storeRaw(key []byte, old, next dvv.Object, raw []byte) {
	b, name := r.batch(), key[1:]
	sum, live := tally(r.config.Policy, name, next)
	was, lived := tally(r.config.Policy, name, old)
	r.digest ^= was ^ sum
	r.live += live - lived
	r.reindex(b, name, old, next)
	had, has := old.Context().Len() > 0, next.Context().Len() > 0
	switch {
	case has && !had:
		r.scratch = append(append(r.scratch[:0], areaResidual), name...)
		b.Put(r.scratch, nil)
		r.sweep.again = true
	case had && !has:
		r.scratch = append(append(r.scratch[:0], areaResidual), name...)
		b.Delete(r.scratch)
	}
	r.put(b, key, next, sum, raw)
}

func sizeOf(o dvv.Object) int {
	n := 10 * o.Context().Len()
	for _, s := range o.Siblings() {
		n += 24 + len(s.Value)
	}
	return n
}

// reindex takes the entries of tombstones that went and adds those of dots that came.
func (r *Replica) reindex(b *kv.Batch, name []byte, old, next dvv.Object) {
	var buf [dotKeyBytes]byte
	for _, s := range old.Siblings() {
		if isTomb(s.Value) && !next.Live(s.Dot) {
			b.Delete(appendDotKey(buf[:0], areaGarbage, s.Dot))
			r.noteTaken(s.Dot)
			r.garbage--
		}
	}
	for _, s := range next.Siblings() {
		if old.Live(s.Dot) {
			continue
		}
		r.index(name, s.Dot)
		if isTomb(s.Value) {
			r.scratch = append(append(r.scratch[:0], garbageTomb), name...)
			b.Put(appendDotKey(buf[:0], areaGarbage, s.Dot), r.scratch)
			r.noteGarbage(s.Dot)
		}
	}
}

// noteGarbage counts an entry for collection. Collection goes up to the top of the
// clock, and may have passed this dot before the entry is on the disk: then it
// begins there again.
func (r *Replica) noteGarbage(d dvv.Dot) {
	r.garbage++
	if d.Counter <= r.clock.Top(d.Actor) {
		r.late = append(r.late, lateEntry{dot: d, seq: r.seq + 1})
	}
}

// noteDelete remembers that d deleted name, until d is stable.
func (r *Replica) noteDelete(name []byte, d dvv.Dot) {
	r.ranging.note(name)
	var buf [dotKeyBytes]byte
	r.scratch = append(append(r.scratch[:0], garbageDelete), name...)
	r.batch().Put(appendDotKey(buf[:0], areaGarbage, d), r.scratch)
	r.noteGarbage(d)
	r.dirty.state = true
}

// setClock replaces the clock by one that has seen more.
func (r *Replica) setClock(c dvv.Clock) {
	if invariant.Enabled {
		invariant.Check(c.Descends(r.clock), "clock went back from %v to %v (I3)", r.clock, c)
	}
	r.clock = c
	if !c.HasBases(r.bases) {
		r.bases = c.Bases()
		r.sweep.again = true
	}
	r.dirty.state = true
}

// empty says whether the database holds no object at all.
func (r *Replica) empty() bool {
	it := r.view.Iterator(kv.PrefixRange([]byte{AreaObject}))
	defer it.Close()
	return !it.First() && it.Err() == nil
}
