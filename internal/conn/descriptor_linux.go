package conn

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// descriptor is a socket of which the calls under way are counted, so that none
// meets a number that was closed and given out again. fd is immutable, refs atomic.
type descriptor struct {
	fd   int32
	refs atomic.Int32 // calls under way, and descriptorShut once it was shut
}

const descriptorShut = 1 << 30

// acquire is to be called before each use of fd; false says that it is shut.
func (d *descriptor) acquire() bool {
	for {
		v := d.refs.Load()
		if v >= descriptorShut {
			return false
		}
		if d.refs.CompareAndSwap(v, v+1) {
			return true
		}
	}
}

// done ends a use. True tells the caller to close the socket: it was shut meanwhile,
// and this was the last use.
func (d *descriptor) done() (last bool) { return d.refs.Add(-1) == descriptorShut }

// shut has no use begin from here on. last is as with done.
func (d *descriptor) shut() (last bool, err error) {
	for {
		v := d.refs.Load()
		if v >= descriptorShut {
			return false, net.ErrClosed
		}
		if d.refs.CompareAndSwap(v, v+descriptorShut) {
			return v == 0, nil
		}
	}
}

// closeWrite sends the end of the stream. The caller has acquired it.
func (d *descriptor) closeWrite() error { return d.call(syscall.SYS_SHUTDOWN, syscall.SHUT_WR) }

// close gives the number back. The caller was told that it is the last.
func (d *descriptor) close() error { return d.call(syscall.SYS_CLOSE, 0) }

// call makes a call that does not block.
func (d *descriptor) call(number, argument uintptr) error {
	if _, _, errno := syscall.RawSyscall(number, uintptr(d.fd), argument, 0); errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	return nil
}
