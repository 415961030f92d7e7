package broker

import (
	"fmt"
	"testing"

	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// TestOwedRetained: a connection that is lost while retained messages are sent to
// a session that outlives it leaves nothing out: the rest comes on the next one, at
// the same node, at another, after a crash of the home before it could note how far
// it was, and at an heir when the home is lost. Every node knows of it when SUBACK
// is sent. What is not owed any more is not sent again; nor, unless the home has
// crashed, what was in the queue by then.
func TestOwedRetained(t *testing.T) {
	const topics = 400
	for name, next := range map[string]func(t *testing.T, m *mesh) *rigNode{
		"same node":    func(_ *testing.T, m *mesh) *rigNode { return m.nodes[0] },
		"another node": func(_ *testing.T, m *mesh) *rigNode { return m.nodes[1] },
		"crash": func(t *testing.T, m *mesh) *rigNode {
			m.nodes[0].restart(t)
			return m.nodes[0]
		},
		"lost home": func(t *testing.T, m *mesh) *rigNode {
			m.dies(m.nodes[0])
			return m.nodes[1]
		},
		"adopted": func(t *testing.T, m *mesh) *rigNode {
			m.dies(m.nodes[0])
			m.absent(m.nodes[0], false)
			eventually(t, "it is adopted", func() bool {
				rec, _ := m.nodes[1].b.storedSession(Key{ClientID: "s"})
				return rec != nil && rec.Home != 1
			})
			return m.nodes[2]
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := rig(t, 3, func(s *Settings) { s.Queue.MaxOnline, s.Queue.MaxOffline = 40, 40 })
			a := m.nodes[0]
			a.retainMany(t, topics)
			s := a.dial(t, "s", lasting)
			s.subscribe(1, "r/#")
			for _, n := range m.nodes {
				v, found, err := n.meta.GetSubscription(metadata.ClientKey{ClientID: "s"}, "r/#")
				if err != nil || !found || !v.Owes {
					t.Errorf("node %d does not know what is owed: %+v, %v", n.id, v, err)
				}
			}
			seen := map[string]bool{}
			s.hears(t, seen, 50)
			s.Close()
			for p := range s.Messages() {
				seen[string(p.Topic)] = true
			}
			if a.owes("s") == 0 || len(seen) == topics {
				t.Fatalf("nothing is owed after %d messages", len(seen))
			}
			n := next(t, m)
			s = n.dial(t, "s", lasting)
			if !s.Connack().SessionPresent {
				t.Fatal("the session is gone")
			}
			if m.dead != nil {
				// What was in the queue at the lost home follows when that is back.
				s.hears(t, seen, topics-40)
				m.returns(a)
			}
			twice := s.hears(t, seen, topics)
			if twice > 0 && (name == "same node" || name == "another node") {
				t.Errorf("%d messages came twice", twice)
			}
			eventually(t, "nothing is owed any more, and all has come", func() bool {
				for len(s.Messages()) > 0 {
					<-s.Messages()
				}
				return n.owes("s") == 0 && n.waits("s") == 0 && !n.moving("s")
			})
			s.Disconnect(packet.Success)
			again := n.dial(t, "s", lasting)
			if more := again.quiet(n.dial(t, "pub")); more > 0 {
				t.Errorf("%d messages came again", more)
			}
		})
	}
}

// retainMany retains a message on each of r/0000 and so on, at every node.
func (n *rigNode) retainMany(t *testing.T, topics int) {
	t.Helper()
	for i := range topics {
		n.meta.PutRetained("", fmt.Sprintf("r/%04d", i), &metadata.Retained{QoS: 1, Payload: []byte("v")}, nil)
	}
	n.dial(t, "pub").send("other", "v", 1, retained) // when every node has it, it has the others
}

// owes is for how many filters a session is owed retained messages at this node.
func (n *rigNode) owes(id string) int {
	c := n.b.registry.get(Key{ClientID: id})
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.owed)
}

// waits is how many messages a session has yet to acknowledge.
func (n *rigNode) waits(id string) int {
	c := n.b.registry.get(Key{ClientID: id})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue.Len() + c.queue.Pending() + c.queue.InFlight()
}

func (n *rigNode) moving(id string) bool {
	return n.b.registry.get(Key{ClientID: id}).moving.Load()
}

// hears takes messages until as many topics were seen. Those that came twice, and
// do not say so, are counted.
func (p *person) hears(t *testing.T, seen map[string]bool, topics int) (twice int) {
	t.Helper()
	eventually(t, fmt.Sprint(topics, " topics"), func() bool {
		for len(seen) < topics {
			select {
			case m := <-p.Messages():
				if m == nil {
					t.Fatalf("the connection ended after %d topics", len(seen))
				}
				if seen[string(m.Topic)] && !m.Dup {
					twice++
				}
				seen[string(m.Topic)] = true
			default:
				return false
			}
		}
		return true
	})
	return twice
}

// quiet counts what comes before a message that is sent now.
func (p *person) quiet(by *person) (count int) {
	p.t.Helper()
	p.subscribe(1, "mark")
	by.send("mark", "mark", 1)
	for m := range p.Messages() {
		if string(m.Topic) == "mark" {
			return count
		}
		count++
	}
	p.t.Fatal("the connection ended")
	return 0
}

// TestOwedEnds: with the subscription ends what is owed for it; a SUBSCRIBE anew
// begins anew, whatever was owed; a subscription at QoS 0 owes nothing.
func TestOwedEnds(t *testing.T) {
	m := rig(t, 1, func(s *Settings) { s.Queue.MaxOnline, s.Queue.MaxOffline = 40, 40 })
	n := m.nodes[0]
	const topics = 300
	n.retainMany(t, topics)
	breakOff := func(qos uint8) {
		s := n.dial(t, "s", lasting)
		s.subscribe(qos, "r/#")
		s.hears(t, map[string]bool{}, 1)
		s.Close()
		<-s.ended
		eventually(t, "it has left", func() bool { return !n.b.registry.get(Key{ClientID: "s"}).connected() })
	}
	breakOff(1)
	if n.owes("s") != 1 {
		t.Fatal("nothing is owed")
	}
	s := n.dial(t, "s", lasting)
	s.subscribe(1, "r/#")
	s.hears(t, map[string]bool{}, topics)
	s.Disconnect(packet.Success)
	breakOff(1)
	s = n.dial(t, "s", lasting)
	if _, err := s.unsubscribe("r/#"); err != nil || n.owes("s") != 0 {
		t.Errorf("it is owed though it has unsubscribed: %v", err)
	}
	s.Close()
	<-s.ended
	breakOff(0)
	if n.owes("s") != 0 {
		t.Error("QoS 0 is owed")
	}
}
