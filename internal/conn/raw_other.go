//go:build !linux

package conn

import "net"

// newRawTransport returns nil: only Linux has the raw driver.
func newRawTransport(*stream, net.Conn) transport { return nil }
