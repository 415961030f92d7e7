package broker

import (
	"fmt"
	"slices"
	"testing"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// gather counts what comes to each of several clients, until n came in all.
func gather(t *testing.T, n int, list ...*person) map[string]int {
	t.Helper()
	got := map[string]int{}
	eventually(t, fmt.Sprint(n, " messages in all"), func() bool {
		for _, p := range list {
			select {
			case m := <-p.Messages():
				if m != nil {
					got[p.ClientID()]++
				}
			default:
			}
		}
		sum := 0
		for _, c := range got {
			sum += c
		}
		return sum >= n
	})
	return got
}

// TestR13OneMember: of a group that has members on three nodes one member gets
// each message, whatever the policy; the policies share it out as they say.
func TestR13OneMember(t *testing.T) {
	for _, c := range []struct {
		policy SharePolicy
		fair   func(map[string]int) bool
	}{
		{PreferLocal, func(g map[string]int) bool { return g["m0"] == 60 }},
		{LocalOnly, func(g map[string]int) bool { return g["m0"] == 60 }},
		{PreferOnlineBeforeLocal, func(g map[string]int) bool { return g["m0"] == 60 }},
		{Random, func(g map[string]int) bool { return g["m0"] > 0 && g["m1"] > 0 && g["m2"] > 0 }},
	} {
		m := rig(t, 3, func(s *Settings) { s.SharePolicy = c.policy })
		var members []*person
		for i, n := range m.nodes {
			p := n.dial(t, fmt.Sprint("m", i))
			p.subscribe(1, "$share/g/a/+")
			members = append(members, p)
		}
		pub := m.nodes[0].dial(t, "pub")
		for i := range 60 {
			pub.send("a/b", fmt.Sprint(i), uint8(i%2))
		}
		got := gather(t, 60, members...)
		if !c.fair(got) {
			t.Errorf("policy %d: %v", c.policy, got)
		}
		for _, p := range members {
			p.expectNothing(pub)
		}
	}
}

// TestR13WeightsAndOnline: nodes are weighed by the members they announce, and an
// online member anywhere comes before an offline one.
func TestR13WeightsAndOnline(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	// An offline member here, none online.
	here := a.dial(t, "here", lasting)
	here.subscribe(1, "$share/g/a")
	here.Disconnect(packet.Success)
	eventually(t, "it is offline", func() bool { i, _ := a.b.Session(Key{ClientID: "here"}); return !i.Online })
	one := b.dial(t, "one")
	one.subscribe(1, "$share/g/a")
	all := []*person{one}
	for i := range 3 {
		p := c.dial(t, fmt.Sprint("three", i))
		p.subscribe(1, "$share/g/a")
		all = append(all, p)
	}
	eventually(t, "the count has come", func() bool {
		for _, g := range a.b.mount("").index.Match([]byte("a")).Shared {
			for _, h := range g.Members {
				if h.Sub.remote != nil && h.Sub.remote.node.id == c.id && unpack(h.Options.ID).online == 3 {
					return true
				}
			}
		}
		return false
	})
	pub := a.dial(t, "pub")
	for i := range 40 {
		pub.send("a", fmt.Sprint(i), 1)
	}
	got := gather(t, 40, all...)
	if got["one"] != 10 {
		t.Errorf("one of four members got %v", got)
	}
	// When nobody is online, the offline member here keeps it.
	for _, p := range all {
		p.Disconnect(packet.Success)
	}
	eventually(t, "nobody is online", func() bool {
		return b.b.gauge.online.Load() == 0 && c.b.gauge.online.Load() == 0
	})
	eventually(t, "the others' routes have gone", func() bool {
		return len(a.b.mount("").index.Match([]byte("a")).Shared[0].Members) == 1
	})
	pub.send("a", "kept", 1)
	a.dial(t, "here", lasting).expect("kept")
}

// TestR13RefusedMoves: a message that a node has no member for any more goes to
// another member under the same id.
func TestR13RefusedMoves(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	p := c.dial(t, "c")
	p.subscribe(1, "$share/g/a")
	// b has a member by an old announcement, and says that it is the only one online.
	a.b.TakeRoutes(b.id, &wire.Routes{List: []wire.Route{{Filter: "a", Group: "g", Members: 50, Online: 50}}})
	pub := a.dial(t, "pub")
	for i := range 10 {
		if r := pub.send("a", fmt.Sprint(i), 1); r != packet.Success {
			t.Fatalf("acknowledged with %v", r)
		}
		p.expect(fmt.Sprint(i))
	}
	p.expectNothing(pub)
	toB, toC := a.cluster.hopTo(b.id), a.cluster.hopTo(c.id)
	toB.mu.Lock()
	defer toB.mu.Unlock()
	toC.mu.Lock()
	defer toC.mu.Unlock()
	if len(toB.carried) == 0 {
		t.Fatal("nothing was sent to b")
	}
	for _, f := range toB.carried {
		if !slices.ContainsFunc(toC.carried, func(g wire.Publish) bool { return g.ID == f.ID && g.Targets == wire.ToGroups }) {
			t.Fatalf("%v did not go to c", f.ID)
		}
	}
}

// TestR13DownMoves: what a node was to take for a group when it went down goes
// to another member, here or elsewhere; when it is back it drops its copy.
func TestR13DownMoves(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	atB := b.dial(t, "b")
	atB.subscribe(1, "$share/g/a")
	pub := a.dial(t, "pub")
	m.cut(a, b, true)
	pub.send("a", "1", 1) // into the spool: b is only suspect
	atC := c.dial(t, "c")
	// c's SUBACK needs nothing of a that is cut.
	atC.subscribe(1, "$share/g/a")
	m.verdict(a, b, false)
	atC.expect("1")
	pub.send("a", "2", 1)
	atC.expect("2")
	m.cut(a, b, false)
	m.verdict(a, b, true)
	eventually(t, "what was spooled is sent", func() bool {
		h := a.cluster.hopTo(b.id)
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.queues[wire.StreamPublish]) == 0 && len(h.queues[wire.StreamHead]) == 0
	})
	atB.expectNothing(pub)
	atC.expectNothing(pub)
	if n := a.counter("cluster_shared_moved_total"); n != 1 {
		t.Errorf("%d were moved", n)
	}
}
