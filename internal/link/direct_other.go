//go:build !linux

package link

import "net"

// direct is for systems whose raw calls are known; see newDirect.
type direct struct{ net.Conn }

func newDirect(net.Conn) *direct { return nil }
