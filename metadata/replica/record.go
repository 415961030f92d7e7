package replica

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// recordVersion is the first value of every record and frame. A number above it
// comes from a version that broke with this one and is refused.
const recordVersion = 1

var errVersion = errors.New("written by a later version")

// The kinds of a sibling's payload.
const (
	kindValue = 0
	kindTomb  = 1 // a register's delete, which is a write (R31)
)

// payload is what a sibling holds. Its bytes are the sibling's value: they are
// made once, by the writer, and never encoded again (R33).
//
//	[kind, hlc, value, …fields of later versions]
type payload struct {
	tomb  bool
	hlc   uint64
	value []byte
}

func appendPayload(dst []byte, p payload) []byte {
	dst = pack.AppendArray(dst, 3)
	if p.tomb {
		dst = pack.AppendUint(dst, kindTomb)
	} else {
		dst = pack.AppendUint(dst, kindValue)
	}
	dst = pack.AppendUint(dst, p.hlc)
	if p.value == nil {
		return pack.AppendBytes(dst, []byte{})
	}
	return pack.AppendBytes(dst, p.value)
}

// readPayload reads a payload and returns its bytes as well.
func readPayload(r *pack.Reader) (p payload, raw []byte) {
	start := r.Rest()
	n := r.ArrayMin(3)
	if n > 15 {
		r.Fail(pack.ErrKind) // isTomb relies on a header of one byte
	}
	p.tomb = r.UintMax(kindTomb) == kindTomb
	p.hlc = r.Uint()
	p.value = r.Bytes()
	for i := 3; i < n && r.Err() == nil; i++ {
		r.Skip()
	}
	if r.Err() != nil {
		return payload{}, nil
	}
	size := len(start) - len(r.Rest())
	return p, start[:size:size]
}

// decodePayload reads the value of a sibling that stands in an object: its form
// was checked when it came in.
func decodePayload(b []byte) payload {
	r := pack.NewReader(b)
	p, _ := readPayload(&r)
	return p
}

// isTomb looks at the kind alone: the byte behind the array's header.
func isTomb(b []byte) bool { return len(b) > 1 && b[1] == kindTomb }

// appendObject appends an object record:
//
//	[version, context or nil, then per sibling: actor, counter, payload]
func appendObject(dst []byte, o dvv.Object) []byte {
	siblings := o.Siblings()
	dst = appendObjectHead(dst, o.Context(), len(siblings))
	for _, s := range siblings {
		dst = append(appendSibling(dst, s.Dot), s.Value...)
	}
	return dst
}

// appendObjectHead appends what stands before the siblings.
func appendObjectHead(dst []byte, context dvv.VV, siblings int) []byte {
	dst = pack.AppendArray(dst, 2+3*siblings)
	dst = pack.AppendUint(dst, recordVersion)
	if context.Len() == 0 {
		return pack.AppendNil(dst)
	}
	var room [vectorRoom]byte
	return pack.AppendBytes(dst, context.Append(room[:0]))
}

// appendSibling appends what stands before a sibling's payload.
func appendSibling(dst []byte, d dvv.Dot) []byte {
	return pack.AppendUint(pack.AppendUint(dst, uint64(d.Actor)), d.Counter)
}

// decodeObject reads an object record; the payloads are parts of b.
func decodeObject(b []byte) (dvv.Object, error) { return (*known)(nil).decodeObject(b, nil) }

// decodeObject is the same with room for siblings, and of contexts those that are known.
func (k *known) decodeObject(b []byte, room []dvv.Sibling) (dvv.Object, error) {
	r := pack.NewReader(b)
	n := r.ArrayMin(2)
	if v := r.Uint(); r.Err() == nil && v != recordVersion {
		return dvv.Object{}, fmt.Errorf("object record: %w: %d", errVersion, v)
	}
	var context dvv.VV
	if c := r.Bytes(); c != nil {
		v, rest, err := k.decodeVV(c)
		if err != nil || len(rest) > 0 {
			r.Fail(dvv.ErrMalformed)
		}
		context = v
	}
	if (n-2)%3 != 0 {
		r.Fail(pack.ErrKind)
	}
	siblings := slices.Grow(room, (n-2)/3)
	for i := 2; i < n && r.Err() == nil; i += 3 {
		s := dvv.Sibling{Dot: dvv.Dot{Actor: dvv.Actor(r.Uint()), Counter: r.UintMax(1 << 62)}}
		_, s.Value = readPayload(&r)
		if k := len(siblings); s.Dot.Counter == 0 || k > 0 && siblings[k-1].Dot.Compare(s.Dot) >= 0 {
			r.Fail(pack.ErrRange)
		}
		siblings = append(siblings, s)
	}
	if err := r.End(); err != nil {
		return dvv.Object{}, fmt.Errorf("object record: %w", err)
	}
	return dvv.NewObject(context, siblings...), nil
}

// Value is one sibling as a policy sees it. Immutable.
type Value struct {
	Dot       dvv.Dot
	Tombstone bool
	HLC       uint64
	Bytes     []byte
}

// Policy is what the tables ask of the store. Its answers depend on its
// arguments alone and are the same on every node. key is table and key.
type Policy interface {
	// Set says whether a delete leaves nothing but its dot, so that adds win;
	// otherwise the key is a register, and a delete is a write.
	Set(key []byte) bool
	// Rank orders the values of a register before their clocks do.
	Rank(key []byte, v Value) (high, low uint64)
	// Admit says what is written in place of next, or refuses. A nil next is
	// a delete; what it returns then is kept in the tombstone.
	Admit(key []byte, current func() []Value, next []byte) ([]byte, error)
}

// Resolve is the value of an object record that a reader sees: the winner of its
// siblings. ok is false for a deleted key.
func Resolve(p Policy, key, record []byte) (value []byte, ok bool, err error) {
	o, err := decodeObject(record)
	if err != nil {
		return nil, false, err
	}
	w, ok := winner(p, key, o)
	if !ok || w.Tombstone {
		return nil, false, nil
	}
	return w.Bytes, true, nil
}

// Siblings is all values of an object record, tombstones included.
func Siblings(record []byte) ([]Value, error) {
	o, err := decodeObject(record)
	return values(o), err
}

func values(o dvv.Object) []Value {
	list := make([]Value, 0, len(o.Siblings()))
	for _, s := range o.Siblings() {
		list = append(list, valueOf(s))
	}
	return list
}

func valueOf(s dvv.Sibling) Value {
	p := decodePayload(s.Value)
	return Value{Dot: s.Dot, Tombstone: p.tomb, HLC: p.hlc, Bytes: p.value}
}

// winner is the sibling of the highest rank, then clock, then dot: an order of
// values alone, so that it does not matter in which order they came (I33).
func winner(p Policy, key []byte, o dvv.Object) (Value, bool) {
	siblings := o.Siblings()
	if len(siblings) == 0 {
		return Value{}, false
	}
	best := valueOf(siblings[0])
	for _, s := range siblings[1:] {
		if v := valueOf(s); beats(p, key, v, best) {
			best = v
		}
	}
	return best, true
}

func beats(p Policy, key []byte, a, b Value) bool {
	ah, al := p.Rank(key, a)
	bh, bl := p.Rank(key, b)
	switch {
	case ah != bh:
		return ah > bh
	case al != bl:
		return al > bl
	case a.HLC != b.HLC:
		return a.HLC > b.HLC
	}
	return a.Dot.Compare(b.Dot) > 0
}

// visible says whether a reader sees a value in o.
func visible(p Policy, key []byte, o dvv.Object) bool {
	siblings := o.Siblings()
	switch len(siblings) {
	case 0:
		return false
	case 1:
		return !isTomb(siblings[0].Value)
	}
	w, _ := winner(p, key, o)
	return !w.Tombstone
}

// contribution is what o adds to the digest: its values, or nothing if a reader
// sees none. Tombstones never count, so that a store that has forgotten one
// agrees with a store that has not yet.
func contribution(p Policy, key []byte, o dvv.Object) uint64 {
	sum, _ := tally(p, key, o)
	return sum
}

// tally is what o adds to the digest, and to the keys with a value that a reader sees.
func tally(p Policy, key []byte, o dvv.Object) (sum uint64, live int64) {
	if !visible(p, key, o) {
		return 0, 0
	}
	k := xxhash.Sum64(key)
	for _, s := range o.Siblings() {
		if !isTomb(s.Value) {
			sum ^= mix(k, s)
		}
	}
	return sum, 1
}

// mix is the digest of one value: key, dot and hash of the payload (R30).
func mix(key uint64, s dvv.Sibling) uint64 {
	h := scramble(key ^ scramble(uint64(s.Dot.Actor)^scramble(s.Dot.Counter)))
	return scramble(h ^ bits.RotateLeft64(xxhash.Sum64(s.Value), 32))
}

// scramble spreads every bit over all (the finalizer of splitmix64).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
