package broker

import (
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// unanswered has publishes to a node arrive there, and nobody hear of it.
func (h *hop) unanswered() {
	h.change(func() {
		h.verdict = func(p *parcel) (Result, uint8, bool) {
			h.mu.Lock()
			p.ticket = nil
			h.mu.Unlock()
			return 0, 0, false
		}
	})
}

// TestR4Begun: the node that takes in a QoS 2 message crashes when the message has
// left and nobody has confirmed it. Sent again it is the same message: whoever has
// it, here or elsewhere, does not get it twice, however much was settled meanwhile.
func TestR4Begun(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	far, near := b.dial(t, "far", lasting), a.dial(t, "near", lasting)
	far.subscribe(2, "t", "other")
	near.subscribe(2, "t")
	pub := a.dial(t, "pub", lasting)
	h := a.cluster.hopTo(b.id)
	h.unanswered()
	if r, err := pub.trySend(200*time.Millisecond, "t", "1", 2); err == nil {
		t.Fatalf("answered with %v before it was confirmed", r)
	}
	far.expect("1")
	near.expect("1")
	a.restart(t)
	h.change(func() { h.verdict = nil })
	other := a.dial(t, "other")
	other.send("other", "x", 2)
	far.expect("x")
	eventually(t, "all else is settled", func() bool { return b.queue.Remembered() == 1 })
	near = a.dial(t, "near", lasting)
	pub = a.dial(t, "pub", lasting) // its packet ids begin at 1 again
	if r := pub.send("t", "1", 2); r != packet.Success {
		t.Errorf("sent again: answered with %v", r)
	}
	far.expectNothing(other)
	near.expectNothing(other)
	eventually(t, "it is settled as well", func() bool { return b.queue.Remembered() == 0 })
	pub.send("t", "2", 2)
	far.expect("2")
	near.expect("2")
}

// TestR4BeforeFrames: no frame leaves before the packet id is bound.
func TestR4BeforeFrames(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	far := b.dial(t, "far", lasting)
	far.subscribe(2, "t")
	a.cluster.calm.Store(true)
	pub := a.dial(t, "pub", lasting)
	h := a.cluster.hopTo(b.id)
	begun := -1
	h.change(func() {
		h.verdict = func(*parcel) (Result, uint8, bool) {
			begun = len(a.queue.Begun(a.queue.NextID().Ingress))
			return 0, 0, false
		}
	})
	pub.send("t", "1", 2)
	far.expect("1")
	h.change(func() {
		if begun != 1 {
			t.Errorf("%d messages had begun when a frame arrived, want 1", begun)
		}
	})
}

// TestR4Refused: a message that has begun and is refused is over for a client of
// version 5, which may use the packet id for another; one of version 3 is
// disconnected and sends the same again.
func TestR4Refused(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	far := b.dial(t, "far", lasting)
	far.subscribe(2, "t")
	h := a.cluster.hopTo(b.id)
	refusing := func(on bool) {
		h.change(func() {
			if h.verdict = nil; on {
				h.verdict = func(p *parcel) (Result, uint8, bool) {
					h.deliver(&parcel{stream: p.stream, kind: p.kind, body: p.body, seq: p.seq}, nil)
					return Refused, 0, true
				}
			}
		})
	}
	a.cluster.calm.Store(true)
	refusing(true)
	pub := a.dial(t, "five", lasting)
	if r, err := pub.trySend(10*time.Second, "t", "1", 2); err != nil || !r.Failed() {
		t.Fatalf("answered with %v, %v", r, err)
	}
	far.expect("1")
	pub.Disconnect(packet.Success)
	old := a.dial(t, "three", v311, lasting)
	if r, err := old.trySend(10*time.Second, "t", "2", 2); err == nil {
		t.Fatalf("answered with %v", r)
	}
	far.expect("2")
	refusing(false)
	pub, old = a.dial(t, "five", lasting), a.dial(t, "three", v311, lasting)
	pub.send("t", "3", 2)
	far.expect("3")
	old.send("t", "2", 2)
	far.expectNothing(pub)
	eventually(t, "nothing has begun", func() bool { return len(a.queue.Begun(a.queue.NextID().Ingress)) == 0 })
}

// TestR21PacketIDs: what a session's new home has to know of its client's QoS 2
// packet ids is there before anything of the client is read, whatever else of the
// queue is still to come: what it sends again is known. CONNACK does not wait.
func TestR21PacketIDs(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	far := c.dial(t, "far", lasting)
	far.subscribe(2, "t")
	a.cluster.calm.Store(true)
	pub := a.dial(t, "pub", lasting)
	h := a.cluster.hopTo(c.id)
	h.change(func() { h.paused[wire.StreamPublish] = true })
	if r, err := pub.trySend(100*time.Millisecond, "t", "1", 2); err == nil {
		t.Fatalf("answered with %v before it was confirmed", r)
	}
	eventually(t, "it has begun", func() bool { return len(a.queue.Begun(a.queue.NextID().Ingress)) == 1 })
	away := a.cluster.hopTo(b.id)
	away.change(func() { away.paused[wire.StreamMigration] = true })
	pub = b.dial(t, "pub", lasting) // its packet ids begin at 1 again
	if r, err := pub.trySend(100*time.Millisecond, "t", "1", 2); err == nil {
		t.Fatalf("answered with %v before the packet ids have come", r)
	}
	away.change(func() { away.paused[wire.StreamMigration] = false })
	if r, err := pub.trySend(100*time.Millisecond, "t", "2", 2); err == nil {
		t.Fatalf("answered with %v while the old home waits for its confirmation", r)
	}
	h.change(func() { h.paused[wire.StreamPublish] = false })
	pub.send("t", "3", 2)
	far.expect("1", "2", "3")
	far.expectNothing(pub)
	if n := b.counter("queue_packet_ids_missed_total"); n != 0 {
		t.Errorf("%d sessions went on without packet ids", n)
	}
}

// TestR21PacketIDsMissing: a home that does not send them holds its client up for five
// seconds at most.
func TestR21PacketIDsMissing(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	a.dial(t, "pub", lasting).Disconnect(packet.Success)
	away := a.cluster.hopTo(b.id)
	away.change(func() { away.paused[wire.StreamMigration] = true })
	b.dial(t, "pub", lasting).send("t", "1", 2)
	if n := b.counter("queue_packet_ids_missed_total"); n != 1 {
		t.Errorf("%d sessions went on without packet ids, want 1", n)
	}
}
