package sim

import "encoding/binary"

// Value is what a put stores: which operation wrote it, its stamp, and the
// floor it carries.
type Value struct {
	Op, HLC, Floor uint64
}

// Encode is 24 bytes, big endian.
func (v Value) Encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 24), v.Op)
	b = binary.BigEndian.AppendUint64(b, v.HLC)
	return binary.BigEndian.AppendUint64(b, v.Floor)
}

// DecodeValue reads what Encode wrote, the zero Value otherwise.
func DecodeValue(b []byte) Value {
	if len(b) < 24 {
		return Value{}
	}
	return Value{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
}
