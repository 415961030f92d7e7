package broker

import (
	"testing"

	"tombolo/internal/conn"
	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/queue"
)

// stall has the answers of a node's message store wait until the function that
// it returns is called: nothing counts as committed meanwhile.
func (n *rigNode) stall() (goOn func()) {
	entered, open := make(chan struct{}), make(chan struct{})
	n.queue.Append(&queue.Event{Msg: &queue.Message{ID: n.queue.NextID()}}, func(error) {
		close(entered)
		<-open
	})
	<-entered
	return func() { close(open) }
}

// written is how much was written to the connection; from any goroutine.
func (c *quietConn) written() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// enter connects a client over c, and waits until it is in.
func (n *rigNode) enter(t *testing.T, id string, clean bool, c conn.Conn) *peer {
	t.Helper()
	p := n.b.Accept(&Listener{Name: "rig"})(c).(*peer)
	p.feed(t, packet.AppendConnect(nil, &packet.Connect{Version: packet.V311, CleanStart: clean, ClientID: []byte(id)}))
	eventually(t, id+" is in", func() bool { return p.client.Load() != nil })
	return p
}

// TestEarlyDelivery: a message at QoS 1 reaches a connected persistent session
// before it is on the disk, from its own node and from another one; its publisher's
// answer waits for the disk (P1), and so does a message at QoS 2. What the client
// acknowledged before is not kept.
func TestEarlyDelivery(t *testing.T) {
	m := rig(t, 2)
	home, away := m.nodes[0], m.nodes[1]
	sub := home.dial(t, "sub", lasting)
	sub.subscribe(2, "x/#")
	out := &quietConn{}
	here, there := home.enter(t, "here", true, out), away.dial(t, "there")
	goOn := home.stall()
	before := out.written()
	for _, p := range []packet.Publish{
		{QoS: 1, ID: 1, Payload: []byte("here")}, {QoS: 2, ID: 2, Payload: []byte("at QoS 2")}, {Payload: []byte("at QoS 0")},
	} {
		p.Topic = []byte("x/1")
		here.feed(t, packet.AppendPublish(nil, packet.V311, &p))
	}
	sub.expect("here", "at QoS 0")
	if out.written() != before {
		t.Error("a publisher was answered, and nothing is on the disk")
	}
	goOn()
	sub.expect("at QoS 2")
	eventually(t, "both are answered", func() bool { return out.written() == before+8 })

	goOn = home.stall()
	m.wg.Go(func() { there.send("x/1", "there", 1) })
	sub.expect("there")
	goOn()
	c := home.b.registry.get(Key{"", "sub"})
	eventually(t, "the queue is empty", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.queue.Pending() == 0 && c.queue.Len() == 0 && c.queue.InFlight() == 0
	})
	home.restart(t)
	sub = home.dial(t, "sub", lasting)
	sub.expectNothing(home.dial(t, "mark"))
}

// TestEarlyIsBounded: a client that does not acknowledge gets as many as may be in
// flight, whoever brings more is not held up, and they come in order when it does.
func TestEarlyIsBounded(t *testing.T) {
	const window, many = 3, 10
	n := rig(t, 1, func(s *Settings) { s.Limits.InflightMax = window }).nodes[0]
	out := &quietConn{}
	p := n.enter(t, "slow", false, out)
	suback := out.written() + 5
	p.feed(t, packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("x"), QoS: 1}}}))
	eventually(t, "it has subscribed", func() bool { return out.written() >= suback })
	goOn := n.stall()
	defer goOn()
	body := packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: []byte("x"), Payload: make([]byte, 100)})
	before := out.written()
	for seq := uint64(1); seq <= many; seq++ {
		f := &wire.Publish{ID: wire.MessageID{Ingress: 2, N: seq}, Flags: 1, Body: body}
		if res, _, ok := n.b.TakeInstant(2, 1, seq, f, func(uint64, wire.Result, uint8) {}); !ok || res != wire.Later {
			t.Fatalf("message %d: %v, %v", seq, res, ok)
		}
		n.b.Drained(2)
	}
	if got := (out.written() - before) / 100; got != window {
		t.Errorf("%d were sent, want %d", got, window)
	}
}
