package conn

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// Bounds of the wait after an accept that failed.
const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
)

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
