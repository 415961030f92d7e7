package link

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

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
	why   string        // set by close
	gone  chan struct{} // close was called
	ended chan struct{} // nobody serves it any more

	// Guarded by peer.mu.
	urgent     []byte // frames of the link itself, heartbeats first of all
	datagrams  []byte // frames, of which the first datagramAt bytes are written
	datagramAt int
	queued     int // bytes that came since the last batch
	turn       int // whose turn it is in the next batch

	movedFrames, movedBytes int // datagrams in the batch that is put together

	busy bool // the last batch was of many datagrams and nothing else

	// Owned by the reader.
	fast         bool    // the handler got what came on wire.StreamFast and waits for Drained
	assembly     []byte  // of a datagram in chunks
	batch, notes []ended // used again for each acknowledgement
}

func newConnection(p *peer, plane wire.Plane, raw net.Conn, info Peer) *connection {
	return &connection{m: p.m, p: p, plane: plane, raw: newCuttable(raw, &p.cut), info: info, wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
		gone: make(chan struct{}), ended: make(chan struct{})}
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

func (c *connection) nudge(urge bool) {
	signal(c.wake)
	if urge {
		signal(c.full)
	}
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

// write sends batches: at once after a pause, else no sooner than the batch
// delay after the last one, unless enough has come together.
func (c *connection) write() {
	buf := make([]byte, 0, batchBytes+wire.BodyBytesMax+wire.HeaderBytes)
	timer := c.m.config.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	// A peer that the detector does not know yet gets no heartbeats, and is to
	// be told from a dead one all the same.
	quiet := c.m.config.SilenceMax / 4
	idle := c.m.config.Clock.NewTimer(quiet)
	defer idle.Stop()
	last := int64(0)
	for {
		select {
		case <-c.wake:
		case <-idle.C():
			idle.Reset(quiet)
			if c.m.now()-last >= int64(quiet) {
				c.p.keepAlive(c.plane)
			}
		case <-c.gone:
			return
		}
		if wait := last + int64(c.delay()) - c.m.now(); wait > 0 {
			timer.Reset(time.Duration(wait))
			select {
			case <-timer.C():
			case <-c.full:
			case <-c.gone:
				return
			}
		}
		for {
			c.p.mu.Lock()
			buf = c.fillLocked(buf[:0])
			c.p.mu.Unlock()
			if len(buf) == 0 {
				break
			}
			if _, err := c.raw.Write(buf); err != nil {
				c.close(reasonOf(err))
				return
			}
			c.m.stats.sentBytes.Add(uint64(len(buf)))
			c.m.stats.batches.Add(1)
			last = c.m.now()
			if len(buf) < batchBytes {
				break // that was all; what came meanwhile waits its time, with a signal
			}
		}
	}
}

// busyFrames is how many datagrams in one batch, and nothing else, show that more
// would come in a longer one; it waits stretch times as long. Each batch costs
// both ends some 20 µs, and nobody waits for an answer to a datagram.
const (
	busyFrames = 4
	stretch    = 3
)

// delay is the least time to the next batch. Owned by the writer.
func (c *connection) delay() time.Duration {
	if c.busy {
		return stretch * c.m.config.BatchDelay
	}
	return c.m.config.BatchDelay
}

// fillLocked puts the next batch together and notes what kind it is.
func (c *connection) fillLocked(buf []byte) []byte {
	c.movedFrames, c.movedBytes = 0, 0
	buf = c.gatherLocked(buf)
	c.busy = c.plane == wire.Bulk && c.movedFrames >= busyFrames && c.movedBytes == len(buf)
	return buf
}

// gatherLocked puts a batch together: what is urgent, acknowledgements, cancels,
// and then in turns one of QoS 0, publishes and migration.
func (c *connection) gatherLocked(buf []byte) []byte {
	buf = append(buf, c.urgent...)
	c.urgent, c.queued = c.urgent[:0], 0
	p := c.p
	h := c.header()
	for s := streamFirst; s < streamEnd; s++ {
		r := p.mu.receivers[s]
		if s.Plane() == c.plane && r.ackDue {
			var a wire.Ack
			r.ack(&a)
			buf = appendFrame(buf, h, wire.TypeAck, func(dst []byte) []byte { return wire.AppendAck(dst, &a) })
		}
	}
	if c.plane == wire.Control {
		c.turn++
		if c.turn%2 == 0 {
			return c.takeDatagramsLocked(p.mu.senders[wire.StreamControl].fill(buf, batchBytes, &h))
		}
		return p.mu.senders[wire.StreamControl].fill(c.takeDatagramsLocked(buf), batchBytes, &h)
	}
	buf = p.mu.senders[wire.StreamHead].fill(buf, batchBytes, &h)
	c.turn++
	for i := range 3 {
		switch (c.turn + i) % 3 {
		case 0:
			buf = c.takeDatagramsLocked(buf)
		case 1:
			buf = p.mu.senders[wire.StreamPublish].fill(buf, batchBytes, &h)
		default:
			buf = p.mu.senders[wire.StreamMigration].fill(buf, batchBytes, &h)
		}
	}
	return buf
}

// addDatagramLocked encodes a datagram, in chunks if it is long.
func (c *connection) addDatagramLocked(s wire.Stream, kind wire.Type, body []byte) {
	h := c.header()
	h.Type, h.Stream, h.Flags = kind, s, wire.FlagFirst
	for {
		part := body[:min(len(body), wire.BodyBytesMax)]
		body = body[len(part):]
		if len(body) == 0 {
			h.Flags |= wire.FlagLast
		}
		h.Length = uint32(len(part))
		c.datagrams = append(wire.AppendHeader(c.datagrams, &h), part...)
		c.queued += wire.HeaderBytes + len(part)
		if len(body) == 0 {
			return
		}
		h.Flags = 0
	}
}

// takeDatagramsLocked moves frames to a batch.
func (c *connection) takeDatagramsLocked(buf []byte) []byte {
	for c.datagramAt < len(c.datagrams) && len(buf) < batchBytes {
		rest := c.datagrams[c.datagramAt:]
		n := wire.HeaderBytes + int(binary.BigEndian.Uint32(rest[wire.HeaderBytes-4:]))
		buf = append(buf, rest[:n]...)
		c.datagramAt += n
		c.movedFrames++
		c.movedBytes += n
	}
	if c.datagramAt == len(c.datagrams) {
		c.datagrams, c.datagramAt = c.datagrams[:0], 0
	} else if c.datagramAt > len(c.datagrams)/2 {
		n := copy(c.datagrams, c.datagrams[c.datagramAt:])
		c.datagrams, c.datagramAt = c.datagrams[:n], 0
	}
	return buf
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
		if c.fast {
			c.fast = false
			c.m.config.Handler.Drained(c.p.id)
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
	if ok {
		if h.Flags&wire.FlagFirst != 0 {
			message = in.keep(message) // one in chunks is a slice of its own already
		}
		in.list = append(in.list, Message{From: p.id, Incarnation: r.incarnation, Stream: h.Stream, Sequence: h.Sequence,
			Type: h.Type, Body: message, peer: p, receiver: r})
	}
	due := r.ackDue
	p.mu.Unlock()
	if ok {
		signal(in.wake)
	}
	if due {
		c.nudge(false)
	}
	return err
}

func (c *connection) takeDatagram(h *wire.Header, body []byte) error {
	first, last := h.Flags&wire.FlagFirst != 0, h.Flags&wire.FlagLast != 0
	if first != (c.assembly == nil) {
		return errChunk
	}
	if !first || !last {
		if len(c.assembly)+len(body) > c.m.config.DatagramMax+wire.BodyBytesMax {
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
	c.fast = c.fast || h.Stream == wire.StreamFast
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
		if p.mu.lane.stirred() {
			signal(p.spool)
		}
	}
	more := s.pending()
	p.mu.Unlock()
	for i := range tell {
		if t := tell[i].ticket; t != nil {
			t.Ended(p.id, tell[i].result, tell[i].reason)
		}
	}
	clear(c.notes)
	clear(c.batch)
	if more {
		c.nudge(false)
	}
	return err
}

// reasonOf names why a connection ended, from a fixed list.
func reasonOf(err error) string {
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
	{os.ErrDeadlineExceeded, "silence"}, {io.EOF, "peer_closed"}, {io.ErrUnexpectedEOF, "truncated"}, {net.ErrClosed, "closed"},
	{wire.ErrShort, "frame_short"}, {wire.ErrKind, "frame_kind"}, {wire.ErrRange, "frame_range"}, {wire.ErrTrail, "frame_trail"},
	{wire.ErrDeep, "frame_deep"}, {wire.ErrVersion, "frame_version"}, {wire.ErrType, "frame_type"}, {wire.ErrStream, "frame_stream"},
	{wire.ErrLength, "frame_length"}, {wire.ErrTTL, "frame_ttl"}, {wire.ErrFlags, "frame_flags"},
	{errAddress, "address"}, {errMoment, "handshake_again"}, {errUnknown, "incarnation"}, {errPlane, "plane"},
	{errGap, "gap"}, {errCredit, "credit"}, {errChunk, "chunk"}, {errTooLong, "too_long"},
	{errCut, "cut"}, {errAckUnsent, "ack_unsent"}, {errAckUnsorted, "ack_unsorted"},
}
