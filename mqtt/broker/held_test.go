package broker

import (
	"fmt"
	"testing"
	"time"

	"tombolo/mqtt/packet"
	"tombolo/netsplit"
)

// later is a publish whose end is awaited elsewhere.
type later struct {
	reason packet.ReasonCode
	err    error
}

func (p *person) begin(topic, payload string, qos uint8, change ...func(*packet.Publish)) <-chan later {
	end := make(chan later, 1)
	go func() {
		r, err := p.trySend(20*time.Second, topic, payload, qos, change...)
		end <- later{r, err}
	}()
	return end
}

// TestR14Held: while publishing is closed QoS 1 and 2 wait, of every version; at
// the heal they are made in order. QoS 0 is dropped; what came before is not
// affected.
func TestR14Held(t *testing.T) {
	for _, version := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		m := rig(t, 1)
		n := m.nodes[0]
		sub := n.dial(t, "sub")
		sub.subscribe(2, "a")
		pub := n.dial(t, "pub", func(c *packet.Connect) { c.Version = version })
		n.split(true)
		pub.send("a", "dropped", 0)
		var ends []<-chan later
		for i := range 6 {
			ends = append(ends, pub.begin("a", fmt.Sprint(i), uint8(1+i%2)))
			eventually(t, "it is held", func() bool { return n.counter("netsplit_publish_held_total") == i+1 })
		}
		select {
		case m := <-sub.Messages():
			t.Fatalf("%s came through a closed gate", m.Payload)
		case e := <-ends[0]:
			t.Fatalf("answered: %v", e)
		default:
		}
		n.split(false)
		sub.expect("0", "1", "2", "3", "4", "5")
		for _, c := range ends {
			if e := <-c; e.err != nil || e.reason.Failed() {
				t.Fatalf("version %d: %v", version, e)
			}
		}
		if n.b.held.Load() != 0 {
			t.Errorf("%d bytes are still counted", n.b.held.Load())
		}
	}
}

// TestR14Refuses: with netsplit_publish_response = error MQTT 5 is told, 3.1.1
// is held all the same.
func TestR14Refuses(t *testing.T) {
	m := rig(t, 1, func(s *Settings) { s.RefuseWhenGated = true })
	n := m.nodes[0]
	n.split(true)
	pub := n.dial5Open(t, "pub")
	for qos := uint8(1); qos <= 2; qos++ {
		r, err := pub.trySend(20*time.Second, "a", "x", qos)
		if err != nil || r != packet.ImplementationSpecificError {
			t.Fatalf("QoS %d: %v, %v", qos, r, err)
		}
	}
	old := n.dial5Open(t, "old", v311)
	end := old.begin("a", "x", 1)
	eventually(t, "3.1.1 is held", func() bool { return n.counter("netsplit_publish_held_total") == 1 })
	n.split(false)
	if e := <-end; e.err != nil {
		t.Fatal(e.err)
	}
}

// dial5Open connects while the gate is closed for all but registering.
func (n *rigNode) dial5Open(t *testing.T, id string, change ...func(*packet.Connect)) *person {
	t.Helper()
	before := n.gate.Now()
	n.split(before.Split, netsplit.Register)
	return n.dial(t, id, change...)
}

// TestR14Bounds: at max_inflight_messages, at netsplit_hold_bytes and after
// netsplit_hold_timeout the connection is closed and counted, and what it held
// is let go.
func TestR14Bounds(t *testing.T) {
	closed := func(n *rigNode, p *person, send func()) {
		t.Helper()
		send()
		eventually(t, "the connection is closed", func() bool { _, open := <-p.Messages(); return !open })
		eventually(t, "nothing is counted", func() bool { return n.b.held.Load() == 0 })
		if n.counter("netsplit_held_closed_total") != 1 {
			t.Error("the close was not counted")
		}
	}
	t.Run("client", func(t *testing.T) {
		n := rig(t, 1, func(s *Settings) { s.Limits.InflightMax = 2 }).nodes[0]
		p := n.dial(t, "p", v311)
		n.split(true)
		closed(n, p, func() {
			for range 3 {
				p.begin("a", "x", 1)
			}
		})
	})
	t.Run("node", func(t *testing.T) {
		n := rig(t, 1, func(s *Settings) { s.HoldBytesMax = 1000 }).nodes[0]
		p := n.dial(t, "p")
		n.split(true)
		closed(n, p, func() { p.begin("a", string(make([]byte, 2000)), 1) })
	})
	t.Run("timeout", func(t *testing.T) {
		n := rig(t, 1, func(s *Settings) { s.HoldTimeout = 100 * time.Millisecond }).nodes[0]
		p := n.dial(t, "p", lasting)
		n.split(true)
		closed(n, p, func() { p.begin("a", "x", 2) })
		// The packet id is free: the client sends the message again.
		n.split(false)
		sub := n.dial(t, "sub")
		sub.subscribe(2, "a")
		p = n.dial(t, "p", lasting)
		p.send("a", "again", 2)
		sub.expect("again")
	})
}

// TestR14HalfTheKeepAlive: nobody is held for longer than half its keep alive.
func TestR14HalfTheKeepAlive(t *testing.T) {
	c := &client{peer: &peer{keepAlive: grace(10)}}
	if ms := c.patience(&Settings{}); ms != 5000 {
		t.Errorf("held for %d ms with a keep alive of 10 s", ms)
	}
	c.peer.keepAlive = 0
	if ms := c.patience(&Settings{}); ms != 10000 {
		t.Errorf("held for %d ms without a keep alive", ms)
	}
}

// TestR14Pings: a client whose publish is held is answered otherwise.
func TestR14Pings(t *testing.T) {
	m := rig(t, 1)
	n := m.nodes[0]
	pub := n.dial(t, "pub")
	n.split(true)
	end := pub.begin("a", "x", 1)
	eventually(t, "it is held", func() bool { return n.counter("netsplit_publish_held_total") == 1 })
	if r := pub.trySubscribe(1, "a"); r[0] != packet.ImplementationSpecificError {
		t.Fatalf("SUBACK with %v during the split", r)
	}
	n.split(false)
	if e := <-end; e.err != nil {
		t.Fatal(e.err)
	}
}

// TestR11SpoolFull: a publish that would need a spool without room is refused
// with 0x97, and before MQTT 5 held until there is room; nothing of it has
// happened before.
func TestR11SpoolFull(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	sub := b.dial(t, "sub", lasting)
	sub.subscribe(1, "a")
	near := a.dial(t, "near")
	near.subscribe(1, "#")
	full := func(is bool) {
		a.cluster.mu.Lock()
		defer a.cluster.mu.Unlock()
		a.cluster.mu.full[b.id] = is
	}
	full(true)
	pub := a.dial(t, "pub")
	for _, change := range []func(*packet.Publish){func(*packet.Publish) {}, retained} {
		end := pub.begin("a", "x", 1, change)
		if e := <-end; e.err != nil || e.reason != packet.QuotaExceeded {
			t.Fatalf("%v", e)
		}
	}
	old := a.dial(t, "old", v311)
	end := old.begin("a", "held", 1)
	eventually(t, "3.1.1 is held", func() bool { return a.counter("netsplit_publish_held_total") == 1 })
	if _, found, _ := a.meta.GetRetained("", "a", 0); found {
		t.Error("a refused publish left a retained message")
	}
	full(false)
	if e := <-end; e.err != nil {
		t.Fatal(e.err)
	}
	near.expect("held")
	sub.expect("held")
	near.expectNothing(pub)
}

// TestR9SpooledForDurable: to a node that is down by verdict only what its
// persistent sessions want is sent.
func TestR9SpooledForDurable(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	b.dial(t, "s", lasting).subscribe(1, "keep")
	b.dial(t, "bound").subscribe(1, "lose")
	eventually(t, "the route is derived", func() bool { return len(a.b.mount("").index.Match([]byte("keep")).Direct) == 2 })
	pub := a.dial(t, "pub")
	m.cut(a, b, true)
	m.verdict(a, b, false)
	if r := pub.send("lose", "x", 1); r != packet.NoMatchingSubscribers {
		t.Fatalf("acknowledged with %v", r)
	}
	if r := pub.send("keep", "x", 1); r != packet.Success {
		t.Fatalf("acknowledged with %v", r)
	}
	pub.send("keep", "y", 0)
	h := a.cluster.hopTo(b.id)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.carried) != 1 || len(h.queues) > 3 {
		t.Fatalf("%d frames went to a node that is down", len(h.carried))
	}
}

// TestR15Unsubscribe: a 3.x UNSUBSCRIBE is applied and answered in any split,
// version 5 is told no.
func TestR15Unsubscribe(t *testing.T) {
	m := rig(t, 1)
	n := m.nodes[0]
	for _, c := range []struct {
		version packet.Version
		left    int
	}{{packet.V31, 0}, {packet.V311, 0}, {packet.V5, 1}} {
		n.split(false)
		p := n.dial(t, fmt.Sprint("p", c.version), func(k *packet.Connect) { k.Version = c.version })
		p.subscribe(1, "a")
		n.split(true)
		rs, err := p.unsubscribe("a")
		if err != nil || c.version == packet.V5 && rs[0] != packet.ImplementationSpecificError {
			t.Errorf("version %d: %v, %v", c.version, rs, err)
		}
		if i, _ := n.b.Session(Key{ClientID: p.ClientID()}); len(i.Subscriptions) != c.left {
			t.Errorf("version %d has %v left", c.version, i.Subscriptions)
		}
	}
}
