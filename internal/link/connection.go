package link

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tombolo/internal/pack"
	"tombolo/internal/wire"
)

// Sizes of a connection.
const (
	batchBytes     = 64 << 10 // a write takes no more than this and one frame
	readBytes      = 128 << 10
	urgentBytesMax = 256 << 10
)

// connection is one connection of a peer. The fields behind peer.mu are guarded
// by it, the others are set once.
type connection struct {
	m     *Mesh
	p     *peer
	plane wire.Plane
	raw   net.Conn
	info  Peer
	wake  chan struct{} // there is something to write
	full  chan struct{} // there is so much that waiting for more is no use
	heard atomic.Int64  // when something came
	once  sync.Once
	why   string           // set by close
	stamp [stampBytes]byte // of publishes on wire.StreamFast
	gone  chan struct{}    // close was called
	ended chan struct{}    // nobody serves it any more

	// Of one that was dialled.
	segment int           // bytes at most of a TCP segment; 0: as the interfaces say
	stood   time.Duration // when it began to be served, since the mesh was made

	// Guarded by peer.mu.
	urgent         []byte // frames of the link itself, heartbeats first of all
	datagrams      []byte // frames, of which the first datagramAt bytes are written
	datagramAt     int
	datagramFrames int // that are not written
	queued         int // bytes that came since the last batch
	turn           int // whose turn it is in the next batch
	out            outgoing

	// Owned by the reader.
	handed       bool    // the handler got something and waits for Drained
	owes         bool    // something is to be written because of what came
	assembly     []byte  // of a datagram in chunks
	batch, notes []ended // used again for each acknowledgement
}

func newConnection(p *peer, plane wire.Plane, raw net.Conn, info Peer) *connection {
	c := &connection{m: p.m, p: p, plane: plane, raw: newCuttable(raw, &p.cut), info: info, wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
		gone: make(chan struct{}), ended: make(chan struct{})}
	c.stamp = c.stampOf()
	return c
}

// header is what all frames from here begin with.
func (c *connection) header() wire.Header {
	return wire.Header{Version: c.info.Version, TTL: 1, Source: c.m.config.Node, Destination: c.p.id, Incarnation: c.m.config.Incarnation}
}

// close ends the connection; only the first reason counts.
func (c *connection) close(why string) {
	c.once.Do(func() {
		c.why = why
		c.m.stats.closed(why)
		close(c.gone)
		_ = c.raw.Close() // nothing to lose: what was not confirmed is sent again
	})
}

// serve runs the connection until it ends.
func (c *connection) serve() {
	c.p.attach(c)
	if c.p.removed() {
		c.close("stopped")
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	c.close(reasonOf(c.read()))
	<-written
	c.p.detach(c, c.why)
	close(c.ended)
}

// The faults of a frame that its header alone does not show.
var (
	errAddress = errors.New("a frame of another node, or for another one")
	errMoment  = errors.New("a frame of the handshake after it")
	errUnknown = errors.New("a stream of another incarnation")
	errPlane   = errors.New("a stream on the wrong connection")
)

// read takes frames in until the connection ends: all that one read of the
// socket has brought, and then tells the handler that there is no more for now.
func (c *connection) read() error {
	in := newSource(c)
	var h wire.Header
	for {
		if err := in.fill(); err != nil {
			return err
		}
		if err := c.takeAll(in, &h); err != nil {
			return err
		}
	}
}

func (c *connection) takeAll(in *source, h *wire.Header) error {
	frames := uint64(0)
	defer func() {
		c.m.stats.frames.Add(frames)
		if c.handed {
			c.handed = false
			c.m.config.Handler.Drained(c.p.id)
		}
		if c.owes { // acknowledgements after what they are about: somebody waits for that
			c.owes = false
			c.flush()
		}
	}()
	for {
		body, ok, err := in.next(h)
		if err != nil || !ok {
			return err
		}
		if err := c.take(h, body); err != nil {
			return err
		}
		frames++
	}
}

// take handles one frame.
func (c *connection) take(h *wire.Header, body []byte) error {
	switch {
	case h.Stream != wire.StreamNone && h.Stream.Plane() != c.plane:
		return errPlane
	case h.Stream.Numbered():
		return c.takeNumbered(h, body)
	case h.Stream != wire.StreamNone:
		return c.takeDatagram(h, body)
	}
	switch h.Type {
	case wire.TypeHeartbeat:
		return c.takeHeartbeat(body)
	case wire.TypeAck, wire.TypeResume:
		return c.takeAck(h.Type, body)
	case wire.TypeOpen:
		var o wire.Open
		if err := wire.ParseOpen(body, &o); err != nil {
			return err
		}
		if o.Stream.Plane() != c.plane {
			return errPlane
		}
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		return c.p.mu.receivers[o.Stream].open(&o)
	}
	return errMoment
}

func (c *connection) takeNumbered(h *wire.Header, body []byte) error {
	p := c.p
	p.mu.Lock()
	r, in := p.mu.receivers[h.Stream], p.mu.inboxes[h.Stream]
	message, ok, err := r.frame(h, body)
	instant := ok && h.Type == wire.TypePublish && in.idle() && p.mu.told.incarnation == r.incarnation
	if ok && !instant {
		in.put(c.messageOf(r, h, message))
	}
	c.owes = c.owes || r.ackDue
	p.mu.Unlock()
	switch {
	case instant:
		c.takeInstant(r, h, message)
	case ok:
		signal(in.wake)
	}
	return err
}

func (c *connection) messageOf(r *receiver, h *wire.Header, body []byte) Message {
	return Message{From: c.p.id, Incarnation: r.incarnation, Stream: h.Stream, Sequence: h.Sequence, Type: h.Type, Body: body,
		whole: h.Flags&wire.FlagFirst != 0, peer: c.p, receiver: r}
}

// takeInstant offers a publish before which nothing waits to the handler at once:
// to wake another goroutine for a lone one costs more than to deliver it.
func (c *connection) takeInstant(r *receiver, h *wire.Header, body []byte) {
	p := c.p
	m := c.messageOf(r, h, body)
	result, reason, ok := c.m.config.Handler.Instant(m)
	c.handed = true
	p.mu.Lock()
	in := p.mu.inboxes[h.Stream]
	switch {
	case !ok:
		in.put(m)
	case result != wire.Later:
		r.done(h.Sequence, result, reason)
		c.owes = c.owes || r.ackDue
	}
	p.mu.Unlock()
	if !ok {
		signal(in.wake)
	}
}

func (c *connection) takeDatagram(h *wire.Header, body []byte) error {
	first, last := h.Flags&wire.FlagFirst != 0, h.Flags&wire.FlagLast != 0
	if first != (c.assembly == nil) {
		return errChunk
	}
	if !first || !last {
		most := c.m.config.DatagramMax + wire.BodyBytesMax
		if h.Stream == wire.StreamFast {
			most = wire.MessageBytesMax // a client's message is as long as it is
		}
		if len(c.assembly)+len(body) > most {
			return errTooLong
		}
		c.assembly = append(c.assembly, body...)
		if !last {
			if c.assembly == nil {
				return errChunk // an empty first chunk begins nothing
			}
			return nil
		}
		body, c.assembly = c.assembly, nil
	}
	c.handed = c.handed || h.Stream == wire.StreamFast
	c.m.config.Handler.Datagram(c.p.id, h.Type, body)
	return nil
}

func (c *connection) takeHeartbeat(body []byte) error {
	h := &wire.Heartbeat{} // the detector's loop gets it
	if err := wire.ParseHeartbeat(body, h); err != nil {
		return err
	}
	if h.Plane != c.plane {
		return errPlane
	}
	c.m.heard(heardBeat{from: c.p.id, incarnation: c.info.Incarnation, beat: h})
	return nil
}

func (c *connection) takeAck(kind wire.Type, body []byte) error {
	var m wire.Resume
	var err error
	if kind == wire.TypeResume {
		err = wire.ParseResume(body, &m)
	} else {
		err = wire.ParseAck(body, &m.Ack)
	}
	switch {
	case err != nil:
		return err
	case m.Stream.Plane() != c.plane:
		return errPlane
	case m.Incarnation != c.m.config.Incarnation:
		return errUnknown
	}
	p := c.p
	p.mu.Lock()
	s := p.mu.senders[m.Stream]
	list := c.batch[:0]
	if kind == wire.TypeResume {
		list, err = s.resume(&m, list)
	} else {
		list, err = s.ack(&m.Ack, list)
	}
	c.batch = list
	tell := list
	if m.Stream == wire.StreamPublish {
		tell = p.mu.lane.end(list, p.m.now(), c.notes[:0])
		c.notes = tell
		if kind == wire.TypeResume {
			p.mu.lane.resumed(&m, p.m.now())
		}
		if p.mu.lane.stirred() {
			signal(p.spool)
		}
	}
	more := s.pending()
	p.mu.Unlock()
	for i := range tell {
		if t := tell[i].ticket; t != nil {
			t.Ended(p.id, tell[i].result, tell[i].reason)
			c.handed = true
		}
	}
	clear(c.notes)
	clear(c.batch)
	c.owes = c.owes || more
	return err
}

// The reasons for the end of a connection which say that the process at its other end
// has closed it.
const (
	PeerClosed = "peer_closed"
	PeerReset  = "peer_reset" // it had not read everything
)

// Silence is the reason if nothing came, or nothing of what was sent was acknowledged.
const Silence = "silence"

// byVerdict is the reason at this end when the other one is held to be gone.
const byVerdict = "verdict"

// reasonOf names why a connection ended, from a fixed list.
func reasonOf(err error) string {
	if errors.Is(err, syscall.EPIPE) {
		return PeerReset // whoever writes hears it so
	}
	if errors.Is(err, syscall.ETIMEDOUT) {
		return Silence // as the kernel noticed it (TCP_USER_TIMEOUT)
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return "error"
}

var reasons = []struct {
	err  error
	name string
}{
	{os.ErrDeadlineExceeded, Silence}, {io.EOF, PeerClosed}, {io.ErrUnexpectedEOF, "truncated"}, {net.ErrClosed, "closed"},
	{syscall.ECONNRESET, PeerReset},
	{pack.ErrShort, "frame_short"}, {pack.ErrKind, "frame_kind"}, {pack.ErrRange, "frame_range"}, {pack.ErrTrail, "frame_trail"},
	{pack.ErrDeep, "frame_deep"}, {wire.ErrVersion, "frame_version"}, {wire.ErrType, "frame_type"}, {wire.ErrStream, "frame_stream"},
	{wire.ErrLength, "frame_length"}, {wire.ErrTTL, "frame_ttl"}, {wire.ErrFlags, "frame_flags"},
	{errAddress, "address"}, {errMoment, "handshake_again"}, {errUnknown, "incarnation"}, {errPlane, "plane"},
	{errGap, "gap"}, {errCredit, "credit"}, {errChunk, "chunk"}, {errTooLong, "too_long"},
	{errCut, "cut"}, {errAckUnsent, "ack_unsent"}, {errAckUnsorted, "ack_unsorted"},
}
