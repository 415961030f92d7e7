package wire

import (
	"encoding/binary"

	"tombolo/internal/pack"
)

// MessageID names a message in the whole cluster (R1).
type MessageID struct{ Ingress, N uint64 }

// Dot names a write of the metadata store.
type Dot struct{ Actor, Counter uint64 }

// Targets says whom a publish is for.
type Targets uint8

// The targets.
const (
	ToMatching Targets = iota // whoever matches at the receiver, and one of each group named
	ToSessions                // the sessions named and nobody else: redirected or spooled (R11)
	ToGroups                  // one of each group named and nobody else
	targets
)

// Flags of a publish.
const (
	PublishQoS    = 3      // mask
	PublishRetain = 1 << 2 // it was sent with RETAIN
	PublishKnown  = ^uint8(PublishQoS | PublishRetain)
)

// Group is a shared subscription of which the receiver is to serve one member
// (R13). Views of the frame.
type Group struct{ Name, Filter []byte }

// Publish is one message for one node (R21). Byte strings are views of the
// frame; the slices are used again by the next parse.
type Publish struct {
	ID         MessageID
	Generation uint64 // of the routes it was matched under, at the ingress (R21)
	Flags      uint8
	ExpiresAt  int64 // unix ms; 0 never
	Retained   Dot   // of the retained value that it wrote (R8); zero if none
	Mountpoint []byte
	Targets    Targets
	Sessions   [][]byte // client ids, with ToSessions
	Groups     []Group
	Body       []byte // an MQTT 5 PUBLISH packet at QoS 0
}

// QoS is that of the message.
func (p *Publish) QoS() uint8 { return p.Flags & PublishQoS }

const (
	publishFields = 12
	namedMax      = 8192 // sessions or groups in one frame
)

// AppendPublish appends the body of a publish.
func AppendPublish(dst []byte, p *Publish) []byte {
	return append(AppendPublishHead(dst, p, len(p.Body)), p.Body...)
}

// AppendPublishHead appends all of p but its body, of which bodyBytes follow, for
// a caller that encodes the body in its place.
func AppendPublishHead(dst []byte, p *Publish, bodyBytes int) []byte {
	return AppendBodyHead(AppendPublishFields(dst, p), bodyBytes)
}

// AppendBodyHead appends what stands before a body of so many bytes.
func AppendBodyHead(dst []byte, bodyBytes int) []byte { return pack.AppendBytesHeader(dst, bodyBytes) }

// AppendPublishFields appends all of p that stands before AppendBodyHead.
func AppendPublishFields(dst []byte, p *Publish) []byte {
	dst = pack.AppendArray(dst, publishFields)
	dst = pack.AppendUint(dst, p.ID.Ingress)
	dst = pack.AppendUint(dst, p.ID.N)
	dst = pack.AppendUint(dst, p.Generation)
	dst = pack.AppendUint(dst, uint64(p.Flags))
	dst = pack.AppendInt(dst, p.ExpiresAt)
	dst = pack.AppendUint(dst, p.Retained.Actor)
	dst = pack.AppendUint(dst, p.Retained.Counter)
	dst = pack.AppendString(dst, p.Mountpoint)
	dst = pack.AppendUint(dst, uint64(p.Targets))
	dst = pack.AppendArray(dst, len(p.Sessions))
	for _, s := range p.Sessions {
		dst = pack.AppendString(dst, s)
	}
	dst = pack.AppendArray(dst, 2*len(p.Groups))
	for i := range p.Groups {
		dst = pack.AppendString(pack.AppendString(dst, p.Groups[i].Name), p.Groups[i].Filter)
	}
	return dst
}

// ParsePublish reads the body of a publish.
func ParsePublish(b []byte, p *Publish) error {
	if p.plain(b) > 0 {
		return nil
	}
	return p.parse(b)
}

// plain reads a publish that names nobody, as nearly all do, a byte at a time;
// what is not just so, faults included, is for parse, and gives 0 in the place of
// how many bytes stand before the body's length. Between nodes this is done for
// each message.
func (p *Publish) plain(b []byte) (head int) {
	var f [7]uint64 // up to the mountpoint
	if len(b) < 1+len(f) || b[0] != 0x90|publishFields {
		return 0
	}
	at := 1
	for i := range f {
		if at+9 > len(b) {
			return 0
		}
		switch c := b[at]; {
		case c < 0x80:
			f[i] = uint64(c)
			at++
		case c == 0xcc:
			f[i] = uint64(b[at+1])
			at += 2
		case c == 0xcd:
			f[i] = uint64(binary.BigEndian.Uint16(b[at+1:]))
			at += 3
		case c == 0xce:
			f[i] = uint64(binary.BigEndian.Uint32(b[at+1:]))
			at += 5
		case c == 0xcf:
			f[i] = binary.BigEndian.Uint64(b[at+1:])
			at += 9
		default:
			return 0
		}
	}
	if at+7 > len(b) {
		return 0
	}
	name := int(b[at]) - 0xa0
	if name < 0 || name > 31 || at+name+7 > len(b) {
		return 0
	}
	mountpoint := b[at+1 : at+1+name : at+1+name]
	at += 1 + name
	if b[at] != byte(ToMatching) || b[at+1] != 0x90 || b[at+2] != 0x90 {
		return 0 // it names sessions or groups
	}
	body := plainBody(b[at+plainLists:])
	if body == nil || f[3] > 0xff || uint8(f[3])&(PublishKnown|PublishQoS) > 2 || int64(f[4]) < 0 {
		return 0
	}
	p.ID, p.Generation, p.Flags, p.ExpiresAt = MessageID{f[0], f[1]}, f[2], uint8(f[3]), int64(f[4])
	p.Retained, p.Mountpoint, p.Targets = Dot{f[5], f[6]}, mountpoint, ToMatching
	p.Sessions, p.Groups, p.Body = p.Sessions[:0], p.Groups[:0], body
	return at + plainLists
}

// plainLists is how many bytes targets take, and the sessions and groups that there
// are none of.
const plainLists = 3

// plainBody is the body that is all of b, behind its length; nil if it is not just so,
// or is empty.
func plainBody(b []byte) []byte {
	switch {
	case len(b) < 4:
	case b[0] == 0xc4 && int(b[1]) == len(b)-2:
		return b[2:]
	case b[0] == 0xc5 && int(b[1])<<8|int(b[2]) == len(b)-3:
		return b[3:]
	}
	return nil
}

// PublishReader reads publishes of which many begin alike, as those of one node at
// QoS 0 do: what begins as the last one did is not read again. Owned by its caller.
type PublishReader struct {
	p    Publish
	head []byte // what p was read from, up to its body; empty: nothing to go by
}

// Read is ParsePublish. What it returns is valid until the next call, and not longer
// than b.
func (x *PublishReader) Read(b []byte) (*Publish, error) {
	if n := len(x.head); n > 0 && n < len(b) && string(b[:n]) == string(x.head) {
		if body := plainBody(b[n:]); body != nil {
			x.p.Body = body
			return &x.p, nil
		}
	}
	x.head = x.head[:0]
	n := x.p.plain(b)
	switch {
	case n == 0:
		return &x.p, x.p.parse(b)
	case x.p.ID == (MessageID{}): // else the next one has another
		x.head = append(x.head, b[:n]...)
		end := n - plainLists
		x.p.Mountpoint = x.head[end-len(x.p.Mountpoint) : end : end]
	}
	return &x.p, nil
}

func (p *Publish) parse(b []byte) error {
	r := NewReader(b)
	more := r.begin(publishFields)
	p.ID.Ingress = r.Uint()
	p.ID.N = r.Uint()
	p.Generation = r.Uint()
	p.Flags = uint8(r.UintMax(255))
	p.ExpiresAt = r.Int()
	p.Retained.Actor = r.Uint()
	p.Retained.Counter = r.Uint()
	p.Mountpoint = r.Text()
	p.Targets = Targets(r.UintMax(uint64(targets) - 1))
	readSessions(&r, p)
	readGroups(&r, p)
	p.Body = r.Bytes()
	r.finish(more)
	if p.QoS() > 2 || p.Flags&PublishKnown != 0 || p.ExpiresAt < 0 || len(p.Body) == 0 {
		r.Fail(pack.ErrRange)
	}
	return r.End()
}

// readSessions and readGroups spell out what list does, since a Reader that a
// function value sees is allocated.
func readSessions(r *Reader, p *Publish) {
	n := r.Array()
	if n > namedMax {
		r.Fail(pack.ErrRange)
	}
	p.Sessions = p.Sessions[:0]
	for ; n > 0 && r.Err() == nil; n-- {
		p.Sessions = append(p.Sessions, r.Text())
	}
}

func readGroups(r *Reader, p *Publish) {
	n := r.Array()
	if n > 2*namedMax || n%2 != 0 {
		r.Fail(pack.ErrRange)
	}
	p.Groups = p.Groups[:0]
	for ; n > 0 && r.Err() == nil; n -= 2 {
		p.Groups = append(p.Groups, Group{Name: r.Text(), Filter: r.Text()})
	}
}

// Cancelled is a message that moved to another member of its group, under the
// same id (R13): who still has it for that group drops it.
type Cancelled struct {
	ID         MessageID
	Mountpoint string
	Group      string
	Filter     string
}

// Cancel goes before everything else that waits for a node.
type Cancel struct{ Messages []Cancelled }

// AppendCancel appends the body of a cancel.
func AppendCancel(dst []byte, c *Cancel) []byte {
	return appendList(pack.AppendArray(dst, 1), c.Messages, func(dst []byte, m *Cancelled) []byte {
		dst = pack.AppendArray(dst, 5)
		dst = pack.AppendUint(dst, m.ID.Ingress)
		dst = pack.AppendUint(dst, m.ID.N)
		dst = pack.AppendString(dst, m.Mountpoint)
		dst = pack.AppendString(dst, m.Group)
		return pack.AppendString(dst, m.Filter)
	})
}

// ParseCancel reads the body of a cancel.
func ParseCancel(b []byte, c *Cancel) error {
	r := NewReader(b)
	more := r.begin(1)
	c.Messages = list(&r, c.Messages, namedMax, func(r *Reader, m *Cancelled) {
		more := r.begin(5)
		m.ID.Ingress = r.Uint()
		m.ID.N = r.Uint()
		m.Mountpoint = r.StringMax(stringBytesMax)
		m.Group = r.StringMax(stringBytesMax)
		m.Filter = r.StringMax(stringBytesMax)
		r.finish(more)
	})
	r.finish(more)
	return r.End()
}

// SettledMax bounds the exceptions of a settled mark.
const SettledMax = 4096

// Settled is the mark below which every message id of an ingress is confirmed
// everywhere and in no spool (R3), but for some: their publishers may send them
// again, under the same ids (R4).
type Settled struct {
	Below  MessageID
	Except []uint64 // of the same ingress, ascending
}

// AppendSettled appends the body of a settled mark.
func AppendSettled(dst []byte, s *Settled) []byte {
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), s.Below.Ingress), s.Below.N)
	return appendList(dst, s.Except, func(dst []byte, n *uint64) []byte { return pack.AppendUint(dst, *n) })
}

// ParseSettled reads the body of a settled mark.
func ParseSettled(b []byte, s *Settled) error {
	r := NewReader(b)
	more := r.begin(3)
	s.Below.Ingress = r.Uint()
	s.Below.N = r.Uint()
	s.Except = list(&r, s.Except, SettledMax, func(r *Reader, n *uint64) { *n = r.Uint() })
	r.finish(more)
	return r.End()
}
