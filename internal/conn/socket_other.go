//go:build !linux

package conn

import "syscall"

// controlListen leaves the socket as it is: what accepted sockets inherit
// differs between systems.
func (c *Config) controlListen(_, _ string, _ syscall.RawConn) error { return nil }
