//go:build !linux

package conn

import (
	"errors"
	"net"
)

// acceptor is not available here.
type acceptor struct{}

func newAcceptor(net.Listener) *acceptor         { return nil }
func (a *acceptor) close() error                 { return nil }
func (a *acceptor) refuseOne() (string, error)   { return "", errors.ErrUnsupported }
func (l *Listener) acceptAll(Accept) (goOn bool) { return false }
