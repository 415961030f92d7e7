package broker

import (
	"errors"
	"strconv"
	"testing"
	"time"

	mqttclient "tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// TestR17Takeover: a client id that connects at another node is closed at the
// first, with 0x8E, before it is let in (P8), whatever kind of session it is.
func TestR17Takeover(t *testing.T) {
	m := rig(t, 3)
	for _, kind := range []func(*packet.Connect){func(*packet.Connect) {}, lasting} {
		first := m.nodes[0].dial(t, "c", kind)
		for i := 1; i < 6; i++ {
			at := m.nodes[i%3]
			began := time.Now()
			next := at.dial(t, "c", kind)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("takeover took %v", took)
			}
			<-first.ended
			var d *mqttclient.DisconnectedError
			if !errors.As(first.cause, &d) || d.Reason != packet.SessionTakenOver {
				t.Fatalf("the first connection ended with %v", first.cause)
			}
			first = next
		}
		first.Disconnect(packet.Success)
	}
}

// TestR20Backlog: a session that comes back at another node gets what was queued
// at its old home, then what is new, each once and in order; CONNACK does not
// wait for the backlog.
func TestR20Backlog(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	s := a.dial(t, "s", lasting)
	s.subscribe(1, "t")
	s.Disconnect(packet.Success)
	pub := c.dial(t, "pub")
	var want []string
	send := func(n int) {
		for range n {
			want = append(want, strconv.Itoa(len(want)))
			pub.send("t", want[len(want)-1], 1)
		}
	}
	send(300)
	s = b.dial(t, "s", lasting)
	send(20)
	s.expect(want...)
	s.Disconnect(packet.Success)
	want = want[:0]
	send(50)
	s = c.dial(t, "s", lasting) // and on to a third
	send(5)
	s.expect(want...)
	for _, n := range m.nodes[:2] {
		eventually(t, "old homes keep nothing", func() bool {
			_, stored := n.queue.Lookup(queueName(Key{ClientID: "s"}))
			return !stored && n.b.registry.get(Key{ClientID: "s"}) == nil
		})
	}
}
