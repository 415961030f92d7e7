package bench

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const eventsMax = 512 // one wait returns

// poller waits for sockets and for a moment in time. It owns an epoll
// descriptor that is itself parked in the runtime's poller: a wait that blocks
// in a system call of its own would wake the runtime's monitor each time, which
// costs more than a message. Owned by the event loop.
type poller struct {
	file  *os.File // the epoll descriptor
	raw   syscall.RawConn
	fd    int
	timer int
	ready [eventsMax]unix.EpollEvent
	count int                // of ready
	block bool               // wait until there is one
	peek  func(uintptr) bool // look, bound once so that a wait allocates nothing
}

const timerKey = -1

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd}
	p.peek = p.look
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	return p, p.control(unix.EPOLL_CTL_ADD, p.timer, timerKey, unix.EPOLLIN)
}

func (p *poller) control(op, fd, key int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(key)}
	if err := unix.EpollCtl(p.fd, op, fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// add watches fd for reading; wait reports it as key.
func (p *poller) add(fd, key int) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, key, unix.EPOLLIN)
}

// addBoth watches fd for reading and writing.
func (p *poller) addBoth(fd, key int) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, key, unix.EPOLLIN|unix.EPOLLOUT)
}

// wantWrite switches watching for writing on or off.
func (p *poller) wantWrite(fd, key int, on bool) error {
	events := uint32(unix.EPOLLIN)
	if on {
		events |= unix.EPOLLOUT
	}
	return p.control(unix.EPOLL_CTL_MOD, fd, key, events)
}

// wait calls handle for each ready socket, or returns with none after about
// the given time. Not positive means: look, and do not wait.
func (p *poller) wait(most time.Duration, handle func(key int, readable, writable bool)) error {
	if most > 0 {
		if err := p.arm(most); err != nil {
			return err
		}
	}
	p.block = most > 0
	if err := p.raw.Read(p.peek); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for i := range p.count {
		e := &p.ready[i]
		if e.Fd == timerKey {
			var ticks [8]byte
			_, _ = unix.Read(p.timer, ticks[:])
			continue
		}
		const broken = unix.EPOLLERR | unix.EPOLLHUP
		handle(int(e.Fd), e.Events&(unix.EPOLLIN|broken) != 0, e.Events&unix.EPOLLOUT != 0)
	}
	return nil
}

// look asks the kernel what is ready, without blocking, and reports whether
// the wait is over.
func (p *poller) look(uintptr) bool {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.ready[0])), eventsMax, 0, 0, 0)
	if errno != 0 {
		n = 0
	}
	p.count = int(n)
	return n > 0 || !p.block
}

func (p *poller) arm(after time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}
	if err := unix.TimerfdSettime(p.timer, 0, &spec, nil); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	return nil
}

func (p *poller) close() {
	unix.Close(p.timer)
	p.file.Close()
}

// detach takes a socket out of the runtime's hands: the descriptor returned
// is a duplicate of conn's, which the caller closes.
func detach(conn syscall.Conn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	inner := raw.Control(func(original uintptr) {
		fd, err = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	})
	if inner != nil {
		return 0, inner
	}
	return fd, err
}

// dialFD begins a connection; the socket can be written when it stands.
func dialFD(to *net.TCPAddr) (int, error) {
	var address unix.Sockaddr
	family := unix.AF_INET
	if ip4 := to.IP.To4(); ip4 != nil {
		address = &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(ip4)}
	} else {
		family = unix.AF_INET6
		address = &unix.SockaddrInet6{Port: to.Port, Addr: [16]byte(to.IP.To16())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err == nil {
		err = unix.Connect(fd, address)
	}
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func closeFD(fd int) { unix.Close(fd) }

// readableFrom has a socket count as readable once n bytes are there, or its end.
func readableFrom(fd, n int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, n); err != nil {
		return fmt.Errorf("SO_RCVLOWAT: %w", err)
	}
	return nil
}

// readFD and writeFD are raw: the descriptors never block. again means that
// nothing could be moved now.
func readFD(fd int, p []byte) (n int, again bool, err error) {
	return moved(syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))))
}

func writeFD(fd int, p []byte) (n int, again bool, err error) {
	return moved(syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))))
}

func moved(n, _ uintptr, errno syscall.Errno) (int, bool, error) {
	switch errno {
	case 0:
		return int(n), false, nil
	case unix.EAGAIN, unix.EINTR:
		return 0, true, nil
	}
	return 0, false, errno
}
