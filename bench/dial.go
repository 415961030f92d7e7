package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"tombolo/mqtt/packet"
)

const (
	handshakeMax   = 30 * time.Second
	dialsAtOnceMax = 64
)

// client says how one connection is made. Immutable.
type client struct {
	target string // host:port, or a way and ://host:port
	id     string
	filter string // to subscribe to, "" for none
	keeps  bool   // the session stays when the connection ends
}

// session is a connection whose handshake is done.
type session struct {
	fd         int
	rest       []byte // received behind the handshake
	receiveMax int    // messages that the broker takes at once
	present    bool   // the broker had the session
}

// connectAll connects every client, several at once, and returns the sessions
// in their order. After an error everything is closed again.
func connectAll(ctx context.Context, cfg *Config, clients []client, tick func(done int)) ([]session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sessions := make([]session, len(clients))
	next := make(chan int)
	done := make(chan error)
	var workers sync.WaitGroup
	for range min(dialsAtOnceMax, len(clients)) {
		workers.Go(func() {
			for i := range next {
				s, err := connect(ctx, cfg, clients[i])
				if err == nil {
					sessions[i] = s
				}
				done <- err
			}
		})
	}
	given, finished := 0, 0
	for finished < given || given < len(clients) && ctx.Err() == nil {
		feed := next
		if given == len(clients) || ctx.Err() != nil {
			feed = nil
		}
		select {
		case feed <- given:
			given++
		case err := <-done:
			finished++
			if err != nil {
				cancel(err)
			}
			tick(finished)
		}
	}
	close(next)
	workers.Wait()
	if ctx.Err() == nil {
		return sessions, nil
	}
	for _, s := range sessions {
		if s.fd != 0 {
			closeFD(s.fd)
		}
	}
	return nil, context.Cause(ctx)
}

// connect does one handshake, with SUBSCRIBE if there is a filter, and takes
// the socket out of the runtime's poller.
func connect(ctx context.Context, cfg *Config, cl client) (session, error) {
	fail := func(err error) (session, error) {
		return session{}, fmt.Errorf("connecting %s to %s: %w", cl.id, cl.target, err)
	}
	conn, err := transport(ctx, cfg, cl.target)
	if err != nil {
		return fail(err)
	}
	ours := true
	defer func() {
		if ours {
			conn.Close()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(handshakeMax)); err != nil {
		return fail(err)
	}
	h := handshake{conn: conn, version: cfg.Version}
	s := session{receiveMax: windowMax}
	if err := h.open(cfg, &cl, &s); err != nil {
		return fail(err)
	}
	if cl.filter != "" {
		if err := h.subscribe(cl.filter, cfg.QoS); err != nil {
			return fail(err)
		}
	}
	s.rest = h.in
	ours = false
	if s.fd, err = descriptor(conn, cfg.Scenario == Idle); err != nil {
		return fail(err)
	}
	return s, nil
}

// handshake is a connection before the event loop has it. Owned by connect.
type handshake struct {
	conn    net.Conn
	version packet.Version
	in      []byte
}

// next reads until there is a whole packet and calls use with it.
func (h *handshake) next(use func(f packet.Frame) error) error {
	var buf [4096]byte
	for {
		f, size, err := packet.Split(h.in, 0)
		if err != nil {
			return err
		}
		if size > 0 {
			err := use(f)
			h.in = h.in[size:]
			return err
		}
		n, err := h.conn.Read(buf[:])
		if err != nil {
			return err
		}
		h.in = append(h.in, buf[:n]...)
	}
}

// sessionExpiry is how long a session of ours outlives its connection, in
// seconds, should the run end before it can clean up.
const sessionExpiry = 3600

// connectPacket is the CONNECT of a client.
func connectPacket(cfg *Config, cl *client) []byte {
	c := packet.Connect{
		Version: cfg.Version, ClientID: []byte(cl.id), CleanStart: !cl.keeps,
		KeepAlive:   uint16(cfg.KeepAlive / time.Second),
		HasUsername: cfg.Username != "", Username: []byte(cfg.Username),
		HasPassword: cfg.Password != "", Password: []byte(cfg.Password),
	}
	if cl.keeps && cfg.Version == packet.V5 {
		c.Properties.Set |= packet.PropSessionExpiry
		c.Properties.SessionExpiry = sessionExpiry
	}
	return packet.AppendConnect(nil, &c)
}

func (h *handshake) open(cfg *Config, cl *client, s *session) error {
	if _, err := h.conn.Write(connectPacket(cfg, cl)); err != nil {
		return err
	}
	return h.next(func(f packet.Frame) error {
		var ack packet.Connack
		if err := packet.DecodeConnack(f, h.version, &ack); err != nil {
			return err
		}
		if ack.Reason != packet.Success {
			return fmt.Errorf("the broker refused: %s", ack.Reason)
		}
		s.present = ack.SessionPresent
		if ack.Properties.Has(packet.PropReceiveMaximum) {
			s.receiveMax = min(s.receiveMax, int(ack.Properties.ReceiveMaximum))
		}
		return nil
	})
}

var errNotGranted = errors.New("the broker granted less than the QoS asked for")

func (h *handshake) subscribe(filter string, qos uint8) error {
	s := packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: qos}}}
	if _, err := h.conn.Write(packet.AppendSubscribe(nil, h.version, &s)); err != nil {
		return err
	}
	return h.next(func(f packet.Frame) error {
		var ack packet.Suback
		if err := packet.DecodeSuback(f, h.version, &ack); err != nil {
			return err
		}
		if len(ack.Reasons) != 1 || ack.Reasons[0] != packet.ReasonCode(qos) {
			return errNotGranted
		}
		return nil
	})
}
