package broker

import (
	"context"
	"testing"

	mqttclient "tombolo/internal/client"
	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// backlog publishes some messages for a session that is away, and returns them.
func (m *mesh) backlog(t *testing.T, home, from *rigNode) []string {
	t.Helper()
	s := home.dial(t, "s", lasting)
	s.subscribe(1, "t")
	s.Disconnect(packet.Success)
	pub := from.dial(t, "pub")
	want := []string{"0", "1", "2", "3", "4"}
	for _, x := range want {
		pub.send("t", x, 1)
	}
	return want
}

// TestR22TargetLost: the target of a migration goes down with a part on its way
// to it, whose end nobody will ever tell. The part goes to the next home (P1).
func TestR22TargetLost(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	want := m.backlog(t, a, c)
	way := a.cluster.hopTo(b.id)
	way.change(func() { way.paused[wire.StreamMigration] = true })
	s := b.dial(t, "s", lasting)
	eventually(t, "a part is on its way", func() bool {
		way.mu.Lock()
		defer way.mu.Unlock()
		return len(way.queues[wire.StreamMigration]) > 0
	})
	for _, o := range []*rigNode{a, c} {
		m.cut(b, o, true)
		m.verdict(b, o, false)
	}
	s.Close()
	c.dial(t, "s", lasting).expect(want...)
}

// TestR29LateReplication: the record of a new home is written, and the other
// nodes do not confirm it in time. The client is refused; its session is at the
// new home, as the record says, and loses nothing (P1).
func TestR29LateReplication(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	want := m.backlog(t, a, c)
	b.cluster.late.Store(true)
	connect := packet.Connect{Version: packet.V5, ClientID: []byte("s")}
	lasting(&connect)
	if _, err := mqttclient.Dial(context.Background(), mqttclient.Config{Address: b.addr, Connect: connect}); err == nil {
		t.Fatal("the client was let in")
	}
	b.cluster.late.Store(false)
	eventually(t, "a publishes for the new home", func() bool { return a.b.isAway(Key{ClientID: "s"}) })
	c.dial(t, "pub").send("t", "5", 1)
	b.dial(t, "s", lasting).expect(append(want, "5")...)
}
