package sim

import (
	"bytes"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/vmihailenco/msgpack/v5"

	"tombolo/dvv"
	"tombolo/metadata/replica"
)

// records is every object record of a run that was read: the same one lies on the disks
// of several nodes, and comes back there when a context is stripped. Owned by the World.
type records struct {
	read [recordsMax]*readRecord
	from bytes.Reader
	dec  *msgpack.Decoder
}

// recordsMax is how many are remembered: one that comes again is mostly on its way
// from node to node.
const recordsMax = 1 << 9

// readRecord is a record under the name of its key: what it says, by the library, and
// what it adds to the sums of its store, by the product. Immutable.
type readRecord struct {
	name   string
	record []byte
	object dvv.Object
	look   replica.Look
	one    [1]dvv.Sibling // of object, which mostly has one
}

func newRecords() *records { return &records{dec: msgpack.NewDecoder(nil)} }

// object reads the object record of name, whose bytes are key.
func (r *records) object(name string, key, record []byte) (*readRecord, error) {
	at := &r.read[xxhash.Sum64(record)%recordsMax] // its dots are of one key
	if o := *at; o != nil && o.name == name && bytes.Equal(o.record, record) {
		return o, nil
	}
	o := &readRecord{name: name, record: bytes.Clone(record)} // the values stay a part of it
	var err error
	if o.object, err = r.decode(o.record, o.one[:0]); err != nil {
		return nil, err
	}
	o.look, _ = replica.LookAt(simPolicy{}, key, o.record) // it could be read
	*at = o
	return o, nil
}

// decode reads an object record of the product, by the library
// instead of the product's own reader: docs/formats/metadata.md. Values are a part of b,
// siblings in room if there is enough.
func (r *records) decode(b []byte, room []dvv.Sibling) (dvv.Object, error) {
	dec := r.dec
	r.from.Reset(b)
	dec.Reset(&r.from)
	n, err := dec.DecodeArrayLen()
	if err != nil || n < 2 || (n-2)%3 != 0 {
		return dvv.Object{}, fmt.Errorf("an array of %d, %v", n, err)
	}
	if _, err = dec.DecodeUint64(); err != nil {
		return dvv.Object{}, err
	}
	raw, err := r.bytes(b)
	if err != nil {
		return dvv.Object{}, err
	}
	var context dvv.VV
	if raw != nil {
		if context, _, err = dvv.DecodeVV(raw); err != nil {
			return dvv.Object{}, err
		}
	}
	siblings := room
	for i := 2; i < n; i += 3 {
		s, err := r.sibling(b)
		if err != nil {
			return dvv.Object{}, err
		}
		siblings = append(siblings, s)
	}
	return dvv.NewObject(context, siblings...), nil
}

func decodeReplicaLasting(b []byte) (v dvv.VV, err error) {
	dec := msgpack.NewDecoder(bytes.NewReader(b))
	n, err := dec.DecodeArrayLen()
	if err != nil || n < 2 {
		return v, fmt.Errorf("an array of %d, %v", n, err)
	}
	if _, err = dec.DecodeUint64(); err != nil {
		return v, err
	}
	raw, err := dec.DecodeBytes()
	if err == nil {
		v, _, err = dvv.DecodeVV(raw)
	}
	return v, err
}

// sibling goes on with a sibling of b, which the library reads byte by byte.
func (r *records) sibling(b []byte) (s dvv.Sibling, err error) {
	dec := r.dec
	actor, err := dec.DecodeUint64()
	if err != nil {
		return s, err
	}
	counter, err := dec.DecodeUint64()
	if err != nil {
		return s, err
	}
	if _, err = dec.DecodeArrayLen(); err != nil {
		return s, err
	}
	if _, err = dec.DecodeUint64(); err != nil { // value or tombstone
		return s, err
	}
	if _, err = dec.DecodeUint64(); err != nil { // its stamp
		return s, err
	}
	s.Dot = dvv.Dot{Actor: dvv.Actor(actor), Counter: counter}
	s.Value, err = r.bytes(b)
	return s, err
}

// bytes goes on with a byte string of b, as a part of it; nil for nil.
func (r *records) bytes(b []byte) ([]byte, error) {
	n, err := r.dec.DecodeBytesLen()
	if err != nil || n < 0 {
		return nil, err
	}
	if n > r.from.Len() {
		return nil, io.ErrUnexpectedEOF
	}
	at := len(b) - r.from.Len()
	_, err = r.from.Seek(int64(n), io.SeekCurrent)
	return b[at : at+n : at+n], err
}
