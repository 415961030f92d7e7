package bench

import "encoding/binary"

// The payload of a message, big endian:
//
//	offset  bytes  what
//	     0      4  magic "TMB1"
//	     4      4  run, random, so that no other run's messages count
//	     8      4  publisher
//	    12      4  the subscriber that should have it plus one, or 0 for any
//	    16      8  number of the message, from 0 for each publisher
//	    24      8  nanoseconds since the start of the run at which it was, or
//	               at a fixed rate should have been, sent
//	    32      …  filling
const magic = 0x544d4231

// header is the decoded beginning of a payload.
type header struct {
	publisher uint32
	number    uint64
	sentAt    int64
	receiver  uint32 // plus one; 0 for any
}

func (h header) put(payload []byte, run uint32) {
	binary.BigEndian.PutUint32(payload, magic)
	binary.BigEndian.PutUint32(payload[4:], run)
	binary.BigEndian.PutUint32(payload[8:], h.publisher)
	binary.BigEndian.PutUint32(payload[12:], h.receiver)
	binary.BigEndian.PutUint64(payload[16:], h.number)
	binary.BigEndian.PutUint64(payload[24:], uint64(h.sentAt))
}

// parseHeader reports false for what is not a message of this run, or has not
// the size of one.
func parseHeader(payload []byte, run uint32, size int) (header, bool) {
	if len(payload) != size || binary.BigEndian.Uint32(payload) != magic ||
		binary.BigEndian.Uint32(payload[4:]) != run {
		return header{}, false
	}
	return header{
		publisher: binary.BigEndian.Uint32(payload[8:]),
		receiver:  binary.BigEndian.Uint32(payload[12:]),
		number:    binary.BigEndian.Uint64(payload[16:]),
		sentAt:    int64(binary.BigEndian.Uint64(payload[24:])),
	}, true
}
