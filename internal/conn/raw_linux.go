package conn

import (
	"io"
	"net"
	"os"
	"sync"
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

// rawTransport drives a TCP or unix socket with raw system calls. RawConn.Read
// and RawConn.Write hold a reference on the descriptor while its function runs,
// so that no call can meet a descriptor that was closed and given out again, and
// they park the goroutine in Go's network poller when the function returns false.
//
// c, dst and the fields from got to watched are owned by the driver; src and
// writeErr by the flusher.
type rawTransport struct {
	nc  net.Conn
	rc  syscall.RawConn
	c   *stream // set by rounds
	dst *inbox
	src *chunkList
	// The readers and the writers are made once, for a closure at each call would
	// be an allocation.
	readReady, roundReady, writeOnce, writeReady func(fd uintptr) bool

	got      int // by the last read; -1 if its round was made
	readErr  syscall.Errno
	writeErr syscall.Errno
	fd       int32 // what is watched, if known
	lone     uint8 // reads that found the socket with less than a buffer
	known    bool  // the watcher has an entry for it
	watched  bool  // the watcher tells of the end of the stream
}

// watchAfter is how many reads with little to find show a connection whose end is
// worth being watched for.
const watchAfter = 8

// newRawTransport returns nil if nc is not a socket of the kernel.
func newRawTransport(nc net.Conn) transport {
	var rc syscall.RawConn
	var err error
	switch s := nc.(type) {
	case *net.TCPConn:
		rc, err = s.SyscallConn()
	case *net.UnixConn:
		rc, err = s.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	t := &rawTransport{nc: nc, rc: rc}
	t.readReady = t.readFd
	t.roundReady = t.roundFd
	t.writeOnce = func(fd uintptr) bool { t.writeFd(fd); return true }
	t.writeReady = func(fd uintptr) bool { t.writeFd(fd); return t.writeErr != syscall.EAGAIN }
	return t
}

func (t *rawTransport) read(in *inbox) (int, error) {
	t.dst = in
	if err := t.result(t.rc.Read(t.readReady)); err != nil {
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
	t.c, t.dst = c, &c.in
	return t.result(t.rc.Read(t.roundReady))
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
		if drained && t.endIsTold(fd) {
			break
		}
	}
	return false
}

// endIsTold says whether the end of the stream, which may have come with the bytes
// that were read, will still be raised as an event; after the event it is to be
// found by reading on. A connection is watched for its end once it has shown that
// it is one of many small messages.
func (t *rawTransport) endIsTold(fd uintptr) bool {
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
	t.watched = t.watch(t.c, int32(fd), endMask)
	return t.watched
}

func (t *rawTransport) watch(c *stream, fd int32, mask uint32) bool {
	t.c, t.fd = c, fd
	ok := c.l.watcher.watch(c, fd, mask, t.known)
	t.known = t.known || ok
	return ok
}

// watchAll is for a driver that will end: what is watched from here on is everything.
func (t *rawTransport) watchAll(c *stream) bool {
	if c.l.watcher == nil {
		return false
	}
	fd := t.fd
	if !t.known && t.rc.Control(func(d uintptr) { fd = int32(d) }) != nil {
		return false
	}
	t.watched, t.lone = false, 0
	return t.watch(c, fd, sleepMask)
}

func (t *rawTransport) tryWrite(l *chunkList) error {
	if l.size == 0 {
		return nil
	}
	return t.write(l, t.writeOnce)
}

func (t *rawTransport) writeAll(l *chunkList) error {
	for l.size > 0 {
		if err := t.write(l, t.writeReady); err != nil && err != errAgain {
			return err
		}
	}
	return nil
}

func (t *rawTransport) write(l *chunkList, f func(fd uintptr) bool) error {
	t.src = l
	err := t.rc.Write(f)
	t.src = nil
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

func (t *rawTransport) interrupt()        { _ = t.nc.SetReadDeadline(longAgo) }
func (t *rawTransport) restore()          { _ = t.nc.SetReadDeadline(time.Time{}) }
func (t *rawTransport) closeWrite() error { return closeWrite(t.nc) }

func (t *rawTransport) close() error {
	if t.known {
		t.c.l.watcher.forget(t.c, t.fd)
	}
	return t.nc.Close()
}
