package broker

import (
	"fmt"
	"sync"
	"testing"

	"tombolo/mqtt/packet"
)

// TestR8AcknowledgedMeansEverywhere: once a retained message is acknowledged
// every node gives it to a new subscriber, and not before every node holds it.
func TestR8AcknowledgedMeansEverywhere(t *testing.T) {
	m := rig(t, 3)
	pub := m.nodes[0].dial(t, "pub")
	for i := range 10 {
		topic := fmt.Sprint("r/", i)
		pub.send(topic, "v", uint8(1+i%2), retained)
		for j, n := range m.nodes {
			s := n.dial(t, fmt.Sprint("s", i, j))
			s.subscribe(1, topic)
			s.expect("v")
		}
	}
	pub.send("r/0", "", 1, retained)
	s := m.nodes[2].dial(t, "late")
	s.subscribe(1, "r/0")
	s.expectNothing(pub)
}

// TestR8WaitsForMembers: a retained publish is neither matched nor acknowledged
// while a reachable member lacks it, and what its client publishes next comes
// behind it.
func TestR8WaitsForMembers(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	near := a.dial(t, "near")
	near.subscribe(1, "a")
	eventually(t, "the table was read for near", func() bool {
		c := a.b.registry.get(Key{ClientID: "near"})
		c.mu.Lock()
		defer c.mu.Unlock()
		return !c.retaining
	})
	pub := a.dial(t, "pub")
	m.cut(a, b, true) // no verdict yet
	first := pub.begin("a", "1", 1, retained)
	eventually(t, "it is written here", func() bool { _, found, _ := a.meta.GetRetained("", "a", 0); return found })
	second := pub.begin("a", "2", 1)
	eventually(t, "the second is behind it", func() bool {
		c := a.b.registry.get(Key{ClientID: "pub"})
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.line.list) == 2
	})
	if len(near.Messages()) != 0 || len(first) != 0 || len(second) != 0 {
		t.Fatalf("it went on before the other node had it: %d messages, answered %d, %d", len(near.Messages()), len(first), len(second))
	}
	m.cut(a, b, false)
	near.expect("1", "2")
	for _, c := range []<-chan later{first, second} {
		if e := <-c; e.err != nil || e.reason.Failed() {
			t.Fatal(e)
		}
	}
}

// TestR8NotTwice: a message that is published while a subscription is sent what
// is retained comes once, and an old value never after a new one.
func TestR8NotTwice(t *testing.T) {
	for _, life := range []func(*packet.Connect){func(*packet.Connect) {}, lasting} {
		m := rig(t, 2)
		a, b := m.nodes[0], m.nodes[1]
		const topics = 40
		pub := a.dial(t, "pub")
		for i := range topics {
			pub.send(fmt.Sprint("r/", i), "0", 1, retained)
		}
		var wg sync.WaitGroup
		for qos := range uint8(3) {
			s := b.dial(t, fmt.Sprint("s", qos), life)
			begun := make(chan struct{})
			wg.Go(func() {
				close(begun)
				for i := range topics {
					pub.send(fmt.Sprint("r/", i), fmt.Sprint(qos+1), 1, retained)
				}
			})
			<-begun
			s.subscribe(qos, "r/+")
			wg.Wait()
			b.scanned(t, s.ClientID()) // what is published on other topics may come before
			pub.send("r/end", "end", 1)
			seen := map[string]string{}
			for m := range s.Messages() {
				topic, value := string(m.Topic), string(m.Payload)
				if value == "end" {
					break
				}
				if old, was := seen[topic]; was && old >= value {
					t.Errorf("QoS %d: %s came with %s after %s", qos, topic, value, old)
				}
				seen[topic] = value
			}
			for i := range topics {
				if got := seen[fmt.Sprint("r/", i)]; got != fmt.Sprint(qos+1) {
					t.Errorf("QoS %d: the last value of r/%d is %q", qos, i, got)
				}
			}
		}
	}
}

// scanned waits until a client that has its SUBACK was sent what is retained.
func (n *rigNode) scanned(t *testing.T, id string) {
	t.Helper()
	c := n.b.registry.get(Key{ClientID: id})
	eventually(t, "retained messages are sent", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.fresh == nil || c.fresh.scans == 0
	})
}
