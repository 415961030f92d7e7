package replica

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// mendScanMax is how many keys one step looks at for those of the ranges in hand.
const mendScanMax = 16 << 10

// mendAsked sends the next records of the ranges that p found to differ, all from the
// snapshot that the sums were made of.
func (r *Replica) mendAsked(now time.Time, p *peer, rd *pack.Reader) {
	round, mask, cursor := rd.Uint(), rd.Uint(), rd.Bytes()
	g := p.served
	if rd.Err() != nil || g == nil || g.round != round || !g.done {
		return
	}
	if mask == 0 { // nothing is wanted
		p.endRanges()
		return
	}
	g.began = now
	var list []wireRecord
	upTo, size := []byte(nil), 0
	whole, err := eachIn(g.snapshot, cursor, nil, func(name, raw []byte) bool {
		upTo = name
		if mask>>rangeOf(name)&1 == 1 {
			w := wireRecord{key: name, raw: append([]byte{}, raw...)}
			list, size = append(list, w), size+w.size()
		}
		return size < r.config.ChunkBytes && len(list) < chunkKeysMax
	})
	if err != nil {
		r.event(Event{Kind: EventDamaged, Peer: p.id, Text: "ranges: " + err.Error()})
		p.endRanges()
		return
	}
	if whole {
		upTo = nil
	}
	f := pack.AppendBytes(pack.AppendUint(p.header(r, frameMended), round), upTo)
	f = pack.AppendArray(f, len(list))
	for i := range list {
		f = pack.AppendBytes(pack.AppendArray(f, 2), list[i].key)
		f = pack.AppendBytes(f, list[i].raw)
	}
	r.send(p, f)
	if whole {
		p.endRanges()
	}
}

// eachIn calls fn for the objects of a snapshot behind from up to to (nil: to the
// end), at most mendScanMax; whole says that there are no more.
func eachIn(at kv.Snapshot, from, to []byte, fn func(name, raw []byte) bool) (whole bool, err error) {
	keys := kv.PrefixRange([]byte{AreaObject})
	if len(from) > 0 {
		keys.Start = append(objectKey(from), 0)
	}
	if to != nil {
		keys.Limit = append(objectKey(to), 0)
	}
	it := at.Iterator(keys)
	defer it.Close()
	for n := 0; it.Next(); n++ {
		if more := fn(append([]byte{}, it.Key()[1:]...), it.Value()); !more || n == mendScanMax {
			return false, nil
		}
	}
	return true, it.Err()
}

// mendCame takes over what p has otherwise in the ranges that differ.
func (r *Replica) mendCame(now time.Time, p *peer, rd *pack.Reader) {
	round, to := rd.Uint(), rd.Bytes()
	n := rd.Array()
	theirs := map[string][]byte{}
	for range n {
		if rd.Err() != nil {
			return
		}
		fields := rd.ArrayMin(2)
		name := string(rd.Bytes())
		theirs[name] = append([]byte{}, rd.Bytes()...)
		for ; fields > 2 && rd.Err() == nil; fields-- {
			rd.Skip()
		}
	}
	g := r.ranging
	if rd.Err() != nil || g == nil || r.rangingWith != p.id || g.round != round || g.mask == 0 || to != nil && bytes.Compare(to, g.cursor) <= 0 {
		return
	}
	g.began = now
	if err := r.mendUpTo(p, to, theirs); err != nil {
		r.event(Event{Kind: EventDamaged, Peer: p.id, Text: "ranges: " + err.Error()})
		r.endRanging(now, r.config.RangesEvery)
		return
	}
	if to == nil {
		r.endRanging(now, rangesAgain) // whether all of it is right is for the next one to say
		return
	}
	g.cursor = append([]byte{}, to...)
	r.askMend(p)
}

// mendUpTo mends the keys behind the cursor up to to; theirs is what p has of them.
func (r *Replica) mendUpTo(p *peer, to []byte, theirs map[string][]byte) error {
	g := r.ranging
	var fault error
	for from, whole := g.cursor, false; !whole; {
		var err error
		whole, err = eachIn(g.snapshot, from, to, func(name, raw []byte) bool {
			from = name
			if g.mask>>rangeOf(name)&1 == 1 {
				fault = r.mendKey(p, name, append([]byte{}, raw...), theirs[string(name)])
				delete(theirs, string(name))
			}
			return fault == nil
		})
		if err != nil || fault != nil {
			return cmp.Or(err, fault)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(theirs)) { // of which the disk has nothing
		if err := r.mendKey(p, []byte(name), nil, theirs[name]); err != nil {
			return err
		}
	}
	return nil
}

// mendKey puts what p has of name in place of ours, if neither side has touched it and
// ours is still that of the cut. The digest and the counts say already what p has.
func (r *Replica) mendKey(p *peer, name, ours, theirs []byte) error {
	g := r.ranging
	if bytes.Equal(ours, theirs) || g.isTouched(name) || g.blind || g.noted[xxhash.Sum64(name)] {
		return nil
	}
	key := objectKey(name)
	if _, changed := r.objects[string(key)]; changed {
		return nil
	}
	current, err := r.view.Get(key)
	if err != nil && !isNotFound(err) || !bytes.Equal(current, ours) {
		return ignoreNotFound(err)
	}
	next, err := objectOf(theirs)
	if err != nil {
		return err
	}
	if g.union {
		return r.takeMore(p, name, ours, next)
	}
	old, err := objectOf(ours)
	switch {
	case err != nil:
		r.setAside(key, ours, err)
	case !g.possible(name, old):
	case contribution(r.config.Policy, name, old) == contribution(r.config.Policy, name, next):
		return nil // a tombstone that one side has collected
	}
	next = r.strip(name, next)
	b := r.batch()
	for _, s := range next.Siblings() { // reindex counts those that come; these are counted already
		if isTomb(s.Value) && !old.Live(s.Dot) {
			r.garbage--
		}
	}
	for _, s := range old.Siblings() {
		if isTomb(s.Value) && !next.Live(s.Dot) {
			r.garbage++
		}
	}
	r.reindex(b, name, old, next)
	if residual := withArea(areaResidual, name); next.Context().Len() > 0 {
		b.Put(residual, nil)
	} else {
		b.Delete(residual)
	}
	r.put(b, key, next, contribution(r.config.Policy, name, next), nil)
	r.event(Event{Kind: EventMended, Peer: p.id, Text: string(name)})
	return nil
}

// takeMore adds what theirs has more to ours, although we have seen it: that it went is
// what only one of the two stores knows of, and a loss is worse than a return.
func (r *Replica) takeMore(p *peer, name, ours []byte, theirs dvv.Object) error {
	old, err := objectOf(ours)
	if err != nil {
		return err
	}
	theirs = dvv.NewObject(dvv.VV{}, theirs.Siblings()...)
	if conflicts := dvv.Conflicts(old, theirs); len(conflicts) > 0 {
		r.quarantine(name, conflicts, old, theirs)
	}
	if next := dvv.Sync(old, theirs); !next.Equal(old) {
		r.store(objectKey(name), old, next)
		r.event(Event{Kind: EventMended, Peer: p.id, Text: string(name)})
	}
	return nil
}

// objectOf reads a stored object; what is not stored is the empty one.
func objectOf(raw []byte) (dvv.Object, error) {
	if len(raw) == 0 {
		return dvv.Object{}, nil
	}
	return decodeObject(raw)
}

func ignoreNotFound(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}
