package client

import (
	"io"
	"net"
	"time"

	"tombolo/mqtt/packet"
)

// reader cuts a connection into frames; owned by Dial, then by Run.
type reader struct {
	conn  net.Conn
	buf   []byte
	quiet time.Duration // the longest silence that is borne, 0 for any
}

const readBytes = 16 << 10

// next returns the next frame, which is valid until the next call of next.
// Call taken when done with it. The buffer grows with what was received, not
// with what was announced.
func (r *reader) next() (packet.Frame, error) {
	for {
		f, size, err := packet.Split(r.buf, 0)
		if err != nil || size > 0 {
			return f, err
		}
		if cap(r.buf)-len(r.buf) < readBytes/4 {
			grown := make([]byte, len(r.buf), 2*cap(r.buf)+readBytes)
			copy(grown, r.buf)
			r.buf = grown
		}
		if r.quiet > 0 {
			if err := r.conn.SetReadDeadline(time.Now().Add(r.quiet)); err != nil {
				return f, err
			}
		}
		n, err := r.conn.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if n == 0 && err == nil {
			err = io.ErrNoProgress
		}
		if err != nil && n == 0 {
			return f, err
		}
	}
}

// taken drops f from the buffer.
func (r *reader) taken(f packet.Frame) {
	n := copy(r.buf, r.buf[f.Size:])
	r.buf = r.buf[:n]
}
