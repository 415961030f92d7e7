package replica

import (
	"time"

	"tombolo/internal/pack"
)

// partBytes is how much of a long frame one part carries.
const partBytes = FrameBytesMax - 128

// assembledMax bounds a frame that comes in parts.
const assembledMax = 96 << 20

// assembly is a long frame that is coming in. Owned by the peer it comes from;
// parts come in order, or the frame is given up: whatever it was is asked for
// again.
type assembly struct {
	id    uint64
	next  uint64
	bytes []byte
}

func (r *Replica) sendParts(p *peer, frame []byte) {
	r.nextPart++
	count := (len(frame) + partBytes - 1) / partBytes
	for i := range count {
		piece := frame[i*partBytes : min((i+1)*partBytes, len(frame))]
		f := pack.AppendUint(p.header(r, framePart), r.nextPart)
		f = pack.AppendUint(pack.AppendUint(f, uint64(i)), uint64(count))
		r.out.Messages = append(r.out.Messages, Message{To: p.id, Frame: pack.AppendBytes(f, piece)})
	}
}

func (r *Replica) part(now time.Time, p *peer, rd *pack.Reader) {
	id, index, count, piece := rd.Uint(), rd.Uint(), rd.Uint(), rd.Bytes()
	if rd.Err() != nil || count > assembledMax/partBytes || index >= count || len(piece) > partBytes {
		return
	}
	a := &p.parts
	if index == 0 {
		*a = assembly{id: id}
	}
	if a.id != id || a.next != index {
		*a = assembly{}
		return
	}
	a.bytes, a.next = append(a.bytes, piece...), index+1
	if a.next < count {
		return
	}
	whole := a.bytes
	*a = assembly{}
	inner := pack.NewReader(whole)
	if h := readHeader(&inner); inner.Err() == nil && h.kind == framePart {
		return // no frame is parts of parts
	}
	r.Receive(now, p.id, whole)
}
