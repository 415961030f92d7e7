package conn

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

// epollEventsMax bounds the events of one call.
const epollEventsMax = 128

// epollET is a negative number in package syscall.
const epollET = 1 << 31

// epoll is an epoll descriptor that is parked in Go's own network poller, so that
// waiting for it holds no processor and no system thread. wake, add and remove are
// safe at any time; the rest is owned by the goroutine that waits.
type epoll struct {
	file   *os.File
	rc     syscall.RawConn
	fd     int
	poll   func(fd uintptr) bool
	events [epollEventsMax]syscall.EpollEvent
	count  int
	failed syscall.Errno
}

func newEpoll() (*epoll, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Only a non-blocking descriptor is given to Go's poller.
	_ = syscall.SetNonblock(fd, true)
	e := &epoll{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	e.poll = e.pollFd
	if e.rc, err = e.file.SyscallConn(); err == nil {
		err = e.file.SetReadDeadline(time.Time{}) // fails if Go's poller has not taken it
	}
	if err != nil {
		_ = e.file.Close()
		return nil, err
	}
	return e, nil
}

func (e *epoll) pollFd(fd uintptr) bool {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&e.events[0])), epollEventsMax, 0, 0, 0)
	if errno == syscall.EINTR {
		n, errno = 0, 0
	}
	e.count, e.failed = max(int(n), 0), errno
	return n > 0 || errno != 0
}

// look takes what has happened, without waiting.
func (e *epoll) look() { e.pollFd(uintptr(e.fd)) }

// wait waits until something has happened or wake is called.
func (e *epoll) wait() error {
	e.count, e.failed = 0, 0
	err := e.rc.Read(e.poll)
	switch {
	case interrupted(err):
		_ = e.file.SetReadDeadline(time.Time{})
	case err != nil:
		return err
	case e.failed != 0:
		return os.NewSyscallError("epoll_pwait", e.failed)
	}
	return nil
}

// ready is what the last look or wait has found.
func (e *epoll) ready() []syscall.EpollEvent { return e.events[:e.count] }

// wake ends the wait. A late call ends a later wait for nothing. This readies the
// goroutine at once, where a byte in a pipe would have to come through two polls.
func (e *epoll) wake() { _ = e.file.SetReadDeadline(longAgo) }

func (e *epoll) add(fd int, mask uint32) error { return e.control(syscall.EPOLL_CTL_ADD, fd, mask) }

// control adds or changes an entry. It does not block, and is on the way of messages.
func (e *epoll) control(op, fd int, mask uint32) error {
	event := syscall.EpollEvent{Events: mask, Fd: int32(fd)}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(e.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

func (e *epoll) remove(fd int) { _ = syscall.EpollCtl(e.fd, syscall.EPOLL_CTL_DEL, fd, nil) }

func (e *epoll) close() { _ = e.file.Close() }
