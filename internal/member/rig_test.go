package member

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tombolo/internal/kv"
	"tombolo/internal/wire"
	"tombolo/metadata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within polls until ok holds; a busy machine gets its time.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, poll := time.NewTimer(time.Minute), time.NewTicker(2*time.Millisecond)
	defer deadline.Stop()
	defer poll.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within a minute", what)
		case <-poll.C:
		}
	}
}

// rig is some nodes of one process: real memberlists on loopback, and links
// that are calls. Guarded by mu.
type rig struct {
	t  *testing.T
	mu struct {
		sync.Mutex
		nodes map[wire.NodeID]*unit
		cut   map[wire.NodeID]bool // links to these are cut
	}
}

// unit is one node of a rig; what is kept outlives its process. Owned by the
// test, but for links and lines, which the rig's mu guards.
type unit struct {
	rig    *rig
	id     wire.NodeID
	db     kv.DB
	config Config
	set    *Set
	stop   func()
	links  map[wire.NodeID]bool
	lines  []string
}

const secret = "a secret of the cluster"

func newRig(t *testing.T) *rig {
	r := &rig{t: t}
	r.mu.nodes, r.mu.cut = map[wire.NodeID]*unit{}, map[wire.NodeID]bool{}
	return r
}

// unit makes a node that does not run yet.
func (r *rig) unit(id wire.NodeID) *unit {
	u := &unit{rig: r, id: id, db: kv.OpenMemory()}
	u.config = Config{
		Self: wire.Member{ID: id, Name: fmt.Sprintf("node%d", id), Link: fmt.Sprintf("127.0.0.1:%d", id)}, Cluster: "test",
		Path: filepath.Join(r.t.TempDir(), "members"), Interval: 10 * time.Millisecond,
		Gossip: GossipConfig{
			Bind: "127.0.0.1:0", Secret: []byte(secret), TCPTimeout: time.Second, PushPullInterval: 200 * time.Millisecond,
			ProbeInterval: 100 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond, GossipInterval: 20 * time.Millisecond,
			GossipToTheDeadTime: time.Second, RejoinInterval: 50 * time.Millisecond, SuspicionMult: 2,
		},
	}
	u.config.Send = func(to wire.NodeID, m *wire.Members) bool { return r.send(id, to, m) }
	u.config.OnPeer = func(peer wire.NodeID, link string) { r.link(id, peer) }
	u.config.OnChange = func(_ uint64, list []wire.Member) {
		for _, m := range list {
			r.link(id, m.ID)
		}
	}
	u.config.OnGone = func(peer wire.NodeID) { r.part(id, peer) }
	u.config.Log = func(_ slog.Level, text string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		u.lines = append(u.lines, text)
	}
	return u
}

// start runs the node, or runs it again.
func (u *unit) start(seeds ...string) *unit {
	t := u.rig.t
	t.Helper()
	store, err := metadata.Open(u.db, metadata.Config{Node: uint64(u.id)})
	if err != nil {
		t.Fatal(err)
	}
	c := u.config
	c.Store, c.Seeds = store, seeds
	if u.set, err = New(c); err != nil {
		t.Fatal(err)
	}
	if err := u.set.Listen(); err != nil {
		t.Fatal(err)
	}
	u.rig.mu.Lock()
	u.links = map[wire.NodeID]bool{}
	u.rig.mu.nodes[u.id] = u
	u.rig.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := store.Run(ctx); err != nil {
			t.Errorf("store %d: %v", u.id, err)
		}
	})
	running.Go(func() {
		if err := u.set.Run(ctx); err != nil {
			t.Errorf("node %d: %v", u.id, err)
		}
	})
	u.stop = sync.OnceFunc(func() {
		u.rig.unlink(u.id)
		cancel()
		running.Wait()
	})
	t.Cleanup(u.stop)
	version, list := u.set.Current()
	if version > 0 {
		for _, m := range list {
			u.rig.link(u.id, m.ID)
		}
	}
	return u
}

// send hands a frame over, through its bytes.
func (r *rig) send(from, to wire.NodeID, m *wire.Members) bool {
	r.mu.Lock()
	u := r.mu.nodes[to]
	linked := u != nil && u.links[from]
	r.mu.Unlock()
	if !linked {
		return false
	}
	var got wire.Members
	if err := wire.ParseMembers(wire.AppendMembers(nil, m), &got); err != nil {
		r.t.Errorf("a frame cannot be read: %v", err)
	}
	u.set.Receive(from, &got)
	return true
}

// link brings the link of two nodes up, if both run and nothing is cut.
func (r *rig) link(a, b wire.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, y := r.mu.nodes[a], r.mu.nodes[b]
	if a == b || x == nil || y == nil || x.links[b] || r.mu.cut[a] != r.mu.cut[b] {
		return
	}
	x.links[b], y.links[a] = true, true
	x.set.PeerUp(b)
	y.set.PeerUp(a)
}

// part takes the link of two nodes down for good.
func (r *rig) part(a, b wire.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range [][2]wire.NodeID{{a, b}, {b, a}} {
		if u := r.mu.nodes[p[0]]; u != nil && u.links[p[1]] {
			delete(u.links, p[1])
			u.set.PeerDown(p[1])
		}
	}
}

// unlink takes a node off, as if its process had died.
func (r *rig) unlink(id wire.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.nodes, id)
	for _, o := range r.mu.nodes {
		if o.links[id] {
			delete(o.links, id)
			o.set.PeerDown(id)
		}
	}
}

// split cuts links and gossip between these nodes and the others.
func (r *rig) split(ids ...wire.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.mu.cut)
	for _, id := range ids {
		r.mu.cut[id] = true
	}
	for a, x := range r.mu.nodes {
		var beyond []wire.NodeID
		for b := range r.mu.nodes {
			if r.mu.cut[a] != r.mu.cut[b] {
				beyond = append(beyond, b)
				if x.links[b] {
					delete(x.links, b)
					x.set.PeerDown(b)
				}
			}
		}
		x.set.SetCut(beyond)
	}
}

// heal takes the cut away; links come back with what gossip finds.
func (r *rig) heal() {
	r.split()
	r.mu.Lock()
	ids := make([]wire.NodeID, 0, len(r.mu.nodes))
	for id := range r.mu.nodes {
		ids = append(ids, id)
	}
	r.mu.Unlock()
	for _, a := range ids {
		for _, b := range ids {
			r.link(a, b)
		}
	}
}

// shows is the set as a node sees it.
func (u *unit) shows() string {
	st := u.set.Status()
	return fmt.Sprintf("%v: %s", st.Standing, describe(&st.Record))
}

// said tells whether the log holds a text.
func (u *unit) said(text string) bool {
	u.rig.mu.Lock()
	defer u.rig.mu.Unlock()
	for _, l := range u.lines {
		if strings.Contains(l, text) {
			return true
		}
	}
	return false
}

func (u *unit) forgets() {
	u.rig.mu.Lock()
	defer u.rig.mu.Unlock()
	u.lines = nil
}

// linked waits for the links to these.
func (u *unit) linked(others ...*unit) {
	u.rig.t.Helper()
	within(u.rig.t, "links", func() bool {
		u.rig.mu.Lock()
		defer u.rig.mu.Unlock()
		for _, o := range others {
			if !u.links[o.id] {
				return false
			}
		}
		return true
	})
}

// wants waits until all nodes show the same.
func wants(t *testing.T, text string, units ...*unit) {
	t.Helper()
	for _, u := range units {
		deadline := time.NewTimer(30 * time.Second)
		poll := time.NewTicker(2 * time.Millisecond)
		for u.shows() != text {
			select {
			case <-deadline.C:
				t.Fatalf("node %d shows %q (%s), want %q", u.id, u.shows(), u.set.Status().Text, text)
			case <-poll.C:
			}
		}
		deadline.Stop()
		poll.Stop()
	}
}

// soon is a context for what must not take long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// trio is three nodes of one cluster.
func trio(t *testing.T) (r *rig, a, b, c *unit) {
	t.Helper()
	r = newRig(t)
	a, b, c = r.unit(1).start(), r.unit(2).start(), r.unit(3).start()
	for _, u := range []*unit{b, c} {
		if err := u.set.Join(soon(t), []string{a.set.GossipAddress()}); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, "joined: node1, node2, node3", a, b, c)
	return r, a, b, c
}
