package conn

import (
	"errors"
	"net"
	"os"
	"time"
)

// errAgain says that the kernel takes, or gives, nothing at present. It looks
// like a timeout to crypto/tls, which keeps its state across such an error.
var errAgain error = againError{}

type againError struct{}

func (againError) Error() string   { return "would block" }
func (againError) Timeout() bool   { return true }
func (againError) Temporary() bool { return true }

// longAgo is a deadline in the past: it makes a parked read return.
var longAgo = time.Unix(1, 0)

// transport moves bytes between one socket and buffers. The driver goroutine
// calls read; the one flusher of the moment calls tryWrite or writeAll; the other
// methods are safe at any time.
type transport interface {
	// read waits until bytes are there and puts them behind those of in.
	read(in *inbox) (int, error)
	// tryWrite writes what the kernel takes at once and removes it from l;
	// errAgain if something is left.
	tryWrite(l *chunkList) error
	// writeAll waits until all was written.
	writeAll(l *chunkList) error
	// interrupt makes a read return a timeout, now or when it starts.
	interrupt()
	// restore ends interrupt.
	restore()
	closeWrite() error
	close() error
}

// writeWaiter is a transport that needs no writer goroutine.
type writeWaiter interface {
	// waitWritable takes over from a flusher whose write ended with err, and has
	// pump called when it may go on; true tells the flusher to go on itself.
	waitWritable(c *stream, err error) bool
}

// sleeper is a transport that can do without a goroutine while nothing comes.
type sleeper interface {
	// watchAll has the next bytes, or the end of the stream, raised as events, also
	// those that are there already. The caller is the driver.
	watchAll(c *stream) bool
}

// roundReader is a transport that has rounds made where it reads, for connections
// without layers.
type roundReader interface {
	// rounds waits for bytes and calls c.arrived each time that it has put some into
	// the inbox, until that returns false or nothing more will come.
	rounds(c *stream) error
}

// plainTransport drives any net.Conn with its own blocking methods. Immutable
// once built.
type plainTransport struct{ nc net.Conn }

func (t *plainTransport) read(in *inbox) (int, error) {
	n, err := t.nc.Read(in.space())
	in.k.w += n
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// tryWrite writes nothing: a net.Conn cannot be asked for a non-blocking write,
// so that the writer goroutine does it.
func (t *plainTransport) tryWrite(l *chunkList) error {
	if l.size == 0 {
		return nil
	}
	return errAgain
}

func (t *plainTransport) writeAll(l *chunkList) error {
	for l.size > 0 {
		n, err := t.nc.Write(l.head.buf[l.head.r:l.head.w])
		l.advance(n)
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *plainTransport) interrupt() { _ = t.nc.SetReadDeadline(longAgo) }
func (t *plainTransport) restore()   { _ = t.nc.SetReadDeadline(time.Time{}) }
func (t *plainTransport) close() error {
	return t.nc.Close()
}

func (t *plainTransport) closeWrite() error { return closeWrite(t.nc) }

func closeWrite(nc net.Conn) error {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// interrupted tells a read that interrupt ended from one that failed.
func interrupted(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded)
}
