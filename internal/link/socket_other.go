//go:build !linux

package link

import (
	"net"
	"time"
)

// limitSegments leaves them as they are.
func limitSegments(uintptr, int) {}

// tune leaves it to the reader's deadline to notice a dead connection.
func tune(c net.Conn, _ time.Duration) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetNoDelay(true)
	}
}
