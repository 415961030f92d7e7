package broker

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// offline makes the session s, which wants t, at n without its client, and waits until
// another node knows of it.
func (n *rigNode) offline(t *testing.T, other *rigNode) {
	t.Helper()
	s := n.dial(t, "s", lasting)
	s.subscribe(1, "t")
	s.Disconnect(packet.Success)
	eventually(t, "its home is known", func() bool { return other.b.isAway(Key{ClientID: "s"}) })
}

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
	generation := a.b.generation.Load()
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
	eventually(t, "a publishes for the new home", func() bool { return a.b.generation.Load() > generation })
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
	b.offline(t, a)
	holdUp(a, b, wire.StreamPublish, true) // b is slow, so that the spool takes it
	a.dial(t, "pub").send("t", "waits", 1)
	s := c.dial(t, "s", lasting)
	eventually(t, "a knows the new home", func() bool {
		rec, _ := a.b.storedSession(Key{ClientID: "s"})
		return rec != nil && rec.Home == uint64(c.id)
	})
	m.dies(b)
	a.restart(t)
	s.expect("waits")
}

// unaware makes b see nothing of a, whose publishes for it wait.
func unaware(b, a *rigNode) (release func()) {
	holdUp(a, b, wire.StreamPublish, true)
	b.cluster.mu.Lock()
	b.cluster.mu.unreached[a.id] = true
	b.cluster.mu.Unlock()
	b.b.PeerReachable(a.id, false)
	return func() { holdUp(a, b, wire.StreamPublish, false) }
}

// TestR11Strays: the old home lets a session go while it cannot reach a node that
// has messages for it. What comes from there is sent on until that node has said
// that it publishes for the new home.
func TestR11Strays(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	s := b.dial(t, "s", lasting)
	s.subscribe(1, "t/+")
	s.Disconnect(packet.Success)
	other := b.dial(t, "other")
	other.subscribe(1, "t/both")
	eventually(t, "a knows the home and the other", func() bool {
		return a.b.isAway(Key{ClientID: "s"}) && len(a.b.mount("").index.Match([]byte("t/both")).Direct) == 2
	})
	release := unaware(b, a)
	pub := a.dial(t, "pub")
	for _, topic := range []string{"t/one", "u", "t/both"} {
		pub.send(topic, topic, 1)
	}
	s = c.dial(t, "s", lasting)
	eventually(t, "b has let the session go", func() bool { return b.b.strays.has(a.id) })
	b.awaitNothing(t, "s")
	release()
	other.expect("t/both")
	s.expect("t/one", "t/both")
	eventually(t, "a has said that nothing is on its way", func() bool { return !b.b.strays.has(a.id) })
	pub.send("t/both", "later", 1)
	s.expect("later")
	other.expect("later")
	s.expectNothing(pub)
	if n := b.counter("cluster_publish_redirected_total"); n != 2 {
		t.Errorf("%d were sent on", n)
	}
}

// TestR11StraysAfterRestart: the same of a node that stands still, when the old home is
// started again before that node goes on: what it let go is on the disk.
func TestR11StraysAfterRestart(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	b.offline(t, a)
	m.dies(a)
	pub := a.dial(t, "pub")
	pub.send("t", "waits", 1)
	s := c.dial(t, "s", lasting)
	b.awaitNothing(t, "s")
	b.restart(t)
	if !b.b.strays.has(a.id) || b.b.strays.has(c.id) {
		t.Fatal("the old home has not kept for whom it did not wait")
	}
	m.returns(a)
	s.expect("waits")
	pub.send("t", "later", 1)
	s.expect("later")
	eventually(t, "a has said that nothing is on its way", func() bool { return len(b.strayList(t)) == 0 })
	if b.b.strays.has(a.id) {
		t.Error("it is in memory, and not on the disk")
	}
}

// strayList is what is on a node's disk of sessions that it let go.
func (n *rigNode) strayList(t *testing.T) (list []string) {
	t.Helper()
	err := n.queue.EachStray(func(peer uint64, name string, v []byte) {
		s, err := decodeStray(Key{ClientID: name[1:]}, v)
		if err != nil {
			t.Error(err)
			return
		}
		list = append(list, fmt.Sprintf("%d %s %d %d", peer, s.k.ClientID, s.epoch.HLC, s.cut))
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestStraysOnDisk: what a member says of a session that was let go has been taken
// when it is on the disk, and is known to the next process; of a node that is no
// member any more nothing is kept.
func TestStraysOnDisk(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	for _, id := range []wire.NodeID{a.id, c.id} {
		for _, client := range []string{"s", "u"} {
			noted := make(chan error, 1)
			b.b.strays.add(id, &stray{k: Key{ClientID: client}, epoch: metadata.Epoch{HLC: 50}}, false, 0, func(err error) { noted <- err })
			if err := <-noted; err != nil {
				t.Fatal(err)
			}
		}
	}
	says := func(epoch, generation uint64) {
		t.Helper()
		taken := make(chan wire.Result, 1)
		f := wire.Fence{Generation: generation, List: []wire.Fenced{{Client: wire.Client{ID: "s"}, Epoch: wire.Epoch{HLC: epoch}, From: b.id, To: c.id}}}
		b.b.TakeFence(a.id, &f, func(r wire.Result, _ uint8) { taken <- r })
		if r := <-taken; r != wire.Stored {
			t.Fatal(r)
		}
	}
	want := func(list ...string) {
		t.Helper()
		if got := b.strayList(t); !slices.Equal(got, list) {
			t.Errorf("%q are on the disk, want %q", got, list)
		}
	}
	says(49, 900) // of an earlier move
	says(50, 1000)
	want("1 s 50 1000", "1 u 50 0", "3 s 50 0", "3 u 50 0")
	b.restart(t)
	says(50, 1000)
	want("1 u 50 0", "3 s 50 0", "3 u 50 0")
	b.b.MembersChanged([]wire.NodeID{a.id, b.id})
	eventually(t, "the removed member is forgotten", func() bool { return len(b.strayList(t)) == 1 })
	b.b.MembersChanged(nil) // not known
	want("1 u 50 0")
}

// TestStrayIsReadAgain: nothing that is damaged is read as a stray.
func TestStrayIsReadAgain(t *testing.T) {
	k := Key{ClientID: "s"}
	v := (&stray{k: k, epoch: metadata.Epoch{HLC: 1 << 60, Node: 7}, cut: 1 << 50}).append(nil)
	if s, err := decodeStray(k, v); err != nil || s.k != k || s.epoch != (metadata.Epoch{HLC: 1 << 60, Node: 7}) || s.cut != 1<<50 {
		t.Errorf("%+v, %v", s, err)
	}
	for n := range v {
		if _, err := decodeStray(k, v[:n]); err == nil {
			t.Errorf("%d bytes are read as all", n)
		}
	}
}

// TestR11RedirectTwice: what was redirected to a session's new home, and waits for
// that one, goes on with the session when it moves again: it was matched for the first
// home, under a generation in which the second was none.
func TestR11RedirectTwice(t *testing.T) {
	m := rig(t, 4)
	a, b, c, d := m.nodes[0], m.nodes[1], m.nodes[2], m.nodes[3]
	b.offline(t, a)
	m.dies(b)
	a.dial(t, "pub").send("t", "waits", 1)
	holdUp(a, c, wire.StreamPublish, true)
	c.dial(t, "s", lasting).Disconnect(packet.Success)
	eventually(t, "it was redirected", func() bool { return a.counter("cluster_publish_redirected_total") == 1 })
	m.dies(c)
	d.dial(t, "s", lasting).expect("waits")
}

// slowSpool says when it is about to read what waits for a node, if it is asked to,
// and waits.
type slowSpool struct {
	*fakeCluster
	ask atomic.Pointer[chan chan struct{}]
}

func (f *slowSpool) Spooled(to wire.NodeID, fn func(body []byte) bool) error {
	if reads := f.ask.Swap(nil); reads != nil {
		goOn := make(chan struct{})
		*reads <- goOn
		<-goOn
	}
	return f.fakeCluster.Spooled(to, fn)
}

// TestR11RedirectMovedOn: a session moves on while what waits for its first home is
// read. The home to which that goes has let the session go then, since this node had
// said that it publishes for the next one.
func TestR11RedirectMovedOn(t *testing.T) {
	spool := &slowSpool{}
	m := rigAfter(t, 4, func(m *mesh) {
		spool.fakeCluster = m.nodes[0].cluster
		m.nodes[0].b.cfg.Cluster = spool
	})
	a, b, c, d := m.nodes[0], m.nodes[1], m.nodes[2], m.nodes[3]
	b.offline(t, a)
	m.dies(b)
	a.dial(t, "pub").send("t", "waits", 1)
	reads := make(chan chan struct{})
	spool.ask.Store(&reads)
	c.dial(t, "s", lasting).Disconnect(packet.Success)
	goOn := <-reads
	s := d.dial(t, "s", lasting)
	c.awaitNothing(t, "s")
	close(goOn)
	s.expect("waits")
}

// lateSpool takes what is sent to a node when it is told to, in order.
type lateSpool struct {
	*fakeCluster
	to   wire.NodeID
	mu   sync.Mutex
	list []func()
	on   bool // it waits
}

func (f *lateSpool) Send(to wire.NodeID, s wire.Stream, t wire.Type, body []byte, tk Ticket) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.on && to == f.to && s == wire.StreamPublish {
		f.list = append(f.list, func() { must(f.fakeCluster.Send(to, s, t, body, tk)) })
		return nil
	}
	return f.fakeCluster.Send(to, s, t, body, tk)
}

func (f *lateSpool) SendPublish(to wire.NodeID, body []byte, tk Ticket) error {
	return f.Send(to, wire.StreamPublish, wire.TypePublish, body, tk)
}

// TestR11RedirectSlowDisk: what was sent before a session moved is redirected though
// the disk takes its time to spool it.
func TestR11RedirectSlowDisk(t *testing.T) {
	spool := &lateSpool{}
	m := rigAfter(t, 3, func(m *mesh) {
		spool.fakeCluster, spool.to = m.nodes[0].cluster, m.nodes[1].id
		m.nodes[0].b.cfg.Cluster = spool
	})
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	b.offline(t, a)
	m.dies(b)
	spool.mu.Lock()
	spool.on = true
	spool.mu.Unlock()
	sent := make(chan struct{})
	pub := a.dial(t, "pub")
	go func() { defer close(sent); pub.send("t", "waits", 1) }()
	waiting := func(n int) func() bool {
		return func() bool { spool.mu.Lock(); defer spool.mu.Unlock(); return len(spool.list) >= n }
	}
	eventually(t, "the message waits for the disk", waiting(1))
	s := c.dial(t, "s", lasting)
	eventually(t, "what is behind it waits as well", waiting(4)) // two fences of the move, and ours
	spool.mu.Lock()
	for _, f := range spool.list {
		f()
	}
	spool.on = false
	spool.mu.Unlock()
	<-sent
	s.expect("waits")
}

// TestStraying: what is sent on ends when all of it has, and as badly as the worst
// of it.
func TestStraying(t *testing.T) {
	for _, c := range []struct {
		here    wire.Result
		missed  uint8
		arrived bool
		want    wire.Result
	}{
		{wire.NoMatch, 0, true, wire.Stored}, {wire.Stored, 0, true, wire.Stored}, {wire.NoMatch, 1, true, wire.NoMatch},
		{wire.NoMatch, 0, false, wire.Refused}, {wire.Stored, 0, false, wire.Refused}, {wire.Refused, 3, true, wire.Refused},
	} {
		var got []wire.Result
		s := &straying{done: func(r wire.Result, _ uint8) { got = append(got, r) }}
		s.left.Store(3)
		s.there(c.arrived)
		s.here(c.here, c.missed)
		if len(got) > 0 {
			t.Errorf("%+v: it ended before its last copy", c)
		}
		if s.there(true); len(got) != 1 || got[0] != c.want {
			t.Errorf("%+v: ended as %v", c, got)
		}
	}
}

// TestR11RedirectPastTheOldHome: the old home lets a session go while it cannot
// reach a node that has messages for it in its spool. That node is started again,
// and finds the old home there: what goes to it then would end nowhere.
func TestR11RedirectPastTheOldHome(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	b.offline(t, a)
	release := unaware(b, a)
	a.dial(t, "pub").send("t", "waits", 1)
	s := c.dial(t, "s", lasting)
	eventually(t, "a knows the new home", func() bool {
		rec, _ := a.b.storedSession(Key{ClientID: "s"})
		return rec != nil && rec.Home == uint64(c.id)
	})
	b.awaitNothing(t, "s")
	a.restart(t)
	release()
	s.expect("waits")
}

// TestR11OldHomeReturns: what was published while a session's home was dead, and went
// to its new home, does not come again when the old home is back and takes what was
// spooled for it.
func TestR11OldHomeReturns(t *testing.T) {
	for _, crashed := range []bool{false, true} {
		t.Run(fmt.Sprint("crashed ", crashed), func(t *testing.T) {
			m := rig(t, 3)
			a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
			a.offline(t, b)
			m.dies(a)
			far, near := b.dial(t, "far"), c.dial(t, "near")
			var want []string
			for i := range 20 {
				want = append(want, fmt.Sprint("far", i), fmt.Sprint("near", i))
				far.send("t", fmt.Sprint("far", i), uint8(1+i%2))
				near.send("t", fmt.Sprint("near", i), uint8(1+i%2))
			}
			s := c.dial(t, "s", lasting)
			s.expectAll(want...)
			if crashed {
				a.again(t, func(_ *rigNode, h *hop) { h.lose(wire.StreamNone) })
			}
			m.returns(a)
			a.awaitNothing(t, "s")
			far.send("t", "last", 2)
			s.expect("last")
			s.expectNothing(near)
		})
	}
}
