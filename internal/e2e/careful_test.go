package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// careful is an MQTT 5 client that keeps its half of the session over every
// connection, as the standard asks (§4.1, §4.4): what it sent and has not seen
// acknowledged, and which QoS 2 messages it has received. Libraries keep it in
// ways that hide who lost what; this one forgets nothing and repeats nothing of
// its own accord. Its state is guarded by mu; its connection belongs to drive.
type careful struct {
	tb      testing.TB
	name    string
	expiry  uint32
	filter  string // what it subscribes to; "" for a publisher
	qos     byte
	deliver func(p *packet.Publish)
	lag     atomic.Int64 // nanoseconds that it takes to look at a packet
	away    atomic.Bool  // it does not connect

	mu struct {
		sync.Mutex
		conn     net.Conn
		known    bool // the broker has acknowledged the session
		granted  bool // and the subscription
		halted   bool
		next     packet.ID
		flights  []*flight          // in order of publication
		received map[packet.ID]bool // QoS 2 taken and not released
		faults   []string
	}
	wake chan struct{} // told when a flight has ended
}

// flight is a publish under way. Guarded by the client's mu.
type flight struct {
	id       packet.ID
	packet   []byte
	again    []byte // the same with DUP
	released bool   // PUBREC has come
	acked    func()
}

func newCareful(tb testing.TB, name string) *careful {
	c := &careful{tb: tb, name: name, expiry: 3600, wake: make(chan struct{}, 1)}
	c.mu.received = map[packet.ID]bool{}
	return c
}

// run connects to the address, again and again, until halt.
func (c *careful) run(address string) {
	for !c.over() {
		if !c.away.Load() {
			_ = c.drive(address) // the broker is down, or coming up, or we were cut off
		}
		pause(pollEvery)
	}
}

func (c *careful) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.halted
}

// halt ends the client, without DISCONNECT.
func (c *careful) halt() {
	c.mu.Lock()
	c.mu.halted = true
	c.mu.Unlock()
	c.drop()
}

// drop cuts the connection.
func (c *careful) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.conn != nil {
		c.mu.conn.Close()
	}
}

// faultLocked files what the broker did wrong.
func (c *careful) faultLocked(format string, args ...any) {
	c.mu.faults = append(c.mu.faults, c.name+": "+fmt.Sprintf(format, args...))
}

func (c *careful) faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mu.faults)
}

// drive is one connection from its beginning to its end.
func (c *careful) drive(address string) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	connect := packet.Connect{Version: packet.V5, ClientID: []byte(c.name), KeepAlive: 60}
	connect.Properties.Set |= packet.PropSessionExpiry
	connect.Properties.SessionExpiry = c.expiry
	if _, err := conn.Write(packet.AppendConnect(nil, &connect)); err != nil {
		return err
	}
	in := &frames{r: bufio.NewReaderSize(conn, 64<<10)}
	f, err := in.next()
	if err != nil {
		return err
	}
	var ack packet.Connack
	if err := packet.DecodeConnack(f, packet.V5, &ack); err != nil {
		return err
	}
	if ack.Reason != packet.Success {
		return errors.New(ack.Reason.String())
	}
	if err := c.opened(conn, &ack); err != nil {
		return err
	}
	for {
		f, err := in.next()
		if err != nil {
			c.closed()
			return err
		}
		if lag := c.lag.Load(); lag > 0 {
			pause(time.Duration(lag))
		}
		if err := c.handle(f); err != nil {
			c.closed()
			return err
		}
	}
}

func (c *careful) closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.conn = nil
}

// opened takes up the session where it was: first what is unanswered, in its
// order, then the subscription if it was never acknowledged.
func (c *careful) opened(conn net.Conn, ack *packet.Connack) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.known && !ack.SessionPresent {
		c.faultLocked("the session that was acknowledged is gone")
		c.mu.granted = false
	}
	if !ack.SessionPresent {
		clear(c.mu.received)
	}
	c.mu.known = true
	c.mu.conn = conn
	var out []byte
	for _, f := range c.mu.flights {
		if f.released {
			out = packet.AppendAck(out, packet.V5, &packet.Ack{Type: packet.TypePubrel, ID: f.id})
		} else {
			out = append(out, f.again...)
		}
	}
	if c.filter != "" && !c.mu.granted {
		out = packet.AppendSubscribe(out, packet.V5, &packet.Subscribe{ID: subscribeID,
			Subscriptions: []packet.Subscription{{Filter: []byte(c.filter), QoS: c.qos}}})
	}
	return c.writeLocked(out)
}

// subscribeID is beyond the identifiers that publish uses.
const subscribeID packet.ID = 60_000

// writeLocked writes; the sockets' buffers hold more than a test has in
// flight, so that this does not block for long.
func (c *careful) writeLocked(out []byte) error {
	if len(out) == 0 {
		return nil
	}
	if c.mu.conn == nil {
		return net.ErrClosed
	}
	_, err := c.mu.conn.Write(out)
	return err
}

// publish sends a message, or keeps it for the next connection; acked is
// called when the broker has taken it for good.
func (c *careful) publish(p *packet.Publish, acked func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.next = c.mu.next%(subscribeID-1) + 1
	p.ID = c.mu.next
	f := &flight{id: p.ID, packet: packet.AppendPublish(nil, packet.V5, p), acked: acked}
	again := *p
	again.Dup = true
	f.again = packet.AppendPublish(nil, packet.V5, &again)
	c.mu.flights = append(c.mu.flights, f)
	_ = c.writeLocked(f.packet) // on failure it goes with the next connection
}

// unanswered is how many publishes are under way.
func (c *careful) unanswered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.flights)
}

// subscribed reports whether the broker has acknowledged the subscription.
func (c *careful) subscribed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.granted
}

func (c *careful) handle(f packet.Frame) error {
	switch f.Type {
	case packet.TypePublish:
		return c.incoming(f)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		return c.answer(f)
	case packet.TypeSuback:
		var a packet.Suback
		if err := packet.DecodeSuback(f, packet.V5, &a); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(a.Reasons) != 1 || a.Reasons[0] != packet.ReasonCode(c.qos) {
			c.faultLocked("SUBACK %v", a.Reasons)
		}
		c.mu.granted = true
		return nil
	case packet.TypeDisconnect:
		return io.EOF
	}
	return fmt.Errorf("unexpected %v", f.Type)
}

// incoming takes a message: at QoS 2 once for each identifier.
func (c *careful) incoming(f packet.Frame) error {
	var p packet.Publish
	if err := packet.DecodePublish(f, packet.V5, &p); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch p.QoS {
	case 0:
		c.deliver(&p)
		return nil
	case 1:
		c.deliver(&p)
		return c.writeLocked(packet.AppendAck(nil, packet.V5, &packet.Ack{Type: packet.TypePuback, ID: p.ID}))
	}
	if !c.mu.received[p.ID] {
		c.mu.received[p.ID] = true
		c.deliver(&p)
	} else if !p.Dup {
		c.faultLocked("a new message under identifier %d, which is still in use", p.ID)
	}
	return c.writeLocked(packet.AppendAck(nil, packet.V5, &packet.Ack{Type: packet.TypePubrec, ID: p.ID}))
}

// answer takes an acknowledgement of either direction.
func (c *careful) answer(f packet.Frame) error {
	var a packet.Ack
	if err := packet.DecodeAck(f, packet.V5, &a); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Type == packet.TypePubrel {
		delete(c.mu.received, a.ID)
		return c.writeLocked(packet.AppendAck(nil, packet.V5, &packet.Ack{Type: packet.TypePubcomp, ID: a.ID}))
	}
	i := slices.IndexFunc(c.mu.flights, func(f *flight) bool { return f.id == a.ID })
	if i < 0 {
		return nil // the answer to what was sent again after its first answer was lost
	}
	fl := c.mu.flights[i]
	// PUBREL that comes again finds nothing if PUBCOMP was lost: no error (§4.3.3).
	if a.Reason.Failed() && !(a.Type == packet.TypePubcomp && a.Reason == packet.PacketIDNotFound) {
		c.faultLocked("%v with %v", a.Type, a.Reason)
	}
	if a.Type == packet.TypePubrec {
		fl.released = true
		return c.writeLocked(packet.AppendAck(nil, packet.V5, &packet.Ack{Type: packet.TypePubrel, ID: a.ID}))
	}
	c.mu.flights = slices.Delete(c.mu.flights, i, i+1)
	fl.acked()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// frames reads packets from a connection. Owned by its reader.
type frames struct {
	r   *bufio.Reader
	buf []byte
}

// next returns a packet, which is valid until the next call.
func (f *frames) next() (packet.Frame, error) {
	head, err := f.r.Peek(2)
	for n := 3; err == nil && packet.Need(head) == 0 && n <= 5; n++ {
		head, err = f.r.Peek(n)
	}
	if err == nil {
		head, err = f.r.Peek(max(packet.Need(head), len(head)))
	}
	if err != nil {
		return packet.Frame{}, err
	}
	_, size, err := packet.Split(head, 0)
	if err != nil {
		return packet.Frame{}, err
	}
	f.buf = append(f.buf[:0], head[:size]...)
	if _, err := f.r.Discard(size); err != nil {
		return packet.Frame{}, err
	}
	frame, _, err := packet.Split(f.buf, 0)
	return frame, err
}

// unreleased is how many QoS 2 messages it took that the broker has not released.
func (c *careful) unreleased() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.received)
}

// settle waits until nothing is unanswered.
func (c *careful) settle(limit time.Duration) bool {
	return within(limit, func() bool { return c.unanswered() == 0 })
}
