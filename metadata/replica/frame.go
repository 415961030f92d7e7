package replica

import (
	"fmt"
	"slices"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// The types of frames. A frame is a msgpack array:
//
//	[version, type, sender's nonce, receiver's nonce, …body]
//
// 17 to 20 were a comparison at equal clocks; who still sends them gets no answer.
// docs/formats/metadata.md draws every body.
const (
	frameHello   = 1  // who I am; asks for a Welcome
	frameWelcome = 2  // who I am, and what I know of you
	frameRefuse  = 3  // why not
	framePush    = 4  // what I just wrote
	frameProbe   = 5  // hashes of clock and digest
	frameSame    = 6  // they are mine as well
	frameClock   = 7  // they are not: my clock
	framePull    = 8  // send me what I lack
	frameBegin   = 9  // a transfer begins
	frameChunk   = 10 // a piece of it
	frameNext    = 11 // I have that piece
	frameJoin    = 12 // send me all
	framePart    = 13 // a piece of a frame that is too long for one
	frameHave    = 14 // I have made your dots durable
	frameMeet    = 15 // this is what I have: tell me once you have it as well
	frameMet     = 16 // I have it, and this is what I have
	frameRanges  = 21 // let us read everything and compare digests by range: this is my clock
	frameCut     = 22 // and this is mine
	frameTouched = 23 // in these keys I have something from beyond what both have
	frameSums    = 24 // my digests by range, and in which keys I have
	frameMend    = 25 // send me the records of these ranges
	frameMended  = 26 // here they are
)

// FrameBytesMax bounds a frame, so that a long one never delays a heartbeat.
const FrameBytesMax = 64 << 10

// The reasons of frameRefuse.
const (
	refuseStranger = 1 // you are not a member
	refuseHolder   = 2 // another live store holds your node id
	refuseNeedJoin = 3 // things were collected that you do not know of: join
	refuseBusy     = 4 // not now
	refuseStale    = 5 // your nonce is not the one that is known
	refuseMint     = 6 // your actor's dots were seen with two values
)

// header is the front of every frame. Immutable.
type header struct {
	kind     uint64
	from, to uint64 // nonces
	fields   int    // values that follow
}

func appendHeader(dst []byte, h header) []byte {
	dst = pack.AppendArray(dst, 4+h.fields)
	dst = pack.AppendUint(dst, recordVersion)
	dst = pack.AppendUint(dst, h.kind)
	dst = pack.AppendUint(dst, h.from)
	return pack.AppendUint(dst, h.to)
}

func readHeader(r *pack.Reader) (h header) {
	n := r.ArrayMin(4)
	if v := r.Uint(); r.Err() == nil && v != recordVersion {
		r.Fail(fmt.Errorf("frame: %w: %d", errVersion, v))
	}
	h.kind, h.from, h.to = r.Uint(), r.Uint(), r.Uint()
	h.fields = n - 4
	return h
}

// frameFields is how many values follow the header of each type.
var frameFields = [frameTypesMax + 1]int{
	frameHello: 8, frameWelcome: 11, frameRefuse: 1, framePush: 2, frameProbe: 4, frameSame: 3,
	frameClock: 3, framePull: 3, frameBegin: 8, frameChunk: 6, frameNext: 2, frameJoin: 3,
	framePart: 4, frameHave: 2, frameMeet: 4, frameMet: 4,
	frameRanges: 2, frameCut: 2, frameTouched: 2, frameSums: 4, frameMend: 3, frameMended: 3,
}

// frameOptional is how many of them a sender of an earlier build leaves out.
var frameOptional = [frameTypesMax + 1]int{frameHello: 1, frameWelcome: 1, framePull: 1}

// wireRecord is one key of a push or a chunk: what the sender knows of it, with
// the dots that the receiver may count as seen once it has merged it.
type wireRecord struct {
	key     []byte // table and key
	raw     []byte // the object record; nil if there is none
	object  dvv.Object
	covered []dvv.Dot // of this key, and superseded unless they are live in object
	deletes []dvv.Dot // of this key, not yet stable
	only    bool      // deletes alone: the object went before
	fresh   bool      // not sent: there is no object of ours under this key
}

func (w *wireRecord) size() int {
	return len(w.key) + len(w.raw) + 18*(len(w.covered)+len(w.deletes)) + 16
}

const wireFields = 4

func appendWireRecord(dst []byte, w *wireRecord) []byte {
	dst = pack.AppendArray(dst, wireFields)
	dst = pack.AppendBytes(dst, w.key)
	if w.only {
		dst = pack.AppendBool(dst, false)
	} else {
		dst = pack.AppendBytes(dst, w.raw)
	}
	dst = appendDots(dst, w.covered)
	return appendDots(dst, w.deletes)
}

func appendDots(dst []byte, dots []dvv.Dot) []byte {
	dst = pack.AppendArray(dst, 2*len(dots))
	for _, d := range dots {
		dst = pack.AppendUint(dst, uint64(d.Actor))
		dst = pack.AppendUint(dst, d.Counter)
	}
	return dst
}

// readDots reads dots behind those in room; they are a part of what it becomes.
func readDots(r *pack.Reader, room []dvv.Dot) (dots, _ []dvv.Dot) {
	n := r.Array()
	if n%2 != 0 {
		r.Fail(pack.ErrKind)
	}
	from := len(room)
	for i := 0; i < n && r.Err() == nil; i += 2 {
		d := readDot(r)
		if d.Counter == 0 {
			r.Fail(pack.ErrRange)
		}
		room = append(room, d)
	}
	return room[from:len(room):len(room)], room
}

// readWireRecord copies what it keeps: the key, the object's record, and the dots behind
// those in room.
func readWireRecord(r *pack.Reader, room []dvv.Dot) (w wireRecord, _ []dvv.Dot) {
	n := r.ArrayMin(wireFields)
	key := r.Bytes()
	if len(key) == 0 {
		r.Fail(pack.ErrRange)
	}
	if rest := r.Rest(); len(rest) > 0 && rest[0] == 0xc2 {
		r.Bool()
		w.key, w.only = append([]byte{}, key...), true
	} else if raw := r.Bytes(); raw == nil || r.Err() != nil {
		w.key = append([]byte{}, key...)
	} else {
		both := append(append(make([]byte, 0, len(key)+len(raw)), key...), raw...) // they go together
		w.key, w.raw = both[:len(key):len(key)], both[len(key):]
		object, err := decodeObject(w.raw)
		if err != nil {
			r.Fail(err)
		}
		w.object = object
	}
	w.covered, room = readDots(r, room)
	w.deletes, room = readDots(r, room)
	for i := wireFields; i < n && r.Err() == nil; i++ {
		r.Skip()
	}
	return w, room
}

func appendWireRecords(dst []byte, list []wireRecord) []byte {
	dst = pack.AppendArray(dst, len(list))
	for i := range list {
		dst = appendWireRecord(dst, &list[i])
	}
	return dst
}

// readWireRecords reads records into the room of list and dots.
func readWireRecords(r *pack.Reader, list []wireRecord, dots []dvv.Dot) ([]wireRecord, []dvv.Dot) {
	n := r.Array()
	list, dots = slices.Grow(list[:0], min(n, 8)), dots[:0] // no more is made of a mere claim
	for range n {
		if r.Err() != nil {
			break
		}
		var w wireRecord
		w, dots = readWireRecord(r, dots)
		list = append(list, w)
	}
	return list, dots
}

func appendPush(dst []byte, bases dvv.VV, list []wireRecord) []byte {
	var room [vectorRoom]byte
	dst = pack.AppendBytes(dst, bases.Append(room[:0]))
	return appendWireRecords(dst, list)
}

// begin is the body of frameBegin: what a transfer is about. Immutable.
type begin struct {
	id        uint64
	full      bool
	clock     dvv.Clock
	digest    uint64
	collected dvv.VV
	needs     []need
	retired   []Retired
	trimmed   dvv.Clock // every member has this: a joiner need not index it either
}

// need is dots that were collected without a member's knowledge (R32).
type need struct {
	node uint64
	upTo dvv.VV
}

func appendBegin(dst []byte, b *begin) []byte {
	dst = pack.AppendUint(dst, b.id)
	dst = pack.AppendBool(dst, b.full)
	var room [vectorRoom]byte // for vectors and clocks, in turn
	dst = pack.AppendBytes(dst, b.clock.Append(room[:0]))
	dst = pack.AppendUint(dst, b.digest)
	dst = pack.AppendBytes(dst, b.collected.Append(room[:0]))
	dst = pack.AppendArray(dst, 2*len(b.needs))
	for _, n := range b.needs {
		dst = pack.AppendUint(dst, n.node)
		dst = pack.AppendBytes(dst, n.upTo.Append(room[:0]))
	}
	dst = appendRetired(dst, b.retired)
	return pack.AppendBytes(dst, b.trimmed.Append(room[:0]))
}

func (k *known) readBegin(r *pack.Reader) (b begin) {
	b.id, b.full = r.Uint(), r.Bool()
	b.clock, b.digest, b.collected = k.readClock(r), r.Uint(), k.readVV(r)
	n := r.Array()
	for i := 0; i+1 < n && r.Err() == nil; i += 2 {
		b.needs = append(b.needs, need{node: r.Uint(), upTo: k.readVV(r)})
	}
	if n%2 != 0 {
		r.Fail(pack.ErrKind)
	}
	b.retired, _ = k.readRetired(r)
	b.trimmed = k.readClock(r)
	return b
}

// chunk is the body of frameChunk. In a full join it speaks for all keys behind
// the chunk before up to upTo. Immutable.
type chunk struct {
	id, seq uint64
	last    bool
	upTo    []byte // nil: a delta, or to the end of all keys
	bases   dvv.VV
	list    []wireRecord
}

func appendChunk(dst []byte, c *chunk) []byte {
	dst = pack.AppendUint(dst, c.id)
	dst = pack.AppendUint(dst, c.seq)
	dst = pack.AppendBool(dst, c.last)
	dst = pack.AppendBytes(dst, c.upTo)
	var room [vectorRoom]byte
	dst = pack.AppendBytes(dst, c.bases.Append(room[:0]))
	return appendWireRecords(dst, c.list)
}

// size is at least what appendChunk appends, if contexts are short.
func (c *chunk) size() int {
	size := 512 + len(c.upTo)
	for i := range c.list {
		size += c.list[i].size()
	}
	return size
}

func (k *known) readChunk(r *pack.Reader) (c chunk) {
	c.id, c.seq, c.last = r.Uint(), r.Uint(), r.Bool()
	if upTo := r.Bytes(); upTo != nil {
		c.upTo = append([]byte{}, upTo...)
	}
	c.bases = k.readVV(r)
	c.list, _ = readWireRecords(r, nil, nil)
	return c
}
