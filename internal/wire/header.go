package wire

import (
	"encoding/binary"
	"errors"

	"tombolo/internal/pack"
)

// NodeID names a node for the life of its data directory.
type NodeID uint64

// Incarnation names one run of a node's process; it rises with every start.
type Incarnation uint64

// Version is the version of headers and frames that this package writes, and
// Oldest the lowest that it reads.
const (
	Version = 1
	Oldest  = 1
)

// Sizes. A body above BodyBytesMax is sent in chunks.
const (
	HeaderBytes     = 44
	BodyBytesMax    = 64 << 10
	MessageBytesMax = 257 << 20 // the largest MQTT packet and what stands around it
)

// WindowFramesMax is how many frames of a stream may be unconfirmed at most. It
// is part of the protocol: a receiver remembers outcomes for that many.
const WindowFramesMax = 4096

// Flags of a frame.
const (
	FlagFirst = 1 << iota // the body begins a message
	FlagLast              // the body ends it
)

// Stream is an ordered flow of messages between two nodes, or one of the
// numbers for what is not ordered.
type Stream uint32

// The streams. Those from StreamControl on are numbered, confirmed and sent
// again; the others are lost with their connection.
const (
	StreamNone     Stream = iota // what the link itself says
	StreamMetadata               // control plane: replication, which repairs its own losses
	StreamFast                   // bulk plane: QoS 0
	_
	StreamControl   // control plane: routes, registration, members, wills
	StreamHead      // bulk plane, before all others: cancels (R13)
	StreamPublish   // bulk plane: QoS 1 and 2, and fences between them (R21)
	StreamMigration // bulk plane, after all others: backlogs (R20)
	streams
)

// Numbered says whether a stream is confirmed and sent again.
func (s Stream) Numbered() bool { return s >= StreamControl && s < streams }

// Plane is one of the two connections of a pair.
type Plane uint8

// The planes.
const (
	Control Plane = iota
	Bulk
	Planes // how many there are
)

// Plane tells which connection carries a stream; StreamNone runs on both.
func (s Stream) Plane() Plane {
	if s == StreamMetadata || s == StreamControl {
		return Control
	}
	return Bulk
}

// Header stands before every body. A value.
type Header struct {
	Version     uint8
	Type        Type
	Flags       uint8
	TTL         uint8 // nodes that the frame may still reach; 1 for a neighbour (R26)
	Source      NodeID
	Destination NodeID
	Incarnation Incarnation // of the source
	Stream      Stream
	Sequence    uint64 // 0 on streams that are not numbered
	Length      uint32 // of the body
}

// The faults of a header.
var (
	ErrVersion = errors.New("header of another version")
	ErrType    = errors.New("header of an unknown type")
	ErrStream  = errors.New("header of an unknown stream, or one that does not carry the type")
	ErrLength  = errors.New("header claims more than 64 KiB")
	ErrTTL     = errors.New("header without time to live")
	ErrFlags   = errors.New("header with unknown flags")
)

// AppendHeader appends h.
func AppendHeader(dst []byte, h *Header) []byte {
	dst = append(dst, make([]byte, HeaderBytes)...)
	b := (*[HeaderBytes]byte)(dst[len(dst)-HeaderBytes:])
	b[0], b[1], b[2], b[3] = h.Version, byte(h.Type), h.Flags, h.TTL
	binary.BigEndian.PutUint64(b[4:], uint64(h.Source))
	binary.BigEndian.PutUint64(b[12:], uint64(h.Destination))
	binary.BigEndian.PutUint64(b[20:], uint64(h.Incarnation))
	binary.BigEndian.PutUint32(b[28:], uint32(h.Stream))
	binary.BigEndian.PutUint64(b[32:], h.Sequence)
	binary.BigEndian.PutUint32(b[40:], h.Length)
	return dst
}

// ParseHeader reads the first HeaderBytes of b, which are there, and checks
// what can be checked without knowing the peer.
func ParseHeader(b []byte, h *Header) error {
	if len(b) < HeaderBytes {
		return pack.ErrShort
	}
	h.Version, h.Type, h.Flags, h.TTL = b[0], Type(b[1]), b[2], b[3]
	h.Source = NodeID(binary.BigEndian.Uint64(b[4:]))
	h.Destination = NodeID(binary.BigEndian.Uint64(b[12:]))
	h.Incarnation = Incarnation(binary.BigEndian.Uint64(b[20:]))
	h.Stream = Stream(binary.BigEndian.Uint32(b[28:]))
	h.Sequence = binary.BigEndian.Uint64(b[32:])
	h.Length = binary.BigEndian.Uint32(b[40:])
	switch {
	case h.Version != Version:
		return ErrVersion
	case h.Length > BodyBytesMax:
		return ErrLength
	case h.Type == 0 || h.Type >= types:
		return ErrType
	case h.Flags&^(FlagFirst|FlagLast) != 0:
		return ErrFlags
	case h.TTL == 0:
		return ErrTTL
	case !h.Type.on(h.Stream) || h.Stream.Numbered() != (h.Sequence != 0):
		return ErrStream
	}
	return nil
}
