package conn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// acceptor takes connections off a listening TCP socket, at each wake-up all that wait
// there, with one call each. A net.Listener asks for the name of each, turns off Nagle's
// algorithm and puts it into Go's poller: three calls more, where accepted sockets
// inherit what the listening one has, and a connection may never need the poller (see
// rawTransport). Owned by the accepting goroutine, except that close is safe at any time.
type acceptor struct {
	file   *os.File
	rc     syscall.RawConn
	failed syscall.Errno
}

// newAcceptor takes the socket of ln over and closes ln. It returns nil, and leaves
// ln alone, if it cannot.
func newAcceptor(ln net.Listener) *acceptor {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil
	}
	file, err := tcp.File()
	if err != nil {
		return nil
	}
	rc, err := file.SyscallConn()
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails if Go's poller has not taken it
	}
	if err != nil {
		_ = file.Close()
		return nil
	}
	_ = ln.Close()
	return &acceptor{file: file, rc: rc}
}

func (a *acceptor) close() error { return a.file.Close() }

// acceptAll waits for connections and starts them, and says whether to go on.
func (l *Listener) acceptAll(accept Accept) bool {
	a := l.raw
	a.failed = 0
	err := a.rc.Read(func(fd uintptr) bool {
		for !l.isClosed() {
			socket, peer, errno := accept4(fd)
			if errno == syscall.EMFILE || errno == syscall.ENFILE {
				errno = l.refuseRaw(fd, errno)
			} else if errno == 0 {
				l.admitRaw(socket, peer, accept)
			}
			switch errno {
			case 0:
			case syscall.EAGAIN:
				return false
			case syscall.EINTR, syscall.ECONNABORTED:
			default:
				a.failed = errno
				return true
			}
		}
		return true
	})
	switch {
	case l.isClosed():
		return false
	case a.failed != 0:
		l.acceptFailed(os.NewSyscallError("accept4", a.failed))
	case err != nil:
		l.acceptFailed(err)
	}
	return true
}

// admitRaw starts a connection whose first bytes will wake it up.
func (l *Listener) admitRaw(socket int, peer netip.AddrPort, accept Accept) {
	c := l.newStream(peer)
	t := newRawSocket(c, socket)
	c.t = t
	if !l.admits(socket, peer.String) || !l.add(c) {
		_ = t.close()
		return
	}
	c.peerName = peer.String()
	c.begin(accept)
}

// refuseRaw is refuseOne. The kernel says that it has no descriptor also when nobody
// waits: EAGAIN says so here.
func (l *Listener) refuseRaw(fd uintptr, cause syscall.Errno) syscall.Errno {
	if l.reserve == nil {
		l.reserve, _ = os.Open(os.DevNull)
		return cause
	}
	_ = l.reserve.Close()
	socket, peer, errno := accept4(fd)
	if errno == 0 {
		_ = syscall.Close(socket)
		l.refuse(peer.String(), RefusedDescriptors, cause)
	}
	l.reserve, _ = os.Open(os.DevNull)
	return errno
}

func accept4(fd uintptr) (socket int, peer netip.AddrPort, errno syscall.Errno) {
	var from syscall.RawSockaddrAny
	size := uint32(unsafe.Sizeof(from))
	n, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, fd, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)),
		syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return 0, netip.AddrPort{}, errno
	}
	return int(n), peerOf(&from), 0
}

// peerOf reads what accept4 has said.
func peerOf(from *syscall.RawSockaddrAny) netip.AddrPort {
	switch from.Addr.Family {
	case syscall.AF_INET:
		a := (*syscall.RawSockaddrInet4)(unsafe.Pointer(from))
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), hostOrder(a.Port))
	case syscall.AF_INET6:
		a := (*syscall.RawSockaddrInet6)(unsafe.Pointer(from))
		addr := netip.AddrFrom16(a.Addr).Unmap()
		if a.Scope_id != 0 && addr.Is6() {
			addr = addr.WithZone(strconv.Itoa(int(a.Scope_id)))
		}
		return netip.AddrPortFrom(addr, hostOrder(a.Port))
	}
	return netip.AddrPort{}
}

// hostOrder is a port as the network has it, in the order of this machine.
func hostOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&port))[:])
}
