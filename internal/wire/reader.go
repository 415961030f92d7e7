package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// The faults of a frame. They are sentinels, so that a hostile peer costs no
// allocation and a reason can be counted.
var (
	ErrShort = errors.New("frame ends too early")
	ErrKind  = errors.New("frame holds a value of another kind")
	ErrRange = errors.New("frame holds a number out of range")
	ErrTrail = errors.New("frame has bytes behind its end")
	ErrDeep  = errors.New("frame is nested too deeply")
)

// depthMax bounds the nesting that Skip follows.
const depthMax = 16

// Reader reads one value after the other from a slice. It belongs to one
// goroutine. After the first fault it returns zero values; Err tells it.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads from b, which must not change meanwhile: byte strings that
// it returns are parts of b.
func NewReader(b []byte) Reader { return Reader{rest: b} }

// Err is the first fault, nil if there was none.
func (r *Reader) Err() error { return r.err }

// Rest is what has not been read.
func (r *Reader) Rest() []byte { return r.rest }

// End is Err, or a fault when bytes are left.
func (r *Reader) End() error {
	if r.err == nil && len(r.rest) > 0 {
		r.Fail(ErrTrail)
	}
	return r.err
}

// Fail sets the fault unless there is one.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// take splits off n bytes, or fails.
func (r *Reader) take(n int) []byte {
	if n > len(r.rest) {
		r.Fail(ErrShort)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// head reads the first byte of a value; 0xc1, which msgpack never uses, after
// a fault.
func (r *Reader) head() byte {
	if len(r.rest) == 0 {
		r.Fail(ErrShort)
		return 0xc1
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

// number reads a big-endian number of 1, 2, 4 or 8 bytes.
func (r *Reader) number(size int) uint64 {
	b := r.take(size)
	if b == nil {
		return 0
	}
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}

// Uint reads an integer that is not negative, in any form.
func (r *Reader) Uint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		u := uint64(r.rest[0])
		r.rest = r.rest[1:]
		return u
	}
	switch c := r.head(); {
	case c >= 0xcc && c <= 0xcf:
		return r.number(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3:
		return r.positive(r.signed(c))
	case c >= 0xe0:
		r.Fail(ErrRange)
	default:
		r.Fail(ErrKind)
	}
	return 0
}

func (r *Reader) positive(i int64) uint64 {
	if i < 0 {
		r.Fail(ErrRange)
		return 0
	}
	return uint64(i)
}

// signed reads the rest of an integer of a signed form.
func (r *Reader) signed(c byte) int64 {
	switch size := 1 << (c - 0xd0); size {
	case 1:
		return int64(int8(r.number(size)))
	case 2:
		return int64(int16(r.number(size)))
	case 4:
		return int64(int32(r.number(size)))
	default:
		return int64(r.number(size))
	}
}

// UintMax reads an integer in [0, limit].
func (r *Reader) UintMax(limit uint64) uint64 {
	u := r.Uint()
	if u > limit {
		r.Fail(ErrRange)
		return 0
	}
	return u
}

// Int reads an integer that fits int64, in any form.
func (r *Reader) Int() int64 {
	if len(r.rest) > 0 {
		switch c := r.rest[0]; {
		case c >= 0xe0:
			r.rest = r.rest[1:]
			return int64(int8(c))
		case c >= 0xd0 && c <= 0xd3:
			r.rest = r.rest[1:]
			return r.signed(c)
		}
	}
	return int64(r.UintMax(math.MaxInt64))
}

// Bool reads a boolean.
func (r *Reader) Bool() bool {
	switch c := r.head(); {
	case c == 0xc3:
		return true
	case c != 0xc2:
		r.Fail(ErrKind)
	}
	return false
}

// Array reads the header of an array whose values take at least one byte each.
func (r *Reader) Array() int {
	n := uint64(0)
	switch c := r.head(); {
	case c&0xf0 == 0x90:
		n = uint64(c & 0x0f)
	case c == 0xdc:
		n = r.number(2)
	case c == 0xdd:
		n = r.number(4)
	default:
		r.Fail(ErrKind)
		return 0
	}
	if n > uint64(len(r.rest)) {
		r.Fail(ErrShort)
		return 0
	}
	return int(n)
}

// begin reads the header of an array of at least least values and returns how
// many more there are.
func (r *Reader) begin(least int) int {
	n := r.Array()
	if n < least {
		r.Fail(ErrShort)
		return 0
	}
	return n - least
}

// finish passes over more values.
func (r *Reader) finish(more int) {
	for ; more > 0 && r.err == nil; more-- {
		r.Skip()
	}
}

// list reads an array of at most most elements into what dst already holds.
func list[T any](r *Reader, dst []T, most int, one func(*Reader, *T)) []T {
	n := r.Array()
	if n > most {
		r.Fail(ErrRange)
		n = 0
	}
	dst = dst[:0]
	for i := 0; i < n && r.err == nil; i++ {
		if i < cap(dst) {
			dst = dst[:i+1] // keeps the slices inside the element
		} else {
			var zero T
			dst = append(dst, zero)
		}
		one(r, &dst[i])
	}
	return dst
}

// Bytes reads a byte string as a view; nil for nil.
func (r *Reader) Bytes() []byte {
	switch c := r.head(); c {
	case 0xc0:
		return nil
	case 0xc4, 0xc5, 0xc6:
		return r.counted(1 << (c - 0xc4))
	default:
		r.Fail(ErrKind)
		return nil
	}
}

// counted reads a length of size bytes and that many bytes; never nil without
// a fault.
func (r *Reader) counted(size int) []byte {
	n := r.number(size)
	if n > uint64(len(r.rest)) {
		r.Fail(ErrShort)
		return nil
	}
	return r.take(int(n))
}

// Text reads a string as a view.
func (r *Reader) Text() []byte {
	switch c := r.head(); {
	case c&0xe0 == 0xa0:
		return r.take(int(c & 0x1f))
	case c >= 0xd9 && c <= 0xdb:
		return r.counted(1 << (c - 0xd9))
	default:
		r.Fail(ErrKind)
		return nil
	}
}

// StringMax reads a string of at most limit bytes.
func (r *Reader) StringMax(limit int) string {
	b := r.Text()
	if len(b) > limit {
		r.Fail(ErrRange)
		return ""
	}
	return string(b)
}

// Skip passes over one value of any kind.
func (r *Reader) Skip() { r.skip(depthMax) }

func (r *Reader) skip(depth int) {
	if depth == 0 {
		r.Fail(ErrDeep)
		return
	}
	c := r.head()
	switch {
	case c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
	case c < 0x90:
		r.skipMany(2*uint64(c&0x0f), depth)
	case c < 0xa0:
		r.skipMany(uint64(c&0x0f), depth)
	case c < 0xc0:
		r.take(int(c & 0x1f))
	case c >= 0xc4 && c <= 0xc6:
		r.counted(1 << (c - 0xc4))
	case c >= 0xc7 && c <= 0xc9: // ext
		r.ext(r.number(1 << (c - 0xc7)))
	case c == 0xca || c == 0xce || c == 0xd2:
		r.take(4)
	case c == 0xcb || c == 0xcf || c == 0xd3:
		r.take(8)
	case c == 0xcc || c == 0xd0:
		r.take(1)
	case c == 0xcd || c == 0xd1:
		r.take(2)
	case c >= 0xd4 && c <= 0xd8: // fixext
		r.ext(1 << (c - 0xd4))
	case c >= 0xd9 && c <= 0xdb:
		r.counted(1 << (c - 0xd9))
	case c == 0xdc || c == 0xdd:
		r.skipMany(r.number(2<<(c-0xdc)), depth)
	case c == 0xde || c == 0xdf:
		r.skipMany(2*r.number(2<<(c-0xde)), depth)
	default:
		r.Fail(ErrKind)
	}
}

func (r *Reader) ext(n uint64) {
	if n+1 > uint64(len(r.rest)) {
		r.Fail(ErrShort)
		return
	}
	r.take(int(n) + 1)
}

func (r *Reader) skipMany(n uint64, depth int) {
	if n > uint64(len(r.rest)) {
		r.Fail(ErrShort)
		return
	}
	for ; n > 0 && r.err == nil; n-- {
		r.skip(depth - 1)
	}
}
