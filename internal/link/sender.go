package link

import (
	"errors"
	"sort"

	"tombolo/internal/wire"
)

// The faults of a peer's acknowledgements.
var (
	errAckUnsent   = errors.New("acknowledges what was never sent")
	errAckUnsorted = errors.New("outcomes are not in order")
)

// entry is one message of a stream, from push to its end. A value.
type entry struct {
	first, last uint64 // its frames
	born        uint64 // which message of the stream it is: they came in this order
	kind        wire.Type
	body        []byte // shared, never changed
	ticket      Ticket // nil once it was told
	pushedAt    int64
	place       uint64 // in the spool; 0: not there, or not yet
	writing     bool   // the spool is being asked to take it
}

// sender is the sending end of one numbered stream: a pure core. Owned by
// whoever holds the peer's lock.
//
// Invariants, checked by check:
//
//	(1) entries are in order and without gaps, the last one ends at next-1
//	(2) cursor, the next frame to send, is between the first entry and next
//	(3) bytes is the sum of the entries' bodies
type sender struct {
	stream  wire.Stream
	limits  Limits
	entries []entry
	next    uint64 // the sequence that the next frame gets
	births  uint64 // messages that were ever pushed
	cursor  uint64 // the sequence to send next
	bytes   int
	ready   bool // the peer has said on this connection where to go on
	halted  bool // nothing goes out, whatever the connection
	openDue bool
	sent    uint64 // bytes, as the receiver counts them
	credit  uint64
	resent  uint64 // frames sent more than once
	highest uint64 // the highest sequence ever sent
}

// Limits bound what waits for confirmation on one stream. A single message may
// exceed them if nothing else waits.
type Limits struct {
	Frames int // at most wire.WindowFramesMax
	Bytes  int
}

func newSender(s wire.Stream, l Limits) *sender {
	return &sender{stream: s, limits: l, next: 1, cursor: 1}
}

func framesOf(body []byte) uint64 {
	return uint64(max(1, (len(body)+wire.BodyBytesMax-1)/wire.BodyBytesMax))
}

// room says whether push would take a message of so many bytes.
func (s *sender) room(body []byte) bool {
	if len(s.entries) == 0 {
		return true
	}
	frames := s.next - s.entries[0].first + framesOf(body)
	return frames <= uint64(s.limits.Frames) && s.bytes+len(body) <= s.limits.Bytes
}

// push takes a message; false if the window is full.
func (s *sender) push(e entry) bool {
	if !s.room(e.body) {
		return false
	}
	e.first = s.next
	e.last = s.next + framesOf(e.body) - 1
	if e.born == 0 {
		s.births++
		e.born = s.births
	}
	s.next = e.last + 1
	s.bytes += len(e.body)
	s.entries = append(s.entries, e)
	return true
}

// find returns the entry to which a sequence belongs.
func (s *sender) find(seq uint64) (int, bool) {
	i := sort.Search(len(s.entries), func(i int) bool { return s.entries[i].last >= seq })
	return i, i < len(s.entries) && s.entries[i].first <= seq
}

// disconnect stops sending until the next resume.
func (s *sender) disconnect() { s.ready, s.openDue = false, false }

// reset drops everything; the messages are appended to dropped. The numbers go
// on, so that no sequence ever means two messages.
func (s *sender) reset(dropped []entry) []entry {
	dropped = append(dropped, s.entries...)
	clear(s.entries)
	s.entries = s.entries[:0]
	s.cursor, s.bytes = s.next, 0
	return dropped
}

// ended is a message whose end the peer has told.
type ended struct {
	entry
	result Result
	reason uint8
}

// ack takes what the peer says has ended, and appends it to out.
func (s *sender) ack(a *wire.Ack, out []ended) ([]ended, error) {
	if a.Through >= s.next || a.Through > s.highest {
		return out, errAckUnsent
	}
	for i := 1; i < len(a.Outcomes); i++ {
		if a.Outcomes[i].Sequence <= a.Outcomes[i-1].Sequence {
			return out, errAckUnsorted
		}
	}
	s.credit = max(s.credit, a.Credit)
	n, o := 0, 0
	for ; n < len(s.entries) && s.entries[n].last <= a.Through; n++ {
		e := ended{entry: s.entries[n], result: Stored}
		for o < len(a.Outcomes) && a.Outcomes[o].Sequence < e.last {
			o++
		}
		if o < len(a.Outcomes) && a.Outcomes[o].Sequence == e.last {
			e.result, e.reason = resultOf(a.Outcomes[o].Result), a.Outcomes[o].Reason
		}
		s.bytes -= len(e.body)
		out = append(out, e)
	}
	s.drop(n)
	return out, nil
}

// drop forgets the first n entries.
func (s *sender) drop(n int) {
	if n == 0 {
		return
	}
	if rest := len(s.entries) - n; rest <= n { // moving costs no more than what came
		copy(s.entries, s.entries[n:])
		clear(s.entries[rest:])
		s.entries = s.entries[:rest]
	} else {
		clear(s.entries[:n])
		s.entries = s.entries[n:]
	}
	s.cursor = max(s.cursor, s.base())
}

// base is the first frame that has not ended.
func (s *sender) base() uint64 {
	if len(s.entries) == 0 {
		return s.next
	}
	return s.entries[0].first
}

// resume takes the peer's word where to go on with this connection.
func (s *sender) resume(m *wire.Resume, out []ended) ([]ended, error) {
	if m.Received >= s.next || m.Received > s.highest || m.Received < m.Through {
		return out, errAckUnsent
	}
	s.credit = 0 // the peer counts anew on a new connection
	out, err := s.ack(&m.Ack, out)
	if err != nil {
		return out, err
	}
	s.cursor = max(m.Received+1, s.base())
	s.sent = m.Accepted
	s.ready, s.openDue = true, true
	return out, nil
}

// pending says whether fill would send something.
func (s *sender) pending() bool {
	if !s.ready || s.halted {
		return false
	}
	return s.openDue || s.cursor < s.next && s.sent+s.size() <= s.credit
}

// starved says whether only the peer's credit keeps frames back.
func (s *sender) starved() bool {
	return s.ready && !s.halted && s.cursor < s.next && s.sent+s.size() > s.credit
}

// size is how many bytes of body the frame at the cursor has.
func (s *sender) size() uint64 {
	i, ok := s.find(s.cursor)
	if !ok {
		return 0
	}
	e := &s.entries[i]
	if s.cursor < e.last {
		return wire.BodyBytesMax
	}
	return uint64(len(e.body)) - (e.last-e.first)*wire.BodyBytesMax
}

// fill appends frames until dst is longer than limit, nothing waits, or the
// credit is used up. h has the addresses.
func (s *sender) fill(dst []byte, limit int, h *wire.Header) []byte {
	if !s.ready || s.halted {
		return dst
	}
	if s.openDue {
		dst = appendFrame(dst, *h, wire.TypeOpen, func(dst []byte) []byte {
			return wire.AppendOpen(dst, &wire.Open{Stream: s.stream, Next: s.cursor})
		})
		s.openDue = false
	}
	i, ok := s.find(s.cursor)
	for ok && len(dst) < limit {
		e := &s.entries[i]
		part := e.body[(s.cursor-e.first)*wire.BodyBytesMax:]
		part = part[:min(len(part), wire.BodyBytesMax)]
		if s.sent+uint64(len(part)) > s.credit {
			break
		}
		f := *h
		f.Type, f.Stream, f.Sequence, f.Length = e.kind, s.stream, s.cursor, uint32(len(part))
		if s.cursor == e.first {
			f.Flags |= wire.FlagFirst
		}
		if s.cursor == e.last {
			f.Flags |= wire.FlagLast
		}
		dst = append(wire.AppendHeader(dst, &f), part...)
		s.sent += uint64(len(part))
		if s.cursor <= s.highest {
			s.resent++
		}
		s.highest = max(s.highest, s.cursor)
		if s.cursor == e.last {
			i++
		}
		s.cursor++
		ok = i < len(s.entries)
	}
	return dst
}

// appendFrame appends a frame whose length is known only afterwards.
func appendFrame(dst []byte, h wire.Header, kind wire.Type, body func([]byte) []byte) []byte {
	start := len(dst)
	h.Type, h.Flags = kind, wire.FlagFirst|wire.FlagLast
	dst = body(wire.AppendHeader(dst, &h))
	wire.CloseFrame(dst, start)
	return dst
}
