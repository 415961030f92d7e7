//go:build !linux

package conn

import "net"

// newRawTransport returns nil: only Linux has the raw driver.
func newRawTransport(net.Conn) transport { return nil }
