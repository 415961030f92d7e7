package link

import (
	"errors"
	"io"
	"time"

	"tombolo/internal/wire"
)

// source is the bytes that a connection brings, a frame at a time. Owned by the
// connection's reader.
type source struct {
	c     *connection
	buf   []byte    // more than a frame
	r, w  int       // what is here and has not been taken
	armed time.Time // when the deadline was set
}

func newSource(c *connection) *source { return &source{c: c, buf: make([]byte, readBytes)} }

// rest is how often at most, as a part of the time that silence takes, the
// deadline is put off: each time costs as much as a small read.
const rest = 8

// fill reads once, so that something is here or an error tells why not.
func (s *source) fill() error {
	c := s.c
	if s.r > 0 {
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	silence := c.m.config.SilenceMax
	if now := time.Now(); s.armed.IsZero() || now.Sub(s.armed) > silence/rest {
		if err := c.raw.SetReadDeadline(now.Add(silence + silence/rest)); err != nil {
			return err
		}
		s.armed = now
	}
	n, err := c.raw.Read(s.buf[s.w:])
	s.w += n
	if n > 0 {
		c.heard.Store(c.m.now())
		return nil // what is wrong is told again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if errors.Is(err, io.EOF) && s.w > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next returns the frame that is here already; a nil body says that it is not
// whole yet. The body is valid until the next fill.
func (s *source) next(h *wire.Header) (body []byte, ok bool, err error) {
	head := s.buf[s.r:s.w]
	if len(head) < wire.HeaderBytes {
		return nil, false, nil
	}
	if err := wire.ParseHeader(head, h); err != nil {
		return nil, false, err
	}
	c := s.c
	if h.Source != c.p.id || h.Incarnation != c.info.Incarnation || h.Destination != c.m.config.Node {
		return nil, false, errAddress // nothing is relayed in version 1
	}
	end := wire.HeaderBytes + int(h.Length)
	if len(head) < end {
		return nil, false, nil
	}
	s.r += end
	return head[wire.HeaderBytes:end:end], true, nil
}
