package conn

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gobwas/ws"
)

// httpRequestMax bounds an upgrade request as a whole.
const httpRequestMax = 64 << 10

// upgrade reads the HTTP request, answers it, and returns what came behind it.
func upgrade(c *stream, nc net.Conn, rest []byte) ([]byte, error) {
	cfg := &c.cfg.WebSocket
	request, rest, err := readRequest(nc, rest)
	if err != nil {
		return nil, &refusal{RefusedWebSocket, err}
	}
	if status, err := checkRequest(cfg, request); err != nil {
		_, _ = fmt.Fprintf(nc, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status))
		return nil, &refusal{RefusedWebSocket, err}
	}
	f := forwarded{cfg: cfg, c: c}
	protocol := false
	u := ws.Upgrader{
		ReadBufferSize: len(request),
		OnRequest: func(uri []byte) error {
			path, _, _ := strings.Cut(string(uri), "?")
			if path != cfg.Path {
				return reject(http.StatusNotFound, "no such path")
			}
			return nil
		},
		Protocol: func(name []byte) bool {
			protocol = slices.Contains(cfg.Protocols, string(name))
			return protocol
		},
		OnHeader: f.header,
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if !protocol { // MQTT-6.0.0-3: the client must offer "mqtt"
				return nil, reject(http.StatusBadRequest, "no supported subprotocol is offered")
			}
			return nil, f.apply()
		},
	}
	if _, err := u.Upgrade(readWriter{bytes.NewReader(request), nc}); err != nil {
		why := RefusedWebSocket
		if f.failed {
			why = RefusedProxy
		}
		return nil, &refusal{why, fmt.Errorf("websocket upgrade: %w", err)}
	}
	return rest, nil
}

func reject(status int, reason string) error {
	return ws.RejectConnectionError(ws.RejectionStatus(status), ws.RejectionReason(reason))
}

// readWriter gives the upgrader the request that was read and the socket to
// answer on, so that it cannot read beyond the request.
type readWriter struct {
	io.Reader
	io.Writer
}

var requestEnd = []byte("\r\n\r\n")

// readRequest reads up to the empty line.
func readRequest(nc net.Conn, rest []byte) (request, after []byte, err error) {
	buf := append(make([]byte, 0, max(1024, len(rest))), rest...)
	searched := 0
	for {
		if i := bytes.Index(buf[searched:], requestEnd); i >= 0 {
			end := searched + i + len(requestEnd)
			return buf[:end], buf[end:], nil
		}
		searched = max(0, len(buf)-len(requestEnd)+1)
		if len(buf) >= httpRequestMax {
			return nil, nil, fmt.Errorf("http request is above the limit of %d bytes", httpRequestMax)
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := nc.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			return nil, nil, fmt.Errorf("http request: %w", err)
		}
	}
}

// checkRequest holds the request against the listener's limits.
func checkRequest(cfg *WebSocket, request []byte) (status int, err error) {
	lines := 0
	for line := range bytes.SplitSeq(request, []byte("\r\n")) {
		if lines == 0 && len(line) > cfg.RequestLineMax {
			return http.StatusRequestURITooLong, fmt.Errorf("http request line of %d bytes is above the limit of %d", len(line), cfg.RequestLineMax)
		}
		if lines > 0 {
			if _, value, ok := bytes.Cut(line, []byte(":")); ok && len(value) > cfg.HeaderValueMax {
				return http.StatusRequestHeaderFieldsTooLarge, fmt.Errorf("http header value of %d bytes is above the limit of %d", len(value), cfg.HeaderValueMax)
			}
		}
		if lines++; lines > httpHeadersMax {
			return http.StatusRequestHeaderFieldsTooLarge, fmt.Errorf("more than %d http headers", httpHeadersMax)
		}
	}
	return 0, nil
}

// forwarded gathers what a trusted proxy's headers say of the client. It is
// owned by the handshake.
type forwarded struct {
	cfg        *WebSocket
	c          *stream
	peer       string
	commonName string
	failed     bool
}

func (f *forwarded) header(key, value []byte) error {
	switch name := string(key); {
	case !f.cfg.ForwardedFor:
	case f.peer == "" && strings.EqualFold(name, "X-Forwarded-For"):
		f.peer = string(value)
	case f.cfg.CommonNameHeader != "" && strings.EqualFold(name, f.cfg.CommonNameHeader):
		f.commonName = string(value)
	}
	return nil
}

// apply puts the client's address in the place of the proxy's.
func (f *forwarded) apply() error {
	if !f.cfg.ForwardedFor || len(f.cfg.Trusted) == 0 {
		return nil
	}
	if !slices.Contains(f.cfg.Trusted, f.c.peer.Addr()) {
		f.failed = true
		return reject(http.StatusForbidden, "peer is not a trusted intermediate")
	}
	if f.peer != "" {
		first, _, _ := strings.Cut(f.peer, ",")
		addr, err := netip.ParseAddr(strings.TrimSpace(first))
		if err != nil {
			f.failed = true
			return reject(http.StatusBadRequest, "X-Forwarded-For does not begin with an address")
		}
		f.c.peer = netip.AddrPortFrom(addr.Unmap(), f.c.peer.Port())
	}
	if f.cfg.CommonNameHeader == "" {
		return nil
	}
	if f.commonName == "" {
		f.failed = true
		return reject(http.StatusForbidden, "the header with the common name is missing")
	}
	f.c.setCommonName(f.commonName, true)
	return nil
}
