package broker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"tombolo/internal/conn"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// quietConn is a connection that takes everything and keeps nothing.
type quietConn struct {
	mu     sync.Mutex
	bytes  int
	copied int // of bytes
}

func (c *quietConn) Append(p []byte)               { c.bytes += len(p); c.copied += len(p) }
func (c *quietConn) AppendShared(p []byte)         { c.bytes += len(p) }
func (c *quietConn) Reserve(n int) []byte          { return make([]byte, n) }
func (c *quietConn) Buffered() int                 { return 0 }
func (c *quietConn) Flush()                        {}
func (c *quietConn) Wake()                         {}
func (c *quietConn) PauseRead()                    {}
func (c *quietConn) ResumeRead()                   {}
func (c *quietConn) Shutdown(error, time.Duration) {}
func (c *quietConn) Info() conn.Info               { return conn.Info{} }
func (c *quietConn) Locker() *sync.Mutex           { return &c.mu }

// join connects a client over a quiet connection.
func (n *rigNode) join(t *testing.T, id string) *peer {
	t.Helper()
	return n.joinOver(t, id, &quietConn{})
}

func (n *rigNode) joinOver(t *testing.T, id string, c conn.Conn) *peer {
	t.Helper()
	h := n.b.Accept(&Listener{Name: "rig"})(c)
	p := h.(*peer)
	p.feed(t, packet.AppendConnect(nil, &packet.Connect{Version: packet.V311, CleanStart: true, ClientID: []byte(id)}))
	if p.client.Load() == nil {
		t.Fatalf("%s is not in", id)
	}
	return p
}

// feed steps what a client sends.
func (p *peer) feed(t *testing.T, b []byte) {
	t.Helper()
	if n, _, err := p.OnBytes(b); err != nil || n != len(b) {
		t.Fatalf("%d of %d bytes, %v", n, len(b), err)
	}
	p.OnRoundEnd()
}

func publishOf(topic string, qos uint8) []byte {
	return packet.AppendPublish(nil, packet.V311, &packet.Publish{Topic: []byte(topic), QoS: qos, ID: packet.ID(qos), Payload: make([]byte, 128)})
}

// countingCluster confirms what is sent at once, when it is asked to.
type countingCluster struct {
	*fakeCluster
	tickets []Ticket
	posted  int
	flushed int
	other   bool
	keep    func(to wire.NodeID, run []byte) (dropped int) // nil: they are counted
}

func (c *countingCluster) Alone() bool { return !c.other }
func (c *countingCluster) Post(to wire.NodeID, run []byte) int {
	if c.keep != nil {
		return c.keep(to, run)
	}
	c.posted += wire.Frames(run)
	return 0
}
func (c *countingCluster) Send(_ wire.NodeID, _ wire.Stream, _ wire.Type, _ []byte, tk Ticket) error {
	c.tickets = append(c.tickets, tk)
	return nil
}
func (c *countingCluster) SendPublish(_ wire.NodeID, _ []byte, tk Ticket) error {
	c.tickets = append(c.tickets, tk)
	return nil
}
func (c *countingCluster) Flush(wire.NodeID)           { c.flushed++ }
func (c *countingCluster) Announce(wire.Route)         {}
func (c *countingCluster) Announced(done func(error))  { done(errors.New("not asked")) }
func (c *countingCluster) Replicated(done func(error)) { done(errors.New("not asked")) }
func (c *countingCluster) Register(context.Context, Registration) (Grant, error) {
	return Grant{Epoch: metadata.Epoch{HLC: c.n.meta.Stamp(), Node: 1}}, nil
}

// TestCost: traffic that stays on a node allocates nothing at QoS 0, in a
// cluster as well; a frame for others costs a few allocations, once for all
// nodes.
func TestCost(t *testing.T) {
	if raceEnabled {
		return // it allocates on its own account
	}
	n, c := countingRig(t)
	sub := n.join(t, "sub")
	sub.feed(t, packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("near/#")}, {Filter: []byte("$share/g/shared")}}}))
	pub := n.join(t, "pub")
	c.other = true
	n.b.MembersChanged([]wire.NodeID{1, 2, 3})
	for id := wire.NodeID(2); id <= 3; id++ {
		n.b.TakeRoutes(id, &wire.Routes{List: []wire.Route{{Filter: "far/#", Members: 1}, {Filter: "shared", Group: "g", Members: 1, Online: 1}}})
	}
	cost := func(name string, most float64, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(500, f); got > most {
			t.Errorf("%s: %.1f allocations, %v are allowed", name, got, most)
		} else {
			t.Logf("%s: %.1f allocations", name, got)
		}
	}
	near, far, far1, shared := publishOf("near/x", 0), publishOf("far/x", 0), publishOf("far/x", 1), publishOf("shared", 0)
	cost("QoS 0, local", 0, func() { pub.feed(t, near) })
	cost("QoS 0, local, shared", 0, func() { pub.feed(t, shared) })
	cost("QoS 0, two nodes", 0, func() { pub.feed(t, far) })
	if c.posted < 1000 {
		t.Errorf("%d were posted", c.posted)
	}
	c.tickets = make([]Ticket, 0, 4096)
	cost("QoS 1, two nodes", 1.1, func() { pub.feed(t, far1) })
	if len(c.tickets) < 1000 {
		t.Errorf("%d were sent", len(c.tickets))
	}
	list := c.tickets
	i := 0
	cost("confirmed by two nodes", 0.1, func() {
		for range 2 {
			list[i].Ended(wire.NodeID(2+i%2), Stored, 0)
			i++
		}
	})
}

// TestArrivalCost: a message of another node costs no allocation at QoS 0, and
// a few at QoS 1.
func TestArrivalCost(t *testing.T) {
	if raceEnabled {
		return
	}
	n := rig(t, 1).nodes[0]
	sub := n.join(t, "sub")
	sub.feed(t, packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("a"), QoS: 1}}}))
	frame := func(qos uint8) *wire.Publish {
		body := packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: []byte("a"), Payload: make([]byte, 128)})
		return &wire.Publish{ID: wire.MessageID{Ingress: 1, N: 1}, Flags: qos, Body: body}
	}
	done := func(wire.Result, uint8) {}
	fast, sure := wire.AppendPublish(nil, frame(0)), frame(1)
	run := func(name string, most float64, f func()) {
		t.Helper()
		got := testing.AllocsPerRun(500, f)
		t.Logf("%s: %.1f allocations", name, got)
		if got > most {
			t.Errorf("%s: %.1f allocations, %v are allowed", name, got, most)
		}
	}
	take := func() {
		if err := n.b.TakeFast(2, fast); err != nil {
			t.Fatal(err)
		}
	}
	run("QoS 0", 0, take)
	run("QoS 0, one by one", 0, func() { take(); n.b.Drained(2) })
	seq := uint64(0)
	run("QoS 1", 2.2, func() { seq++; n.b.TakePublish(2, 1, seq, sure, done) })
	run("QoS 1, at once", 2.2, func() { seq++; n.b.TakeInstant(2, 1, seq, sure, nil); n.b.Drained(2) })
}
