package conn

import (
	"net"
)

// handshake prepares a connection on a goroutine of its own, so that the stack
// that TLS and HTTP grow is not kept, and then starts its driver.
func (l *Listener) handshake(c *stream, nc net.Conn, accept Accept) {
	err, why := l.prepare(c, nc)
	if err != nil {
		l.refuse(nc, why, err)
		_ = c.t.close()
		c.release()
		return
	}
	c.ext.ready.Store(true)
	go c.run(accept)
}

func (l *Listener) prepare(c *stream, nc net.Conn) (error, Refusal) {
	return nil, 0
}
