package conn

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// callBytesMax bounds one system call. A raw call keeps its processor, so it
// must not copy for long.
const callBytesMax = 256 << 10

// vectorsMax bounds the vectors of one writev.
const vectorsMax = 64

// vectors is the scratch space of one writev, too large for a small stack.
type vectors [vectorsMax]syscall.Iovec

var vectorPool = sync.Pool{New: func() any { return new(vectors) }}

// rawTransport drives a TCP or unix socket with raw system calls. Calls that do not
// wait count as uses of sock. To wait, the socket has to stand in Go's network poller:
// then RawConn.Read and RawConn.Write hold a reference of their own while their function
// runs, and park the goroutine when it returns false. It is put there when it first has
// to wait; a connection that sleeps after each round, and a new one, never has to.
//
// c is immutable; park, interrupted and known are atomic; src and writeErr are owned by
// the flusher, the rest by the driver.
type rawTransport struct {
	sock descriptor
	c    *stream
	dst  *inbox
	src  *chunkList

	park        atomic.Pointer[parking]
	parkOnce    sync.Mutex // held while park is made
	interrupted atomic.Bool
	known       atomic.Bool // the watcher has an entry for it
	watched     bool        // the watcher tells of the end of the stream

	lone     uint8 // reads that found the socket with less than a buffer
	got      int   // by the last read; -1 if its round was made
	readErr  syscall.Errno
	writeErr syscall.Errno
}

// parking is a socket in Go's network poller. Immutable.
type parking struct {
	socket parkable
	rc     syscall.RawConn
	// Made once, for a closure at each call would be an allocation.
	readReady, roundReady, writeReady func(fd uintptr) bool
}

// parkable is a file, or the connection on which handshakes were made.
type parkable interface {
	syscall.Conn
	SetReadDeadline(time.Time) error
	Close() error
}

// watchAfter is how many reads with little to find show a connection whose end is
// worth being watched for.
const watchAfter = 8

// newRawTransport returns nil if nc is not a socket of the kernel.
func newRawTransport(c *stream, nc net.Conn) transport {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	t := newRawSocket(c, -1)
	p, err := t.parkAt(nc.(parkable))
	if err != nil || p.rc.Control(func(fd uintptr) { t.sock.fd = int32(fd) }) != nil {
		return nil
	}
	t.park.Store(p)
	return t
}

// newRawSocket drives a socket that stands in no poller.
func newRawSocket(c *stream, fd int) *rawTransport {
	return &rawTransport{c: c, sock: descriptor{fd: int32(fd)}}
}

func (t *rawTransport) parkAt(socket parkable) (*parking, error) {
	rc, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &parking{socket: socket, rc: rc, readReady: t.readFd, roundReady: t.roundFd,
		writeReady: func(fd uintptr) bool { t.writeFd(fd); return t.writeErr != syscall.EAGAIN }}, nil
}

// parked returns what it takes to wait for the socket. The driver and a writer may
// both be the first to ask.
func (t *rawTransport) parked() (*parking, error) {
	if p := t.park.Load(); p != nil {
		return p, nil
	}
	t.parkOnce.Lock()
	defer t.parkOnce.Unlock()
	if p := t.park.Load(); p != nil {
		return p, nil
	}
	if !t.sock.acquire() {
		return nil, net.ErrClosed
	}
	defer t.done()
	p, err := t.parkAt(os.NewFile(uintptr(t.sock.fd), "socket"))
	if err != nil {
		return nil, err
	}
	t.park.Store(p)
	if t.interrupted.Load() { // before there was something to interrupt
		_ = p.socket.SetReadDeadline(longAgo)
	}
	return p, nil
}

// atOnce calls ready a first time, where that can do without Go's poller.
func (t *rawTransport) atOnce(ready func(fd uintptr) bool) bool {
	if t.park.Load() != nil || t.interrupted.Load() || !t.sock.acquire() {
		return false
	}
	defer t.done()
	return ready(uintptr(t.sock.fd))
}

func (t *rawTransport) read(in *inbox) (int, error) {
	t.dst = in
	if t.atOnce(t.readFd) {
		return t.got, t.result(nil)
	}
	p, err := t.parked()
	if err != nil {
		return 0, err
	}
	if err := t.result(p.rc.Read(p.readReady)); err != nil {
		return 0, err
	}
	return t.got, nil
}

// result says what became of a call of RawConn.Read.
func (t *rawTransport) result(err error) error {
	switch {
	case err != nil:
		return err
	case t.readErr != 0:
		return os.NewSyscallError("read", t.readErr)
	case t.got == 0:
		return io.EOF
	}
	return nil
}

// readFd borrows a buffer, reads, and gives it back before the goroutine parks.
func (t *rawTransport) readFd(fd uintptr) bool {
	for {
		p := t.dst.space()
		p = p[:min(len(p), callBytesMax)]
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			t.got, t.readErr = int(n), 0
			t.dst.k.w += int(n)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			t.dst.settle()
			return false
		default:
			t.got, t.readErr = 0, errno
			return true
		}
	}
}

// rounds makes its rounds inside one call of RawConn.Read, which begins by
// forgetting what the poller knew of the socket: each call has to read until there
// is nothing. Within the call nothing is forgotten, so that a read which emptied the
// socket need not be followed by one that says so. The handler runs with a
// reference on the descriptor; only the driver closes it before the linger, and not
// from here.
func (t *rawTransport) rounds(c *stream) error {
	t.dst = &c.in
	if t.atOnce(t.roundFd) {
		return t.result(nil)
	}
	p, err := t.parked()
	if err != nil {
		return err
	}
	return t.result(p.rc.Read(p.roundReady))
}

func (t *rawTransport) roundFd(fd uintptr) bool {
	for t.readFd(fd) {
		if t.readErr != 0 || t.got == 0 {
			return true
		}
		drained := t.dst.k.free() > 0 && t.got < callBytesMax
		t.got = -1
		if !t.c.arrived() {
			return true
		}
		if drained && t.endIsTold() {
			break
		}
	}
	return false
}

// endIsTold says whether the end of the stream, which may have come with the bytes
// that were read, will still be raised as an event; after the event it is to be
// found by reading on. A connection is watched for its end once it has shown that
// it is one of many small messages.
func (t *rawTransport) endIsTold() bool {
	if t.c.hungUp {
		return false
	}
	if t.watched || t.c.l.watcher == nil {
		return t.watched
	}
	if t.lone++; t.lone < watchAfter {
		return false
	}
	t.lone = 0
	t.watched = t.watch(endMask)
	return t.watched
}

func (t *rawTransport) watch(mask uint32) bool {
	known := t.known.Load()
	ok := t.c.l.watcher.watch(t.c, t.sock.fd, mask, known)
	if ok && !known {
		t.known.Store(true)
	}
	return ok
}

// watchAll is for a driver that will end: what is watched from here on is everything.
func (t *rawTransport) watchAll(c *stream) bool {
	if c.l.watcher == nil {
		return false
	}
	t.watched, t.lone = false, 0
	return t.watch(sleepMask)
}

func (t *rawTransport) tryWrite(l *chunkList) error {
	if l.size == 0 {
		return nil
	}
	if !t.sock.acquire() {
		return net.ErrClosed
	}
	defer t.done()
	t.src = l
	t.writeFd(uintptr(t.sock.fd))
	t.src = nil
	return t.written(nil)
}

func (t *rawTransport) writeAll(l *chunkList) error {
	p, err := t.parked()
	for l.size > 0 && err == nil {
		t.src = l
		err = t.written(p.rc.Write(p.writeReady))
		t.src = nil
		if err == errAgain {
			err = nil
		}
	}
	return err
}

// written says what became of a write.
func (t *rawTransport) written(err error) error {
	switch {
	case err != nil:
		return err
	case t.writeErr == syscall.EAGAIN:
		return errAgain
	case t.writeErr != 0:
		return os.NewSyscallError("write", t.writeErr)
	}
	return nil
}

// writeFd writes until the list is empty or the kernel takes less than offered,
// which counts as EAGAIN: the next call would say so.
func (t *rawTransport) writeFd(fd uintptr) {
	t.writeErr = 0
	for t.src.size > 0 {
		offered, n, errno := writeList(fd, t.src)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			t.writeErr = errno
			return
		}
		t.src.advance(n)
		if n < offered {
			t.writeErr = syscall.EAGAIN
			return
		}
	}
}

// writeList makes one call for the front of the list.
func writeList(fd uintptr, l *chunkList) (offered, n int, errno syscall.Errno) {
	k := l.head
	if k.next == nil || k.w-k.r >= callBytesMax {
		offered = min(k.w-k.r, callBytesMax)
		r, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&k.buf[k.r])), uintptr(offered))
		return offered, int(r), errno
	}
	iov := vectorPool.Get().(*vectors)
	count := 0
	for ; k != nil && count < vectorsMax && offered < callBytesMax; k = k.next {
		size := min(k.w-k.r, callBytesMax-offered)
		if size == 0 {
			continue
		}
		iov[count].Base = &k.buf[k.r]
		iov[count].SetLen(size)
		offered += size
		count++
	}
	r, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(iov)), uintptr(count))
	clear(iov[:count])
	vectorPool.Put(iov)
	return offered, int(r), errno
}

func (t *rawTransport) interrupt() {
	t.interrupted.Store(true)
	if p := t.park.Load(); p != nil {
		_ = p.socket.SetReadDeadline(longAgo)
	}
}

func (t *rawTransport) restore() {
	t.interrupted.Store(false)
	if p := t.park.Load(); p != nil {
		_ = p.socket.SetReadDeadline(time.Time{})
	}
}

func (t *rawTransport) closeWrite() error {
	if !t.sock.acquire() {
		return net.ErrClosed
	}
	defer t.done()
	return t.sock.closeWrite()
}

// done ends a use of the socket, which may have been shut meanwhile.
func (t *rawTransport) done() {
	if t.sock.done() {
		_ = t.free()
	}
}

func (t *rawTransport) close() error {
	if t.known.Load() {
		t.c.l.watcher.forget(t.c, t.sock.fd)
	}
	last, err := t.sock.shut()
	if last {
		return t.free()
	}
	return err
}

// free gives the number back when no raw call uses it any more; those that wait in
// Go's poller are sent home by it.
func (t *rawTransport) free() error {
	if p := t.park.Load(); p != nil {
		return p.socket.Close()
	}
	return t.sock.close()
}
