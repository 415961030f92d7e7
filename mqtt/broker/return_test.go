package broker

import (
	"fmt"
	"testing"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// returning is a session whose home dies, that is taken over, gets what is published
// meanwhile, and goes back as soon as its first home is there again. Owned by one test.
type returning struct {
	t       *testing.T
	m       *mesh
	a, b, c *rigNode // a is the first home, c the second
	far     *person
	near    *person
	s       *person
	had     map[string]bool
}

const returningMessages = 20

// newReturning has the client be told everything at the second home.
func newReturning(t *testing.T, qos uint8) *returning {
	t.Helper()
	m := rig(t, 3)
	r := &returning{t: t, m: m, a: m.nodes[0], b: m.nodes[1], c: m.nodes[2], had: map[string]bool{}}
	s := r.a.dial(t, "s", lasting)
	s.subscribe(qos, "t")
	s.Disconnect(packet.Success)
	// Whoever else is at the first home has frames for the topic wait for that.
	other := r.a.dial(t, "other", lasting)
	other.subscribe(qos, "t")
	other.Disconnect(packet.Success)
	m.dies(r.a)
	r.far, r.near = r.b.dial(t, "far"), r.c.dial(t, "near")
	var want []string
	for i := range returningMessages {
		for _, p := range []*person{r.far, r.near} {
			want = append(want, fmt.Sprint(p.ClientID(), i))
			p.send("t", want[len(want)-1], qos)
		}
	}
	r.s = r.c.dial(t, "s", lasting)
	r.s.expectAll(want...)
	eventually(t, "the client has acknowledged all", func() bool {
		i, _ := r.c.b.Session(Key{ClientID: "s"})
		return i.Queued+i.InFlight == 0
	})
	return r
}

// hold keeps what waits for the first home from it, or lets it go.
func (r *returning) hold(on bool) {
	holdUp(r.b, r.a, wire.StreamPublish, on)
	holdUp(r.c, r.a, wire.StreamPublish, on)
}

// back has the first home be there again, and waits until it knows what it is told
// ahead of what waits for it: on a real network two seconds are between.
func (r *returning) back() {
	r.t.Helper()
	r.hold(true)
	r.m.returns(r.a)
	eventually(r.t, "the first home knows what it is not to take", func() bool {
		c := r.a.b.registry.get(Key{ClientID: "s"})
		if c == nil {
			return true
		}
		s := c.shift.Load()
		return s != nil && len(s.passed) == 2
	})
}

// expectNew wants nothing that the client has had, and what is published now.
func (r *returning) expectNew() {
	r.t.Helper()
	r.far.send("t", "last far", 1)
	r.near.send("t", "last near", 1)
	for last := 0; last < 2; {
		switch msg := <-r.s.Messages(); {
		case msg == nil:
			r.t.Fatal("the connection ended")
		case string(msg.Payload) == "last far" || string(msg.Payload) == "last near":
			last++
		default:
			r.t.Errorf("%q came a second time, dup %v", msg.Payload, msg.Dup)
		}
	}
	r.s.expectNothing(r.near)
}

// goesBack has the client go back to its first home.
func (r *returning) goesBack(before func()) {
	r.t.Helper()
	holdUp(r.a, r.c, wire.StreamMigration, true) // the first home does not let it go before the client comes
	r.back()
	before()
	r.s = r.a.dial(r.t, "s", lasting)
	r.hold(false)
	holdUp(r.a, r.c, wire.StreamMigration, false)
	r.expectNew()
}

// crash takes all that a node has in memory, which is cut off; what waits for it, or
// at it for others, in a spool stays.
func (n *rigNode) crash(t *testing.T) {
	t.Helper()
	n.again(t, func(_ *rigNode, h *hop) {
		h.lose(wire.StreamPublish)
	})
}

// TestR11BackAtTheOldHome: a client that was told at its second home what was
// published while its first one was dead, and goes back to that as soon as it is
// there, gets none of it again, at QoS 1 and 2: neither what comes before the client,
// nor what comes after it.
func TestR11BackAtTheOldHome(t *testing.T) {
	for _, qos := range []uint8{1, 2} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint("QoS ", qos, " late ", late), func(t *testing.T) {
				t.Parallel()
				r := newReturning(t, qos)
				r.a.crash(t)
				r.goesBack(func() {
					if !late {
						r.hold(false)
					}
				})
			})
		}
	}
}

// TestR11BackAfterCrashes: the same when somebody else ends in the midst of it: who
// kept messages for the first home, when it has passed them on; the second home, when
// the client has them; the first home once more, when it knows what it is not to take.
func TestR11BackAfterCrashes(t *testing.T) {
	t.Run("who keeps messages", func(t *testing.T) {
		t.Parallel()
		r := newReturning(t, 2)
		r.a.crash(t)
		r.b.restart(t) // what it had said to the first home is lost with it
		r.far = r.b.dial(t, "far")
		r.goesBack(func() {})
	})
	t.Run("the second home", func(t *testing.T) {
		t.Parallel()
		r := newReturning(t, 2)
		r.a.crash(t)
		r.c.restart(t)
		r.near = r.c.dial(t, "near")
		r.goesBack(func() {})
	})
	t.Run("the first home", func(t *testing.T) {
		t.Parallel()
		r := newReturning(t, 2)
		r.a.crash(t)
		r.goesBack(func() {
			stored := make(chan error, 1)
			r.a.queue.Barrier(func(err error) { stored <- err })
			if err := <-stored; err != nil {
				t.Fatal(err)
			}
			r.m.dies(r.a)
			r.a.crash(t)
			r.m.returns(r.a)
		})
	})
}

// TestR21LeftoverGoesRound: a home is killed when it has stored messages, and their
// sender has not heard so: they are sent on to the next home as well. Back at the first
// one the client gets those which it had between no second time, and the others, in
// order.
func TestR21LeftoverGoesRound(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	s := a.dial(t, "s", lasting)
	s.subscribe(2, "t")
	s.Disconnect(packet.Success)
	eventually(t, "its home is known", func() bool { return b.b.isAway(Key{ClientID: "s"}) })
	far := b.dial(t, "far")
	far.send("t", "had", 2)
	way := b.cluster.hopTo(a.id)
	way.mu.Lock()
	p := &parcel{stream: wire.StreamPublish, kind: wire.TypePublish, body: wire.AppendPublish(nil, &way.carried[0]), seq: way.seq}
	way.mu.Unlock()
	far.send("t", "not had", 2)
	m.dies(a)
	way.change(func() { way.queues[wire.StreamPublish] = append(way.queues[wire.StreamPublish], p) })
	s = c.dial(t, "s", lasting)
	s.expect("had")
	c.awaitAcknowledged(t, "s")
	a.crash(t)
	holdUp(a, c, wire.StreamMigration, true)
	m.returns(a)
	came := make(chan *person, 1)
	go func() { came <- a.dial(t, "s", lasting) }()
	<-s.ended
	holdUp(a, c, wire.StreamMigration, false)
	s = <-came
	s.expect("not had")
	s.expectNothing(far)
}

// deafTo ends publishes for a node as if nobody there wanted them.
type deafTo struct {
	*fakeCluster
	to wire.NodeID
}

func (f *deafTo) Send(to wire.NodeID, s wire.Stream, t wire.Type, body []byte, tk Ticket) error {
	if to == f.to && t == wire.TypePublish {
		go tk.Ended(to, NoMatch, 0)
		return nil
	}
	return f.fakeCluster.Send(to, s, t, body, tk)
}

// TestR11NotPassedOn: of what the second home has not taken nothing is said to the
// first one, which takes it then: copies come rather than nothing.
func TestR11NotPassedOn(t *testing.T) {
	m := rigAfter(t, 3, func(m *mesh) {
		m.nodes[1].b.cfg.Cluster = &deafTo{m.nodes[1].cluster, m.nodes[2].id}
	})
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	a.offline(t, b)
	m.dies(a)
	b.dial(t, "far").send("t", "waits", 1)
	c.dial(t, "s", lasting).Disconnect(packet.Success)
	eventually(t, "it was redirected, in vain", func() bool { return b.counter("cluster_publish_redirected_total") == 1 })
	m.returns(a)
	a.dial(t, "s", lasting).expect("waits")
}
