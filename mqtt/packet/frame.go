package packet

import "math/bits"

// MaxRemaining is the largest remaining length of a packet, and MaxSize the
// largest whole packet (MQTT 5 §1.5.5). PublishSize can exceed MaxSize for a
// message that was received as large as it may be and is sent with more
// properties; such a packet cannot be sent and its caller must drop it.
const (
	MaxRemaining = 268_435_455
	MaxSize      = MaxRemaining + 5
	stringMax    = 65_535
)

// head reads the fixed header at the start of buf. size is 0 while the header
// is incomplete.
func head(buf []byte) (headBytes, size int, err error) {
	remaining := 0
	for i := 1; i < len(buf) && i <= 4; i++ {
		b := buf[i]
		remaining |= int(b&0x7f) << (7 * (i - 1))
		if b < 0x80 {
			return i + 1, i + 1 + remaining, nil
		}
		if i == 4 {
			return 0, 0, errHeadLength
		}
	}
	return 0, 0, nil
}

// Split finds the first whole packet in buf. size == 0 without an error means
// that more bytes are needed; Need tells how many, once the header is there.
// max limits the whole packet in bytes, 0 leaves the standard's own limit; a
// packet beyond it is refused as soon as its header is complete.
func Split(buf []byte, max int) (f Frame, size int, err error) {
	if len(buf) > 0 && buf[0]>>4 == 0 {
		return Frame{}, 0, errHeadType
	}
	headBytes, size, err := head(buf)
	if err != nil || size == 0 {
		return Frame{}, 0, err
	}
	if max > 0 && size > max {
		return Frame{}, 0, errTooLarge
	}
	if size > len(buf) {
		return Frame{}, 0, nil
	}
	return Frame{
		Type:  Type(buf[0] >> 4),
		Flags: buf[0] & 0x0f,
		Body:  buf[headBytes:size:size],
		Size:  size,
	}, size, nil
}

// Need returns the bytes of the whole packet at the start of buf, or 0 while
// the fixed header is incomplete or if it is malformed.
func Need(buf []byte) int {
	_, size, err := head(buf)
	if err != nil {
		return 0
	}
	return size
}

// open checks what the fixed header of a packet must be and returns a cursor
// on the body. Before MQTT 5 a remaining length may be padded: some small
// clients reserve four bytes for it, and MQTT 3.1.1 does not forbid it.
func open(f Frame, v Version, want Type, flags uint8) (cursor, error) {
	if f.Type != want {
		return cursor{}, errWrongType
	}
	if f.Flags != flags && !(v == V31 && f.Flags == flags|0x08 && mayRepeat(want)) {
		return cursor{}, errFlags
	}
	if v == V5 && f.Size != packetSize(len(f.Body)) {
		return cursor{}, errHeadMinimal
	}
	return cursor{b: f.Body}, nil
}

// mayRepeat names the packets that MQTT 3.1 lets a client send again with DUP
// set (MQTT 3.1 §2.1); later versions took that bit away.
func mayRepeat(t Type) bool {
	return t == TypePubrel || t == TypeSubscribe || t == TypeUnsubscribe
}

// varintSize is the length of n as a variable byte integer.
func varintSize(n int) int {
	// Seven bits a byte, and one byte for zero.
	return (bits.Len32(uint32(n)|1) + 6) / 7
}

func appendVarint(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// packetSize is the whole packet for a remaining length.
func packetSize(remaining int) int { return 1 + varintSize(remaining) + remaining }

// appendHead starts a packet.
func appendHead(dst []byte, t Type, flags uint8, remaining int) []byte {
	if remaining > MaxRemaining {
		panic("BUG: packet: encoding a packet beyond the largest remaining length")
	}
	return appendVarint(append(dst, byte(t)<<4|flags), remaining)
}

func appendUint16(dst []byte, n uint16) []byte { return append(dst, byte(n>>8), byte(n)) }

func appendUint32(dst []byte, n uint32) []byte {
	return append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// appendString writes a string or binary field.
func appendString(dst, s []byte) []byte {
	if len(s) > stringMax {
		panic("BUG: packet: encoding a string beyond 65535 bytes")
	}
	return append(appendUint16(dst, uint16(len(s))), s...)
}
