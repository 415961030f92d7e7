package spool

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"tombolo/internal/link"
	"tombolo/internal/wire"
)

// The kinds of keys, by their first byte; docs/formats/spool.md has the table.
const (
	areaFormat  byte = 'f' // the format's version
	areaChunk   byte = 'c' // node 8, first place 8
	areaDamaged byte = 'x' // node 8, first place 8: a chunk that cannot be read
)

// formatVersion is the first byte of every value.
const formatVersion = 1

// The bounds of a chunk.
const (
	chunkBytesMax = 64 << 10
	chunkCountMax = 256
)

var errChunk = errors.New("a chunk of the spool cannot be read")

func chunkKey(area byte, to link.NodeID, first uint64) []byte {
	k := append(make([]byte, 0, 17), area)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(k, uint64(to)), first)
}

// parseChunkKey reads what chunkKey made.
func parseChunkKey(k []byte) (to link.NodeID, first uint64, ok bool) {
	if len(k) != 17 {
		return 0, 0, false
	}
	return link.NodeID(binary.BigEndian.Uint64(k[1:])), binary.BigEndian.Uint64(k[9:]), true
}

// appendChunk encodes messages, of which there is one at least:
//
//	version  1 byte
//	count    uvarint
//	then for each: place − place before it (of the first: − that in the key),
//	         kind, length: uvarints; body
func appendChunk(dst []byte, first uint64, list []link.Spooled) []byte {
	dst = append(dst, formatVersion)
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	before := first
	for i := range list {
		m := &list[i]
		dst = binary.AppendUvarint(dst, m.Place-before)
		dst = binary.AppendUvarint(dst, uint64(m.Kind))
		dst = binary.AppendUvarint(dst, uint64(len(m.Body)))
		dst = append(dst, m.Body...)
		before = m.Place
	}
	return dst
}

// readChunk decodes what appendChunk made; the bodies are parts of b.
func readChunk(b []byte, first uint64) ([]link.Spooled, error) {
	if len(b) == 0 || b[0] != formatVersion {
		return nil, errChunk
	}
	b = b[1:]
	ok := true
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			ok = false
			return 0
		}
		b = b[size:]
		return n
	}
	count := number()
	if count == 0 || count > uint64(len(b))/3+1 {
		return nil, errChunk
	}
	list := make([]link.Spooled, 0, count)
	place := first
	for i := range count {
		step, kind, n := number(), number(), number()
		if !ok || n > uint64(len(b)) || kind == 0 || kind > 255 || i > 0 && step == 0 ||
			step >= spanMax || place-first+step >= spanMax {
			return nil, errChunk
		}
		place += step
		list = append(list, link.Spooled{Place: place, Kind: wire.Type(kind), Body: b[:n:n]})
		b = b[n:]
	}
	if len(b) > 0 {
		return nil, errChunk
	}
	return list, nil
}

// spanMax is how many places a chunk can cover: one for each message that it had
// when it was made, and merging takes no chunk above chunkCountMax messages.
const spanMax = 64 * chunkCountMax

// chunk is what the index knows of one. Guarded by its tail's lock.
type chunk struct {
	first, last uint64   // places it covers
	live        int      // messages that have not been removed
	count       int      // messages in the value on disk
	bytes       int64    // of those, as they count for the limit
	gone        []uint64 // bits of the places from first on that were removed; nil: none
}

// has says whether a place is there.
func (c *chunk) has(place uint64) bool {
	if place < c.first || place > c.last {
		return false
	}
	at := place - c.first
	return c.gone == nil || c.gone[at/64]&(1<<(at%64)) == 0
}

// remove takes a place out; false if it is not there.
func (c *chunk) remove(place uint64) bool {
	if !c.has(place) {
		return false
	}
	if c.gone == nil {
		c.gone = make([]uint64, (c.last-c.first)/64+1)
	}
	at := place - c.first
	c.gone[at/64] |= 1 << (at % 64)
	c.live--
	return true
}

// liveBytes is about what the messages count that have not been removed.
func (c *chunk) liveBytes() int64 { return c.bytes * int64(c.live) / int64(c.count) }

// describe is the index's entry for a list that is written under the place first.
func describe(first uint64, list []link.Spooled) chunk {
	c := chunk{first: first, last: list[len(list)-1].Place, live: len(list), count: len(list)}
	next := first
	for i := range list {
		c.bytes += cost(&list[i])
		if list[i].Place != next && c.gone == nil {
			c.gone = make([]uint64, (c.last-c.first)/64+1)
		}
		for ; next < list[i].Place; next++ {
			at := next - c.first
			c.gone[at/64] |= 1 << (at % 64)
		}
		next++
	}
	return c
}

// check names what is wrong with an entry; "" if nothing is.
func (c *chunk) check() string {
	gone := 0
	for _, w := range c.gone {
		gone += bits.OnesCount64(w)
	}
	switch {
	case c.first == 0 || c.last < c.first:
		return "places out of order"
	case c.live != int(c.last-c.first)+1-gone:
		return "live is not what is left"
	case c.live > c.count:
		return "more live than written"
	}
	return ""
}

// overhead is what a message counts beside its body.
const overhead = 64

func cost(m *link.Spooled) int64 { return int64(len(m.Body)) + overhead }
