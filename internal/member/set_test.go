package member

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// TestJoinAndRestart: nodes join through any member; joining twice is nothing;
// all stopped and started in any order are the same cluster (R24).
func TestJoinAndRestart(t *testing.T) {
	_, a, b, c := trio(t)
	if err := c.set.Join(soon(t), []string{b.set.GossipAddress()}); err != nil {
		t.Errorf("joining again: %v", err)
	}
	version, _ := a.set.Current()
	for _, u := range []*unit{a, b, c} {
		u.stop()
	}
	for _, u := range []*unit{c, a, b} { // ports are new, and nobody has a seed
		u.start()
		if got, _ := u.set.Current(); got < version-1 {
			t.Errorf("node %d starts with version %d, had %d", u.id, got, version)
		}
	}
	wants(t, "joined: node1, node2, node3", a, b, c)
	within(t, "all addresses are those of the last start", func() bool {
		_, list := a.set.Current()
		return list[0].Gossip == a.set.GossipAddress() && list[1].Gossip == b.set.GossipAddress() && list[2].Gossip == c.set.GossipAddress()
	})
}

// TestSeedsFound: three empty nodes with the same seeds make one cluster by
// themselves.
func TestSeedsFound(t *testing.T) {
	r := newRig(t)
	a := r.unit(1).start("127.0.0.1:9") // a seed that is not there yet
	seed := a.set.GossipAddress()
	b, c := r.unit(2).start(seed), r.unit(3).start(seed)
	wants(t, "joined: node1, node2, node3", a, b, c)
}

// TestRename: a node that comes back under a new name is the same member.
func TestRename(t *testing.T) {
	_, a, b, c := trio(t)
	b.stop()
	b.config.Self.Name = "renamed"
	b.start()
	wants(t, "joined: node1, renamed, node3", a, b, c)
}

// TestNameOfAnother: a member that is started under the name of another one keeps its
// own, says so once, and is a member as before: its stop mark goes.
func TestNameOfAnother(t *testing.T) {
	_, a, b, c := trio(t)
	if err := b.set.SetState(soon(t), wire.MemberStopped); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.config.Self.Name = "node3"
	b.start()
	b.linked(a, c)
	b.set.Exchanged(a.id)
	b.set.Exchanged(c.id)
	b.set.SetView([]wire.NodeID{1, 2, 3}, []wire.NodeID{1, 2, 3})
	wants(t, "joined: node1, node2, node3", a, b, c)
	b.rig.mu.Lock()
	defer b.rig.mu.Unlock()
	n := 0
	for _, l := range b.lines {
		if strings.Contains(l, "belongs to member") && strings.Contains(l, "another nodename") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("said %d times, want once: %q", n, b.lines)
	}
}

// TestDiskFullForAWhile: a member that cannot write its vote, since its disk is full or
// it has no file descriptor left, says so once, and takes part again when it can.
func TestDiskFullForAWhile(t *testing.T) {
	_, a, b, c := trio(t)
	blocked := b.config.Path + ".new"
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.set.SetState(soon(t), wire.MemberStopped) }()
	within(t, "the node says it", func() bool { return b.said("takes no part in changes") })
	wants(t, "joined: node1, node2, node3 (stopped)", a)
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil { // it waits for everybody
		t.Error(err)
	}
	wants(t, "joined: node1, node2, node3 (stopped)", b)
}

// TestStopMark is R27: a planned stop is recorded at all that can be reached,
// and cleared by the node itself once it has exchanged with every member that
// is not stopped.
func TestStopMark(t *testing.T) {
	_, a, b, c := trio(t)
	if err := b.set.SetState(soon(t), wire.MemberStopped); err != nil {
		t.Fatal(err)
	}
	for _, u := range []*unit{a, b, c} { // at once: that is what SetState waits for
		if got := u.shows(); got != "joined: node1, node2 (stopped), node3" {
			t.Errorf("node %d shows %q", u.id, got)
		}
	}
	b.stop()
	if err := c.set.SetState(soon(t), wire.MemberStopped); err != nil {
		t.Fatal(err)
	}
	c.stop()
	b.start()
	wants(t, "joined: node1, node2 (stopped), node3 (stopped)", a, b)
	b.set.SetView([]wire.NodeID{1, 2}, []wire.NodeID{1, 2})
	b.linked(a)
	b.set.Exchanged(a.id)
	wants(t, "joined: node1, node2, node3 (stopped)", a, b)
	c.start()
	c.linked(a, b)
	c.set.Exchanged(a.id)
	c.set.Exchanged(b.id)
	c.set.SetView([]wire.NodeID{1, 2, 3}, []wire.NodeID{1, 2, 3})
	wants(t, "joined: node1, node2, node3", a, b, c)
}

// TestRemove: a member that is up is not removed, not by itself either; a dead one is,
// and when it comes back it says what it is (R24).
func TestRemove(t *testing.T) {
	_, a, b, c := trio(t)
	if err := a.set.Remove(soon(t), "node3", false); err == nil || !strings.Contains(err.Error(), "node3 is up") {
		t.Errorf("removing a node that is up: %v", err)
	}
	if err := a.set.Remove(soon(t), "node1", false); err == nil || !strings.Contains(err.Error(), "node1 is up") {
		t.Errorf("a node removes itself: %v", err)
	}
	if err := a.set.Remove(soon(t), "nobody", false); err == nil || !strings.Contains(err.Error(), "node1, node2, node3") {
		t.Errorf("removing a stranger: %v", err)
	}
	if text, err := a.set.GivesUp("node3", false); err != nil || !strings.Contains(text, "only its disk holds") {
		t.Errorf("what is given up: %q, %v", text, err)
	}
	c.stop()
	if err := a.set.Remove(soon(t), idText(c.id), false); err != nil {
		t.Fatal(err)
	}
	wants(t, "joined: node1, node2", a, b)
	c.start()
	wants(t, "removed: node1, node2", c)
	within(t, "it says so", func() bool { return c.said(removedText) })
	within(t, "it is linked no more", func() bool {
		c.rig.mu.Lock()
		defer c.rig.mu.Unlock()
		return !c.links[1] && !c.links[2] && !a.links[3] && !b.links[3]
	})
	c.stop()
	c.forgets()
	c.start()
	wants(t, "removed: node1, node2", c)
	within(t, "it says so again", func() bool { return c.said(removedText) })
	if c.set.GossipAddress() != "" || len(c.set.Nodes()) > 0 {
		t.Errorf("a removed node looks for its peers at %q", c.set.GossipAddress())
	}
	if err := c.set.SetState(soon(t), wire.MemberJoined); err == nil {
		t.Error("a removed node takes part in changes")
	}
}

// TestForce: with one of two nodes left nothing can change but by force, which
// says what may diverge; the other one hears of it when it comes back.
func TestForce(t *testing.T) {
	r := newRig(t)
	a, b := r.unit(1).start(), r.unit(2).start()
	if err := b.set.Join(soon(t), []string{a.set.GossipAddress()}); err != nil {
		t.Fatal(err)
	}
	wants(t, "joined: node1, node2", a, b)
	b.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	err := a.set.Remove(ctx, "node2", false)
	if err == nil || !strings.Contains(err.Error(), "needs 2 of its 2 members to confirm; no link to node2") {
		t.Errorf("without a majority: %v", err)
	}
	if text, _ := a.set.GivesUp("node2", true); !strings.Contains(text, "two member sets until they meet") {
		t.Errorf("what may diverge: %q", text)
	}
	if err := a.set.Remove(soon(t), "node2", true); err != nil {
		t.Fatal(err)
	}
	wants(t, "joined: node1; forced by an operator", a)
	b.start()
	wants(t, "removed: node1; forced by an operator", b)
}

// TestAbsent is R24: only the primary side marks a member absent, by hand or
// after dead_member_timeout; the member clears it after exchanging with all.
func TestAbsent(t *testing.T) {
	_, a, b, c := trio(t)
	c.stop()
	a.set.SetView([]wire.NodeID{1, 2}, []wire.NodeID{2, 3})
	if err := a.set.MarkAbsent(soon(t), "node3"); err == nil || !strings.Contains(err.Error(), "not on the primary side") {
		t.Errorf("marking from the other side: %v", err)
	}
	a.set.SetView([]wire.NodeID{1, 2, 3}, []wire.NodeID{1, 2, 3})
	if err := a.set.MarkAbsent(soon(t), "node3"); err == nil || !strings.Contains(err.Error(), "reachable") {
		t.Errorf("marking one that is there: %v", err)
	}
	b.stop()
	b.config.DeadMemberTimeout = 50 * time.Millisecond
	b.start()
	b.set.SetView([]wire.NodeID{1, 2}, []wire.NodeID{1, 2}) // not the smallest: it leaves it to node1
	a.stop()
	a.config.DeadMemberTimeout = 50 * time.Millisecond
	a.start()
	a.set.SetView([]wire.NodeID{1, 2}, []wire.NodeID{1, 2})
	wants(t, "joined: node1, node2, node3 (absent)", a, b)
	c.start()
	wants(t, "joined: node1, node2, node3 (absent)", c)
	c.linked(a, b)
	c.set.Exchanged(1)
	c.set.Exchanged(2)
	c.set.SetView([]wire.NodeID{1, 2, 3}, []wire.NodeID{1, 2, 3})
	a.set.SetView([]wire.NodeID{1, 2, 3}, []wire.NodeID{1, 2, 3})
	wants(t, "joined: node1, node2, node3", a, b, c)
}

// TestForeign: a node with data of its own, or of another cluster, is refused
// with a sentence that names the remedy; its peers are not linked.
func TestForeign(t *testing.T) {
	r, a, _, _ := trio(t)
	d := r.unit(4).start()
	retain(t, d)
	if err := d.set.Join(soon(t), []string{a.set.GossipAddress()}); err == nil || !strings.Contains(err.Error(), "retained messages of its own") ||
		!strings.Contains(err.Error(), "move its data directory away") {
		t.Errorf("a node with retained messages joins: %v", err)
	}
	e := r.unit(5).start()
	if err := e.set.Join(soon(t), []string{d.set.GossipAddress()}); err != nil {
		t.Fatalf("joining a node that stands by itself with data: %v", err)
	}
	wants(t, "joined: node4, node5", d, e)
	if err := e.set.Join(soon(t), []string{a.set.GossipAddress()}); err == nil || !strings.Contains(err.Error(), "belongs to a cluster already") {
		t.Errorf("a member of another cluster joins: %v", err)
	}
	within(t, "both sides say it", func() bool { return e.said("belongs to another cluster") && a.said("belongs to another cluster") })
	f := r.unit(6)
	f.config.Self.Name = "node1"
	f.start()
	ctx, cancel := context.WithCancel(soon(t))
	ended := make(chan error, 1)
	go func() { ended <- f.set.Join(ctx, []string{a.set.GossipAddress()}) }()
	within(t, "an answer", func() bool { return strings.Contains(f.set.Status().Text, "says:") })
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "the name node1 belongs to member 0000000000000001") {
		t.Errorf("a second node1 joins: %v", err)
	}
}

// TestSeedsWithHistory: a node with data does not join its seeds by itself.
func TestSeedsWithHistory(t *testing.T) {
	r := newRig(t)
	a, b := r.unit(1).start(), r.unit(2).start()
	retain(t, b)
	b.stop()
	b.start(a.set.GossipAddress())
	within(t, "it says why", func() bool { return b.said("not joining the seeds: this node holds retained messages") })
	if got := b.set.Status().Standing; got != Alone {
		t.Errorf("a node with data is %v", got)
	}
}

// retain gives a node a retained message.
func retain(t *testing.T, u *unit) {
	t.Helper()
	done := make(chan error, 1)
	u.set.config.Store.PutRetained("", "t", &metadata.Retained{Payload: []byte("x")}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestOthersAreNotHeard: gossip of another cluster's name or secret is not taken.
func TestOthersAreNotHeard(t *testing.T) {
	r := newRig(t)
	a := r.unit(1).start()
	for id, change := range map[wire.NodeID]func(c *Config){
		2: func(c *Config) { c.Cluster = "other" },
		3: func(c *Config) { c.Gossip.Secret = []byte("another secret, as long") },
		4: func(c *Config) { c.Gossip.Secret = nil },
	} {
		u := r.unit(id)
		change(&u.config)
		u.start()
		if err := u.set.Join(soon(t), []string{a.set.GossipAddress()}); err == nil || !strings.Contains(err.Error(), "cluster.secret_key") {
			t.Errorf("node %d joins: %v", id, err)
		}
		if n := len(u.set.Nodes()) + len(a.set.Nodes()); n > 0 {
			t.Errorf("node %d and node 1 have found each other", id)
		}
	}
}

// TestCutAndRejoin: a rehearsed cut separates gossip; the minority changes
// nothing, the majority goes on; after the heal all find each other again, though
// memberlist has forgotten them, and agree.
func TestCutAndRejoin(t *testing.T) {
	r, a, b, c := trio(t)
	sees := func(u *unit, n int) {
		t.Helper()
		within(t, "gossip", func() bool { return len(u.set.Nodes()) == n })
	}
	sees(a, 2)
	sees(c, 2)
	r.split(3)
	sees(c, 0)
	sees(a, 1)
	sees(b, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := c.set.SetState(ctx, wire.MemberLeaving); err == nil || !strings.Contains(err.Error(), "needs 2 of its 3") {
		t.Errorf("a minority changes the set: %v", err)
	}
	if err := b.set.SetState(soon(t), wire.MemberLeaving); err != nil {
		t.Errorf("a majority: %v", err)
	}
	wants(t, "joined: node1, node2 (leaving), node3", a, b)
	wants(t, "joined: node1, node2, node3", c)
	r.heal()
	wants(t, "joined: node1, node2 (leaving), node3", a, b, c)
	sees(c, 2)
	sees(a, 2)
}

// TestTableBringsTheSet: a node that missed a version on the links reads it in
// the table, and one whose file is lost starts from the table.
func TestTableBringsTheSet(t *testing.T) {
	_, a, b, c := trio(t)
	within(t, "the table has it", func() bool {
		rec, err := c.set.table.read()
		return err == nil && describe(&rec) == "node1, node2, node3"
	})
	c.stop()
	if err := os.Remove(c.config.Path); err != nil {
		t.Fatal(err)
	}
	c.start()
	wants(t, "joined: node1, node2, node3", a, b, c)
	within(t, "its new address, by the votes of the others", func() bool {
		_, list := a.set.Current()
		return list[2].Gossip == c.set.GossipAddress()
	})
	c.stop()
	if err := os.WriteFile(c.config.Path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start()
	within(t, "it is set aside", func() bool { return c.said("set aside") })
	wants(t, "joined: node1, node2, node3", a, b, c)
	version, list := a.set.Current()
	next := Record{Version: version + 7, Nonce: 1, Origin: 1, Members: list}
	next.Members[1].State = wire.MemberLeaving
	c.set.config.Store.Put(metadata.TableMembers, []byte(tableKey), appendRecord(nil, &next), nil)
	wants(t, "joined: node1, node2 (leaving), node3", a, b, c)
}

// TestDamagedFile: what cannot be read is refused with the remedy, and never
// taken for nothing.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members")
	k := kept{record: Record{Version: 3, Nonce: 9, Origin: 1, Members: []wire.Member{{ID: 1, Name: "a"}}}, promised: ballot{4, 1}}
	if err := keep(path, &k); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := Stored(path); err != nil || !rec.same(&k.record) {
		t.Fatalf("comes back as %+v, %v", rec, err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 4
		for _, damaged := range [][]byte{b, whole[:i]} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Stored(path); err == nil || !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "from a backup") {
				t.Fatalf("damaged at byte %d: %v", i, err)
			}
		}
	}
}

// TestExposed: gossip listens on no routable address without a secret.
func TestExposed(t *testing.T) {
	c := newRig(t).unit(1).config
	c.Gossip.Bind, c.Gossip.Secret = "0.0.0.0:0", nil
	if _, err := New(c); !errors.Is(err, ErrExposed) {
		t.Errorf("without a secret: %v, want %v", err, ErrExposed)
	}
	c.Gossip.Insecure = true
	if _, err := New(c); err != nil {
		t.Errorf("asked for in so many words: %v", err)
	}
	c.Gossip.Insecure, c.Gossip.Secret = false, []byte("short")
	if _, err := New(c); err == nil {
		t.Error("a secret of 5 bytes is taken")
	}
}
