package broker

import (
	"fmt"
	"net"
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
)

// wireman is a client of MQTT 3.1.1 that acknowledges what its test has it
// acknowledge.
type wireman struct {
	t    *testing.T
	conn net.Conn
	in   []byte
}

// wired connects, and tells whether the session was present.
func (n *rigNode) wired(t *testing.T, id string) (w *wireman, present bool) {
	t.Helper()
	conn, err := net.Dial("tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	w = &wireman{t: t, conn: conn}
	w.send(packet.AppendConnect(nil, &packet.Connect{Version: packet.V311, ClientID: []byte(id), KeepAlive: 60}))
	var ack packet.Connack
	if err := packet.DecodeConnack(w.wait(packet.TypeConnack), packet.V311, &ack); err != nil {
		t.Fatal(err)
	}
	return w, ack.SessionPresent
}

func (w *wireman) send(b []byte) {
	w.t.Helper()
	if _, err := w.conn.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// wait passes over everything before the next packet of a type.
func (w *wireman) wait(want packet.Type) packet.Frame {
	w.t.Helper()
	for {
		f, size, err := packet.Split(w.in, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		if size > 0 {
			if w.in = w.in[size:]; f.Type == want {
				return f
			}
			continue
		}
		buf := make([]byte, 4096)
		n, err := w.conn.Read(buf)
		if err != nil {
			w.t.Fatalf("waiting for %v: %v", want, err)
		}
		w.in = append(w.in[:len(w.in):len(w.in)], buf[:n]...)
	}
}

// takes wants a payload next, and returns the packet id it came with.
func (w *wireman) takes(payload string) packet.ID {
	w.t.Helper()
	var p packet.Publish
	if err := packet.DecodePublish(w.wait(packet.TypePublish), packet.V311, &p); err != nil || string(p.Payload) != payload {
		w.t.Fatalf("came %q, want %q (%v)", p.Payload, payload, err)
	}
	return p.ID
}

// completes ends the exchange of a QoS 2 message.
func (w *wireman) completes(id packet.ID) {
	w.t.Helper()
	w.send(packet.AppendAck(nil, packet.V311, &packet.Ack{Type: packet.TypePubrec, ID: id}))
	w.wait(packet.TypePubrel)
	w.send(packet.AppendAck(nil, packet.V311, &packet.Ack{Type: packet.TypePubcomp, ID: id}))
}

func (w *wireman) subscribe(filter string) {
	w.t.Helper()
	w.send(packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: 2}}}))
	w.wait(packet.TypeSuback)
}

// TestR19LostHome: a client that holds a QoS 2 id which only a home knew that is lost
// for good gets no new message with an id of that block, however often it connects.
func TestR19LostHome(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	s, _ := a.wired(t, "s")
	s.subscribe("t")
	a.dial(t, "near").send("t", "held", 2)
	held := s.takes("held")
	m.dies(a)
	m.absent(a, true)
	s, _ = b.wired(t, "s")
	pub := b.dial(t, "pub")
	for i := range 2*session.Blocks + 1 {
		pub.send("t", fmt.Sprint(i), 2)
		id := s.takes(fmt.Sprint(i))
		if session.BlockOf(uint16(id)) == session.BlockOf(uint16(held)) {
			t.Fatalf("connection %d: a new message has id %d, and the client may hold %d of a lost home", i, id, held)
		}
		s.completes(id)
		var present bool
		if s, present = b.wired(t, "s"); !present {
			t.Fatalf("connection %d: the session is not present", i)
		}
	}
}

// TestR19NoBlockFree: when something may be outstanding in every block the client
// hears that it has no session, once, and forgets it all; what waits for it comes.
func TestR19NoBlockFree(t *testing.T) {
	m := rig(t, 2)
	a := m.nodes[0]
	s, _ := a.wired(t, "s")
	s.subscribe("t")
	s.conn.Close()
	pub := a.dial(t, "pub")
	pub.send("t", "waits", 2)
	c := a.b.registry.get(Key{ClientID: "s"})
	c.mu.Lock()
	lost := *c.record
	lost.BlocksLost = 1<<session.Blocks - 1
	c.record = &lost
	c.mu.Unlock()
	s, present := a.wired(t, "s")
	if present {
		t.Error("the session is present though no block is free")
	}
	s.completes(s.takes("waits"))
	if s, present = a.wired(t, "s"); !present {
		t.Error("the session is not present the next time either")
	}
	pub.send("t", "new", 2)
	s.takes("new")
}

// TestR19Found: what a home knows that was cut off counts no more as lost when it has
// come after the heal.
func TestR19Found(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	s, _ := a.wired(t, "s")
	s.subscribe("t")
	m.dies(a)
	s, _ = b.wired(t, "s")
	lost := func() uint8 {
		rec, err := b.b.storedSession(Key{ClientID: "s"})
		if err != nil || rec == nil {
			t.Fatal(rec, err)
		}
		return rec.BlocksLost
	}
	if lost() == 0 {
		t.Fatal("nothing counts as lost while the old home cannot be reached")
	}
	m.returns(a)
	eventually(t, "all has come", func() bool {
		s, _ = b.wired(t, "s")
		return lost() == 0
	})
}

// TestR23RemovedWhileMoving: what a member that can be reached has not sent of a
// session's queue is not waited for when it is removed: newer messages come, and the
// session does not go on moving.
func TestR23RemovedWhileMoving(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	m.offline(t, a, 1)
	pub := b.dial(t, "pub")
	pub.send("all/x", "older", 1)
	eventually(t, "the backlog is at the old home", func() bool { return a.b.Remaining().Messages == 1 })
	away := a.cluster.hopTo(b.id)
	away.change(func() { away.paused[wire.StreamMigration] = true })
	s := b.dial(t, "s0", lasting)
	c := b.b.registry.get(Key{ClientID: "s0"})
	eventually(t, "the new home publishes for itself", func() bool { // and not for the old one, where it would stay
		move := c.shift.Load()
		_, own := move.cuts[b.id]
		return own
	})
	pub.send("all/x", "newer", 1)
	c.mu.Lock()
	moving := c.queue.Moving() && c.shift.Load() != nil
	c.mu.Unlock()
	if !moving {
		t.Fatal("the session is not moving")
	}
	m.absent(a, true)
	s.expect("newer")
	eventually(t, "the session has arrived", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.awaits) == 0 && c.shift.Load() == nil
	})
}

// TestR19Hurried: a client that moves on before any of its queue has come finds its
// session everywhere, as long as it leaves no packet id behind, and what it has left
// is given to no other message.
func TestR19Hurried(t *testing.T) {
	m := rig(t, 3)
	a := m.nodes[0]
	s, _ := a.wired(t, "s")
	s.subscribe("t")
	a.dial(t, "near").send("t", "held", 2)
	held := s.takes("held")
	for _, n := range m.nodes {
		for _, o := range n.others() {
			holdUp(n, o, wire.StreamMigration, true)
		}
	}
	for i := range 2*session.Blocks + 1 {
		n := m.nodes[(i+1)%3]
		_, present := n.wired(t, "s")
		if !present {
			t.Fatalf("connection %d: the session is not present", i)
		}
		c := n.b.registry.get(Key{ClientID: "s"})
		c.mu.Lock()
		chosen, coming := c.blocks.chosen, c.record.Blocks
		c.mu.Unlock()
		if taken := session.BlockOf(uint16(held)); chosen == taken || coming&(1<<taken) == 0 {
			t.Fatalf("connection %d has block %d of %08b, and the client holds an id of %d", i, chosen, coming, taken)
		}
	}
}
