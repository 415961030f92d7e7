package sim

import (
	"fmt"
	"slices"

	"tombolo/dvv"
)

// opSet is a set of operations by number.
type opSet []uint64

func (s opSet) has(id uint64) bool { return int(id/64) < len(s) && s[id/64]&(1<<(id%64)) != 0 }

func (s *opSet) add(id uint64) {
	for len(*s) <= int(id/64) {
		*s = append(*s, 0)
	}
	(*s)[id/64] |= 1 << (id % 64)
}

func (s *opSet) join(o opSet) {
	if n := len(o) - len(*s); n > 0 {
		*s = append(*s, o[len(*s):]...)
	}
	for i, w := range o {
		(*s)[i] |= w
	}
}

// opRecord is one operation as the oracle knows it.
type opRecord struct {
	Op
	slot     int
	dot      dvv.Dot
	hlc      uint64
	floor    uint64
	past     opSet // the operations whose effects the writer had before it, on this key
	acked    bool
	there    bool // it was committed, or left the node
	alone    bool // written by a node that was no member
	atRisk   bool // the only store that held it was lost or rolled back
	stranded bool // its store was a copy that was refused, or never came back
}

// oracle keeps the exact causal pasts outside the algorithm. Operations are
// known by the values they wrote, so that a dot that is issued twice cannot
// fool it. Owned by the World.
type oracle struct {
	ops   []*opRecord // by id; 0 is unused
	byDot map[dvv.Dot]*opRecord
	byKey map[string][]*opRecord
	past  opSet    // room for live,
	lives []uint64 // for its answer,
	holds []uint64 // and for that of held
}

func newOracle() *oracle {
	return &oracle{ops: []*opRecord{nil}, byDot: map[dvv.Dot]*opRecord{}, byKey: map[string][]*opRecord{}}
}

// begin records what the writer has before it writes: the values it reads, and
// the deletes it knows of, which leave no value to read.
func (o *oracle) begin(slot int, op Op, before dvv.Object, c dvv.Clock) *opRecord {
	rec := &opRecord{Op: op, slot: slot}
	rec.ID = uint64(len(o.ops))
	rec.past = make(opSet, 0, rec.ID/64+1)
	list := o.byKey[op.Key]
	for i := len(list) - 1; i >= 0; i-- { // with a delete all before it are in the past, as in live
		if d := list[i]; d.Delete && !rec.past.has(d.ID) && d.knownTo(c) {
			rec.past.add(d.ID)
			rec.past.join(d.past)
		}
	}
	for _, s := range before.Siblings() {
		v := DecodeValue(s.Value)
		if v.Op == 0 || v.Op >= uint64(len(o.ops)) {
			continue
		}
		rec.past.add(v.Op)
		rec.past.join(o.ops[v.Op].past)
		rec.floor = max(rec.floor, v.Floor)
	}
	o.ops = append(o.ops, rec)
	o.byKey[op.Key] = append(o.byKey[op.Key], rec)
	return rec
}

// named gives an operation its dot; clash is another one that has it.
func (o *oracle) named(rec *opRecord, d dvv.Dot) (clash *opRecord) {
	rec.dot, rec.there = d, true
	if other := o.byDot[d]; other != nil && other != rec {
		return other
	}
	o.byDot[d] = rec
	return nil
}

// knows says whether a store with this clock claims to have seen rec.
func (rec *opRecord) knownTo(c dvv.Clock) bool { return rec.there && c.Has(rec.dot) }

// live is, up to the next call, the operations whose values a store with clock c must
// hold under key: the puts that no operation it knows has in its past. An operation has
// only earlier ones in its past, and with each of them all of theirs: from the last one
// back, what is in the past of a known one need not be looked at.
func (o *oracle) live(key string, c dvv.Clock) []uint64 {
	clear(o.past)
	live, list := o.lives[:0], o.byKey[key]
	for i := len(list) - 1; i >= 0; i-- {
		rec := list[i]
		if o.past.has(rec.ID) || !rec.knownTo(c) {
			continue
		}
		o.past.join(rec.past)
		if !rec.Delete {
			live = append(live, rec.ID)
		}
	}
	slices.Reverse(live)
	o.lives = live
	return live
}

// held is liveOps, up to the next call.
func (o *oracle) held(obj dvv.Object) []uint64 {
	o.holds = appendLiveOps(o.holds[:0], obj)
	return o.holds
}

// superseded says whether any write at all, known or not, had id before it: a
// store may have its effect, by an object that came along, before its dot.
func (o *oracle) superseded(key string, id uint64) bool {
	return slices.ContainsFunc(o.byKey[key], func(q *opRecord) bool { return q.there && q.past.has(id) })
}

// liveOps is the operations whose values an object holds, ascending.
func liveOps(obj dvv.Object) []uint64 { return appendLiveOps(nil, obj) }

func appendLiveOps(ids []uint64, obj dvv.Object) []uint64 {
	for _, s := range obj.Siblings() {
		ids = append(ids, DecodeValue(s.Value).Op)
	}
	slices.Sort(ids)
	return ids
}

// story tells what is known of the operations on a key, for a reader.
func (o *oracle) story(key string, ids ...[]uint64) string {
	text := ""
	for _, list := range ids {
		for _, id := range list {
			if id == 0 || id >= uint64(len(o.ops)) {
				continue
			}
			text += fmt.Sprintf("; operation %d is %v by slot %d", id, o.ops[id].dot, o.ops[id].slot)
			for _, q := range o.byKey[key] {
				if q.there && q.past.has(id) {
					text += fmt.Sprintf(", before %d %v", q.ID, q.dot)
				}
			}
		}
	}
	return text
}
