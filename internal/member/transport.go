package member

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"tombolo/internal/wire"
)

// errCut is what a connection to a node on the other side of a rehearsed cut
// ends with.
var errCut = errors.New("cut off for a rehearsal")

// cutTransport is memberlist's transport with a cut in it: what goes to a node
// beyond it vanishes, and what comes from its address. Streams that come are
// known by their IP alone: one is refused if all nodes that are known at that
// IP are beyond the cut. Safe for concurrent use.
type cutTransport struct {
	*memberlist.NetTransport
	packets chan *memberlist.Packet
	streams chan net.Conn
	closing chan struct{} // nobody reads packets and streams any more
	closed  chan struct{} // nothing comes any more
	once    sync.Once
	open    context.Context // of the streams; set by run
	hangUp  context.CancelFunc
	mu      struct {
		sync.Mutex
		cut       map[wire.NodeID]bool
		addresses map[string]wire.NodeID // ip:port of gossip
	}
}

func newCutTransport(t *memberlist.NetTransport) *cutTransport {
	c := &cutTransport{NetTransport: t, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), closing: make(chan struct{}), closed: make(chan struct{})}
	c.mu.cut, c.mu.addresses = map[wire.NodeID]bool{}, map[string]wire.NodeID{}
	return c
}

// addressesMax bounds what is remembered of nodes that come and go.
const addressesMax = 1024

// know remembers where a node gossips.
func (c *cutTransport) know(id wire.NodeID, address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.addresses) >= addressesMax {
		clear(c.mu.addresses)
	}
	c.mu.addresses[address] = id
}

func (c *cutTransport) setCut(ids []wire.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.mu.cut)
	for _, id := range ids {
		c.mu.cut[id] = true
	}
}

// beyond says that an address, or a node by its name, is beyond the cut.
func (c *cutTransport) beyond(name, address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.cut) == 0 {
		return false
	}
	id, ok := parseID(name)
	if !ok {
		id = c.mu.addresses[address]
	}
	return c.mu.cut[id]
}

// beyondIP says that all nodes known at an IP are beyond the cut.
func (c *cutTransport) beyondIP(a net.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ip, _, err := net.SplitHostPort(a.String())
	if err != nil || len(c.mu.cut) == 0 {
		return false
	}
	known := false
	for address, id := range c.mu.addresses {
		if host, _, err := net.SplitHostPort(address); err != nil || host != ip {
			continue
		}
		if !c.mu.cut[id] {
			return false
		}
		known = true
	}
	return known
}

// run hands on what comes until Shutdown; the end of ctx breaks all streams.
func (c *cutTransport) run(ctx context.Context) {
	c.open, c.hangUp = context.WithCancel(ctx)
	go func() {
		for {
			select {
			case p := <-c.NetTransport.PacketCh():
				if c.beyond("", p.From.String()) {
					continue
				}
				select {
				case c.packets <- p:
				case <-c.closing:
				}
			case <-c.closed:
				return
			}
		}
	}()
	go func() {
		for {
			select {
			case s := <-c.NetTransport.StreamCh():
				if c.beyondIP(s.RemoteAddr()) {
					_ = s.Close()
					continue
				}
				select {
				case c.streams <- c.stream(s):
				case <-c.closing:
					_ = s.Close()
				}
			case <-c.closed:
				return
			}
		}
	}()
}

// PacketCh is memberlist's.
func (c *cutTransport) PacketCh() <-chan *memberlist.Packet { return c.packets }

// StreamCh is memberlist's.
func (c *cutTransport) StreamCh() <-chan net.Conn { return c.streams }

// WriteTo is memberlist's.
func (c *cutTransport) WriteTo(b []byte, address string) (time.Time, error) {
	return c.WriteToAddress(b, memberlist.Address{Addr: address})
}

// WriteToAddress is memberlist's.
func (c *cutTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if c.beyond(a.Name, a.Addr) {
		return time.Now(), nil
	}
	return c.NetTransport.WriteToAddress(b, a)
}

// DialTimeout is memberlist's.
func (c *cutTransport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return c.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// DialAddressTimeout is memberlist's; a stop of the node ends it.
func (c *cutTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if c.beyond(a.Name, a.Addr) {
		return nil, errCut
	}
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(c.open, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	return c.stream(conn), nil
}

// Shutdown is memberlist's.
func (c *cutTransport) Shutdown() (err error) {
	c.once.Do(func() {
		if c.hangUp != nil {
			c.hangUp()
		}
		close(c.closing)
		err = c.NetTransport.Shutdown()
		close(c.closed)
	})
	return err
}

func (c *cutTransport) stream(conn net.Conn) *stream {
	return &stream{Conn: conn, stop: context.AfterFunc(c.open, func() { _ = conn.Close() })}
}

// stream is a connection that the transport's end closes. Immutable.
type stream struct {
	net.Conn
	stop func() bool
}

// Close closes the connection.
func (s *stream) Close() error {
	s.stop()
	return s.Conn.Close()
}
