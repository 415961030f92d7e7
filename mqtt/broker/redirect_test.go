package broker

import (
	"slices"
	"testing"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// TestR11Redirect: what waits in the spool for a session's home that is down
// goes to the new home when the session has one, each message once, and nothing
// that is for others.
func TestR11Redirect(t *testing.T) {
	for _, moves := range []string{"after the verdict", "before the verdict"} {
		t.Run(moves, func(t *testing.T) { redirected(t, moves == "before the verdict") })
	}
}

func redirected(t *testing.T, early bool) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	for id, filter := range map[string]string{"s": "a/s", "other": "a/+"} {
		s := b.dial(t, id, lasting)
		s.subscribe(1, filter)
		s.Disconnect(packet.Success)
	}
	eventually(t, "the routes are derived", func() bool {
		return len(a.b.mount("").index.Match([]byte("a/other")).Direct) == 2 && a.b.isAway(Key{ClientID: "s"})
	})
	m.cut(a, b, true)
	m.cut(c, b, true)
	verdict := func() {
		m.verdict(a, b, false)
		m.verdict(c, b, false)
	}
	if !early {
		verdict()
	}
	pub, near := a.dial(t, "pub"), c.dial(t, "near")
	pub.send("a/s", "1", 1)
	pub.send("a/other", "2", 1)
	near.send("a/s", "3", 2)
	if early {
		k := metadata.ClientKey{ClientID: "s"}
		v, _, err := c.meta.GetSession(k)
		if err != nil {
			t.Fatal(err)
		}
		v.Home, v.Epoch = uint64(c.id), metadata.Epoch{HLC: c.meta.Stamp(), Node: uint64(c.id)}
		c.meta.PutSession(k, v, nil)
		eventually(t, "a knows of the new home", func() bool {
			a.b.left.mu.Lock()
			defer a.b.left.mu.Unlock()
			return len(a.b.left.mu.list) == 1
		})
		verdict()
	}
	taken := c.dial(t, "s", lasting) // c is its home now
	taken.subscribe(1, "a/s")
	// What is published now waits for others at b as well.
	pub.send("a/s", "4", 1)
	got := map[string]bool{}
	for range 3 {
		msg := <-taken.Messages()
		got[string(msg.Payload)] = true
	}
	if len(got) != 3 || got["2"] {
		t.Fatalf("s got %v", got)
	}
	if n := a.counter("cluster_publish_redirected_total") + c.counter("cluster_publish_redirected_total"); n != 2 {
		t.Errorf("%d were redirected", n)
	}
	id := a.cluster.hopTo(b.id).carried[0].ID
	toC := a.cluster.hopTo(c.id)
	toC.mu.Lock()
	carried := slices.Clone(toC.carried)
	toC.mu.Unlock()
	if !slices.ContainsFunc(carried, func(f wire.Publish) bool { return f.ID == id && f.Targets == wire.ToSessions }) {
		t.Errorf("%v was not redirected under its id", id)
	}
	taken.expectNothing(near)
}

// TestR11RedirectAfterRestart: a node that has started again redirects what the
// process before it has left in the spool.
func TestR11RedirectAfterRestart(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	s := b.dial(t, "s", lasting)
	s.subscribe(1, "t")
	s.Disconnect(packet.Success)
	apart := func(o *rigNode) {
		m.cut(o, b, true)
		m.verdict(o, b, false)
	}
	known := func() bool { return a.b.isAway(Key{ClientID: "s"}) }
	eventually(t, "a knows the home", known)
	// A client that comes back makes the session one that was somewhere before.
	b.dial(t, "s", lasting).Disconnect(packet.Success)
	apart(a)
	pub := a.dial(t, "pub")
	want := []string{"0", "1", "2"}
	for _, x := range want {
		pub.send("t", x, 1)
	}
	way := a.cluster.hopTo(b.id)
	way.mu.Lock()
	spooled := slices.Clone(way.queues[wire.StreamPublish])
	way.mu.Unlock()
	a.restart(t)
	eventually(t, "a knows the home again", known)
	apart(a)
	apart(c)
	way.change(func() { way.queues[wire.StreamPublish] = spooled })
	c.dial(t, "s", lasting).expect(want...)
}

// TestR11RedirectLeftUndone: a node that was told of a session's new home while
// the old one could be reached, and that was started again before that one went
// down, redirects what waits: of the move it has only its tables then.
func TestR11RedirectLeftUndone(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	s := b.dial(t, "s", lasting)
	s.subscribe(1, "t")
	s.Disconnect(packet.Success)
	eventually(t, "a knows the home", func() bool { return a.b.isAway(Key{ClientID: "s"}) })
	way := a.cluster.hopTo(b.id) // b is slow, so that the spool takes it
	way.change(func() { way.paused = map[wire.Stream]bool{wire.StreamPublish: true} })
	a.dial(t, "pub").send("t", "waits", 1)
	s = c.dial(t, "s", lasting)
	eventually(t, "a knows the new home", func() bool {
		rec, _ := a.b.storedSession(Key{ClientID: "s"})
		return rec != nil && rec.Home == uint64(c.id)
	})
	m.dies(b)
	a.restart(t)
	s.expect("waits")
}
