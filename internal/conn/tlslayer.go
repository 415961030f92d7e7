package conn

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// tlsLayer lets crypto/tls, which reads and writes a net.Conn, live on a driver
// that never blocks and holds no buffer while it waits: the driver fills raw, the
// layer decrypts until it would need more, and what it encrypts is collected for
// the flusher.
//
// raw and more are owned by the driver, plain by the flusher of the moment; the
// close alert is asked for and taken up under the connection's mu.
type tlsLayer struct {
	conn *tls.Conn
	pipe *tlsPipe
	raw  inbox
	more bool // crypto/tls may hold bytes that it has not given out yet

	plain   chunkList
	closing bool // the alert was asked for
	last    bool // plain holds all that will ever be sent
	alerted bool
}

// tlsPipe is the net.Conn that crypto/tls sees: the socket itself during the
// handshake, afterwards the layer's buffers.
type tlsPipe struct {
	net.Conn
	prefix []byte // read before the socket, during the handshake
	live   *tlsLayer

	mu struct {
		sync.Mutex
		cipher chunkList
	}
}

// newTLSLayer takes over a connection whose handshake is done.
func newTLSLayer(conn *tls.Conn, pipe *tlsPipe, readBytes int) *tlsLayer {
	x := &tlsLayer{conn: conn, pipe: pipe, more: true}
	x.raw.readBytes = readBytes
	pipe.live = x
	return x
}

func (p *tlsPipe) Read(b []byte) (int, error) {
	if p.live == nil {
		if len(p.prefix) > 0 {
			n := copy(b, p.prefix)
			p.prefix = p.prefix[n:]
			return n, nil
		}
		return p.Conn.Read(b)
	}
	raw := &p.live.raw
	n := copy(b, raw.bytes())
	if n == 0 {
		raw.settle()
		return 0, errAgain
	}
	raw.k.r += n
	return n, nil
}

func (p *tlsPipe) Write(b []byte) (int, error) {
	if p.live == nil {
		return p.Conn.Write(b)
	}
	p.mu.Lock()
	p.mu.cipher.append(b)
	p.mu.Unlock()
	return len(b), nil
}

// SetWriteDeadline keeps crypto/tls, which sends its close alert under a deadline
// and leaves one in the past behind, from stopping what the flusher still writes.
func (p *tlsPipe) SetWriteDeadline(t time.Time) error {
	if p.live != nil {
		return nil
	}
	return p.Conn.SetWriteDeadline(t)
}

// take moves what was encrypted to wire.
func (p *tlsPipe) take(wire *chunkList) {
	p.mu.Lock()
	wire.take(&p.mu.cipher)
	p.mu.Unlock()
}

// pending says whether crypto/tls has written something of its own accord, such
// as the answer to a key update.
func (x *tlsLayer) pending() bool {
	x.pipe.mu.Lock()
	defer x.pipe.mu.Unlock()
	return x.pipe.mu.cipher.size > 0
}

// fill decrypts into the inbox what is at hand, at most one buffer, and parks
// only when there is nothing.
func (x *tlsLayer) fill(c *stream) (int, error) {
	for {
		if x.more {
			n, err := x.open(&c.in)
			if n > 0 || err != nil {
				return n, err
			}
		}
		if _, err := c.t.read(&x.raw); err != nil {
			return 0, err
		}
		x.more = true
	}
}

// open decrypts records until the buffer is full or more is needed.
func (x *tlsLayer) open(in *inbox) (total int, err error) {
	for p := in.space(); len(p) > 0; p = in.k.buf[in.k.w:] {
		n, err := x.conn.Read(p)
		in.k.w += n
		total += n
		if err == errAgain {
			x.more = false
			break
		}
		if err != nil {
			return total, err
		}
	}
	if total == 0 {
		in.settle()
	}
	return total, nil
}

// seal encrypts what the flusher has taken and collects it in wire. The pipe
// never blocks, so neither does this.
func (x *tlsLayer) seal(wire *chunkList) error {
	for x.plain.size > 0 {
		k := x.plain.head
		n, err := x.conn.Write(k.buf[k.r:k.w])
		x.plain.advance(n)
		if err != nil {
			return err
		}
	}
	if x.last && !x.alerted {
		x.alerted = true
		_ = x.conn.CloseWrite()
	}
	x.pipe.take(wire)
	return nil
}

// drop gives back what was not sent. The connection is closed.
func (x *tlsLayer) drop() {
	x.raw.drop()
	x.pipe.mu.Lock()
	x.pipe.mu.cipher.drop()
	x.pipe.mu.Unlock()
}
