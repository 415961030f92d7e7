package queue

import "encoding/binary"

// cursor is what is durable about one generation of a queue beside its records.
//
//	version      1 byte
//	head         uvarint; everything below is forgotten
//	tail         uvarint, minus head; the next sequence when this was written
//	lease        uvarint, minus tail; no sequence from here on was ever given
//	sent         uvarint; up to here messages may have been sent
//	forgotten    uvarint count; each span as two uvarints: distance from the end
//	             of the one before (from head), length
//	bound        uvarint count; each as two uvarints: sequence minus the one
//	             before (minus head), packet id
//	released     uvarint count; packet ids as uvarints, in order
//
//	absent       uvarint count; each span as two uvarints: distance from the end
//	             of the one before (from 0), length. Left out if there are none
//
// What follows is of a later version and kept out of the way: it is ignored.
type cursor struct {
	head, tail, lease, sent uint64
	forgotten               spans // within [head, tail)
	bound                   []Binding
	released                []uint16
	absent                  spans // below head or in forgotten, and not acknowledged: at another node
}

func (c *cursor) append(dst []byte) []byte {
	dst = append(dst, formatVersion)
	dst = binary.AppendUvarint(dst, c.head)
	dst = binary.AppendUvarint(dst, c.tail-c.head)
	dst = binary.AppendUvarint(dst, c.lease-c.tail)
	dst = binary.AppendUvarint(dst, c.sent)
	dst = binary.AppendUvarint(dst, uint64(len(c.forgotten)))
	last := c.head
	for _, s := range c.forgotten {
		dst = binary.AppendUvarint(dst, s.lo-last)
		dst = binary.AppendUvarint(dst, s.hi-s.lo)
		last = s.hi
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.bound)))
	last = c.head
	for _, b := range c.bound {
		dst = binary.AppendUvarint(dst, b.Seq-last)
		dst = binary.AppendUvarint(dst, uint64(b.PacketID))
		last = b.Seq
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.released)))
	for _, id := range c.released {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	if len(c.absent) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.absent)))
		last = 0
		for _, s := range c.absent {
			dst = binary.AppendUvarint(dst, s.lo-last)
			dst = binary.AppendUvarint(dst, s.hi-s.lo)
			last = s.hi
		}
	}
	return dst
}

// sequenceMax keeps sums of sequences from wrapping around.
const sequenceMax = 1 << 62

func decodeCursor(v []byte) (cursor, error) {
	var c cursor
	r := reader{rest: v}
	r.version()
	c.head = r.below(sequenceMax)
	c.tail = c.head + r.below(sequenceMax)
	c.lease = c.tail + r.below(sequenceMax)
	c.sent = r.uvarint()
	last := c.head
	for range r.count(2) {
		s := span{lo: last + r.below(sequenceMax)}
		s.hi = s.lo + r.below(sequenceMax)
		// The first may not begin at head, no two may touch, all end by tail.
		if s.lo == last || s.hi == s.lo || s.hi > c.tail {
			r.bad = true
		}
		if r.bad {
			break
		}
		c.forgotten = append(c.forgotten, s)
		last = s.hi
	}
	c.decodeQoS2(&r)
	c.decodeAbsent(&r)
	return c, r.failed("cursor")
}

func (c *cursor) decodeAbsent(r *reader) {
	if len(r.rest) == 0 {
		return
	}
	last := uint64(0)
	for range r.count(2) {
		s := span{lo: last + r.below(sequenceMax)}
		s.hi = s.lo + r.below(sequenceMax)
		here := s.hi > c.head && s.hi-max(s.lo, c.head) != c.forgotten.size(max(s.lo, c.head), s.hi)
		if s.lo == last || s.hi == s.lo || s.hi > c.tail || here {
			r.bad = true
		}
		if r.bad {
			return
		}
		c.absent = append(c.absent, s)
		last = s.hi
	}
}

func (c *cursor) decodeQoS2(r *reader) {
	last := c.head
	for i := range r.count(2) {
		b := Binding{Seq: last + r.below(sequenceMax), PacketID: r.uint16()}
		if i > 0 && b.Seq == last || b.Seq >= c.tail || b.PacketID == 0 || c.forgotten.has(b.Seq) {
			r.bad = true
		}
		if r.bad {
			return
		}
		c.bound = append(c.bound, b)
		last = b.Seq
	}
	for range r.count(1) {
		id := r.uint16()
		if id == 0 {
			r.bad = true
		}
		if r.bad {
			return
		}
		c.released = append(c.released, id)
	}
}
