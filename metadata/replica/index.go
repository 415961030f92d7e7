package replica

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// The index says which key a dot was written to, for the pulls of members that
// lack the dot. Every batch has one entry for each blockDots counters in which it
// made dots live, a block; what is overwritten later stays in it, and is found to be
// so by reading the object. What every member has is hardly ever pulled: blocks go when
// that is known (see trim), a store without other members has none, and who asks for
// more than the index knows has all objects looked through.
//
// Invariant: a live dot that is not in state.trimmed stands in a block (I7).

// blockDots is the counters that the dots of one block may have: those of an aligned
// window, so that a walk knows where the blocks of a dot may begin.
const blockDots = 1024

// indexEntry is a dot and the key that it was written to. Immutable.
type indexEntry struct {
	dot  dvv.Dot
	name []byte
}

// index notes that the batch in hand makes d live under name.
func (r *Replica) index(name []byte, d dvv.Dot) {
	if len(r.peers) > 0 && !r.trimmed.Has(d) {
		r.indexed = append(r.indexed, indexEntry{d, name})
	}
}

// sealIndex adds the blocks of what came with the batch.
func (r *Replica) sealIndex(b *kv.Batch) {
	if len(r.peers) == 0 {
		r.trimmed = r.clock
	}
	byDot := func(x, y indexEntry) int { return x.dot.Compare(y.dot) }
	if !slices.IsSortedFunc(r.indexed, byDot) {
		slices.SortFunc(r.indexed, byDot)
	}
	for rest := r.indexed; len(rest) > 0; {
		first, n := rest[0].dot, 1
		for n < len(rest) && rest[n].dot.Actor == first.Actor && rest[n].dot.Counter/blockDots == first.Counter/blockDots {
			n++
		}
		r.scratch = appendBlock(r.scratch[:0], rest[:n])
		var key [blockKeyBytes]byte
		b.Put(r.appendBlockKey(key[:0], first), r.scratch)
		if first.Counter <= r.durable.Top(first.Actor) {
			r.lateBlocks = append(r.lateBlocks, lateEntry{dot: first, seq: r.seq})
		}
		rest = rest[n:]
	}
	clear(r.indexed)
	r.indexed = r.indexed[:0]
}

// appendBlockKey appends the key of a block that begins with d. A dot that comes live again, after
// a rebuild, must not take the place of another block: the batch is part of the key.
func (r *Replica) appendBlockKey(dst []byte, d dvv.Dot) []byte {
	return binary.BigEndian.AppendUint64(appendDotKey(dst, areaIndex, d), r.nonce+r.seq)
}

// blockKeyBytes is the length of a block's key: actor, counter and batch.
const blockKeyBytes = dotKeyBytes + 8

// appendBlock appends a block:
//
//	[version, then for each dot: its counter less the one before it, table and key]
func appendBlock(dst []byte, list []indexEntry) []byte {
	dst = pack.AppendArray(dst, 1+2*len(list))
	dst = pack.AppendUint(dst, recordVersion)
	before := list[0].dot.Counter
	for _, e := range list {
		dst = pack.AppendUint(dst, e.dot.Counter-before)
		dst = pack.AppendBytes(dst, e.name)
		before = e.dot.Counter
	}
	return dst
}

// readBlock appends the entries of a block to dst; the names are parts of value.
func readBlock(dst []indexEntry, key, value []byte) ([]indexEntry, error) {
	r := pack.NewReader(value)
	n := r.ArrayMin(1)
	if v := r.Uint(); r.Err() == nil && v != recordVersion {
		r.Fail(errVersion)
	}
	var d dvv.Dot
	if len(key) != blockKeyBytes {
		r.Fail(pack.ErrKind)
	} else {
		d, _ = parseDotKey(key[:dotKeyBytes])
	}
	if n%2 != 1 {
		r.Fail(pack.ErrKind)
	}
	for i := 1; i+1 < n && r.Err() == nil; i += 2 {
		d.Counter += r.UintMax(blockDots)
		name := r.Bytes()
		if len(name) == 0 {
			r.Fail(pack.ErrRange)
		}
		dst = append(dst, indexEntry{d, name})
	}
	if err := r.End(); err != nil {
		return dst, fmt.Errorf("index block %x: %w", key, err)
	}
	return dst, nil
}

// ReadBlock calls fn for every dot of a block of the index; key and value are as they
// lie in the database.
func ReadBlock(key, value []byte, fn func(d dvv.Dot, name []byte)) error {
	var room [8]indexEntry
	list, err := readBlock(room[:0], key, value)
	if err != nil {
		return err
	}
	for _, e := range list {
		fn(e.dot, e.name)
	}
	return nil
}

// coalesce joins spans that share a block, in their place: a clock with many gaps has a
// walk go over each block once.
func coalesce(spans []dvv.Span) []dvv.Span {
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].Actor == s.Actor && s.First/blockDots <= out[n-1].Last/blockDots {
			out[n-1].Last = s.Last
		} else {
			out = append(out, s)
		}
	}
	return out
}

// dotWalk goes through the dots that a request lacks and that may be live: first those
// in the index, then the deletes. For a request that lacks what the index has forgotten
// all objects take the place of the index. Owned by an outgoing transfer.
type dotWalk struct {
	at      kv.Snapshot
	request dvv.Clock
	all     []dvv.Span // what it lacks
	area    byte       // the one in hand; 0: the walk is over
	spans   []dvv.Span // of all, those that are not done in it
	begun   bool       // the first of them
	it      kv.Iterator
	from    []byte       // where the first of them begins,
	upTo    []byte       // and ends
	found   []indexEntry // not yet given; a part of
	room    []indexEntry
	looked  int // entries since it gave the last one
}

// lookMax is how many entries a walk looks at in one step without finding anything.
const lookMax = 4096

func newDotWalk(at kv.Snapshot, request dvv.Clock, s *state) *dotWalk {
	w := &dotWalk{at: at, request: request, all: coalesce(s.clock.Missing(request)), area: areaIndex}
	if len(w.all) == 0 {
		w.area = 0
	} else if !request.Descends(s.clock.Meet(s.trimmed)) {
		w.area = AreaObject
	}
	w.spans = w.all
	return w
}

func (w *dotWalk) close() {
	if w.it != nil {
		w.it.Close()
		w.it = nil
	}
}

// paused says that next ended for having looked at much, and goes on in another step.
func (w *dotWalk) paused() bool { return w.looked >= lookMax }

// next is the next dot with its key; more is false at the end, and when the walk
// pauses. deleted says that the dot deleted the key and has no value.
func (w *dotWalk) next() (e indexEntry, deleted, more bool, err error) {
	if w.paused() {
		w.looked = 0
	}
	for !w.paused() {
		for len(w.found) > 0 {
			e, w.found = w.found[0], w.found[1:]
			if !w.request.Has(e.dot) {
				w.looked = 0
				return e, w.area == areaGarbage, true, nil
			}
		}
		if more, err := w.fill(); err != nil || !more {
			return e, false, false, err
		}
	}
	return e, false, false, nil
}

// step goes to the next entry that may be of use in the area in hand; false at its end.
func (w *dotWalk) step() (bool, error) {
	if w.area == AreaObject {
		if w.it == nil {
			w.it = w.at.Iterator(allOf(AreaObject))
		}
		return w.it.Next(), w.it.Err()
	}
	if w.it == nil {
		w.it = w.at.Iterator(inArea(w.area)) // one for all spans: most have nothing
	}
	for ; len(w.spans) > 0; w.spans, w.begun = w.spans[1:], false {
		if ok := w.begun && w.it.Next() || !w.begun && w.seek(w.spans[0]); !ok {
			return false, w.it.Err() // the later spans lie behind
		}
		if bytes.Compare(w.it.Key(), w.upTo) < 0 {
			return true, nil
		}
	}
	return false, nil
}

// seek goes to where the blocks, or the deletes, of s begin, unless it stands there.
func (w *dotWalk) seek(s dvv.Span) bool {
	w.begun = true
	if w.area == areaIndex {
		s.First -= s.First % blockDots
	}
	w.from = appendDotKey(w.from[:0], w.area, dvv.Dot{Actor: s.Actor, Counter: s.First})
	w.upTo = appendDotKey(w.upTo[:0], w.area, dvv.Dot{Actor: s.Actor, Counter: s.Last + 1})
	return w.it.Key() != nil && bytes.Compare(w.it.Key(), w.from) >= 0 || w.it.Seek(w.from)
}

// fill looks at the next entry of the database.
func (w *dotWalk) fill() (more bool, err error) {
	if w.area == 0 {
		return false, nil
	}
	if more, err := w.step(); err != nil || !more {
		w.close()
		if w.area == areaGarbage {
			w.area = 0
		} else {
			w.area, w.spans, w.begun = areaGarbage, w.all, false
		}
		return true, err
	}
	w.looked++
	w.found = w.room[:0]
	key, value := w.it.Key(), w.it.Value()
	switch w.area {
	case areaIndex:
		w.found, err = readBlock(w.found, key, slices.Clone(value))
	case AreaObject:
		var o dvv.Object
		if o, err = decodeObject(value); err != nil {
			return true, err
		}
		for _, s := range o.Siblings() {
			if !w.request.Has(s.Dot) {
				w.found = append(w.found, indexEntry{s.Dot, slices.Clone(key[1:])})
				break // which brings the others with it
			}
		}
	default:
		d, kind, name, err := parseGarbage(key, value)
		if err != nil {
			return true, err
		}
		if kind == garbageDelete {
			w.found = append(w.found, indexEntry{d, slices.Clone(name)})
		}
	}
	w.room = w.found
	return true, err
}

// parseGarbage reads an entry of areaGarbage.
func parseGarbage(key, value []byte) (d dvv.Dot, kind byte, name []byte, err error) {
	d, ok := parseDotKey(key)
	if !ok || len(value) < 2 || value[0] != garbageTomb && value[0] != garbageDelete {
		return d, 0, nil, fmt.Errorf("garbage entry %x is damaged", key)
	}
	return d, value[0], value[1:], nil
}
