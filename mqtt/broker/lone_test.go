package broker

import (
	"testing"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
	"tombolo/queue"
)

// TestLoneCrossing: what one read of a client brings for other nodes leaves in
// one flush of each link; what they confirm together is one write to the
// publisher, after the last of it.
func TestLoneCrossing(t *testing.T) {
	n, c := countingRig(t)
	conn := &flushCounter{}
	pub := n.joinOver(t, "pub", conn)
	c.other = true
	n.b.MembersChanged([]wire.NodeID{1, 2, 3})
	for id := wire.NodeID(2); id <= 3; id++ {
		n.b.TakeRoutes(id, &wire.Routes{List: []wire.Route{{Filter: "far/#", Members: 1}}})
	}
	for qos := range uint8(2) {
		for count := 1; count <= 3; count++ {
			var read []byte
			for i := range count {
				read = append(read, packet.AppendPublish(nil, packet.V311,
					&packet.Publish{Topic: []byte("far/x"), QoS: qos, ID: packet.ID(int(qos) * (i + 1)), Payload: make([]byte, 10)})...)
			}
			c.flushed, c.tickets = 0, nil
			pub.feed(t, read)
			if c.flushed != 2 {
				t.Errorf("QoS %d, %d in one read: %d flushes of two links", qos, count, c.flushed)
			}
			before := conn.flushes
			for i, tk := range c.tickets { // each message has one for either node, in turn
				tk.Ended(wire.NodeID(2+i%2), Stored, 0)
			}
			if conn.flushes != before {
				t.Errorf("QoS %d, %d in one read: the publisher was written to before all was there", qos, count)
			}
			n.b.Drained(2)
			n.b.Drained(3)
			if got := conn.flushes - before; got != int(qos) {
				t.Errorf("QoS %d, %d in one read: %d writes to the publisher, want %d", qos, count, got, qos)
			}
		}
	}
}

// TestTakeInstant: a publish of another node is taken in an instant if nothing
// has to be stored for it, whatever its QoS, with its mark (R2) and one write for
// a burst. For one session that is stored for it is taken as well, and its end is
// told later; for two, or for one that is being opened anew, it is left, and
// nothing has happened.
func TestTakeInstant(t *testing.T) {
	n := rig(t, 1).nodes[0]
	conn := &flushCounter{}
	bound := n.joinOver(t, "bound", conn)
	bound.feed(t, packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("a/#"), QoS: 1}}}))
	frame := func(topic string, id uint64) *wire.Publish {
		body := packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: []byte(topic), Payload: make([]byte, 16)})
		return &wire.Publish{ID: wire.MessageID{Ingress: 2, N: id}, Flags: 1, Body: body}
	}
	seq := uint64(0)
	before, bytes := conn.flushes, conn.bytes
	for range 10 {
		seq++
		if res, _, ok := n.b.TakeInstant(2, 1, seq, frame("a/x", seq), nil); !ok || res != wire.Stored {
			t.Fatalf("%v, %v", res, ok)
		}
	}
	seq++
	if res, _, ok := n.b.TakeInstant(2, 1, seq, frame("nobody", seq), nil); !ok || res != wire.NoMatch {
		t.Errorf("without a subscriber: %v, %v", res, ok)
	}
	n.b.Drained(2)
	if got := conn.flushes - before; got != 1 || conn.bytes-bytes < 160 {
		t.Errorf("%d writes, %d bytes", got, conn.bytes-bytes)
	}
	if through, outcomes := n.queue.AppliedThrough(2, 1, uint32(wire.StreamPublish)); through != seq || len(outcomes) != 1 {
		t.Errorf("marks: through %d of %d, outcomes %v", through, seq, outcomes)
	}
	keeps := n.keeps(t, "keeps", "kept")
	told := make(chan uint64, 1)
	seq++
	res, _, ok := n.b.TakeInstant(2, 1, seq, frame("kept", seq), func(seq uint64, res wire.Result, _ uint8) {
		if res != wire.Stored {
			t.Errorf("ended as %v", res)
		}
		told <- seq
	})
	if !ok || res != wire.Later || <-told != seq {
		t.Errorf("for one session: %v, %v", res, ok)
	}
	n.b.Drained(2)
	late := func(uint64, wire.Result, uint8) { t.Error("told of what was not taken") }
	n.b.pauseQueue(keeps)
	if _, _, ok := n.b.TakeInstant(2, 1, seq+1, frame("kept", seq+1), late); ok {
		t.Error("taken in an instant, though the queue is being opened")
	}
	n.keeps(t, "a", "a/kept")
	n.keeps(t, "b", "a/kept")
	bytes = conn.bytes
	if _, _, ok := n.b.TakeInstant(2, 1, seq+1, frame("a/kept", seq+1), late); ok {
		t.Error("taken in an instant, though two sessions are stored for")
	}
	n.b.Drained(2)
	if conn.bytes != bytes {
		t.Error("not taken, and somebody got it")
	}
	if through, _ := n.queue.AppliedThrough(2, 1, uint32(wire.StreamPublish)); through != seq {
		t.Errorf("not taken, and the mark went to %d", through)
	}
	for _, p := range []*wire.Publish{
		{Flags: 1, Targets: wire.ToGroups, Groups: []wire.Group{{Name: []byte("g"), Filter: []byte("a/#")}}, Body: frame("a/x", 1).Body},
		{Flags: 1, Targets: wire.ToSessions, Sessions: [][]byte{[]byte("keeps")}, Body: frame("a/x", 1).Body},
	} {
		if _, _, ok := n.b.TakeInstant(2, 1, seq+1, p, late); ok {
			t.Errorf("targets %d taken in an instant", p.Targets)
		}
	}
}

// keeps makes a session that outlives its connection as the index has it, with
// a subscription at QoS 1.
func (n *rigNode) keeps(t *testing.T, id string, filter topic.Filter) *client {
	t.Helper()
	c := &client{key: Key{"", id}, mount: n.b.mount(""), durable: true, queue: queue.New(queue.Config{MaxOffline: 10}, true, queue.State{})}
	c.mu = &c.own
	c.mount.index.Subscribe(filter, c, topic.Options{QoS: 1})
	return c
}
