package link

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// limitSegments has a connection that is about to be made use segments of this size
// at most, in both directions: the other end hears of it.
func limitSegments(fd uintptr, segment int) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, segment)
}

// tune makes the kernel give a connection up when what was sent is not
// acknowledged for so long; by itself it tries for a quarter of an hour.
func tune(c net.Conn, silence time.Duration) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	_ = t.SetNoDelay(true) // Go's default; said here because batching relies on it
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	// A kernel that refuses leaves the reader's deadline, which is enough.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
	})
}
