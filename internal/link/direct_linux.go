package link

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// direct reads and writes a socket with raw system calls. An ordinary one wakes
// the runtime's monitor thread, which costs several times what the call does;
// these never block, since Go's sockets do not, and RawConn parks the goroutine
// in the network poller. Reading is one goroutine's, writing another one's.
type direct struct {
	raw syscall.RawConn
	// Made once, since a closure at each call would be an allocation.
	readFd, writeFd, tryFd func(fd uintptr) bool

	in    []byte
	got   int
	inErr syscall.Errno

	out    []byte // what is left of it
	outErr syscall.Errno
}

// newDirect returns nil if c is not a socket of the kernel.
func newDirect(c net.Conn) *direct {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.readFd = d.reads
	d.writeFd = d.writes
	d.tryFd = func(fd uintptr) bool { d.writes(fd); return true }
	return d
}

// callBytesMax bounds one call, which keeps its processor meanwhile.
const callBytesMax = 256 << 10

func (d *direct) reads(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&d.in[0])), uintptr(min(len(d.in), callBytesMax)))
		switch errno {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			d.got, d.inErr = int(n), errno
			return true
		}
	}
}

func (d *direct) writes(fd uintptr) bool {
	for len(d.out) > 0 {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&d.out[0])), uintptr(min(len(d.out), callBytesMax)))
		switch errno {
		case 0:
			d.out = d.out[n:]
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			d.outErr = errno
			return true
		}
	}
	return true
}

// Read is that of an io.Reader.
func (d *direct) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	d.in = b
	err := d.raw.Read(d.readFd)
	d.in = nil
	switch {
	case err != nil:
		return 0, err
	case d.inErr != 0:
		return 0, os.NewSyscallError("read", d.inErr)
	case d.got == 0:
		return 0, io.EOF
	}
	return d.got, nil
}

// Write is that of an io.Writer.
func (d *direct) Write(b []byte) (int, error) { return d.write(b, d.writeFd) }

// tryWrite writes what the socket takes at once.
func (d *direct) tryWrite(b []byte) (int, error) { return d.write(b, d.tryFd) }

func (d *direct) write(b []byte, f func(fd uintptr) bool) (int, error) {
	d.out, d.outErr = b, 0
	err := d.raw.Write(f)
	n := len(b) - len(d.out)
	d.out = nil
	if err == nil && d.outErr != 0 {
		err = os.NewSyscallError("write", d.outErr)
	}
	return n, err
}
