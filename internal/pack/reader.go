package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// The faults of a record or frame. A decoder says what it was reading. They are
// sentinels, so that a hostile peer costs no allocation and a reason can be counted.
var (
	ErrShort = errors.New("it ends too early")
	ErrKind  = errors.New("it holds a value of another kind")
	ErrRange = errors.New("it holds a number out of range")
	ErrTrail = errors.New("it has bytes behind its end")
	ErrDeep  = errors.New("it is nested too deeply")
)

// depthMax bounds the nesting that Skip follows.
const depthMax = 16

// Reader reads one value after the other from a slice. It belongs to one
// goroutine. After the first fault it returns zero values; Err tells it.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads from b, which must not change meanwhile: strings of bytes
// that it returns are parts of b.
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

// head reads the first byte of a value; ok is false after a fault.
func (r *Reader) head() (c byte, ok bool) {
	b := r.take(1)
	if b == nil {
		return 0, false
	}
	return b[0], true
}

// number reads a big-endian number of size bytes.
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

// Array reads the header of an array. An array of n values has at least n
// bytes: a larger claim is a fault.
func (r *Reader) Array() int {
	if len(r.rest) > 0 && r.rest[0]&0xf0 == 0x90 {
		if n := int(r.rest[0] & 0x0f); n < len(r.rest) {
			r.rest = r.rest[1:]
			return n
		}
	}
	c, ok := r.head()
	if !ok {
		return 0
	}
	var n uint64
	switch {
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

// ArrayMin reads the header of an array of at least min values.
func (r *Reader) ArrayMin(min int) int {
	n := r.Array()
	if r.err == nil && n < min {
		r.Fail(ErrShort)
		return 0
	}
	return n
}

// Uint reads an integer that is not negative, in any form.
func (r *Reader) Uint() uint64 {
	switch { // the shortest and the longest form are by far the most
	case len(r.rest) > 0 && r.rest[0] < 0x80:
		u := uint64(r.rest[0])
		r.rest = r.rest[1:]
		return u
	case len(r.rest) > 8 && r.rest[0] == 0xcf:
		u := binary.BigEndian.Uint64(r.rest[1:])
		r.rest = r.rest[9:]
		return u
	}
	c, ok := r.head()
	if !ok {
		return 0
	}
	switch {
	case c >= 0xcc && c <= 0xcf:
		return r.number(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3:
		if i := r.signed(c); i >= 0 {
			return uint64(i)
		}
		r.Fail(ErrRange)
		return 0
	case c >= 0xe0:
		r.Fail(ErrRange)
		return 0
	}
	r.Fail(ErrKind)
	return 0
}

// UintMax reads an integer between 0 and max.
func (r *Reader) UintMax(max uint64) uint64 {
	u := r.Uint()
	if u > max {
		r.Fail(ErrRange)
		return 0
	}
	return u
}

// Int reads an integer.
func (r *Reader) Int() int64 {
	if len(r.rest) > 0 {
		c := r.rest[0]
		if c >= 0xe0 {
			r.rest = r.rest[1:]
			return int64(int8(c))
		}
		if c >= 0xd0 && c <= 0xd3 {
			r.rest = r.rest[1:]
			return r.signed(c)
		}
	}
	u := r.Uint()
	if u > math.MaxInt64 {
		r.Fail(ErrRange)
		return 0
	}
	return int64(u)
}

func (r *Reader) signed(c byte) int64 {
	switch c {
	case 0xd0:
		return int64(int8(r.number(1)))
	case 0xd1:
		return int64(int16(r.number(2)))
	case 0xd2:
		return int64(int32(r.number(4)))
	}
	return int64(r.number(8))
}

// Bool reads a boolean.
func (r *Reader) Bool() bool {
	c, ok := r.head()
	if ok && c != 0xc2 && c != 0xc3 {
		r.Fail(ErrKind)
		return false
	}
	return ok && c == 0xc3
}

// Nil reads a nil if the next value is one.
func (r *Reader) Nil() bool {
	if len(r.rest) > 0 && r.rest[0] == 0xc0 {
		r.rest = r.rest[1:]
		return true
	}
	return false
}

// Bytes reads a byte string as a part of the input; nil for nil.
func (r *Reader) Bytes() []byte {
	if len(r.rest) > 1 && r.rest[0] == 0xc4 {
		if end := 2 + int(r.rest[1]); end <= len(r.rest) {
			b := r.rest[2:end:end]
			r.rest = r.rest[end:]
			return b
		}
	}
	c, ok := r.head()
	switch {
	case !ok || c == 0xc0:
		return nil
	case c >= 0xc4 && c <= 0xc6:
		return r.body(r.number(1 << (c - 0xc4)))
	}
	r.Fail(ErrKind)
	return nil
}

// Text reads a string as a part of the input.
func (r *Reader) Text() []byte {
	c, ok := r.head()
	switch {
	case !ok:
		return nil
	case c&0xe0 == 0xa0:
		return r.body(uint64(c & 0x1f))
	case c >= 0xd9 && c <= 0xdb:
		return r.body(r.number(1 << (c - 0xd9)))
	}
	r.Fail(ErrKind)
	return nil
}

// String reads a string.
func (r *Reader) String() string { return string(r.Text()) }

// StringMax reads a string of at most limit bytes.
func (r *Reader) StringMax(limit int) string {
	b := r.Text()
	if len(b) > limit {
		r.Fail(ErrRange)
		return ""
	}
	return string(b)
}

func (r *Reader) body(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.rest)) {
		r.Fail(ErrShort)
		return nil
	}
	return r.take(int(n))
}

// Passes says whether value, one value or several, comes next, and if so passes over it.
func (r *Reader) Passes(value []byte) bool {
	if len(value) == 0 || !bytes.HasPrefix(r.rest, value) {
		return false
	}
	r.rest = r.rest[len(value):]
	return true
}

// Skip passes over one value of any kind and returns its bytes.
func (r *Reader) Skip() []byte {
	start := r.rest
	r.skip(0)
	if r.err != nil {
		return nil
	}
	n := len(start) - len(r.rest)
	return start[:n:n]
}

func (r *Reader) skip(depth int) {
	if depth > depthMax {
		r.Fail(ErrDeep)
		return
	}
	c, ok := r.head()
	if !ok {
		return
	}
	values := uint64(0)
	switch {
	case c < 0x80, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3:
	case c&0xf0 == 0x80:
		values = 2 * uint64(c&0x0f)
	case c&0xf0 == 0x90:
		values = uint64(c & 0x0f)
	case c&0xe0 == 0xa0:
		r.take(int(c & 0x1f))
	case c == 0xdc, c == 0xdd:
		values = r.number(2 << (c - 0xdc))
	case c == 0xde, c == 0xdf:
		values = 2 * r.number(2<<(c-0xde))
	default:
		r.skipBody(c)
	}
	if values > uint64(len(r.rest)) {
		r.Fail(ErrShort)
		return
	}
	for ; values > 0 && r.err == nil; values-- {
		r.skip(depth + 1)
	}
}

// skipBody passes over a value with a body of bytes.
func (r *Reader) skipBody(c byte) {
	switch {
	case c >= 0xc4 && c <= 0xc6:
		r.body(r.number(1 << (c - 0xc4)))
	case c >= 0xc7 && c <= 0xc9:
		r.body(1 + r.number(1<<(c-0xc7)))
	case c == 0xca:
		r.take(4)
	case c == 0xcb:
		r.take(8)
	case c >= 0xcc && c <= 0xcf:
		r.take(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3:
		r.take(1 << (c - 0xd0))
	case c >= 0xd4 && c <= 0xd8:
		r.take(1 + 1<<(c-0xd4))
	case c >= 0xd9 && c <= 0xdb:
		r.body(r.number(1 << (c - 0xd9)))
	default:
		r.Fail(ErrKind)
	}
}
