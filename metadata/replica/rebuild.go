package replica

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// rebuildMax is how many objects one step of a rebuild reads.
const rebuildMax = 512

// rebuilding is how far a rebuild has come. Owned by the Replica.
type rebuilding struct {
	areas []byte // still to be emptied
	from  []byte // the next object's key
}

// startRebuild begins anew with the objects that are left in a database that
// does not hold what was written to it. The clock said that all of it is here:
// kept, it would have everything that was lost deleted on the peers as well. So
// the clock is made of the dots that are here, under a new actor and a new
// opening, and what is missing comes back with a full join. Writes that no peer
// had seen may be lost with the damage; values that they had overwritten may
// return beside others.
func (r *Replica) startRebuild(why string) {
	r.mint(why)
	r.Release()
	r.before, r.nonce = r.nonce, r.config.Rand()|1
	r.identity.nonce, r.identity.rebuilds, r.identity.joins = r.nonce, true, len(r.peers) > 0
	r.clock, r.bases, r.digest, r.live, r.garbage = dvv.Clock{}, dvv.VV{}, 0, 0, 0
	r.lasting = lasting{contexts: map[string]dvv.VV{}}
	r.collecting, r.join, r.sweep = nil, nil, sweeping{again: true}
	r.collectFrom = map[dvv.Actor]uint64{}
	r.trimmed, r.trim, r.trimFrom, r.indexed = dvv.Clock{}, nil, map[dvv.Actor]uint64{}, nil
	r.summaries = newSummaries(r.config.SummariesMax)
	r.dirty.identity, r.dirty.state, r.dirty.peers, r.dirty.join = true, true, true, true
	for _, p := range r.peers {
		p.reset()
		p.row, p.rowNonce, p.candidate, p.clock = dvv.Clock{}, 0, dvv.Clock{}, dvv.Clock{}
	}
	r.phase = Joining
	r.rebuild = &rebuilding{areas: []byte{areaIndex, areaGarbage, areaResidual, areaLasting}, from: []byte{AreaObject}}
}

// rebuildStep goes on once everything before is durable: what it reads is then
// all that there is.
func (r *Replica) rebuildStep(now time.Time) {
	var err error
	if len(r.rebuild.areas) > 0 {
		err = r.emptyArea()
	} else {
		err = r.rebuildObjects(now)
	}
	if err != nil {
		r.event(Event{Kind: EventDamaged, Text: "rebuild: " + err.Error()})
	}
}

func (r *Replica) emptyArea() error {
	it := r.view.Iterator(kv.PrefixRange(r.rebuild.areas[:1]))
	defer it.Close()
	n := 0
	for ; n < 8*rebuildMax && it.Next(); n++ {
		r.batch().Delete(it.Key())
	}
	if n < 8*rebuildMax {
		r.rebuild.areas = r.rebuild.areas[1:]
	}
	r.dirty.state = true
	return it.Err()
}

func (r *Replica) rebuildObjects(now time.Time) error {
	area := kv.PrefixRange([]byte{AreaObject})
	area.Start = r.rebuild.from
	it := r.view.Iterator(area)
	defer it.Close()
	n := 0
	for ; n < rebuildMax && it.Next(); n++ {
		key := append([]byte{}, it.Key()...)
		r.rebuild.from = append(append([]byte{}, key...), 0)
		old, err := decodeObject(append([]byte{}, it.Value()...))
		if err != nil {
			r.setAside(key, it.Value(), err)
			continue
		}
		var dots []dvv.Dot
		for _, s := range old.Siblings() {
			dots = append(dots, s.Dot)
		}
		r.setClock(r.clock.Add(dots...))
		r.store(key, dvv.Object{}, dvv.NewObject(dvv.NewVV(dots...), old.Siblings()...).Strip(r.bases))
	}
	r.dirty.state = true
	if err := it.Err(); err != nil || n == rebuildMax {
		return err
	}
	r.rebuild = nil
	r.identity.rebuilds, r.dirty.identity = false, true
	if len(r.peers) == 0 { // nobody can fill the gaps, and there may be one for each write
		for _, a := range r.clock.Actors() {
			r.setClock(r.clock.Seal(a))
		}
	}
	r.serve(now)
	return nil
}

// setAside moves a record that cannot be read out of the way.
func (r *Replica) setAside(key, value []byte, why error) {
	at := binary.BigEndian.AppendUint64(appendDotKey(nil, areaQuarantine, dvv.Dot{}), xxhash.Sum64(key))
	record := pack.AppendUint(pack.AppendArray(nil, 3), recordVersion)
	r.batch().Put(at, pack.AppendBytes(pack.AppendBytes(record, key[1:]), value))
	r.batch().Delete(key)
	r.event(Event{Kind: EventDamaged, Text: fmt.Sprintf("%q is set aside: %v", key[1:], why)})
}
