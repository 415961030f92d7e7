package broker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
)

// TestPublishAcrossNodes: a message published on one node reaches the clients
// of all, at each QoS, in order, and is acknowledged; a receiver passes nothing
// on, so that nobody gets it twice.
func TestPublishAcrossNodes(t *testing.T) {
	m := rig(t, 3)
	var subs []*person
	for i, n := range m.nodes {
		s := n.dial(t, fmt.Sprint("sub", i))
		s.subscribe(2, "a/+")
		subs = append(subs, s)
	}
	pub := m.nodes[0].dial(t, "pub")
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint(i))
		if r := pub.send("a/b", fmt.Sprint(i), uint8(1+i%2)); r != packet.Success {
			t.Fatalf("acknowledged with %v", r)
		}
	}
	for _, s := range subs {
		s.expect(want...)
	}
	pub.send("a/b", "fast", 0)
	for _, s := range subs {
		s.expect("fast")
		s.expectNothing(pub)
	}
}

// TestPersistentAcrossNodes: a session that is away gets what was published on
// another node when it comes back, in order.
func TestPersistentAcrossNodes(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	s := b.dial(t, "s", lasting)
	s.subscribe(1, "a")
	s.Disconnect(packet.Success)
	pub := a.dial(t, "pub")
	for i := range 10 {
		pub.send("a", fmt.Sprint(i), 1)
	}
	s = b.dial(t, "s", lasting)
	s.expect("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
}

// TestNoMatch: nobody anywhere, or nobody any more at the node that said so.
func TestNoMatch(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	a.cluster.calm.Store(true) // what the spool takes since b is slow counts as matched
	pub := a.dial(t, "pub")
	if r := pub.send("a", "x", 1); r != packet.NoMatchingSubscribers {
		t.Fatalf("acknowledged with %v", r)
	}
	// A route that has gone from b, and of which a has not heard.
	a.b.TakeRoutes(b.id, &wire.Routes{List: []wire.Route{{Filter: "a", Members: 1}}})
	if r := pub.send("a", "x", 1); r != packet.NoMatchingSubscribers {
		t.Fatalf("acknowledged with %v", r)
	}
}

// TestR5DerivedRoutes: routes to persistent sessions follow the tables: they are
// there without announcements, follow the home, and go with the session.
func TestR5DerivedRoutes(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	s := b.dial(t, "s", lasting)
	s.subscribe(1, "a", "$share/g/b")
	routes := func() (n int) {
		for _, topic := range []string{"a", "b"} {
			res := a.b.mount("").index.Match([]byte(topic))
			for _, h := range res.Direct {
				if r := h.Sub.remote; r != nil && r.durable && r.node.id == b.id {
					n++
				}
			}
			for _, g := range res.Shared {
				for _, h := range g.Members {
					if r := h.Sub.remote; r != nil && r.durable && r.node.id == b.id {
						n++
					}
				}
			}
		}
		return n
	}
	eventually(t, "both filters are derived", func() bool { return routes() == 2 })
	// Another node's word on connection-bound sessions does not touch them.
	a.b.TakeRoutes(b.id, &wire.Routes{First: true, Last: true, Snapshot: true})
	if routes() != 2 {
		t.Fatal("a snapshot took derived routes away")
	}
	s.Disconnect(packet.Success)
	b.dial(t, "s").Disconnect(packet.Success) // a clean start ends the session
	eventually(t, "the routes go with the session", func() bool { return routes() == 0 })
}

// TestR5SnapshotReplaces: what a snapshot does not name is gone, what it names
// stays without a gap.
func TestR5SnapshotReplaces(t *testing.T) {
	m := rig(t, 2)
	b := m.nodes[0].b
	filters := func(names ...string) (list []wire.Route) {
		for _, f := range names {
			list = append(list, wire.Route{Filter: f, Members: 1})
		}
		return list
	}
	matches := func(topic string) bool { return len(b.mount("").index.Match([]byte(topic)).Direct) > 0 }
	b.TakeRoutes(2, &wire.Routes{List: filters("a", "b")})
	b.TakeRoutes(2, &wire.Routes{Snapshot: true, First: true, List: filters("b")})
	if !matches("a") || !matches("b") {
		t.Fatal("routes went before the snapshot was whole")
	}
	b.TakeRoutes(2, &wire.Routes{Snapshot: true, Last: true, List: filters("c")})
	if matches("a") || !matches("b") || !matches("c") {
		t.Fatalf("after the snapshot: a %v, b %v, c %v", matches("a"), matches("b"), matches("c"))
	}
	b.TakeRoutes(2, &wire.Routes{List: []wire.Route{{Filter: "b", Flags: wire.RouteGone}, {Filter: "b", Flags: wire.RoutePersistent, Members: 1}}})
	if !matches("b") {
		t.Fatal("a route of persistent sessions went with that of others")
	}
}

// TestR6SubackMeansMatched: SUBACK waits until every reachable member has the
// filter, also for the second subscriber while the first one's is on its way.
func TestR6SubackMeansMatched(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	way := a.cluster.hopTo(b.id)
	way.change(func() { way.paused[wire.StreamControl] = true })
	answered := make(chan packet.ReasonCode, 2)
	for i := range 2 {
		s := a.dial(t, fmt.Sprint("s", i))
		go func() { answered <- s.trySubscribe(1, "a")[0] }()
		eventually(t, "the filter matches at home", func() bool { return len(a.b.mount("").index.Match([]byte("a")).Direct) == i+1 })
	}
	way.mu.Lock()
	waiting := len(way.queues[wire.StreamControl])
	way.mu.Unlock()
	if waiting != 1 || len(answered) != 0 {
		t.Fatalf("%d announcements wait, %d SUBACKs came before the other node had them", waiting, len(answered))
	}
	way.change(func() { way.paused[wire.StreamControl] = false })
	for range 2 {
		if r := <-answered; r.Failed() {
			t.Fatalf("SUBACK with %v", r)
		}
	}
	if len(b.b.mount("").index.Match([]byte("a")).Direct) != 1 {
		t.Fatal("SUBACK came, and the other node does not route")
	}
}

// TestR6Timeout: a subscription that is not confirmed in time is refused and
// taken back everywhere.
func TestR6Timeout(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	a.cluster.mu.Lock()
	a.cluster.mu.timeout = 30 * time.Millisecond
	a.cluster.mu.Unlock()
	way := a.cluster.hopTo(b.id)
	way.change(func() { way.paused[wire.StreamControl] = true })
	s := a.dial(t, "s", lasting)
	if r := s.trySubscribe(1, "a"); r[0] != packet.ImplementationSpecificError {
		t.Fatalf("SUBACK with %v", r)
	}
	old := a.dial(t, "old", v311)
	if r := old.trySubscribe(1, "a"); r[0] != 0x80 {
		t.Fatalf("SUBACK of 3.1.1 with %v", r)
	}
	if len(a.b.mount("").index.Match([]byte("a")).Direct) != 0 {
		t.Fatal("a refused subscription matches")
	}
	way.change(func() { way.paused[wire.StreamControl] = false })
	eventually(t, "the other node forgets it", func() bool { return len(b.b.mount("").index.Match([]byte("a")).Direct) == 0 })
	if info, _ := a.b.Session(Key{ClientID: "s"}); len(info.Subscriptions) != 0 {
		t.Fatalf("the session has %v", info.Subscriptions)
	}
}

// TestR6TimeoutRestores: a SUBSCRIBE that is refused after it had its effect leaves a
// filter with the options that it had, here, in the tables and after a restart; if
// two of them are refused, whichever first, with those before both; and if the later
// one is granted, with those.
func TestR6TimeoutRestores(t *testing.T) {
	m := rig(t, 2)
	a := m.nodes[0]
	s := a.dial(t, "s", lasting)
	s.subscribe(1, "a")
	a.cluster.late.Store(true) // from now on records do not reach the other node in time
	if r := s.trySubscribe(2, "a", "b"); r[0] != packet.ImplementationSpecificError {
		t.Fatalf("SUBACK with %v", r)
	}
	has := func() (qos uint8, filters int) {
		info, _ := a.b.Session(Key{ClientID: "s"})
		return info.Subscriptions["a"].QoS, len(info.Subscriptions)
	}
	if qos, n := has(); qos != 1 || n != 1 {
		t.Errorf("the filter has QoS %d, and there are %d", qos, n)
	}
	if v, _, err := a.meta.GetSubscription(Key{ClientID: "s"}.meta(), "a"); err != nil || v.QoS != 1 {
		t.Errorf("the record has %+v, %v", v, err)
	}
	a.cluster.late.Store(false)
	if pub := a.dial(t, "pub"); pub.send("a", "x", 2) != packet.Success {
		t.Error("the filter does not match any more")
	}
	s.expect("x")
}

// TestR6Undecided: SUBSCRIBEs of one filter that are under way together leave what
// the last one said that was granted, or what was there before, in whatever order
// they are decided.
func TestR6Undecided(t *testing.T) {
	m := rig(t, 1)
	a := m.nodes[0]
	for fate := range 8 { // of each of three: refused or granted
		for order := range 6 {
			id := fmt.Sprint("s", fate, order)
			a.dial(t, id, lasting).subscribe(0, "a")
			c := a.b.registry.get(Key{ClientID: id})
			wishes := [3]wish{}
			c.mu.Lock()
			for i := range wishes {
				wishes[i] = wish{filter: "a", options: topic.Options{ID: uint32(i + 1)}}
				c.undecided(&wishes[i], c.subs["a"], true)
				a.b.enterFilter(c, "a", wishes[i].options)
			}
			want := uint32(0)
			for i := range wishes {
				if fate>>i&1 == 1 {
					want = uint32(i + 1)
				}
			}
			first := order % 3
			second := (first + 1 + order/3) % 3
			for _, i := range []int{first, second, 3 - first - second} {
				if fate>>i&1 == 1 {
					c.keep(&wishes[i])
				} else {
					a.b.takeBack(c, &wishes[i])
				}
			}
			if got := c.subs["a"].ID; got != want || len(c.pending) != 0 {
				t.Errorf("granted %03b, decided in order %d: left is %d, want %d; %d undecided", fate, order, got, want, len(c.pending))
			}
			c.mu.Unlock()
		}
	}
}

// TestR9WaitsForAll: no acknowledgement before every matching node has the
// message or our spool has it.
func TestR9WaitsForAll(t *testing.T) {
	m := rig(t, 3)
	a := m.nodes[0]
	for i, n := range m.nodes[1:] {
		n.dial(t, fmt.Sprint("sub", i)).subscribe(1, "a")
	}
	pub := a.dial(t, "pub")
	slow := a.cluster.hopTo(3)
	slow.change(func() { slow.paused[wire.StreamPublish] = true })
	start := time.Now()
	pub.send("a", "x", 1)
	if took := time.Since(start); took < confirmWait {
		t.Fatalf("acknowledged after %v, before the slow node or the spool had it", took)
	}
	slow.mu.Lock()
	defer slow.mu.Unlock()
	if len(slow.queues[wire.StreamPublish]) != 1 {
		t.Fatal("the spool does not have it")
	}
}

// TestR9LostIsNotAcknowledged: a message whose stream is lost goes again; if it
// is lost over and over, or has no room, its publisher is not told that all is
// well.
func TestR9LostIsNotAcknowledged(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	s := b.dial(t, "sub")
	s.subscribe(1, "a")
	pub := a.dial(t, "pub")
	way := a.cluster.hopTo(b.id)
	lost := 0
	way.change(func() {
		way.verdict = func(p *parcel) (Result, uint8, bool) {
			lost++
			return Lost, 0, lost <= 2
		}
	})
	pub.send("a", "x", 1)
	s.expect("x")
	way.change(func() {
		way.verdict = func(*parcel) (Result, uint8, bool) { return Lost, 0, true }
	})
	if r, err := pub.trySend(20*time.Second, "a", "y", 1); err == nil && !r.Failed() {
		t.Fatalf("a lost message was acknowledged with %v", r)
	}
	old := a.dial(t, "old", v311)
	if _, err := old.trySend(20*time.Second, "a", "y", 2); err == nil {
		t.Fatal("a lost message was acknowledged to 3.1.1")
	}
}

// TestR1IdentityTravels: the frame carries the id under which this node stored
// the message, flags and expiry, and what came keeps its id there.
func TestR1IdentityTravels(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	b.dial(t, "s", lasting).subscribe(1, "a")
	a.dial(t, "local", lasting).subscribe(1, "a")
	pub := a.dial(t, "pub")
	pub.send("a", "x", 2, func(p *packet.Publish) {
		p.Properties.Set |= packet.PropMessageExpiry | packet.PropContentType
		p.Properties.MessageExpiry, p.Properties.ContentType = 100, []byte("t")
	})
	way := a.cluster.hopTo(b.id)
	way.mu.Lock()
	defer way.mu.Unlock()
	f := way.carried[0]
	if f.ID.N == 0 || f.QoS() != 2 || f.ExpiresAt < time.Now().UnixMilli() || f.Targets != wire.ToMatching || len(f.Groups) != 0 {
		t.Fatalf("frame %+v", f)
	}
	if len(way.carried) != 1 {
		t.Fatalf("%d frames for one message", len(way.carried))
	}
}

// TestSystemTopicsStayHome: what a node says of itself is for its own clients.
func TestSystemTopicsStayHome(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	far, near := b.dial(t, "far"), a.dial(t, "near")
	far.subscribe(1, "$SYS/#")
	near.subscribe(1, "$SYS/#")
	a.b.Publish("", "$SYS/x", []byte("1"), 1, false)
	near.expect("1")
	far.expectNothing(near)
}

// TestOneFrameForAll: a thousand subscribers are one frame, and mountpoints are
// apart.
func TestOneFrameForAll(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	var all []*person
	for i := range 20 {
		s := b.dial(t, fmt.Sprint("s", i))
		s.subscribe(uint8(i%3), "a", "#")
		all = append(all, s)
	}
	pub := a.dial(t, "pub")
	pub.send("a", "x", 2)
	for _, s := range all {
		s.expect("x")
	}
	way := a.cluster.hopTo(b.id)
	way.mu.Lock()
	defer way.mu.Unlock()
	if len(way.carried) != 1 {
		t.Fatalf("%d frames", len(way.carried))
	}
	if !slices.Equal(way.carried[0].Mountpoint, nil) {
		t.Fatalf("mountpoint %q", way.carried[0].Mountpoint)
	}
}
