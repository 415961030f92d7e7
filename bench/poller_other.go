//go:build !linux

package bench

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// poller exists on Linux only; newPoller says so and nothing else is reached.
type poller struct{}

var errLinux = errors.New("the load generator needs Linux: it waits with epoll and reads /proc")

func newPoller() (*poller, error) { return nil, errLinux }

func (*poller) add(int, int) error                              { return errLinux }
func (*poller) addBoth(int, int) error                          { return errLinux }
func (*poller) wantWrite(int, int, bool) error                  { return errLinux }
func (*poller) wait(time.Duration, func(int, bool, bool)) error { return errLinux }
func (*poller) close()                                          {}
func detach(syscall.Conn) (int, error)                          { return 0, errLinux }
func dialFD(*net.TCPAddr) (int, error)                          { return 0, errLinux }
func closeFD(int)                                               {}
func readableFrom(int, int) error                               { return errLinux }
func readFD(int, []byte) (int, bool, error)                     { return 0, false, errLinux }
func writeFD(int, []byte) (int, bool, error)                    { return 0, false, errLinux }
