package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	mqttclient "tombolo/internal/client"
	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// evacuation sends the sessions of a node to the others of a rig, by turns.
func (m *mesh) evacuation(from *rigNode) Evacuation {
	var to []*rigNode
	for _, n := range m.nodes {
		if n != from {
			to = append(to, n)
		}
	}
	return Evacuation{
		Target: func(k Key) wire.NodeID { return to[int(k.ClientID[len(k.ClientID)-1])%len(to)].id },
		Adopt: func(ctx context.Context, id wire.NodeID, list []Key) error {
			var errs []error
			for _, n := range to {
				for _, k := range list {
					if n.id == id {
						errs = append(errs, n.b.Adopt(ctx, k, from.id))
					}
				}
			}
			return errors.Join(errs...)
		},
	}
}

// emptied evacuates until nothing is left.
func (m *mesh) emptied(t *testing.T, n *rigNode) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	eventually(t, "the node is empty", func() bool {
		if err := n.b.Evacuate(ctx, m.evacuation(n)); err != nil {
			t.Log(err)
		}
		return n.b.Remaining() == Remaining{}
	})
}

// TestEvacuate: sessions without clients are moved by force: what was queued,
// and what is published while they move, comes at their new homes, each once and
// in order, and nothing stays (R20, R22).
func TestEvacuate(t *testing.T) {
	m := rig(t, 3)
	from, pub := m.nodes[0], m.nodes[2].dial(t, "pub")
	const sessions, before, during = 20, 25, 15
	id := func(i int) string { return fmt.Sprint("s", i) }
	for i := range sessions {
		s := from.dial(t, id(i), lasting)
		s.subscribe(1, "all", "one/"+id(i))
		s.Disconnect(packet.Success)
	}
	var all []string
	send := func(n int) {
		for range n {
			all = append(all, strconv.Itoa(len(all)))
			pub.send("all", all[len(all)-1], 1)
		}
	}
	send(before)
	eventually(t, "all is queued", func() bool { return from.b.Remaining().Messages == sessions*before })
	done := make(chan struct{})
	go func() { defer close(done); m.emptied(t, from) }()
	send(during)
	<-done
	for i := range sessions {
		from.awaitNothing(t, id(i)) // the commit that drops its queue is not waited for
		pub.send("one/"+id(i), "last", 1)
	}
	if n := m.nodes[1].counter("sessions_adopted_total") + m.nodes[2].counter("sessions_adopted_total"); n != sessions {
		t.Errorf("%d sessions were adopted, want %d", n, sessions)
	}
	for i := range sessions {
		s := m.nodes[1+i%2].dial(t, id(i), lasting) // half of them where they are already
		s.expect(append(append([]string(nil), all...), "last")...)
		s.expectNothing(pub)
	}
}

// TestSendAway: clients of a node that leaves are told 0x9D; the will of one that
// comes back elsewhere is not published, that of a session which ends is.
func TestSendAway(t *testing.T) {
	m := rig(t, 2, func(s *Settings) { s.WillGrace = 3600e9 })
	from, to := m.nodes[0], m.nodes[1]
	watcher := to.dial(t, "watcher")
	watcher.subscribe(1, "will/+")
	stays := from.dial(t, "stays", lasting, withWill("will/stays"))
	ends := from.dial(t, "ends", withWill("will/ends"))
	from.b.SendAway()
	for _, p := range []*person{stays, ends} {
		<-p.ended
		var d *mqttclient.DisconnectedError
		if !errors.As(p.cause, &d) || d.Reason != packet.ServerMoved {
			t.Errorf("%s: the connection ended with %v", p.ClientID(), p.cause)
		}
	}
	watcher.expect("will/ends")
	m.emptied(t, from)
	to.dial(t, "stays", lasting)
	watcher.expectNothing(to.dial(t, "pub"))
}

// TestAdoptOthers: a session that has gone elsewhere, or has a client, is not
// adopted; nor one that is not known.
func TestAdoptOthers(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	s := a.dial(t, "s", lasting)
	s.subscribe(1, "t")
	k := Key{ClientID: "s"}
	eventually(t, "the record is everywhere", func() bool {
		v, _ := b.b.storedSession(k)
		return v != nil
	})
	ctx := context.Background()
	if err := b.b.Adopt(ctx, Key{ClientID: "nobody"}, a.id); err == nil {
		t.Error("a session that nobody knows was adopted")
	}
	if err := b.b.Adopt(ctx, k, c.id); err != nil || b.b.registry.get(k) != nil {
		t.Errorf("a session of another node than the one that leaves was adopted: %v", err)
	}
	if err := a.b.Evacuate(ctx, m.evacuation(a)); err != nil || a.b.Remaining() != (Remaining{Online: 1, Sessions: 1}) {
		t.Errorf("a session with a client was moved: %v, %v left", err, a.b.Remaining())
	}
	s.Disconnect(packet.Success)
}

func withWill(topic string) func(*packet.Connect) {
	return func(c *packet.Connect) {
		c.HasWill = true
		c.Will.Topic, c.Will.Payload, c.Will.QoS = []byte(topic), []byte(topic), 1
	}
}
