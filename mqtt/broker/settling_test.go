package broker

import (
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/queue"
)

// TestR3SettledMark: a mark is told only when all before it is confirmed and in no
// spool; one that is not holds it up, be its id lower than others.
func TestR3SettledMark(t *testing.T) {
	var s settling
	n := uint64(0)
	next := func() queue.MessageID { n++; return queue.MessageID{Ingress: 1, N: n} }
	empty := true
	mark := func() uint64 { return s.mark(next, func() bool { return empty }).N }
	mark()
	slow := s.enter()
	low := next().N
	fast := s.enter()
	high := next().N
	fast.Add(-1)
	for range 3 {
		if m := mark(); m > low {
			t.Fatalf("mark %d while %d is not confirmed", m, low)
		}
	}
	slow.Add(-1)
	empty = false
	if m := mark(); m > low {
		t.Fatalf("mark %d while %d may be in a spool", m, low)
	}
	empty = true
	top := uint64(0)
	for range 4 {
		top = max(top, mark())
	}
	if top <= high || s.left != 0 {
		t.Errorf("mark %d after everything up to %d is confirmed", top, high)
	}
}

// TestR3SentAgain: a QoS 2 message that comes to a node a second time, under
// another sequence of its stream, is known by its id though it is acknowledged; a
// will as well (R29). When the ingress has settled it, it is forgotten.
func TestR3SentAgain(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	s := b.dial(t, "s", lasting)
	s.subscribe(2, "t", "will")
	pub := a.dial(t, "pub")
	pub.send("t", "1", 2)
	s.expect("1")
	h := a.cluster.hopTo(b.id)
	h.mu.Lock()
	frame := h.carried[0]
	h.mu.Unlock()
	again := func(f wire.Publish, seq uint64) {
		done := make(chan wire.Result, 1)
		b.b.TakePublish(a.id, 1, seq, &f, func(res wire.Result, _ uint8) { done <- res })
		if res := <-done; res != wire.Stored {
			t.Errorf("a frame that came again ended as %v", res)
		}
	}
	again(frame, 1001)
	s.expectNothing(pub)
	eventually(t, "the ingress has settled it", func() bool { return b.queue.Remembered() == 0 })
	dying := a.dial(t, "dying", withWill("will"))
	dying.Close()
	s.expect("will")
	h.mu.Lock()
	frame = h.carried[len(h.carried)-1]
	h.mu.Unlock()
	if !(queue.MessageID{Ingress: frame.ID.Ingress, N: frame.ID.N}).Derived() {
		t.Fatalf("the will has the id %v", frame.ID)
	}
	again(frame, 1002)
	s.expectNothing(pub)
}

// TestR29Kept: a node that is cut off keeps the wills of its clients until it is
// whole again, and publishes them then: but not that of a client that has come
// back elsewhere, nor one that the others have published (will_heal_grace).
func TestR29Kept(t *testing.T) {
	m := rig(t, 3, func(s *Settings) { s.WillOnNodeLoss, s.WillGrace = WillNever, time.Second })
	a, b := m.nodes[0], m.nodes[1]
	near := b.dial(t, "near", lasting)
	near.subscribe(1, "will/#")
	var dying []*person
	for _, id := range []string{"gone", "back", "fired"} {
		dying = append(dying, a.dial(t, id, lasting, withWill("will/"+id)))
	}
	bound := a.dial(t, "bound", withWill("will/bound"))
	m.split(a)
	for _, p := range append(dying, bound) {
		p.Close()
		<-p.ended
	}
	eventually(t, "the clients are gone", func() bool { return a.b.gauge.online.Load() == 0 })
	b.dial(t, "back", lasting) // at the other side
	k := Key{ClientID: "fired"}
	rec, _ := b.b.storedSession(k)
	next := *rec
	next.WillFired = rec.WillEpoch()
	if err := b.b.putSession(k, &next); err != nil {
		t.Fatal(err)
	}
	m.heal(a)
	near.expectAll("will/gone", "will/bound")
	near.expectNothing(m.nodes[2].dial(t, "pub"))
	if n := a.counter("mqtt_wills_published_total"); n != 2 {
		t.Errorf("%d wills were published, want 2", n)
	}
}

// TestR29Always: every side publishes the will, under one id: a queue that both
// copies reach has it once.
func TestR29Always(t *testing.T) {
	m := rig(t, 3, func(s *Settings) { s.WillOnNodeLoss = WillAlways })
	a, b := m.nodes[0], m.nodes[1]
	kept, own := b.dial(t, "kept", lasting), a.dial(t, "own")
	kept.subscribe(1, "will/#")
	own.subscribe(1, "will/#")
	dying := a.dial(t, "dying", lasting, withWill("will/x"))
	m.split(a)
	dying.Close()
	own.expect("will/x")
	kept.expect("will/x")
	m.heal(a)
	kept.expectNothing(m.nodes[2].dial(t, "pub"))
	kept.Disconnect(packet.Success)
}
