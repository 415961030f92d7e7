package conn

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// loopTransport is a socket that a loop drives. Its descriptor is not in Go's
// poller. sock, blocked and edge are safe at any time, the rest is owned by the loop.
type loopTransport struct {
	p    *loop
	c    *stream
	sock descriptor
	// blocked says that a flusher waits for the socket, edge that the socket became
	// writable since a flusher last looked.
	blocked, edge atomic.Bool

	accept    Accept // until the start
	timer     *time.Timer
	readable  bool // there may be something to read
	hup       bool // the end of the stream was announced
	lingering bool // the handler is gone, what comes is thrown away
	ended     bool
}

// done ends a use of the socket, which may have been shut meanwhile.
func (t *loopTransport) done() {
	if t.sock.done() {
		_ = t.sock.close()
	}
}

func (t *loopTransport) close() error {
	last, err := t.sock.shut()
	if last {
		return t.sock.close()
	}
	return err
}

// readFd reads once. The loop alone closes the descriptor after it has ended
// reading, so that no reference is needed.
func (t *loopTransport) readFd(p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(t.sock.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return 0, errAgain
		case errno != 0:
			return 0, os.NewSyscallError("read", errno)
		case n == 0:
			return 0, io.EOF
		default:
			return int(n), nil
		}
	}
}

func (t *loopTransport) tryWrite(l *chunkList) error {
	if l.size == 0 {
		return nil
	}
	if !t.sock.acquire() {
		return net.ErrClosed
	}
	defer t.done()
	for l.size > 0 {
		offered, n, errno := writeList(uintptr(t.sock.fd), l)
		switch errno {
		case 0:
			l.advance(n)
			if n < offered {
				return errAgain
			}
		case syscall.EINTR:
		case syscall.EAGAIN:
			return errAgain
		default:
			return os.NewSyscallError("write", errno)
		}
	}
	return nil
}

// waitWritable leaves the flush to the loop. The edge may have come between the
// write and here; then the flusher goes on itself.
func (t *loopTransport) waitWritable(c *stream, err error) bool {
	t.blocked.Store(true)
	if err != errAgain {
		c.raise(evPump)
		return false
	}
	return t.edge.Swap(false) && t.blocked.CompareAndSwap(true, false)
}

// writableEdge is called by the loop when the socket became writable.
func (t *loopTransport) writableEdge(c *stream) {
	t.edge.Store(true)
	t.pump(c)
}

// pump goes on as the flusher if one waits.
func (t *loopTransport) pump(c *stream) {
	if t.blocked.CompareAndSwap(true, false) {
		t.edge.Store(false)
		c.pump()
	}
}

// read and writeAll are for drivers that wait, which a loop does not.
func (t *loopTransport) read(*inbox) (int, error) { return 0, errAgain }

func (t *loopTransport) writeAll(*chunkList) error { return errAgain }

func (t *loopTransport) interrupt() { t.p.post(t.c) }
func (t *loopTransport) restore()   {}

func (t *loopTransport) closeWrite() error {
	if !t.sock.acquire() {
		return net.ErrClosed
	}
	defer t.done()
	return t.sock.closeWrite()
}
