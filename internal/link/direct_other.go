//go:build !linux

package link

import "net"

// direct is for systems whose raw calls are known; see newDirect.
type direct struct{ net.Conn }

// tryWrite is never asked for, since there is none.
func (d *direct) tryWrite(b []byte) (int, error) { return d.Write(b) }

func newDirect(net.Conn) *direct { return nil }
