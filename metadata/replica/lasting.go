package replica

import (
	"fmt"
	"maps"
	"slices"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// lastingMax bounds the keys with a lasting context: about 100 bytes of memory
// each. Above it a context stays with its object, which is looked at again and
// again.
const lastingMax = 1 << 16

// gapsMax bounds the gaps of one actor that stay open when nobody can fill them:
// the clock is in every batch. Above it they are closed for good.
const gapsMax = 1024

// lasting is the part of the contexts that names what is lost: dots that no
// member has, of an actor that writes no more. Such a part never strips, and would
// be kept with its object for ever, or in place of one that was deleted. It is
// moved here instead: the object has exactly its dots then, and a write of the key
// need not look at it. It cannot be thrown away, since the lost dot may come back
// with a member that was taken out or a disk that was restored, and nothing else
// says then that it was overwritten. Owned by the Replica; durable in areaLasting.
type lasting struct {
	contexts map[string]dvv.VV // by table and key
	names    dvv.VV            // what any of them names
	passed   dvv.VV            // the bases, of those actors, when the contexts were stripped last
}

// loadLasting reads all of them.
func (r *Replica) loadLasting() error {
	r.lasting = lasting{contexts: map[string]dvv.VV{}}
	it := r.view.Iterator(inArea(areaLasting))
	defer it.Close()
	for it.Next() {
		v, err := decodeLasting(it.Value())
		if err != nil {
			return err
		}
		r.lasting.contexts[string(it.Key()[1:])] = v
		r.lasting.names = r.lasting.names.Join(v)
	}
	return it.Err()
}

func appendLasting(dst []byte, v dvv.VV) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 2), recordVersion)
	return pack.AppendBytes(dst, v.Append(nil))
}

func decodeLasting(b []byte) (dvv.VV, error) {
	r, n := openRecord(b, 2)
	v := readVV(&r)
	return v, closeRecord(&r, n-2, "lasting context")
}

// whole is the object of name with all of its context: what is sent, and what is
// merged with.
func (r *Replica) whole(name []byte, o dvv.Object) dvv.Object {
	if v, ok := r.lasting.contexts[string(name)]; ok {
		return o.Fill(v)
	}
	return o
}

// wholeIn is whole for the record of name in a snapshot.
func wholeIn(at kv.Snapshot, name, raw []byte) ([]byte, error) {
	b, err := at.Get(withArea(areaLasting, name))
	if isNotFound(err) {
		return raw, nil
	}
	if err != nil {
		return nil, err
	}
	return wholeOf(raw, b)
}

// wholeOf is the record of an object, which may be none, with a lasting context.
func wholeOf(raw, context []byte) ([]byte, error) {
	v, err := decodeLasting(context)
	if err != nil {
		return nil, err
	}
	var o dvv.Object
	if len(raw) > 0 {
		if o, err = decodeObject(raw); err != nil {
			return nil, err
		}
	}
	return appendObject(nil, o.Fill(v)), nil
}

// strip is o as it is stored: without what the clock says, or the lasting context.
func (r *Replica) strip(name []byte, o dvv.Object) dvv.Object {
	o = o.Strip(r.bases)
	if v, ok := r.lasting.contexts[string(name)]; ok {
		return o.Strip(v)
	}
	return o
}

// setLasting replaces the lasting context of name; an empty one goes.
func (r *Replica) setLasting(name []byte, v dvv.VV) {
	if v.Len() == 0 {
		delete(r.lasting.contexts, string(name))
		r.batch().Delete(withArea(areaLasting, name))
	} else {
		r.lasting.contexts[string(name)] = v
		r.lasting.names = r.lasting.names.Join(v)
		r.batch().Put(withArea(areaLasting, name), appendLasting(nil, v))
	}
	r.dirty.state = true
}

// settled says that a writes no more and every member has the same of it: what is
// missing then is lost. Not for ever, perhaps, and it may be wrong by what is on
// its way; nothing but tidiness depends on it.
func (r *Replica) settled(a dvv.Actor) bool {
	return a != r.actor && r.allMembers(func(p *peer) bool {
		return p.actor != a && p.nonce != 0 && p.clock.SameOf(r.clock, a)
	})
}

// outlast moves what next's context names of settled actors to the lasting
// contexts. settled is what this sweep found out already.
func (r *Replica) outlast(name []byte, next dvv.Object, settled map[dvv.Actor]bool) dvv.Object {
	var part dvv.VV
	for i := range next.Context().Len() {
		d := next.Context().At(i)
		is, known := settled[d.Actor]
		if !known {
			is = r.settled(d.Actor)
			settled[d.Actor] = is
			if is {
				r.event(Event{Kind: EventLasting, Dot: d})
			}
		}
		if is {
			part = part.With(d)
		}
	}
	if part.Len() == 0 || len(r.lasting.contexts) >= lastingMax {
		return next
	}
	r.setLasting(name, r.lasting.contexts[string(name)].Join(part))
	return next.Strip(part)
}

// stripLasting drops what the clock says by now: who had the lost dots came back.
func (r *Replica) stripLasting() {
	var passed dvv.VV
	for i := range r.lasting.names.Len() {
		d := r.lasting.names.At(i)
		passed = passed.With(dvv.Dot{Actor: d.Actor, Counter: r.bases.Get(d.Actor)})
	}
	if passed.Equal(r.lasting.passed) {
		return
	}
	r.lasting.passed = passed
	for _, name := range slices.Sorted(maps.Keys(r.lasting.contexts)) {
		was := r.lasting.contexts[name]
		if v := dvv.NewObject(was).Strip(r.bases).Context(); !v.Equal(was) {
			r.setLasting([]byte(name), v)
		}
	}
}

// closeGaps gives up what is missing of settled actors if it is too much to carry
// in every clock: whoever returns with such dots is told that they are gone.
func (r *Replica) closeGaps() {
	for i := range r.clock.Len() { // to close them takes no actor away
		if a, _, _, n := r.clock.At(i); n > gapsMax && r.settled(a) {
			r.event(Event{Kind: EventClosed, Dot: dvv.Dot{Actor: a, Counter: r.clock.Top(a)}, Text: fmt.Sprintf("%d gaps", n)})
			r.setClock(r.clock.Seal(a))
		}
	}
}
