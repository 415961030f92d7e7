package conn

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(relayRole); role != "" {
		relayMain(role)
		return
	}
	goleak.VerifyTestMain(m)
}

// driver is one way to carry bytes that the contract suite runs over.
type driver struct {
	name  string
	plain bool
	kind  string
	unix  bool
	loops int
	tired bool // connections sleep whenever they can
}

var drivers = []driver{
	{name: "raw", kind: KindTCP},
	{name: "plain", kind: KindTCP, plain: true},
	{name: "unix", kind: KindTCP, unix: true},
	{name: "loop", kind: KindTCP, loops: 1},
	{name: "loops-unix", kind: KindTCP, loops: 2, unix: true},
	{name: "tls", kind: KindSSL},
	{name: "tls-plain", kind: KindSSL, plain: true},
	{name: "ws", kind: KindWS},
	{name: "ws-plain", kind: KindWS, plain: true},
	{name: "wss", kind: KindWSS},
}

// eachDriver runs one clause of the contract over all drivers.
func eachDriver(t *testing.T, clause func(t *testing.T, d driver)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) { clause(t, d) })
	}
}

// serve starts a listener of this driver. Marks and buffers may be set in cfg.
func (d driver) serve(t *testing.T, cfg Config, accept Accept) *harness {
	t.Helper()
	cfg.Kind, cfg.Plain, cfg.Loops = d.kind, d.plain, d.loops
	if d.unix {
		cfg.Address = "local:" + filepath.Join(t.TempDir(), "s") + ":0"
	}
	if d.kind == KindSSL || d.kind == KindWSS {
		cfg.TLS = authority(t).server(t, TLSConfig{})
	}
	if d.tired {
		return tire(t, cfg, accept)
	}
	return serve(t, cfg, accept)
}

// tire is serve with connections that sleep whenever they can; nil where they
// cannot, and no driver asks for it.
var tire func(t *testing.T, cfg Config, accept Accept) *harness

// client is the peer's end: payload bytes through Conn, the socket beneath.
type client struct {
	net.Conn
	socket net.Conn
}

// reset ends the connection with a TCP reset where the socket has such.
func (c client) reset() {
	if tcp, ok := c.socket.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.socket.Close()
}

// dial connects a client of this driver.
func (d driver) dial(t *testing.T, h *harness) client {
	t.Helper()
	network, address := "tcp", h.l.AddrString()
	if d.unix {
		network, address = "unix", h.l.unixPath
	}
	socket, err := net.Dial(network, address)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	_ = socket.SetDeadline(time.Now().Add(patience)) // a test fails, and does not hang
	switch d.kind {
	case KindSSL:
		return client{Conn: tls.Client(socket, authority(t).client()), socket: socket}
	case KindWS, KindWSS:
		return client{Conn: dialWebSocket(t, d.kind, socket), socket: socket}
	}
	return client{Conn: socket, socket: socket}
}

// dialWebSocket makes the upgrade with a client nobody here wrote.
func dialWebSocket(t *testing.T, kind string, socket net.Conn) net.Conn {
	t.Helper()
	used := false
	transport := &http.Transport{
		TLSClientConfig: authority(t).client(),
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, net.ErrClosed
			}
			used = true
			return socket, nil
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ws, _, err := websocket.Dial(ctx, kind+"://localhost/mqtt", &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{"mqtt"},
	})
	if err != nil {
		t.Fatalf("websocket dial: %v", err)
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return websocket.NetConn(ctx, ws, websocket.MessageBinary)
}
