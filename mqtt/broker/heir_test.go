package broker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// dies cuts a node off for good: by verdict it is down, and the gate is open, as
// if it had been marked absent. The mark itself comes with absent.
func (m *mesh) dies(n *rigNode) {
	m.followed()
	m.dead = n
	for _, o := range m.nodes {
		if o != n {
			m.cut(n, o, true)
			m.verdict(n, o, false)
		}
	}
}

// absent tells all others that a node is marked absent, or was removed.
func (m *mesh) absent(n *rigNode, removed bool) {
	var all, rest []wire.NodeID
	for _, o := range m.nodes {
		all = append(all, o.id)
		if o != n {
			rest = append(rest, o.id)
		}
	}
	for _, o := range m.nodes {
		switch {
		case o == n:
		case removed:
			o.b.MembersChanged(rest)
			o.b.MembersPresent(rest)
		default:
			o.b.MembersChanged(all)
			o.b.MembersPresent(rest)
		}
	}
}

// returns undoes dies and absent.
func (m *mesh) returns(n *rigNode) {
	m.dead = nil
	for _, o := range m.nodes {
		if o != n {
			m.cut(n, o, false)
			m.verdict(n, o, true)
		}
	}
	m.present()
}

// present tells all nodes that every member is there.
func (m *mesh) present() {
	var all []wire.NodeID
	for _, o := range m.nodes {
		all = append(all, o.id)
	}
	for _, o := range m.nodes {
		o.b.MembersPresent(all)
	}
}

// homes counts the homes of s0 to sn-1 as a node knows them.
func (n *rigNode) homes(sessions int) map[uint64]int {
	out := map[uint64]int{}
	for i := range sessions {
		if rec, _ := n.b.storedSession(Key{ClientID: fmt.Sprint("s", i)}); rec != nil {
			out[rec.Home]++
		}
	}
	return out
}

// offline makes n sessions s0 … at a node, each subscribed to all/# and its own
// topic, whose clients leave.
func (m *mesh) offline(t *testing.T, at *rigNode, n int, change ...func(*packet.Connect)) {
	t.Helper()
	for i := range n {
		s := at.dial(t, fmt.Sprint("s", i), append([]func(*packet.Connect){lasting}, change...)...)
		s.subscribe(1, "all/#", fmt.Sprint("one/s", i))
		s.Disconnect(packet.Success)
	}
	for _, o := range m.nodes {
		eventually(t, "the sessions are known", func() bool { return o.homes(n)[uint64(at.id)] == n })
	}
}

// TestR23Adopted: the sessions of a member that is marked absent get another
// home, each one of those that are left. What waited in spools for the member
// goes there, and so does what is published from then on; what the member has
// follows when it is back, and nothing of it is lost, nor stays there. That one of
// the new homes is started again in the midst of it changes nothing.
func TestR23Adopted(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	const sessions = 24
	m.offline(t, a, sessions)
	pub, near := b.dial(t, "pub"), c.dial(t, "near")
	pub.send("all/x", "backlog", 1)
	eventually(t, "the backlog is at the old home", func() bool { return a.b.Remaining().Messages == sessions })
	m.dies(a)
	pub.send("all/x", "spooled", 1)
	near.send("one/s3", "spooled too", 1)
	m.absent(a, false)
	// While c is away b is the heir of all that it does not know to be c's: c has to
	// have had its turn, and b to have heard of it.
	eventually(t, "c adopts sessions", func() bool { return b.homes(sessions)[uint64(c.id)] > 0 })
	c.restart(t)
	m.absent(a, false)
	m.adopted(t, sessions)
	near = c.dial(t, "near")
	near.send("all/x", "late", 1)
	some := map[string]*person{}
	for i := range sessions / 2 {
		s := m.nodes[1+i%2].dial(t, fmt.Sprint("s", i), lasting)
		want := []string{"spooled", "late"}
		if i == 3 {
			want = append(want, "spooled too")
		}
		s.expectAll(want...)
		some[s.ClientID()] = s
	}
	m.returns(a)
	for _, s := range some {
		s.expectAll("backlog")
	}
	for i := sessions / 2; i < sessions; i++ {
		m.nodes[i%3].dial(t, fmt.Sprint("s", i), lasting).expectAll("backlog", "spooled", "late")
	}
	eventually(t, "nothing is left that is not at home", func() bool {
		for i := range sessions / 2 {
			k := Key{ClientID: fmt.Sprint("s", i)}
			if _, stored := a.queue.Lookup(queueName(k)); stored || a.b.registry.get(k) != nil {
				return false
			}
		}
		return true
	})
}

// adopted waits until all sessions have homes that are alive: each is at one of two.
func (m *mesh) adopted(t *testing.T, sessions int) {
	t.Helper()
	b, c := m.nodes[1], m.nodes[2]
	eventually(t, "sessions are adopted", func() bool {
		h := b.homes(sessions)
		return h[uint64(b.id)]+h[uint64(c.id)] == sessions
	})
	if h := b.homes(sessions); h[uint64(b.id)] == 0 || h[uint64(c.id)] == 0 {
		t.Errorf("one node has adopted all: %v", h)
	}
}

// TestR23AdoptedAtOnce: the sessions of a member that was there until it was removed
// are adopted without waiting whether it is about to join.
func TestR23AdoptedAtOnce(t *testing.T) {
	m := rig(t, 3)
	a := m.nodes[0]
	const sessions = 12
	m.offline(t, a, sessions)
	m.present()
	m.dies(a)
	began := time.Now()
	m.absent(a, true)
	m.adopted(t, sessions)
	if took := time.Since(began); took >= lostAfter {
		t.Errorf("they were adopted after %v", took)
	}
}

func expiring(seconds uint32) func(*packet.Connect) {
	return func(c *packet.Connect) {
		c.CleanStart = false
		c.Properties.Set |= packet.PropSessionExpiry
		c.Properties.SessionExpiry = seconds
	}
}

// TestR23OwnsEndAndWill: who adopts a session ends it when its time is over, and
// publishes its will unless that was done when its home was lost (R29). A session
// that ended with its connection ends for good. This member was removed; with it
// all others may be.
func TestR23OwnsEndAndWill(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	near := b.dial(t, "near")
	near.subscribe(1, "will/#")
	a.dial(t, "fired", lasting, withWill("will/fired"))
	a.dial(t, "bound", withWill("will/bound"))
	late := a.dial(t, "late", expiring(1))
	late.subscribe(1, "x")
	late.Disconnect(packet.Success)
	a.dial(t, "delayed", lasting, withWill("will/delayed"), func(c *packet.Connect) {
		c.Will.Properties.Set |= packet.PropWillDelay
		c.Will.Properties.WillDelay = 4
	})
	m.dies(a)
	near.expectAll("will/fired", "will/bound")
	m.absent(a, true)
	eventually(t, "the sessions are adopted, and those over have ended", func() bool {
		home := func(id string) uint64 {
			if rec, _ := b.b.storedSession(Key{ClientID: id}); rec != nil {
				return rec.Home
			}
			return 0
		}
		return home("fired") > 1 && home("delayed") > 1 && home("bound") == 0 && home("late") == 0
	})
	near.expect("will/delayed")
	near.expectNothing(m.nodes[2].dial(t, "pub"))
	if n := b.counter("mqtt_wills_published_total") + m.nodes[2].counter("mqtt_wills_published_total"); n != 3 {
		t.Errorf("%d wills were published, want 3", n)
	}
}

// TestR23TheLastOne: the only member that is left serves the sessions of those
// that were removed.
func TestR23TheLastOne(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	m.offline(t, a, 2)
	m.dies(a)
	b.cluster.mu.Lock()
	b.cluster.mu.alone = true
	b.cluster.mu.Unlock()
	b.view()
	// One comes back before it is adopted, one after.
	first := b.dial(t, "s0", lasting)
	b.dial(t, "pub").send("all/x", "1", 1)
	first.expect("1")
	m.absent(a, true)
	eventually(t, "the other is adopted", func() bool { return b.homes(2)[uint64(b.id)] == 2 })
	b.dial(t, "pub").send("all/x", "2", 1)
	first.expect("2")
	b.dial(t, "s1", lasting).expectAll("1", "2")
}

// TestR23RemovedLinks: a publish for the sessions of a member that was just removed
// waits until they have another home. What the removed node announces over a link,
// as when it was started again and has yet to hear that it is no member, leads
// nowhere; what a node announces that is about to join counts once it is a member.
func TestR23RemovedLinks(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	const sessions = 6
	m.offline(t, a, sessions)
	m.dies(a)
	for _, o := range []*rigNode{b, c} {
		o.cluster.mu.Lock()
		o.cluster.mu.full[a.id] = true // the links say so of who is no peer
		o.cluster.mu.Unlock()
	}
	m.absent(a, true)
	pub := b.dial(t, "pub")
	pub.send("all/x", "waits", 1)
	for _, o := range []*rigNode{b, c} {
		o.b.TakeRoutes(a.id, &wire.Routes{Snapshot: true, First: true, Last: true,
			List: []wire.Route{{Filter: "all/#", Members: 1, Online: 1}, {Filter: "only/a", Members: 1, Online: 1}}})
	}
	pub.send("all/x", "goes", 1)
	if got := pub.send("only/a", "", 1); got != packet.NoMatchingSubscribers {
		t.Errorf("a publish that only the removed node wants: %v", got)
	}
	for i := range sessions {
		m.nodes[1+i%2].dial(t, fmt.Sprint("s", i), lasting).expectAll("waits", "goes")
	}

	b.cluster.mu.Lock()
	b.cluster.mu.full[a.id] = false
	b.cluster.mu.Unlock()
	b.b.MembersChanged([]wire.NodeID{a.id, b.id, c.id})
	b.b.PeerReachable(a.id, true)
	if got := pub.send("only/a", "", 1); got != packet.Success {
		t.Errorf("a publish that a node wants which is a member now: %v", got)
	}
}

// TestR23AdoptClosesNobody: a session whose client connects elsewhere while it is
// being adopted is not taken away from the node that has the client by then.
func TestR23AdoptClosesNobody(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	const sessions = 40
	m.offline(t, a, sessions)
	m.dies(a)
	var wg sync.WaitGroup
	var people [sessions]*person
	var errs [sessions]error
	for i := range sessions {
		id := fmt.Sprint("s", i)
		wg.Go(func() { errs[i] = c.b.Adopt(context.Background(), Key{ClientID: id}, a.id) })
		people[i] = b.dial(t, id, lasting)
	}
	wg.Wait()
	denied := 0
	for _, err := range errs {
		if err != nil {
			denied++
		}
	}
	t.Logf("%d of %d adoptions met a client", denied, sessions)
	pub, began := c.dial(t, "pub"), time.Now()
	for i, s := range people {
		pub.send(fmt.Sprint("one/s", i), fmt.Sprint(i), 1)
		s.expect(fmt.Sprint(i))
	}
	if took := time.Since(began); took > cutsMax {
		t.Errorf("a session waited for the queue of a home that is gone: %v", took)
	}
}

// TestR23ExpiryFromTheLoss: a session whose client was connected when its home died
// has left its client then, not when the home is marked absent: its time counts from
// there on, whether it is adopted or its client comes first.
func TestR23ExpiryFromTheLoss(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	a.dial(t, "stays", lasting)
	a.dial(t, "over", expiring(1))
	const comers = 8
	for i := range comers {
		a.dial(t, fmt.Sprint("comes", i), expiring(1))
	}
	m.dies(a)
	lost := time.Now()
	eventually(t, "more than a second passes", func() bool { return time.Since(lost) > 1100*time.Millisecond })
	m.verdict(a, b, false) // said again, it is as old as it was
	m.verdict(a, m.nodes[2], false)
	b.b.MembersPresent([]wire.NodeID{b.id, 3}) // c does not know it yet, and is the heir of some

	// Of those that b does not adopt as yet the clients come first.
	first := 0
	for i := range comers {
		id := fmt.Sprint("comes", i)
		if b.b.heirOf(Key{ClientID: id}) == b.id {
			continue
		}
		first++
		if s := b.dial(t, id, expiring(1)); s.Connack().SessionPresent {
			t.Errorf("%s is present, and its time was over", id)
		}
	}
	if first == 0 {
		t.Fatal("b is the heir of all")
	}
	m.absent(a, false)
	record := func(id string) *metadata.Session {
		rec, _ := b.b.storedSession(Key{ClientID: id})
		return rec
	}
	eventually(t, "the session is adopted, or has ended", func() bool {
		s := record("stays")
		return s != nil && s.Home != uint64(a.id) && record("over") == nil
	})
	if at := time.UnixMilli(record("stays").DisconnectedAt); at.After(lost.Add(500 * time.Millisecond)) {
		t.Errorf("it counts from %v after the loss on", at.Sub(lost))
	}
	if n := b.counter("session_expired_total") + m.nodes[2].counter("session_expired_total"); n == 0 {
		t.Error("none has expired when it was adopted")
	}
}
