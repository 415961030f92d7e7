package link

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"tombolo/internal/wire"
)

// source is the bytes that a connection brings, a frame at a time. Owned by the
// connection's reader.
type source struct {
	c     *connection
	buf   []byte           // more than a frame
	r, w  int              // what is here and has not been taken
	armed time.Time        // when the deadline was set
	last  [stampBytes]byte // of the last header that was good
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

// header reads one that is not as the last one was.
func (s *source) header(head []byte, h *wire.Header) error {
	if err := wire.ParseHeader(head, h); err != nil {
		return err
	}
	c := s.c
	if h.Source != c.p.id || h.Incarnation != c.info.Incarnation || h.Destination != c.m.config.Node {
		return errAddress // nothing is relayed in version 1
	}
	copy(s.last[:], head)
	return nil
}

// next returns the frame that is here already; a nil body says that it is not
// whole yet. The body is valid until the next fill. h is the same at each call, and
// nobody else's to write.
func (s *source) next(h *wire.Header) (body []byte, ok bool, err error) {
	head := s.buf[s.r:s.w]
	if len(head) < wire.HeaderBytes {
		return nil, false, nil
	}
	if h.Version != 0 && string(head[:stampBytes]) == string(s.last[:]) { // as in a run of datagrams
		if h.Length = binary.BigEndian.Uint32(head[stampBytes:]); h.Length > wire.BodyBytesMax {
			return nil, false, wire.ErrLength
		}
	} else if err := s.header(head, h); err != nil {
		return nil, false, err
	}
	end := wire.HeaderBytes + int(h.Length)
	if len(head) < end {
		return nil, false, nil
	}
	s.r += end
	return head[wire.HeaderBytes:end:end], true, nil
}
