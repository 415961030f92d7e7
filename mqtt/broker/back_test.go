package broker

import (
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// backing is a session that goes from a to b and at once back to a, while x still
// publishes for its first stay there. Owned by one test.
type backing struct {
	t       *testing.T
	a, b, x *rigNode
	pub     *person
}

func newBacking(t *testing.T) *backing {
	t.Helper()
	m := rig(t, 3)
	f := &backing{t: t, a: m.nodes[0], b: m.nodes[1], x: m.nodes[2]}
	f.a.dial(t, "s", lasting).subscribe(1, "t")
	f.pub = f.x.dial(t, "pub")
	return f
}

// homeOf is the other node to which n routes what it publishes for a session.
func (n *rigNode) homeOf(id string) wire.NodeID {
	n.b.remotes.mu.Lock()
	defer n.b.remotes.mu.Unlock()
	if a := n.b.remotes.mu.away[Key{ClientID: id}]; a != nil {
		return a.home
	}
	return 0
}

// back has the session come back from the home between, and calls meanwhile when it
// waits at a, or is there. The two messages that are published are to come in order.
func (f *backing) back(between *person, meanwhile func()) {
	f.t.Helper()
	came := make(chan *person, 1)
	go func() { came <- f.a.dial(f.t, "s", lasting) }()
	<-between.ended
	soon := time.NewTimer(20 * time.Millisecond)
	defer soon.Stop()
	var s *person
	select {
	case s = <-came:
	case <-soon.C:
	}
	meanwhile()
	if s == nil {
		s = <-came
	}
	s.expect("0", "1")
	if n := f.a.counter("queue_order_broken_total"); n != 0 {
		f.t.Errorf("order was given up %d times", n)
	}
}

// lags holds up who follows the tables of a node ahead of its next fence, and then
// between the first and the second; each call of goOn lets it go one step on.
func (n *rigNode) lags() (goOn func()) {
	at := n.b.generation.Load() + 1
	for i := range n.b.under {
		n.b.under[i].Add(1)
	}
	return func() { n.b.under[at&1].Add(-1); at++ }
}

// TestR21BackBeforeItsMessages: what was published for a session's first stay and comes
// when it is back from another node is delivered before what was published later and
// went there.
func TestR21BackBeforeItsMessages(t *testing.T) {
	f := newBacking(t)
	holdUp(f.x, f.a, wire.StreamPublish, true)
	f.pub.send("t", "0", 1) // it waits in the spool
	between := f.b.dial(t, "s", lasting)
	eventually(t, "the home between is known", func() bool { return f.x.homeOf("s") == f.b.id })
	f.pub.send("t", "1", 1)
	f.back(between, func() { holdUp(f.x, f.a, wire.StreamPublish, false) })
}

// TestR21BackBeforeTheTables: the same while the publisher's node has the tables and has
// not followed them. Where the session's own has not either, it does not know by itself
// that the session was away, and that what comes is for the stay before.
func TestR21BackBeforeTheTables(t *testing.T) {
	for _, all := range []bool{false, true} {
		f := newBacking(t)
		goOn := f.x.lags()
		own := func() {}
		if all {
			own = f.a.lags()
		}
		between := f.b.dial(t, "s", lasting)
		f.back(between, func() {
			f.pub.send("t", "0", 1)
			before := f.x.b.generation.Load()
			goOn()
			eventually(t, "the home between is known", func() bool { return f.x.b.generation.Load() > before })
			f.pub.send("t", "1", 1)
			goOn()
			own()
			own()
		})
	}
}

// TestR21LateEndOfAnEarlierMove: the node from which a session once came to a says that
// this was all in the very moment in which the session is back at a from the next home.
// What that one has is waited for all the same.
func TestR21LateEndOfAnEarlierMove(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	c.dial(t, "s", lasting).subscribe(1, "t")
	holdUp(c, a, wire.StreamMigration, true)
	a.dial(t, "s", lasting)
	at := a.b.registry.get(Key{ClientID: "s"})
	holdUp(a, b, wire.StreamMigration, true) // it stays at a
	between := b.dial(t, "s", lasting)
	between.Disconnect(packet.Success)
	pub := b.dial(t, "pub")
	pub.send("t", "0", 1)
	holdUp(b, a, wire.StreamMigration, true)
	a.b.arrivals.begin() // whoever hands on what has come waits
	h := c.cluster.hopTo(a.id)
	holdUp(c, a, wire.StreamMigration, false)
	eventually(t, "c has said that this was all", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return c.b.registry.get(Key{ClientID: "s"}) == nil && len(h.queues[wire.StreamMigration]) == 0
	})
	s := a.dial(t, "s", lasting)
	a.b.arrivals.end()
	eventually(t, "it is heard", func() bool {
		at.mu.Lock()
		defer at.mu.Unlock()
		_, awaited := at.awaits[c.id]
		return !awaited
	})
	a.dial(t, "other").send("t", "1", 1)
	holdUp(a, b, wire.StreamMigration, false)
	holdUp(b, a, wire.StreamMigration, false)
	s.expect("0", "1")
}

// TestR11StraysBackHome: the old home could not reach a node that has messages for a
// session, and has let that go. The session is back when they come: they are its, whether
// that node is reached again or not.
func TestR11StraysBackHome(t *testing.T) {
	for _, reached := range []bool{false, true} {
		m := rig(t, 3)
		a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
		b.offline(t, a)
		release := unaware(b, a)
		pub := a.dial(t, "pub")
		pub.send("t", "waits", 1)
		c.dial(t, "s", lasting)
		eventually(t, "b has let the session go", func() bool { return b.b.strays.has(a.id) })
		b.awaitNothing(t, "s")
		if reached {
			b.cluster.mu.Lock()
			b.cluster.mu.unreached[a.id] = false
			b.cluster.mu.Unlock()
			b.b.PeerReachable(a.id, true)
		}
		s := b.dial(t, "s", lasting)
		release()
		s.expect("waits")
		eventually(t, "a has said that nothing is on its way", func() bool { return !b.b.strays.has(a.id) })
		pub.send("t", "later", 1)
		s.expect("later")
		if reached { // else SUBACK does not wait for the publisher's node
			s.expectNothing(pub)
		}
	}
}

// TestR21LateCopy: a node publishes a message when it knows of both homes of a session,
// so that it goes to both, and before it says that nothing of that kind is on its way any
// more. The old home has it, and has moved all it had, when the other copy comes to the
// new one: that is nobody's.
func TestR21LateCopy(t *testing.T) {
	m := rig(t, 3)
	a, b, x := m.nodes[0], m.nodes[1], m.nodes[2]
	a.dial(t, "s", lasting).subscribe(1, "t")
	x.dial(t, "own", lasting).subscribe(1, "t")
	goOn := x.lags()
	s := b.dial(t, "s", lasting)
	eventually(t, "x knows of both homes", func() bool { return x.homeOf("s") == b.id && x.b.under[0].Load()+x.b.under[1].Load() == 2 })
	own := x.b.registry.get(Key{ClientID: "own"})
	paused := make(chan struct{})
	own.mu.Lock()
	own.paused = paused
	own.mu.Unlock()
	pub := x.dial(t, "pub")
	sent := make(chan error, 1)
	go func() {
		_, err := pub.trySend(20*time.Second, "t", "0", 1)
		sent <- err
	}()
	eventually(t, "the message is matched", func() bool { return x.b.under[0].Load()+x.b.under[1].Load() == 3 })
	goOn()
	eventually(t, "the cut is known", func() bool {
		at := b.b.registry.get(Key{ClientID: "s"}).shift.Load()
		_, known := at.cuts[x.id]
		return known
	})
	holdUp(x, b, wire.StreamPublish, true)
	own.mu.Lock()
	own.paused = nil
	own.mu.Unlock()
	close(paused)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	goOn()
	s.expect("0")
	eventually(t, "the old home has nothing more", func() bool { return a.b.registry.get(Key{ClientID: "s"}) == nil })
	at := b.b.registry.get(Key{ClientID: "s"})
	eventually(t, "the new home knows that", func() bool {
		at.mu.Lock()
		defer at.mu.Unlock()
		return len(at.awaits) == 0
	})
	holdUp(x, b, wire.StreamPublish, false)
	pub.send("t", "1", 1)
	s.expect("1")
}
