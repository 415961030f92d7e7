package broker

import "testing"

// Majority implements Majority for the clusters of tests.
func (f *fakeCluster) Majority() bool { return 2*(len(f.reachable())+1) > len(f.n.m.nodes) }

// fireLost is what the timer of a will does.
func (n *rigNode) fireLost(id string, home *rigNode) {
	k := Key{ClientID: id}
	rec, _ := n.b.storedSession(k)
	lostWill{n.b, k, home.id, rec.Epoch}.fire()
}

// TestR29LostHome: the will of a client whose node is lost is published by one
// node of the side that is more than half, once, and not again when the node is
// back.
func TestR29LostHome(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	dying := a.dial(t, "dying", withWill("last"), lasting)
	near, far := b.dial(t, "near"), m.nodes[2].dial(t, "far")
	near.subscribe(1, "last")
	far.subscribe(1, "last")
	alone := a.dial(t, "alone")
	alone.subscribe(1, "last")
	m.split(a)
	near.expect("last")
	far.expect("last")
	m.heal(a)
	eventually(t, "the home has heard that it was fired", func() bool {
		rec, _ := a.b.storedSession(Key{ClientID: "dying"})
		return rec != nil && !rec.WillFired.Less(rec.Epoch)
	})
	dying.Close()
	<-dying.ended
	pub := b.dial(t, "pub")
	near.expectNothing(pub)
	alone.expectNothing(pub)
}

// TestR29Policy: never leaves the will to the node itself, and a side that is
// not more than half leaves it to the other.
func TestR29Policy(t *testing.T) {
	m := rig(t, 3, func(s *Settings) { s.WillOnNodeLoss = WillNever })
	a, b := m.nodes[0], m.nodes[1]
	a.dial(t, "dying", withWill("last"), lasting)
	near := b.dial(t, "near")
	near.subscribe(1, "last")
	m.split(a)
	for _, n := range m.nodes[1:] {
		n.fireLost("dying", a)
	}
	near.expectNothing(m.nodes[2].dial(t, "pub"))
	if n := b.counter("mqtt_wills_published_total"); n != 0 {
		t.Fatalf("%d wills, want none", n)
	}
}

// TestR29FewFireNothing: the smaller side publishes no wills of the larger one.
func TestR29FewFireNothing(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	b.dial(t, "alive", withWill("last"), lasting)
	seer := a.dial(t, "seer")
	seer.subscribe(1, "last")
	m.split(a)
	a.fireLost("alive", b)
	seer.expectNothing(a.dial(t, "pub"))
}
