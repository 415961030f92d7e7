package replica

import (
	"fmt"
	"testing"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// calm makes a cluster that has met and agreed.
func calm(t *testing.T, size int, tune func(*Config)) *cluster {
	c := newCluster(t, 1, size, tune)
	c.settle(300)
	return c
}

// isolate cuts n off from all others.
func (c *cluster) isolate(n *node, cut bool) {
	i := int(n.id - 1)
	for j := range c.nodes {
		if i != j {
			c.cut[[2]int{i, j}], c.cut[[2]int{j, i}] = cut, cut
		}
	}
	c.link()
}

// run lets time pass on all nodes.
func (c *cluster) run(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		for _, n := range c.nodes {
			c.tick(n, 20*time.Millisecond)
			for len(n.ready) > 0 {
				c.commit(n)
			}
		}
		for k := len(c.wire); k > 0; k-- {
			c.deliver()
		}
	}
}

func (c *cluster) put(n *node, key, value string) {
	c.t.Helper()
	if n.core.Phase() != Serving {
		c.fatalf("node %d is %v", n.id, n.core.Phase())
	}
	c.write(n, key, value)
	c.take(n)
	for len(n.ready) > 0 {
		c.commit(n)
	}
}

// get is the value that a reader sees at n.
func (c *cluster) get(n *node, key string) string {
	record, err := n.db.Get(objectKey([]byte(key)))
	if err != nil {
		return ""
	}
	v, _, err := Resolve(testPolicy{}, []byte(key), record)
	if err != nil {
		c.fatalf("%v", err)
	}
	return string(v)
}

func (c *cluster) wantAll(key, value string) {
	c.t.Helper()
	for _, n := range c.nodes {
		if got := c.get(n, key); got != value {
			c.fatalf("%s at node %d: got %q, want %q", key, n.id, got, value)
		}
	}
}

// TestRollback: a disk goes back to an earlier state, and the node comes up as
// if its stop had been clean. It must not write before it has a new actor, and
// must learn of deletes that the others have collected since (I25, I26).
func TestRollback(t *testing.T) {
	c := calm(t, 3, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.put(a, "s1", "old")
	c.put(b, "s2", "kept")
	c.settle(300)
	a.core.Stop()
	c.take(a)
	for len(a.ready) > 0 {
		c.commit(a)
	}
	backup := a.db.Fork()
	c.start(a)
	c.link()
	c.settle(300)
	actor := a.core.Actor()
	c.put(a, "s3", "lost here")
	c.put(a, "s1", "")
	c.settle(300) // the delete is collected everywhere
	a.core.Release()
	a.db = backup
	c.start(a)
	c.link()
	if a.core.Phase() == Serving {
		t.Fatal("writes were taken before the members had answered")
	}
	c.settle(600)
	if a.core.Actor() == actor || a.events[EventAmnesia]+a.events[EventMinted] == 0 {
		t.Fatalf("the actor was kept: %v", a.events)
	}
	c.wantAll("s1", "")
	c.wantAll("s2", "kept")
	c.wantAll("s3", "lost here")
	c.check(false)
}

// TestRollbackUnseen: the same, but nobody has seen the counter: only the
// peers' memory of what the node once had shows that it went back.
func TestRollbackUnseen(t *testing.T) {
	c := calm(t, 3, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.put(b, "s1", "old")
	c.settle(300)
	backup := a.db.Fork()
	c.put(b, "s1", "")
	c.settle(300)
	a.core.Release()
	a.db = backup
	c.start(a)
	c.link()
	c.settle(600)
	if a.events[EventJoinEnded] == 0 {
		t.Fatalf("no full join: %v", a.events)
	}
	c.wantAll("s1", "")
	c.check(false)
}

// TestCleanRestartKeepsActor is the other side of R30.
func TestCleanRestartKeepsActor(t *testing.T) {
	c := calm(t, 3, nil)
	n := c.nodes[0]
	c.put(n, "r1", "x")
	c.settle(300)
	actor := n.core.Actor()
	c.isolate(n, true) // its links fall with it
	c.isolate(n, false)
	c.crash(n, true)
	c.settle(300)
	if n.core.Actor() != actor {
		t.Fatalf("minted after a clean stop: %v", n.events)
	}
	c.crash(n, false)
	c.settle(300)
	if n.core.Actor() == actor {
		t.Fatal("kept after an unclean stop")
	}
	c.check(true)
}

// TestClone: the directory of a node is copied to another node id, and both
// write. No dot may be issued twice.
func TestClone(t *testing.T) {
	c := calm(t, 3, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.put(a, "r1", "x")
	c.settle(300)
	b.core.Release()
	b.db = a.db.Fork()
	c.start(b)
	c.link()
	c.settle(900)
	if a.core.Actor() == b.core.Actor() {
		t.Fatal("two nodes write under one actor")
	}
	c.put(a, "r1", "a")
	c.put(b, "r2", "b")
	c.settle(300)
	c.wantAll("r1", "a")
	c.check(false)
}

// TestSecondHolder: two live stores present one node id: one of them is refused.
func TestSecondHolder(t *testing.T) {
	c := calm(t, 3, nil)
	a := c.nodes[0]
	twin := &node{id: a.id, db: a.db.Fork(), events: map[EventKind]int{}}
	c.start(twin)
	twin.core.PeerUp(c.now, 2)
	c.take(twin)
	for len(twin.ready) > 0 {
		c.commit(twin)
	}
	c.run(200 * time.Millisecond) // answers to node 1 reach the first holder
	answers := 0
	p := c.nodes[1].core.peer(a.id)
	if p.nonce != a.core.nonce {
		t.Fatal("the second holder took the session over while the first was heard of")
	}
	p.helloAt = c.now
	h := header{kind: frameHello, from: twin.core.nonce, fields: frameFields[frameHello]}
	g := twin.core.greeting(c.now)
	c.nodes[1].core.Receive(c.now, a.id, appendGreeting(appendHeader(nil, h), &g, false))
	ready, _ := c.nodes[1].core.Ready()
	for _, m := range ready.Messages {
		twin.core.Receive(c.now, 2, m.Frame)
		answers++
	}
	if answers != 1 || twin.core.Phase() == Serving && !twin.core.Phase().refusedOrProving() {
		t.Fatalf("%d answers, phase %v", answers, twin.core.Phase())
	}
}

func (p Phase) refusedOrProving() bool { return p == Refused || p == Proving }

// TestSameDotTwoValues: two values under one dot are set aside and counted, all
// choose the same one, and the writer is minted (R30).
func TestSameDotTwoValues(t *testing.T) {
	c := calm(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.put(a, "r1", "x")
	c.settle(300)
	actor := a.core.Actor()
	key := objectKey([]byte("r1"))
	old, _ := b.core.get(key)
	s := old.Siblings()[0]
	forged := appendPayload(nil, payload{hlc: 1, value: []byte("forged")})
	b.core.store(key, old, dvv.NewObject(dvv.VV{}, dvv.Sibling{Dot: s.Dot, Value: forged}))
	c.settle(900)
	if a.core.Actor() == actor || a.events[EventQuarantined]+b.events[EventQuarantined] == 0 || b.events[EventDigest]+a.events[EventDigest] == 0 {
		t.Fatalf("events %v and %v", a.events, b.events)
	}
	if c.get(a, "r1") != c.get(b, "r1") {
		t.Fatal("the two chose different values")
	}
	n := int64(0)
	for _, x := range c.nodes {
		count, _ := countArea(x.db, areaQuarantine)
		n += count
	}
	if n == 0 {
		t.Fatal("nothing was set aside")
	}
	c.check(false)
}

// TestJoinResumes: a full join over many chunks is broken off again and again by
// cuts and crashes while the donor is written to, and still ends.
func TestJoinResumes(t *testing.T) {
	c := calm(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	for i := range 200 {
		c.put(a, fmt.Sprintf("s%03d", i), "x")
	}
	c.settle(600)
	for i := 0; i < 200; i += 2 {
		c.put(a, fmt.Sprintf("s%03d", i), "")
	}
	c.settle(600)
	cursors := map[string]bool{}
	b.core.identity.joins, b.core.phase = true, Joining
	for round := range 60 {
		c.put(a, fmt.Sprintf("r%02d", round), "meanwhile")
		c.run(40 * time.Millisecond)
		for range 6 {
			c.deliver()
		}
		if b.core.join != nil {
			cursors[string(b.core.join.cursor)] = true
		}
		if round%6 == 5 {
			c.crash(b, false)
		}
	}
	c.settle(900)
	if len(cursors) < 3 {
		t.Fatalf("the join was seen at %d places only", len(cursors))
	}
	c.check(false)
	c.wantAll("s000", "")
	c.wantAll("s001", "x")
}

// TestEmptyNodeJoins: nothing is served before all that the donor had is here
// (I29).
func TestEmptyNodeJoins(t *testing.T) {
	c := calm(t, 2, nil)
	for i := range 50 {
		c.put(c.nodes[0], fmt.Sprintf("s%d", i), "x")
		c.put(c.nodes[0], fmt.Sprintf("s%d", i), "")
		c.put(c.nodes[1], fmt.Sprintf("r%d", i), "y")
	}
	c.settle(600)
	n := c.nodes[1]
	n.core.Release()
	n.db = kv.NewMemory()
	c.start(n)
	c.members(n, 1, 2)
	c.link()
	c.settle(900)
	c.wantAll("s7", "")
	c.wantAll("r7", "y")
	c.check(false)
}

// TestDrift: a node whose wall clock is off raises an alarm, takes writes, and
// stops stamping from it (R34).
func TestDrift(t *testing.T) {
	c := newCluster(t, 1, 3, nil)
	n := c.nodes[0]
	n.skew = time.Hour
	c.settle(300)
	if n.events[EventDrift] != 1 || c.nodes[1].events[EventDrift] != 0 {
		t.Fatalf("alarms: %v, %v", n.events, c.nodes[1].events)
	}
	c.put(n, "r1", "fast")
	c.settle(300)
	c.put(c.nodes[1], "r1", "later")
	c.settle(300)
	c.wantAll("r1", "later")
	n.skew = 0
	c.run(3 * time.Second)
	if n.events[EventDrift] != 2 {
		t.Fatalf("the alarm did not end: %v", n.events)
	}
}

// TestSteadyExchange: two stores that have the same say so in at most 1 KiB,
// however many keys there are.
func TestSteadyExchange(t *testing.T) {
	c := calm(t, 2, nil)
	for i := range 300 {
		c.put(c.nodes[0], fmt.Sprintf("r%d", i), "x")
	}
	c.settle(600)
	a, b := c.nodes[0], c.nodes[1]
	a.core.nextExchange = c.now
	bytes := 0
	a.core.tickExchange(c.now)
	for from, to := a, b; ; from, to = to, from {
		ready, ok := from.core.Ready()
		if !ok || len(ready.Messages) == 0 {
			break
		}
		for _, m := range ready.Messages {
			bytes += len(m.Frame)
			to.core.Receive(c.now, from.id, m.Frame)
		}
	}
	if bytes == 0 || bytes > 1024 {
		t.Fatalf("an exchange took %d bytes", bytes)
	}
	t.Logf("%d bytes", bytes)
}

// TestPullTwice: a request that the network doubles begins one transfer, else
// chunks of two snapshots would count as one; also when the member that asked was
// removed and taken back meanwhile.
func TestPullTwice(t *testing.T) {
	for _, returns := range []bool{false, true} {
		t.Run(fmt.Sprintf("returns %v", returns), func(t *testing.T) { pullTwice(t, returns) })
	}
}

func pullTwice(t *testing.T, returns bool) {
	c := calm(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.isolate(b, true)
	for i := range 30 {
		c.put(a, fmt.Sprintf("r%d", i), "x")
	}
	c.isolate(b, false)
	c.wire = nil
	c.settleHello(a, b)
	p := b.core.peer(a.id)
	p.incoming = nil
	b.core.compare(c.now, p, a.core.clock)
	ready, _ := b.core.Ready()
	begun := 0
	for range 2 {
		for _, m := range ready.Messages {
			a.core.Receive(c.now, b.id, m.Frame)
		}
		answer, _ := a.core.Ready()
		for _, m := range answer.Messages {
			rd := pack.NewReader(m.Frame)
			if h := readHeader(&rd); h.kind == frameBegin {
				begun++
			}
		}
		c.put(a, "r0", "changed")
		if returns {
			a.core.SetMembers(c.now, 2, []Member{{ID: 1}})
			a.core.SetMembers(c.now, 3, []Member{{ID: 1}, {ID: 2}})
			a.core.PeerUp(c.now, 2)
			c.settleHello(a, b)
			if !a.core.peer(2).established() {
				t.Fatal("it was not taken back")
			}
		}
	}
	if begun != 1 {
		t.Fatalf("%d transfers were begun", begun)
	}
}

// settleHello exchanges frames, but for the clocks, until both sides stand.
func (c *cluster) settleHello(a, b *node) {
	for range 20 {
		for _, n := range []*node{a, b} {
			c.now = c.now.Add(time.Millisecond)
			n.core.tickSessions(c.now)
			c.take(n)
			for len(n.ready) > 0 {
				c.commit(n)
			}
		}
		for _, m := range c.wire {
			rd := pack.NewReader(m.frame)
			if h := readHeader(&rd); h.kind == frameHello || h.kind == frameWelcome {
				c.nodes[m.to].core.Receive(c.now, uint64(m.from+1), m.frame)
			}
		}
		c.wire = nil
	}
}
