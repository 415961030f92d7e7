package conn

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// dialEcho connects and waits for one echo, so that the connection is served.
func dialEcho(t *testing.T, h *harness) net.Conn {
	t.Helper()
	nc := closeLater(t, dialTCP(t, h))
	mustEcho(t, nc)
	return nc
}

func mustEcho(t *testing.T, nc net.Conn) {
	t.Helper()
	b := []byte("echo")
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != "echo" {
		t.Fatalf("echo: %q %v", b, err)
	}
}

// mustBeClosed waits for the peer to end the connection without a byte.
func mustBeClosed(t *testing.T, nc net.Conn) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(patience))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d bytes and %v, want the end", n, err)
	}
}

func TestMaxConnections(t *testing.T) {
	var events atomic.Int32
	h := serve(t, Config{MaxConnections: 2, Events: func(e Event) {
		if e.Reason == RefusedMaxConnections && e.Peer != "" && e.Err != nil && e.Listener == "test" {
			events.Add(1)
		}
	}}, echo)
	first, second := dialEcho(t, h), dialEcho(t, h)
	mustBeClosed(t, closeLater(t, dialTCP(t, h)))
	s := h.l.Stats()
	if s.Refused(RefusedMaxConnections) != 1 || s.Active() != 2 || events.Load() != 1 {
		t.Fatalf("refused %d, active %d, events %d", s.Refused(RefusedMaxConnections), s.Active(), events.Load())
	}
	_ = first.Close()
	eventually(t, "room for one", func() bool { return s.Active() == 1 })
	dialEcho(t, h)
	mustEcho(t, second)
	if s.Accepted() != 4 || s.Closed() != 1 {
		t.Fatalf("accepted %d, closed %d", s.Accepted(), s.Closed())
	}
}

func TestHandlerRefuses(t *testing.T) {
	h := serve(t, Config{}, func(Conn) Handler { return nil })
	mustBeClosed(t, closeLater(t, dialTCP(t, h)))
	eventually(t, "the count", func() bool {
		return h.l.Stats().Refused(RefusedByHandler) == 1 && h.l.Stats().Active() == 0
	})
}

// Close stops accepting; connections live on until the context of Serve ends.
func TestCloseKeepsConnections(t *testing.T) {
	closed := make(chan error, 1)
	h := serve(t, Config{}, func(c Conn) Handler {
		f := echo(c).(*funcHandler)
		f.closed = func(err error) { closed <- err }
		return f
	})
	nc := dialEcho(t, h)
	if err := h.l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.l.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
	if _, err := net.Dial("tcp", h.l.AddrString()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial after Close: %v", err)
	}
	mustEcho(t, nc)
	select {
	case <-h.done:
		t.Fatal("Serve returned though a connection lives")
	default:
	}
	h.cancel()
	if err := await(t, closed, "OnClose"); !errors.Is(err, ErrListenerClosed) {
		t.Fatalf("OnClose(%v)", err)
	}
	mustBeClosed(t, nc)
	_ = nc.Close()
	await(t, h.done, "the end of Serve")
}

// Errors of Listen name the address, the cause and the remedy.
func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	socket := filepath.Join(t.TempDir(), "taken")
	local, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"port in use":   {Config{Kind: KindTCP, Address: taken.Addr().String()}, []string{taken.Addr().String(), "another process"}},
		"socket in use": {Config{Kind: KindTCP, Address: "local:" + socket}, []string{socket, "another process"}},
		"not ours":      {Config{Kind: KindTCP, Address: "192.0.2.1:1883"}, []string{"192.0.2.1:1883", "no such address"}},
		"no directory":  {Config{Kind: KindTCP, Address: "local:/nonexistent/s"}, []string{"/nonexistent/s", "no such file"}},
		"no TLS":        {Config{Kind: KindSSL, Address: "127.0.0.1:0"}, []string{"certfile"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Name = "mine"
			l, err := Listen(c.cfg)
			if err == nil {
				_ = l.Close()
				t.Fatal("no error")
			}
			for _, part := range append(c.want, "listener mine") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// A socket file that a crash has left behind does not stop the next start.
func TestStaleUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	h := serve(t, Config{Address: "local:" + path + ":0"}, echo)
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mustEcho(t, closeLater(t, nc))
	if h.l.AddrString() != "local:"+path || h.l.Addr().IsValid() {
		t.Fatalf("address %q %v", h.l.AddrString(), h.l.Addr())
	}
}

func TestInfo(t *testing.T) {
	infos := make(chan Info, 1)
	h := serve(t, Config{Mountpoint: "m"}, func(c Conn) Handler { infos <- c.Info(); return echo(c) })
	nc := dialEcho(t, h)
	info := await(t, infos, "info")
	if info.Listener != "test" || info.Kind != KindTCP || info.Mountpoint != "m" || info.TLS != nil || info.Proxy != nil {
		t.Fatalf("%+v", info)
	}
	if info.PeerName != nc.LocalAddr().String() || info.Peer != addrPort(nc.LocalAddr()) {
		t.Fatalf("%+v for a client at %s", info, nc.LocalAddr())
	}
}
