package replica

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// What goes back and forth between members, and between a store and its disk, is mostly
// what went there before: the same few clocks and the same retired actors. Their bytes are
// canonical, so that equal bytes are equal values, and need not be read or made again.

// known is what was read lately, by its bytes, and the bytes of what is told again and
// again. Owned by the Replica; of a nil one everything is read.
type known struct {
	clocks       [knownClocks]knownClock
	clock        toldClock // ours
	trimmed      toldClock
	retired      []Retired // ours,
	retiredBytes []byte    // and what they are told as; nil: not made yet
	retiredSum   uint64
	others       toldRetired // the list of a peer that is not ours, the last one that was read
	vectors      [knownVectors]knownVector
	objects      [knownObjects]knownObject
}

// knownClocks is how many clocks are remembered, of knownBytesMax each at most.
const (
	knownClocks   = 16
	knownBytesMax = 1 << 10
)

// knownClock is a clock with its bytes. Owned by known.
type knownClock struct {
	raw   []byte
	clock dvv.Clock
}

// toldClock is the bytes of the clock that they were asked for last. Owned by known.
type toldClock struct {
	knownClock
	hash uint64
}

// toldRetired is a list of retired actors, what it is told as, and the sum of that. Owned
// by known.
type toldRetired struct {
	list []Retired
	raw  []byte
	sum  uint64
}

// vectorRoom is what the bytes of most vectors and clocks have room in.
const vectorRoom = 512

// knownVectors is how many vectors are remembered.
const knownVectors = 16

// knownVector is a vector with its bytes. Owned by known.
type knownVector struct {
	raw    []byte
	vector dvv.VV
}

// decodeVV reads a vector.
func (k *known) decodeVV(raw []byte) (v dvv.VV, rest []byte, err error) {
	if k == nil || len(raw) < 2 || len(raw) > knownBytesMax {
		return dvv.DecodeVV(raw)
	}
	at := &k.vectors[xxhash.Sum64(raw)%knownVectors]
	if bytes.Equal(at.raw, raw) {
		return at.vector, nil, nil
	}
	v, rest, err = dvv.DecodeVV(raw)
	if err == nil && len(rest) == 0 {
		at.raw, at.vector = append(at.raw[:0], raw...), v
	}
	return v, rest, err
}

// knownObjects is how many objects are remembered: those that were written or read last.
const knownObjects = rangeCount

// knownObject is an object with its record. Owned by known.
type knownObject struct {
	raw    []byte
	object dvv.Object
}

func (k *known) objectAt(name []byte) *knownObject {
	return &k.objects[rangeOf(name)]
}

// object reads the object record of name.
func (k *known) object(name, raw []byte) (dvv.Object, error) {
	if k != nil && len(raw) > 0 {
		if at := k.objectAt(name); bytes.Equal(at.raw, raw) {
			return at.object, nil
		}
	}
	return k.decodeObject(raw, nil)
}

// keepObject remembers that raw is the record of o under name; it keeps raw.
func (k *known) keepObject(name, raw []byte, o dvv.Object) {
	if k != nil && len(raw) <= knownBytesMax {
		*k.objectAt(name) = knownObject{raw, o}
	}
}

// of is the bytes of c, up to the next call.
func (t *toldClock) of(c dvv.Clock) []byte {
	if t.raw == nil || !t.clock.Same(c) {
		t.clock, t.raw = c, c.Append(t.raw[:0])
		t.hash = xxhash.Sum64(t.raw)
	}
	return t.raw
}

// decode reads a clock.
func (k *known) decode(raw []byte) (c dvv.Clock, rest []byte, err error) {
	if k == nil || len(raw) > knownBytesMax {
		return dvv.DecodeClock(raw)
	}
	at := &k.clocks[xxhash.Sum64(raw)%knownClocks]
	if len(raw) > 0 && bytes.Equal(at.raw, raw) {
		return at.clock, nil, nil
	}
	c, rest, err = dvv.DecodeClock(raw)
	if err == nil && len(rest) == 0 {
		at.raw, at.clock = append(at.raw[:0], raw...), c
	}
	return c, rest, err
}

// keep remembers c, whose bytes are raw: the others will tell us the same.
func (k *known) keep(raw []byte, c dvv.Clock, hash uint64) {
	if at := &k.clocks[hash%knownClocks]; len(raw) <= knownBytesMax && !at.clock.Same(c) {
		at.raw, at.clock = append(at.raw[:0], raw...), c
	}
}

// readClock reads a clock of a frame or record.
func (k *known) readClock(r *pack.Reader) dvv.Clock {
	c, rest, err := k.decode(r.Bytes())
	if err != nil || len(rest) > 0 {
		r.Fail(dvv.ErrMalformed)
		return dvv.Clock{}
	}
	return c
}

// readRetired reads a list of retired actors; sum is what retiredSum makes of it.
func (k *known) readRetired(r *pack.Reader) (list []Retired, sum uint64) {
	if k != nil && r.Passes(k.retiredBytes) {
		return k.retired, k.retiredSum
	}
	if k == nil {
		list = readRetired(r)
		return list, retiredSum(list)
	}
	o := &k.others
	if r.Passes(o.raw) {
		return o.list, o.sum
	}
	list = readRetired(r)
	if r.Err() == nil {
		o.list, o.raw = list, appendRetired(slices.Grow(o.raw[:0], 4+12*len(list)), list)
		o.sum = xxhash.Sum64(o.raw)
		return list, o.sum
	}
	return list, 0
}

// told is about how many bytes our clock and our retired actors were last told in.
func (k *known) told() int { return len(k.clock.raw) + len(k.retiredBytes) }

// clockBytes is our clock as it is told, up to the next call.
func (r *Replica) clockBytes() []byte {
	raw := r.known.clock.of(r.clock)
	r.known.keep(raw, r.clock, r.known.clock.hash)
	return raw
}

// clockHash is what two stores compare before they send clocks.
func (r *Replica) clockHash() uint64 {
	r.known.clock.of(r.clock)
	return r.known.clock.hash
}

// retiredBytes is our retired actors as they are told.
func (r *Replica) retiredBytes() []byte {
	if k := r.known; k.retiredBytes == nil {
		k.retired, k.retiredBytes = r.retired, appendRetired(make([]byte, 0, 4+12*len(r.retired)), r.retired)
		k.retiredSum = xxhash.Sum64(k.retiredBytes)
	}
	return r.known.retiredBytes
}

// retiredSum is what two stores compare before they send the lists.
func (r *Replica) retiredSum() uint64 {
	r.retiredBytes()
	return r.known.retiredSum
}
