//go:build !linux

package conn

import "net"

// loop is not available here.
type loop struct{}

func startLoop() (*loop, error)                      { return nil, nil }
func (p *loop) adopt(*stream, net.Conn, Accept) bool { return false }
func (p *loop) stop()                                {}
