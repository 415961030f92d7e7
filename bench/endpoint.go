package bench

import (
	"errors"
	"fmt"
	"io"

	"tombolo/mqtt/packet"
)

// outMax is what may wait to be written on one connection; beyond it its
// publisher stops until the socket has taken it.
const outMax = 1 << 20

// endpoint is one connection in the event loop, of a publisher or of a
// subscriber. Owned by the event loop.
type endpoint struct {
	key     int // its place in run.ends
	fd      int
	id      string
	in      []byte // the beginning of a packet that is not complete yet
	out     []byte // not yet written
	dirty   bool   // stands in run.dirty
	gone    bool   // closed by us
	blocked bool   // waits until the socket can be written
	role    role
}

// role acts on the packets of an endpoint.
type role interface {
	handle(r *run, e *endpoint, f packet.Frame) error
	// drained is called when everything in out was written.
	drained(r *run)
}

var errClosed = errors.New("the broker closed the connection")

// readable reads once and acts on every whole packet.
func (e *endpoint) readable(r *run) error {
	if e.gone {
		return nil
	}
	buf := r.read
	if len(e.in)+readMin > len(buf) { // a packet larger than the shared buffer
		buf = make([]byte, 2*len(buf))
		r.read = buf
	}
	n, again, err := readFD(e.fd, buf[len(e.in):])
	switch {
	case err != nil:
		return err
	case again:
		return nil
	case n == 0:
		return errClosed
	}
	r.now = r.clock()
	return e.take(r, n)
}

// take acts on what was kept and the n bytes behind its place in r.read.
func (e *endpoint) take(r *run, n int) error {
	rest := r.read[:copy(r.read, e.in)+n]
	for {
		f, size, err := packet.Split(rest, 0)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		if err := e.role.handle(r, e, f); err != nil {
			return err
		}
		rest = rest[size:]
	}
	e.in = append(e.in[:0], rest...)
	return nil
}

// flush writes what waits, once.
func (e *endpoint) flush(r *run) error {
	e.dirty = false
	if len(e.out) == 0 || e.gone {
		return nil
	}
	n, again, err := writeFD(e.fd, e.out)
	if err != nil {
		return err
	}
	if n == 0 && !again {
		return io.ErrShortWrite
	}
	if n == len(e.out) {
		e.out = e.out[:0]
		if e.blocked {
			e.blocked = false
			if err := r.poll.wantWrite(e.fd, e.key, false); err != nil {
				return err
			}
		}
		e.role.drained(r)
		return nil
	}
	e.out = append(e.out[:0], e.out[n:]...)
	if e.blocked {
		return nil
	}
	e.blocked = true
	return r.poll.wantWrite(e.fd, e.key, true)
}

// other acts on the packets that publishers and subscribers share.
func (e *endpoint) other(r *run, f packet.Frame) error {
	switch f.Type {
	case packet.TypePingresp:
		return packet.DecodePing(f)
	case packet.TypeSuback:
		var ack packet.Suback
		if err := packet.DecodeSuback(f, r.cfg.Version, &ack); err != nil {
			return err
		}
		if len(ack.Reasons) != 1 || ack.Reasons[0] != packet.ReasonCode(r.cfg.QoS) {
			return errNotGranted
		}
		return nil
	case packet.TypeDisconnect:
		var d packet.Disconnect
		if err := packet.DecodeDisconnect(f, r.cfg.Version, &d); err != nil {
			return err
		}
		return fmt.Errorf("the broker disconnects: %s", d.Reason)
	}
	return fmt.Errorf("an unexpected %s", f.Type)
}

// sendAck queues a and has it written after this round.
func (e *endpoint) sendAck(r *run, t packet.Type, id packet.ID) {
	r.ackOut.Type, r.ackOut.ID = t, id
	e.out = packet.AppendAck(e.out, r.cfg.Version, &r.ackOut)
	r.touch(e)
}

func (e *endpoint) ping(r *run) {
	e.out = packet.AppendPingreq(e.out)
	r.touch(e)
}
