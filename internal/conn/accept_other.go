//go:build !linux

package conn

import "net"

// acceptor is not available here.
type acceptor struct{}

func newAcceptor(net.Listener) *acceptor         { return nil }
func (a *acceptor) close() error                 { return nil }
func (l *Listener) acceptAll(Accept) (goOn bool) { return false }
