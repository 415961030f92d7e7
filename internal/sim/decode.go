package sim

import (
	"bytes"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"tombolo/dvv"
)

// decodeReplicaObject reads an object record of the product, by the library
// instead of the product's own reader: docs/formats/metadata.md.
func decodeReplicaObject(b []byte) (dvv.Object, error) {
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(bytes.NewReader(b))
	n, err := dec.DecodeArrayLen()
	if err != nil || n < 2 || (n-2)%3 != 0 {
		return dvv.Object{}, fmt.Errorf("an array of %d, %v", n, err)
	}
	if _, err = dec.DecodeUint64(); err != nil {
		return dvv.Object{}, err
	}
	raw, err := dec.DecodeBytes()
	if err != nil {
		return dvv.Object{}, err
	}
	var context dvv.VV
	if raw != nil {
		if context, _, err = dvv.DecodeVV(raw); err != nil {
			return dvv.Object{}, err
		}
	}
	var siblings []dvv.Sibling
	for i := 2; i < n; i += 3 {
		s, err := decodeReplicaSibling(dec)
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

func decodeReplicaSibling(dec *msgpack.Decoder) (s dvv.Sibling, err error) {
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
	s.Value, err = dec.DecodeBytes()
	return s, err
}
