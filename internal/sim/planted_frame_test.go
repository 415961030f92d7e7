package sim

import (
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"tombolo/internal/kv"
)

// The types of the product's frames that planted bugs look at, and where their
// fields begin: docs/formats/metadata.md.
const (
	framePull  = 8
	frameChunk = 10
	frameRange = 21
	frameCut   = 22
	frameSums  = 24
	frameBody  = 4
)

// tampered puts a function around all frames that a core sends and receives.
type tampered struct {
	Core
	sent     func(frame []any)
	received func(frame []any) bool // whether it was changed
}

func tampering(m Maker, with func(t *tampered)) Maker {
	return func(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error) {
		core, err := m(db, c, now, out)
		if err != nil {
			return nil, err
		}
		t := &tampered{Core: core}
		with(t)
		return t, nil
	}
}

// look shows what was added to out.
func (t *tampered) look(out *Output, before int, err error) error {
	for _, p := range out.Send[before:] {
		if v, ok := unpackFrame(p.Body); ok {
			t.sent(v)
		}
	}
	return err
}

func unpackFrame(body any) (v []any, ok bool) {
	err := msgpack.Unmarshal(body.(*replicaFrame).frame, &v)
	return v, err == nil && len(v) > frameBody
}

func (t *tampered) Tick(now time.Duration, out *Output) error {
	n := len(out.Send)
	return t.look(out, n, t.Core.Tick(now, out))
}

func (t *tampered) Receive(now time.Duration, from NodeID, body any, out *Output) error {
	n := len(out.Send)
	if v, ok := unpackFrame(body); ok && t.received(v) {
		frame, err := msgpack.Marshal(v)
		if err != nil {
			return err
		}
		body = &replicaFrame{frame, body.(*replicaFrame).members}
	}
	return t.look(out, n, t.Core.Receive(now, from, body, out))
}

// number reads an integer of any width.
func number(v any) uint64 {
	switch n := v.(type) {
	case int8:
		return uint64(n)
	case uint8:
		return uint64(n)
	case uint16:
		return uint64(n)
	case uint32:
		return uint64(n)
	case uint64:
		return n
	}
	return 0
}

// skipsCatchUp has a joiner take the end of a resumed join for granted: what was
// written between the donor's snapshots does not come.
func skipsCatchUp(t *tampered) {
	ids := map[uint64]bool{}
	t.sent = func(v []any) {
		if number(v[1]) == framePull && v[frameBody+2] == true {
			ids[number(v[frameBody])] = true
		}
	}
	t.received = func(v []any) bool {
		if number(v[1]) != frameChunk || !ids[number(v[frameBody])] {
			return false
		}
		v[frameBody+2], v[frameBody+5] = true, []any{}
		return true
	}
}

// unequal is a store whose peers' sums never come.
type unequal struct{ *replicaCore }

func (u unequal) Receive(now time.Duration, from NodeID, body any, out *Output) error {
	if v, ok := unpackFrame(body); ok && number(v[1]) == frameSums {
		return nil
	}
	return u.replicaCore.Receive(now, from, body, out)
}

// onlyAtEqualClocks compares by range only while both clocks are the same.
func onlyAtEqualClocks(t *tampered) {
	var asked any
	t.sent = func(v []any) {
		if number(v[1]) == frameRange {
			asked = v[frameBody+1]
		}
	}
	t.received = func(v []any) bool {
		if number(v[1]) != frameCut || fmt.Sprint(v[frameBody+1]) == fmt.Sprint(asked) {
			return false
		}
		v[frameBody+1] = nil
		return true
	}
}

func (t *tampered) recordKey(key string) []byte { return t.Core.(rotting).recordKey(key) }
