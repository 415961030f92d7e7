package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// formatVersion begins every value. A reader refuses a higher one.
const formatVersion = 1

// errDamaged is a value that cannot be what was written.
var errDamaged = errors.New("damaged record")

func damaged(what string) error { return fmt.Errorf("%s: %w", what, errDamaged) }

// A record is one message in one queue:
//
//	version     1 byte
//	flags       1 byte: bits 0–1 effective QoS, 2 retain, 3–4 QoS of the message,
//	            5 body is in a segment, 6 expires, 7 has subscription ids
//	ingress     8 bytes
//	n           uvarint
//	expires     uvarint, unix milliseconds; only if flag 6
//	ids         uvarint count, then as many uvarints; only if flag 7
//	body        the rest; or, if flag 5, segment uvarint and index uvarint
const (
	flagRetain  = 1 << 2
	flagShared  = 1 << 5
	flagExpires = 1 << 6
	flagSubIDs  = 1 << 7
)

// place is where a shared body is. Segment 0 is none: the body is inline.
type place struct {
	segment uint64
	index   uint32
}

func appendRecord(dst []byte, m *Message, t *Target, at place) []byte {
	flags := t.QoS&3 | m.QoS&3<<3
	if t.Retain {
		flags |= flagRetain
	}
	if at.segment != 0 {
		flags |= flagShared
	}
	if m.ExpiresAt > 0 {
		flags |= flagExpires
	}
	if len(t.SubIDs) > 0 {
		flags |= flagSubIDs
	}
	dst = append(dst, formatVersion, flags)
	dst = binary.BigEndian.AppendUint64(dst, m.ID.Ingress)
	dst = binary.AppendUvarint(dst, m.ID.N)
	if flags&flagExpires != 0 {
		dst = binary.AppendUvarint(dst, uint64(m.ExpiresAt))
	}
	if flags&flagSubIDs != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(t.SubIDs)))
		for _, id := range t.SubIDs {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
	}
	if flags&flagShared != 0 {
		dst = binary.AppendUvarint(dst, at.segment)
		return binary.AppendUvarint(dst, uint64(at.index))
	}
	return append(dst, m.Body...)
}

// decodeRecord reads a record into e and its message m. The body of m is part of
// v, or at place.
func decodeRecord(v []byte, e *Entry, m *Message) (place, error) {
	r := reader{rest: v}
	r.version()
	flags := r.byte()
	m.ID.Ingress = r.uint64()
	m.ID.N = r.uvarint()
	m.QoS, m.ExpiresAt = flags>>3&3, 0
	if flags&flagExpires != 0 {
		m.ExpiresAt = r.time()
	}
	e.Msg, e.QoS, e.Retain, e.SubIDs = m, flags&3, flags&flagRetain != 0, nil
	if flags&flagSubIDs != 0 {
		e.SubIDs = r.subIDs()
	}
	if flags&flagShared == 0 {
		m.segment, m.Body = 0, r.rest
		return place{}, r.failed("record")
	}
	at := place{segment: r.uvarint(), index: r.uint32()}
	if at.segment == 0 || len(r.rest) > 0 {
		r.bad = true
	}
	m.segment, m.Body = at.segment, nil
	return at, r.failed("record")
}

// A body that several queues share:
//
//	version     1 byte
//	targets     uvarint count; each queue, generation and sequence as uvarints
//	body        the rest
//
// The targets are there so that a sparse segment can be rewritten without a
// search for those who refer to it.
func appendBodyHead(dst []byte, count int) []byte {
	return binary.AppendUvarint(append(dst, formatVersion), uint64(count))
}

// holder is one record that refers to a body.
type holder struct {
	queue      QueueID
	generation uint64
	seq        uint64
}

func appendHolder(dst []byte, h holder) []byte {
	dst = binary.AppendUvarint(dst, uint64(h.queue))
	dst = binary.AppendUvarint(dst, h.generation)
	return binary.AppendUvarint(dst, h.seq)
}

// decodeBody returns the body, which is part of v; holders are left out unless
// wanted.
func decodeBody(v []byte, wantHolders bool) (body []byte, holders []holder, err error) {
	r := reader{rest: v}
	r.version()
	n := r.count(3)
	for range n {
		h := holder{QueueID(r.uvarint()), r.uvarint(), r.uvarint()}
		if wantHolders {
			holders = append(holders, h)
		}
	}
	return r.rest, holders, r.failed("body")
}

// reader takes a value apart. Its first fault sticks; what it returns after that
// means nothing.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) failed(what string) error {
	if r.bad {
		return damaged(what)
	}
	return nil
}

func (r *reader) version() {
	if v := r.byte(); v != formatVersion {
		r.bad = true
	}
}

func (r *reader) byte() byte {
	if len(r.rest) < 1 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uint64() uint64 {
	if len(r.rest) < 8 {
		r.bad = true
		return 0
	}
	v := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// below reads a number that is at most limit.
func (r *reader) below(limit uint64) uint64 {
	v := r.uvarint()
	if v > limit {
		r.bad = true
		return 0
	}
	return v
}

func (r *reader) uint32() uint32 { return uint32(r.below(1<<32 - 1)) }
func (r *reader) uint16() uint16 { return uint16(r.below(1<<16 - 1)) }
func (r *reader) time() int64    { return int64(r.below(1<<63 - 1)) }

// count reads how many things follow that take at least size bytes each, so that
// nothing is allocated for what cannot be there.
func (r *reader) count(size int) int {
	return int(r.below(uint64(len(r.rest) / size)))
}

func (r *reader) subIDs() []uint32 {
	n := r.count(1)
	if n == 0 {
		r.bad = true
		return nil
	}
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = r.uint32()
	}
	return ids
}
