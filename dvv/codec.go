package dvv

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed is any bytes that no Append function wrote.
var ErrMalformed = errors.New("dvv: malformed bytes")

// counterMax bounds the counters that a decoder accepts, so that one above them
// can be named without overflow. A store that writes a million times a second
// gets there after 146,000 years.
const counterMax = 1 << 62

// The canonical forms. Actors are 8 bytes big-endian; every other number is an
// unsigned varint in its shortest form. A decoder refuses everything else, so
// that equal values have equal bytes and different bytes different values.
//
//	VV      count, then per actor ascending: actor, counter ≥ 1
//	Clock   count, then per actor ascending: actor, base, runs,
//	        then per run: First − (end before) − 2, Last − First
//	Object  VV context, count, then per sibling ascending: actor, counter ≥ 1,
//	        length, value

// Append appends the canonical bytes of v.
func (v VV) Append(dst []byte) []byte {
	if dst == nil {
		dst = make([]byte, 0, 1+12*len(v.entries))
	}
	dst = appendUvarint(dst, uint64(len(v.entries)))
	for _, d := range v.entries {
		dst = appendDot(dst, d)
	}
	return dst
}

func appendDot(dst []byte, d Dot) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.Actor))
	return appendUvarint(dst, d.Counter)
}

// appendUvarint is binary.AppendUvarint, which for the small numbers that most are is
// not worth a call.
func appendUvarint(dst []byte, n uint64) []byte {
	if n < 0x80 {
		return append(dst, byte(n))
	}
	return binary.AppendUvarint(dst, n)
}

// DecodeVV reads a vector from the front of b and returns what follows it.
func DecodeVV(b []byte) (v VV, rest []byte, err error) {
	p := parser{rest: b}
	v = p.vv()
	return v, p.rest, p.err
}

// Append appends the canonical bytes of c.
func (c Clock) Append(dst []byte) []byte {
	if dst == nil {
		dst = make([]byte, 0, 1+14*len(c.entries))
	}
	dst = appendUvarint(dst, uint64(len(c.entries)))
	for i := range c.entries {
		e := &c.entries[i]
		dst = appendDot(dst, Dot{e.actor, e.base})
		dst = appendUvarint(dst, uint64(len(e.runs)))
		end := e.base
		for _, r := range e.runs {
			dst = appendUvarint(dst, r.First-end-2)
			dst = appendUvarint(dst, r.Last-r.First)
			end = r.Last
		}
	}
	return dst
}

// DecodeClock reads a clock from the front of b and returns what follows it.
func DecodeClock(b []byte) (c Clock, rest []byte, err error) {
	p := parser{rest: b}
	n := p.count(10)
	if n > 0 {
		c.entries = make([]entry, 0, n)
	}
	for range n {
		e := entry{actor: p.actor(), base: p.counter()}
		if len(p.rest) > 0 && p.rest[0] == 0 { // as most: none is early
			p.rest = p.rest[1:]
		} else {
			e.runs = p.runs(e.base)
		}
		if k := len(c.entries); e.base == 0 && len(e.runs) == 0 || k > 0 && c.entries[k-1].actor >= e.actor {
			p.fail()
		}
		if p.err != nil {
			return Clock{}, nil, p.err
		}
		c.entries = append(c.entries, e)
	}
	if p.err != nil {
		return Clock{}, nil, p.err
	}
	return c, p.rest, nil
}

// Append appends the canonical bytes of o.
func (o Object) Append(dst []byte) []byte {
	dst = o.context.Append(dst)
	dst = appendUvarint(dst, uint64(len(o.siblings)))
	for _, s := range o.siblings {
		dst = appendDot(dst, s.Dot)
		dst = appendUvarint(dst, uint64(len(s.Value)))
		dst = append(dst, s.Value...)
	}
	return dst
}

// DecodeObject reads an object from the front of b and returns what follows it.
// The values are parts of b.
func DecodeObject(b []byte) (o Object, rest []byte, err error) {
	p := parser{rest: b}
	o.context = p.vv()
	n := p.count(10)
	if n > 0 {
		o.siblings = make([]Sibling, 0, n)
	}
	for range n {
		s := Sibling{Dot: Dot{p.actor(), p.counter()}}
		s.Value = p.bytes(p.uvarint())
		if k := len(o.siblings); s.Dot.Counter == 0 || k > 0 && o.siblings[k-1].Dot.Compare(s.Dot) >= 0 {
			p.fail()
		}
		if p.err != nil {
			return Object{}, nil, p.err
		}
		o.siblings = append(o.siblings, s)
	}
	if p.err != nil {
		return Object{}, nil, p.err
	}
	return o, p.rest, nil
}

// parser reads canonical bytes; after the first fault it returns zeros. Owned
// by one decoding.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) fail() {
	p.err, p.rest = ErrMalformed, nil
}

func (p *parser) bytes(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.fail()
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) actor() Actor {
	if len(p.rest) < 8 {
		p.fail()
		return 0
	}
	a := Actor(binary.BigEndian.Uint64(p.rest))
	p.rest = p.rest[8:]
	return a
}

// uvarint refuses a number that was written longer than it need be.
func (p *parser) uvarint() uint64 {
	if len(p.rest) > 0 && p.rest[0] < 0x80 { // as most
		u := uint64(p.rest[0])
		p.rest = p.rest[1:]
		return u
	}
	u, n := binary.Uvarint(p.rest)
	if n <= 0 || n > 1 && p.rest[n-1] == 0 {
		p.fail()
		return 0
	}
	p.rest = p.rest[n:]
	return u
}

// count reads how many items of at least size bytes follow. A claim that the
// bytes left cannot hold is refused before anything is allocated.
func (p *parser) count(size int) int {
	n := p.uvarint()
	if n > uint64(len(p.rest)/size) {
		p.fail()
		return 0
	}
	return int(n)
}

func (p *parser) vv() VV {
	n := p.count(9)
	if n == 0 {
		return VV{}
	}
	v := VV{make([]Dot, 0, n)}
	for range n {
		d := Dot{p.actor(), p.counter()}
		if k := len(v.entries); d.Counter == 0 || k > 0 && v.entries[k-1].Actor >= d.Actor {
			p.fail()
		}
		v.entries = append(v.entries, d)
	}
	if p.err != nil {
		return VV{}
	}
	return v
}

func (p *parser) counter() uint64 {
	n := p.uvarint()
	if n > counterMax {
		p.fail()
		return 0
	}
	return n
}

// runs reads the early dots of one actor and refuses numbers that overflow.
func (p *parser) runs(end uint64) []Run {
	n := p.count(2)
	if n == 0 {
		return nil
	}
	runs := make([]Run, 0, n)
	for range n {
		first := end + 2 + p.counter()
		last := first + p.counter()
		if p.err != nil || first > counterMax || last > counterMax {
			p.fail()
			return nil
		}
		runs = append(runs, Run{first, last})
		end = last
	}
	return runs
}
