package conn

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// rawOf is the transport of a connection that was accepted by raw calls.
func rawOf(t *testing.T, c Conn) *rawTransport {
	t.Helper()
	raw, ok := c.(*stream).t.(*rawTransport)
	if !ok {
		t.Fatalf("it is driven by %T", c.(*stream).t)
	}
	return raw
}

// What is set on the listening socket holds for those that are accepted: no call is
// spent on them.
func TestAcceptedInherit(t *testing.T) {
	conns := make(chan Conn, 1)
	h := serve(t, Config{SendBuffer: 64 << 10, ReceiveBuffer: 32 << 10}, func(c Conn) Handler { conns <- c; return echo(c) })
	mustEcho(t, dialEcho(t, h))
	fd := int(rawOf(t, await(t, conns, "accept")).sock.fd)
	for _, o := range []struct {
		name                string
		level, option, want int
	}{
		{"TCP_NODELAY", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAliveIdleSeconds},
		{"TCP_KEEPINTVL", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAliveIntervalSeconds},
		{"TCP_KEEPCNT", syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
		{"SO_SNDBUF", syscall.SOL_SOCKET, syscall.SO_SNDBUF, 2 * 64 << 10}, // Linux doubles what is asked for
		{"SO_RCVBUF", syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2 * 32 << 10},
	} {
		if got, err := syscall.GetsockoptInt(fd, o.level, o.option); err != nil || got != o.want {
			t.Errorf("%s is %d, want %d (%v)", o.name, got, o.want, err)
		}
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("flags %#x (%v): it blocks", flags, errno)
	}
	flags, _, errno = syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
	if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x (%v): children inherit it", flags, errno)
	}
}

// A connection that has spoken once sleeps and stands in no poller of Go's; it is put
// there when it goes on speaking.
func TestSpokenOnceIsNotParked(t *testing.T) {
	conns := make(chan Conn, 1)
	h := serve(t, Config{}, func(c Conn) Handler { conns <- c; return echo(c) })
	nc, err := net.Dial("tcp", h.l.AddrString())
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, nc)
	c := await(t, conns, "accept").(*stream)
	eventually(t, "sleep before it has spoken", c.asleep)
	mustEcho(t, nc)
	eventually(t, "sleep", c.asleep)
	raw := rawOf(t, c)
	if raw.park.Load() != nil {
		t.Error("it stands in Go's poller after its first round")
	}
	for range 4 {
		mustEcho(t, nc)
	}
	eventually(t, "its place in the poller", func() bool { return raw.park.Load() != nil })
}

// The peer of a connection is told by accept4, also over IPv6.
func TestPeerOverIPv6(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Logf("this system has no IPv6: %v", err)
		return
	} else {
		_ = l.Close()
	}
	for _, address := range []string{"[::1]:0", "[::]:0"} {
		conns := make(chan Conn, 1)
		h := serve(t, Config{Address: address}, func(c Conn) Handler { conns <- c; return echo(c) })
		for _, host := range []string{"::1", "127.0.0.1"} {
			if address == "[::1]:0" && host == "127.0.0.1" {
				continue
			}
			nc, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(host), h.l.Addr().Port()).String())
			if err != nil {
				t.Fatal(err)
			}
			closeLater(t, nc)
			if info := await(t, conns, "accept").Info(); info.Peer != addrPort(nc.LocalAddr()) || info.PeerName != nc.LocalAddr().String() {
				t.Errorf("%s: %+v for a client at %s", address, info, nc.LocalAddr())
			}
		}
	}
}
