package conn

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Bounds of the wait after an accept that failed.
const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
)

var errDescriptorsKept = errors.New("the limit of open files leaves room for no further client, what is left is kept for files and links: raise it (LimitNOFILE= in the systemd unit, ulimit -n in a shell)")

// descriptor returns the number of a connection's descriptor if there is a bound to it, else 0.
func (l *Listener) descriptor(nc net.Conn) (number int) {
	s, ok := nc.(syscall.Conn)
	if !ok || l.cfg.DescriptorsMax == 0 {
		return 0
	}
	rc, err := s.SyscallConn()
	if err != nil {
		return 0 // closed already: whoever drives it will see
	}
	_ = rc.Control(func(fd uintptr) { number = int(fd) })
	return number
}

// acceptFailed deals with an accept that brought no connection. At the
// descriptor limit the pending connection would stay pending and accept fail at
// once for ever; so one descriptor is kept in reserve, and given up for as long
// as it takes to accept that connection and close it.
func (l *Listener) acceptFailed(err error) {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		if l.raw == nil && l.refuseOne(err) {
			return
		}
		l.refuse("", RefusedDescriptors, err)
	} else {
		l.refuse("", RefusedSocket, err)
	}
	l.backoff = min(max(2*l.backoff, backoffMin), backoffMax)
	timer := time.NewTimer(l.backoff)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.closed:
	}
}

// refuseOne accepts one connection on the reserved descriptor and closes it.
func (l *Listener) refuseOne(cause error) bool {
	if l.reserve == nil {
		l.reserve, _ = os.Open(os.DevNull)
		return false
	}
	_ = l.reserve.Close()
	l.reserve = nil
	d, ok := l.ln.(interface{ SetDeadline(time.Time) error })
	if !ok || d.SetDeadline(time.Now().Add(backoffMin)) != nil {
		return false
	}
	nc, err := l.ln.Accept()
	_ = d.SetDeadline(time.Time{})
	if err == nil {
		l.refuse(nc.RemoteAddr().String(), RefusedDescriptors, cause)
		_ = nc.Close()
	}
	l.reserve, _ = os.Open(os.DevNull)
	return err == nil
}
