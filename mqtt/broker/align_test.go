package broker

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// filters are those that the session matches on a node, in order.
func (n *rigNode) filters(id string) []string {
	info, _ := n.b.Session(Key{ClientID: id})
	return slices.Sorted(maps.Keys(info.Subscriptions))
}

func (n *rigNode) awaitFilters(t *testing.T, id string, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %v", id, want), func() bool { return slices.Equal(n.filters(id), want) })
}

// awaitAcknowledged waits until nothing waits for the session's client, nor for its
// acknowledgement.
func (n *rigNode) awaitAcknowledged(t *testing.T, id string) {
	t.Helper()
	eventually(t, id+" has acknowledged everything", func() bool {
		i, _ := n.b.Session(Key{ClientID: id})
		return i.Queued == 0 && i.InFlight == 0
	})
}

// awaitRoute waits until what is published on n goes to another node.
func (n *rigNode) awaitRoute(t *testing.T, topic string, to *rigNode) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s goes to node %d", topic, to.id), func() bool {
		for _, h := range n.b.mount("").index.Match([]byte(topic)).Direct {
			if r := h.Sub.remote; r != nil && r.node.id == to.id && !r.durable {
				return true
			}
		}
		return false
	})
}

// passes waits until what n is granted from now on ranks above the session's
// epoch at a node that it cannot hear: two sides of a split may grant in the same
// millisecond, and then the node decides which is the later one.
func (n *rigNode) passes(t *testing.T, id string, other *rigNode) {
	t.Helper()
	rec, err := other.b.storedSession(Key{ClientID: id})
	if err != nil || rec == nil {
		t.Fatal("there is no record of the session", err)
	}
	eventually(t, fmt.Sprintf("node %d's clock has passed %d", n.id, rec.Epoch.HLC), func() bool { return n.meta.Stamp() > rec.Epoch.HLC })
}

// TestP6SubscriptionsMeetAfterHeal: the client is connected on both sides of a
// split, and subscribes to something else on each, and unsubscribes on the side
// that loses. After the heal the connection that stays has both, and not what was
// given up, and gets no retained messages for what it has not asked for.
func TestP6SubscriptionsMeetAfterHeal(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	first := a.dial(t, "s", lasting)
	first.subscribe(1, "old", "stays")
	a.dial(t, "r").send("left", "retained", 1, retained)
	m.split(a)
	second := b.dial(t, "s", lasting)
	second.subscribe(1, "right")
	b.awaitFilters(t, "s", "old", "right", "stays")
	first.subscribe(1, "left", "$share/g/group")
	first.expect("retained")
	// Its acknowledgement may be behind UNSUBSCRIBE, and what is not acknowledged when
	// the connection is taken over comes again, marked.
	a.awaitAcknowledged(t, "s")
	if rs, err := first.unsubscribe("old"); err != nil || rs[0] != packet.Success {
		t.Fatalf("UNSUBACK with %v, %v", rs, err)
	}
	m.heal(a)
	<-first.ended
	b.awaitFilters(t, "s", "$share/g/group", "left", "right", "stays")
	// Until the losing side has let go, what is published there may come in another
	// order: the winner went on without its share (R22).
	eventually(t, "nothing is left at the old home", func() bool { return a.b.registry.get(Key{ClientID: "s"}) == nil })
	for i, n := range m.nodes {
		if n != b {
			n.awaitRoute(t, "left", b)
		}
		pub := n.dial(t, fmt.Sprint("p", i))
		for _, topic := range []string{"left", "old", "right", "stays"} {
			pub.send(topic, fmt.Sprint(topic, i), 1)
		}
		second.expect(fmt.Sprint("left", i), fmt.Sprint("right", i), fmt.Sprint("stays", i))
	}
	a.dial(t, "pg").send("group", "shared", 1)
	second.expect("shared")
	second.expectNothing(m.nodes[2].dial(t, "last"))
}

// TestP6OptionsOfTheWinner: the same filter at both sides is that of the higher
// epoch, and an unsubscribe does not undo a subscription that it has not seen.
func TestP6OptionsOfTheWinner(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	first := a.dial(t, "s", lasting)
	first.subscribe(0, "seen")
	m.split(a)
	second := b.dial(t, "s", lasting)
	second.subscribe(2, "both", "seen")
	first.subscribe(1, "both", "done")
	if rs, err := first.unsubscribe("seen"); err != nil || rs[0] != packet.Success {
		t.Fatalf("UNSUBACK with %v, %v", rs, err)
	}
	m.heal(a)
	<-first.ended
	b.awaitFilters(t, "s", "both", "done", "seen")
	info, _ := b.b.Session(Key{ClientID: "s"})
	if both, done := info.Subscriptions["both"].QoS, info.Subscriptions["done"].QoS; both != 2 || done != 1 {
		t.Errorf("QoS of both %d, of done %d, want 2 and 1", both, done)
	}
	a.awaitRoute(t, "seen", b)
	a.dial(t, "p").send("seen", "x", 1)
	second.expect("x")
}

// TestR18FloorOfTheOtherSide: a clean start at the losing side ends the
// subscriptions from before it, also those that it has not seen, and also in the
// session that stays.
func TestR18FloorOfTheOtherSide(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	first := a.dial(t, "s", lasting)
	first.subscribe(1, "seen")
	m.split(a)
	second := b.dial(t, "s", lasting)
	second.subscribe(1, "unseen")
	a.passes(t, "s", b)
	begun := a.dial(t, "s", lasting, func(c *packet.Connect) { c.CleanStart = true })
	<-first.ended
	begun.subscribe(1, "after")
	b.passes(t, "s", a)
	third := b.dial(t, "s", lasting)
	third.subscribe(1, "right")
	b.awaitFilters(t, "s", "right", "seen", "unseen")
	m.heal(a)
	<-begun.ended
	b.awaitFilters(t, "s", "after", "right")
	third.expectNothing(b.dial(t, "p"))
}

// TestAlignKeepsWhatIsUnderWay: the session is compared with the tables over and
// over while its client subscribes and unsubscribes: nothing is lost that was
// acknowledged, and nothing comes back.
func TestAlignKeepsWhatIsUnderWay(t *testing.T) {
	m := rig(t, 2)
	a := m.nodes[0]
	s := a.dial(t, "s", lasting)
	c := a.b.registry.get(Key{ClientID: "s"})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := a.b.alignOnce(c, metadata.Epoch{}); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for i := range 200 {
		f := fmt.Sprint("f", i%3)
		s.subscribe(1, f, "kept")
		if got := a.filters("s"); !slices.Equal(got, []string{f, "kept"}) {
			t.Fatalf("round %d: after SUBACK the session has %v", i, got)
		}
		if rs, err := s.unsubscribe(f); err != nil || rs[0] != packet.Success {
			t.Fatalf("round %d: UNSUBACK with %v, %v", i, rs, err)
		}
		if got := a.filters("s"); !slices.Equal(got, []string{"kept"}) {
			t.Fatalf("round %d: after UNSUBACK the session has %v", i, got)
		}
	}
	close(stop)
	<-stopped
}

// TestAlignReadsAgain: what was read of the tables before a SUBSCRIBE or
// UNSUBSCRIBE counts for nothing after it.
func TestAlignReadsAgain(t *testing.T) {
	a := rig(t, 2).nodes[0]
	s := a.dial(t, "s", lasting)
	c := a.b.registry.get(Key{ClientID: "s"})
	stale := func() { t.Error("the session took what was read before it changed") }
	seen := c.changed()
	s.subscribe(1, "a")
	if a.b.unchanged(c, seen, stale) {
		t.Error("a SUBSCRIBE is no change")
	}
	seen = c.changed()
	if rs, err := s.unsubscribe("a"); err != nil || rs[0] != packet.Success {
		t.Fatalf("UNSUBACK with %v, %v", rs, err)
	}
	if a.b.unchanged(c, seen, stale) {
		t.Error("an UNSUBSCRIBE is no change")
	}
}

// TestAlignWaitsForRegistration: what changes while a client is on its way into
// the registry is compared when it is there.
func TestAlignWaitsForRegistration(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	a.dial(t, "s", lasting).subscribe(1, "one")
	other := b.dial(t, "t", lasting)
	eventually(t, "the other session is known", func() bool { return a.b.isAway(Key{ClientID: "t"}) })
	key := Key{ClientID: "s"}
	c, ok := a.b.registry.hold(key, a.b.stop)
	if !ok {
		t.Fatal("the broker has stopped")
	}
	a.b.registry.remove(c)
	rec, err := b.b.storedSession(key)
	if err != nil || rec == nil {
		t.Fatal("the other node has no record of the session", err)
	}
	written := make(chan error, 1)
	b.meta.PutSubscription(key.meta(), "two", &metadata.Subscription{QoS: 1, Epoch: rec.Epoch}, func(err error) { written <- err })
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	other.subscribe(1, "later")
	eventually(t, "what was changed later was followed", func() bool {
		a.b.remotes.mu.Lock()
		defer a.b.remotes.mu.Unlock()
		_, is := a.b.remotes.mu.away[Key{ClientID: "t"}].filters["later"]
		return is
	})
	if _, live, err := a.meta.GetSubscription(key.meta(), "two"); err != nil || !live {
		t.Fatal("the table does not have it", err)
	}
	a.b.registry.put(c)
	a.b.registry.release(key)
	a.awaitFilters(t, "s", "one", "two")
	b.meta.DeleteSubscription(key.meta(), "one", nil)
	a.awaitFilters(t, "s", "two")
	if n := a.b.gauge.subscriptions.Load(); n != 1 {
		t.Errorf("%d subscriptions are counted, want 1", n)
	}
}
