package packet

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// cursor reads fields from a packet body; owned by one decode call. The first
// fault sticks: later reads return zero values and the caller checks err once.
type cursor struct {
	b   []byte
	err *Error
}

func (c *cursor) fail(e *Error) {
	if c.err == nil {
		c.err = e
	}
	c.b = nil
}

// end returns the sticky fault, or a refusal of bytes that are left over. It
// returns error, not *Error, so that nil stays nil.
func (c *cursor) end() error {
	if c.err == nil && len(c.b) > 0 {
		c.err = errTrailing
	}
	return c.fault()
}

func (c *cursor) fault() error {
	if c.err != nil {
		return c.err
	}
	return nil
}

func (c *cursor) uint8() uint8 {
	if len(c.b) < 1 {
		c.fail(errShort)
		return 0
	}
	n := c.b[0]
	c.b = c.b[1:]
	return n
}

func (c *cursor) uint16() uint16 {
	if len(c.b) < 2 {
		c.fail(errShort)
		return 0
	}
	n := uint16(c.b[0])<<8 | uint16(c.b[1])
	c.b = c.b[2:]
	return n
}

func (c *cursor) uint32() uint32 {
	if len(c.b) < 4 {
		c.fail(errShort)
		return 0
	}
	n := uint32(c.b[0])<<24 | uint32(c.b[1])<<16 | uint32(c.b[2])<<8 | uint32(c.b[3])
	c.b = c.b[4:]
	return n
}

// varint reads a variable byte integer; only its shortest form is allowed
// (MQTT-1.5.5-1).
func (c *cursor) varint() uint32 {
	var n uint32
	for i := 0; i < 4; i++ {
		if i == len(c.b) {
			c.fail(errShort)
			return 0
		}
		b := c.b[i]
		n |= uint32(b&0x7f) << (7 * i)
		if b >= 0x80 {
			continue
		}
		if i > 0 && b == 0 {
			break
		}
		c.b = c.b[i+1:]
		return n
	}
	c.fail(errVarint)
	return 0
}

// binary reads a length and as many bytes, as a view.
func (c *cursor) binary() []byte {
	if len(c.b) < 2 {
		c.fail(errShort)
		return nil
	}
	n := int(c.b[0])<<8 | int(c.b[1])
	if len(c.b) < 2+n {
		c.fail(errShort)
		return nil
	}
	s := c.b[2 : 2+n : 2+n]
	c.b = c.b[2+n:]
	return s
}

// string reads a UTF-8 string, as a view. Control characters and
// non-characters are let through, as both standards allow (§1.5.4).
func (c *cursor) string() []byte {
	s := c.binary()
	if !wellFormed(s) {
		c.fail(errString)
		return nil
	}
	return s
}

// id reads a packet identifier.
func (c *cursor) id() ID {
	n := c.uint16()
	if n == 0 {
		c.fail(errID)
	}
	return ID(n)
}

// reason reads a reason code that must be in allowed.
func (c *cursor) reason(allowed *reasonSet) ReasonCode {
	r := c.uint8()
	if !allowed.has(ReasonCode(r)) {
		c.fail(errReason)
	}
	return ReasonCode(r)
}

// wellFormed reports whether s is UTF-8 as MQTT wants it: no surrogates, no
// overlong forms, no U+0000 (MQTT-1.5.4-1, -2). Most strings are plain ASCII,
// which is told eight bytes at a time: with none of them 0 and none above
// 0x7f, neither a byte nor a byte less one has its highest bit set.
func wellFormed(s []byte) bool {
	const low, high = 0x0101010101010101, 0x8080808080808080
	rest := s
	for ; len(rest) >= 8; rest = rest[8:] {
		if w := binary.LittleEndian.Uint64(rest); (w|(w-low))&high != 0 {
			return wellFormedSlow(s)
		}
	}
	for _, b := range rest {
		if b-1 >= 0x7f {
			return wellFormedSlow(s)
		}
	}
	return true
}

func wellFormedSlow(s []byte) bool { return bytes.IndexByte(s, 0) < 0 && utf8.Valid(s) }
