package conn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// refusal is an error with the reason that is counted for it.
type refusal struct {
	why Refusal
	err error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// handshake prepares a connection on a goroutine of its own, so that the stack
// that TLS and HTTP grow is not kept, and then starts its driver.
func (l *Listener) handshake(c *stream, nc net.Conn, accept Accept) {
	if err := l.prepare(c, nc); err != nil {
		why := RefusedSocket
		var r *refusal
		if errors.As(err, &r) {
			why = r.why
		}
		l.refuse(nc.RemoteAddr().String(), why, err)
		_ = c.t.close()
		c.release()
		return
	}
	c.ext.ready.Store(true)
	l.drive(c, nc, accept)
}

// prepare reads the PROXY header, makes the TLS handshake and the WebSocket
// upgrade, as far as the listener wants them. What was read beyond them goes to
// the next layer, at last to the inbox.
func (l *Listener) prepare(c *stream, nc net.Conn) error {
	var rest []byte
	var err error
	if l.cfg.Proxy.Enabled {
		if rest, err = l.readProxy(c, nc); err != nil {
			return &refusal{RefusedProxy, err}
		}
	}
	stream := net.Conn(nc)
	var secure *tls.Conn
	pipe := &tlsPipe{Conn: nc, prefix: rest}
	if l.cfg.Kind == KindSSL || l.cfg.Kind == KindWSS {
		if secure, err = l.startTLS(c, pipe); err != nil {
			return &refusal{RefusedTLS, err}
		}
		stream, rest = secure, nil
	}
	if l.cfg.Kind == KindWS || l.cfg.Kind == KindWSS {
		if err = stream.SetDeadline(time.Now().Add(l.cfg.HandshakeTimeout)); err != nil {
			return err
		}
		if rest, err = upgrade(c, stream, rest); err != nil {
			return err
		}
		c.ext.ws = newWSLayer(l.cfg.WebSocket.FrameBytesMax)
		c.out.headroom = wsHeaderMax
	}
	if err = nc.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if secure != nil {
		c.ext.tls = newTLSLayer(secure, pipe, l.cfg.ReadBuffer)
	}
	if len(rest) > 0 {
		c.in.k = getChunk(len(rest))
		c.in.k.w = copy(c.in.k.buf, rest)
	}
	return nil
}

func (l *Listener) startTLS(c *stream, pipe *tlsPipe) (*tls.Conn, error) {
	if err := pipe.SetDeadline(time.Now().Add(l.cfg.HandshakeTimeout)); err != nil {
		return nil, err
	}
	secure := tls.Server(pipe, l.cfg.TLS.Config())
	if err := secure.Handshake(); err != nil {
		return nil, fmt.Errorf("tls handshake: %w", err)
	}
	state := secure.ConnectionState()
	c.ext.info.TLS = &state
	if len(state.PeerCertificates) > 0 {
		c.setCommonName(state.PeerCertificates[0].Subject.CommonName, l.cfg.IdentityAsUser)
	}
	return secure, nil
}

// setCommonName notes the name of the client's certificate. The certificate of
// the connection itself comes after that of a PROXY header and wins.
func (c *stream) setCommonName(name string, asUser bool) {
	if name == "" {
		return
	}
	c.ext.info.CommonName = name
	c.ext.info.CommonNameIsUser = asUser
}
