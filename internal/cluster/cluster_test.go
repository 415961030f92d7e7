package cluster

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/broker"
	"tombolo/netsplit"
)

// TestReplicates: what one node writes, every other reads within a second.
func TestReplicates(t *testing.T) {
	r := newRig(t, 3, netsplit.Policy{})
	within(t, 15*time.Second, "a whole cluster", r.whole)
	k := metadata.ClientKey{ClientID: "client"}
	wrote := make(chan error, 2)
	r.nodes[0].meta.PutRetained("", "state/door", &metadata.Retained{Payload: []byte("open")}, func(err error) { wrote <- err })
	r.nodes[1].meta.PutSubscription(k, "state/#", &metadata.Subscription{QoS: 1}, func(err error) { wrote <- err })
	for range 2 {
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	within(t, time.Second, "both everywhere", func() bool {
		for _, x := range r.nodes {
			if _, ok, _ := x.meta.GetRetained("", "state/door", 0); !ok {
				return false
			}
			found := false
			_ = x.meta.ClientSubscriptions(k, func(filter string, _ *metadata.Subscription) bool { found = filter == "state/#"; return true })
			if !found {
				return false
			}
		}
		return true
	})
}

// TestDeadMember: both survivors notice within three seconds (P3), their gates
// close where the policy says so (R9), and open again after the heal (R28).
func TestDeadMember(t *testing.T) {
	r := newRig(t, 3, netsplit.Policy{netsplit.Publish: netsplit.Majority, netsplit.Subscribe: netsplit.On})
	within(t, 15*time.Second, "a whole cluster", r.whole)
	r.nodes[2].cluster.mesh.SetCut([]wire.NodeID{1, 2})
	took := within(t, 3*time.Second, "a verdict on all three, and the gates that follow it", func() bool {
		for _, x := range r.nodes {
			if !x.cluster.current.Load().verdict.Split || x.gate.Now().Allows(netsplit.Register) {
				return false
			}
		}
		return true
	})
	t.Logf("noticed after %v", took)
	for i, x := range r.nodes {
		g := x.gate.Now()
		if g.Allows(netsplit.Register) || !g.Allows(netsplit.Subscribe) {
			t.Errorf("node %d: register %v, subscribe %v", i+1, g.Allows(netsplit.Register), g.Allows(netsplit.Subscribe))
		}
	}
	within(t, 10*time.Second, "the majority's gate for publishes alone", func() bool {
		return r.nodes[0].gate.Now().Allows(netsplit.Publish) && r.nodes[1].gate.Now().Allows(netsplit.Publish) && !r.nodes[2].gate.Now().Allows(netsplit.Publish)
	})
	if r.nodes[0].cluster.Reachable(3) || !r.nodes[0].cluster.Reachable(2) {
		t.Error("Reachable does not follow the verdict")
	}
	within(t, 5*time.Second, "the link's end to be counted", func() bool {
		return r.nodes[0].cluster.count.closed["silence"].Value()+r.nodes[0].cluster.count.closed["peer_closed"].Value() > 0
	})
	r.nodes[2].cluster.mesh.SetCut(nil)
	t.Logf("healed after %v", within(t, 15*time.Second, "a whole cluster after the heal", r.whole))
}

// TestReachedBeforeTheGate (R7, R28): when a verdict has a peer back, the broker hears
// of it before the gate opens by that verdict: what is admitted then matches what the
// peer's clients subscribe to. The broker takes the time when it hears.
func TestReachedBeforeTheGate(t *testing.T) {
	var gate atomic.Pointer[netsplit.Gate] // while it is looked at
	var closed atomic.Int64                // times at which it was closed
	r := &rig{t: t, now: func() time.Time {
		if g := gate.Load(); g != nil && !g.Now().Allows(netsplit.Publish) {
			closed.Add(1)
		}
		return time.Now()
	}}
	at := addresses(t, 2)
	members := []wire.Member{{ID: 1, Name: "n1", Link: at[0]}, {ID: 2, Name: "n2", Link: at[1]}}
	for i := range members {
		r.nodes = append(r.nodes, r.start(members[i].ID, at[i], members, netsplit.Policy{}))
	}
	within(t, 15*time.Second, "a whole cluster", r.whole)
	x := r.nodes[0]
	c := x.cluster
	c.mesh.Judge(func(int64) { // the detector waits meanwhile
		whole := c.current.Load().verdict
		split := *whole
		split.Split, split.Unreachable = true, []netsplit.NodeID{2}
		c.refresh(&split)
		if x.gate.Now().Allows(netsplit.Publish) {
			t.Error("the gate is open in a split")
		}
		gate.Store(&x.gate)
		c.judge.effects.Verdict = whole
		c.judge.apply()
		gate.Store(nil)
		if !x.gate.Now().Allows(netsplit.Publish) {
			t.Error("the gate is closed after the split")
		}
	})
	if closed.Load() == 0 {
		t.Error("the gate opened before the broker heard that the peer is back")
	}
}

// TestStartAlone (R7): a node that finds nobody admits nothing until it knows
// that they are away, then what the policy says.
func TestStartAlone(t *testing.T) {
	at := addresses(t, 2)
	r := &rig{t: t}
	members := []wire.Member{{ID: 1, Name: "n1", Link: at[0]}, {ID: 2, Name: "n2", Link: at[1]}}
	x := r.start(1, at[0], members, netsplit.Policy{netsplit.Publish: netsplit.On})
	if g := x.gate.Now(); g.Allows(netsplit.Publish) || g.Why == "" {
		t.Errorf("the gate is open at once, or closed for a netsplit: %+v", g)
	}
	within(t, 10*time.Second, "the gate to open", func() bool { return x.gate.Now().Allows(netsplit.Publish) })
	if x.gate.Now().Allows(netsplit.Register) {
		t.Error("registering is open")
	}
	within(t, 20*time.Second, "the netsplit that it met to be counted", func() bool { return x.cluster.count.detected.Value() == 1 })
}

// TestAgreed: a node that starts does not open in the moment in which those that it
// reaches do not reach each other yet, since it would refuse the clients that wait for
// it. Two that stay apart are believed after a while; one that it does not reach itself
// is not waited for here.
func TestAgreed(t *testing.T) {
	apart := func(reached []wire.NodeID, missing ...[2]netsplit.NodeID) *state {
		return &state{reachable: reached, verdict: &netsplit.Verdict{Split: len(missing) > 0, Missing: missing}}
	}
	all := []wire.NodeID{1, 2, 3}
	between, away := apart(all, [2]netsplit.NodeID{1, 2}), apart(all[1:], [2]netsplit.NodeID{1, 2}, [2]netsplit.NodeID{1, 3})
	const begun, wait = 5_000, 1_000
	var j judge
	for i, step := range []struct {
		s    *state
		now  int64
		want bool
	}{
		{apart(all), begun, true},
		{away, begun, true},
		{between, begun, false},
		{between, begun + wait - 1, false},
		{apart(all), begun + wait - 1, true}, // they agree: the next time is a new one
		{between, begun + wait, false},
		{between, begun + 2*wait - 1, false},
		{between, begun + 2*wait, true},
	} {
		if got := j.agreed(step.s, step.now); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

// TestOneNode: a node without others is whole at once.
func TestOneNode(t *testing.T) {
	r := newRig(t, 1, netsplit.Policy{})
	within(t, 2*time.Second, "an open gate", r.whole)
	if !r.nodes[0].cluster.Alone() {
		t.Error("not alone")
	}
	done := make(chan error, 1)
	r.nodes[0].cluster.Announced(func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHeartbeatsSurviveTheWire: what the detector says arrives as it was said.
func TestHeartbeatsSurviveTheWire(t *testing.T) {
	in := netsplit.Heartbeat{From: 7, Incarnation: 8, Plane: netsplit.Control, Seq: 9, Echo: 10, Version: 11,
		Rows: []netsplit.Row{{Node: 1, Incarnation: 2, Seq: 3, Up: []netsplit.NodeID{4, 5}}}}
	var sent, got wire.Heartbeat
	toWire(&in, &sent)
	if err := wire.ParseHeartbeat(wire.AppendHeartbeat(nil, &sent), &got); err != nil {
		t.Fatal(err)
	}
	out := fromWire(7, 8, &got)
	if out.Seq != 9 || out.Echo != 10 || out.Version != 11 || len(out.Rows) != 1 || out.Rows[0].Up[1] != 5 || out.Rows[0].Seq != 3 {
		t.Errorf("got %+v", out)
	}
}

// TestWaitsForEveryMember (R6, R8): what is announced or written is confirmed
// when every reachable member has it. A member that fell silent is waited for
// until the verdict releases it, not shorter.
func TestWaitsForEveryMember(t *testing.T) {
	r := newRig(t, 3, netsplit.Policy{})
	within(t, 15*time.Second, "a whole cluster", r.whole)
	c := r.nodes[0].cluster
	wait := func(f func(func(error))) error {
		done := make(chan error, 1)
		f(func(err error) { done <- err })
		return <-done
	}
	began := time.Now()
	c.Announce(wire.Route{Filter: "a/#", Members: 1})
	if err := wait(c.Announced); err != nil {
		t.Fatal(err)
	}
	if err := wait(c.Replicated); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 2*time.Second { // no verdict comes as soon
		t.Errorf("a whole cluster took %v", d)
	}
	r.nodes[2].cluster.mesh.SetCut([]wire.NodeID{1, 2})
	for _, f := range []func(func(error)){c.Announced, c.Replicated} {
		c.Announce(wire.Route{Filter: "b/#", Members: 1})
		if err := wait(f); err != nil {
			t.Errorf("with a member that went down: %v", err)
		}
		if c.Reachable(3) {
			t.Error("it was answered before the verdict")
		}
	}
}

// TestAsk: an operator's question reaches the other node and comes back; one for
// a node that is not linked fails at once.
func TestAsk(t *testing.T) {
	r := newRig(t, 2, netsplit.Policy{})
	within(t, 15*time.Second, "a whole cluster", r.whole)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	status, got, err := r.nodes[0].cluster.Ask(ctx, 2, "PUT", "/x?y=z", []byte("body"))
	if err != nil || status != 200 || string(got) != "PUT /x?y=z body at n2" {
		t.Errorf("answer %d %q, %v", status, got, err)
	}
	if _, _, err := r.nodes[0].cluster.Ask(ctx, 3, "GET", "/", nil); err == nil {
		t.Error("a node that is not there has answered")
	}
}

// TestWaitsForAPort: a port that a connection has for a moment is waited for, any
// other fault is told at once.
func TestWaitsForAPort(t *testing.T) {
	tries := 0
	err := patiently(func() error {
		if tries++; tries < 3 {
			return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("%d tries, %v", tries, err)
	}
	if err := patiently(func() error { tries++; return syscall.EACCES }); err == nil || tries != 4 {
		t.Errorf("another fault: %d tries, %v", tries, err)
	}
}

// TestPortsTaken: what keeps links and gossip from listening is said with what to do.
func TestPortsTaken(t *testing.T) {
	for errno, remedy := range map[syscall.Errno]string{
		syscall.EADDRINUSE: "stop it, or set cluster.x_port", syscall.EADDRNOTAVAIL: "set cluster.bind_address to one of its own", syscall.EMFILE: "",
	} {
		err := cannotListen("links", "cluster.x_port", &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", errno)})
		if !errors.Is(err, errno) || !strings.HasPrefix(err.Error(), "links: listen tcp: ") || !strings.HasSuffix(err.Error(), remedy) {
			t.Errorf("%v", err)
		}
	}
}

// TestR5AuditRepairs: a peer that has routes which differ from those of their
// owner is found by the owner's digest and gets everything again.
func TestR5AuditRepairs(t *testing.T) {
	r := newRig(t, 2, netsplit.Policy{})
	within(t, 15*time.Second, "a whole cluster", r.whole)
	owner, peer := r.nodes[0].cluster, r.nodes[1].cluster
	audited := func() bool {
		owner.feeds.audit()
		owner.feeds.nudge()
		alike := false
		owner.parts.Broker.Digest(func(d broker.RouteDigest) { alike = peer.parts.Broker.CheckRoutes(1, d) })
		return alike
	}
	if !audited() {
		t.Fatal("routes differ without a fault")
	}
	peer.parts.Broker.TakeRoutes(1, &wire.Routes{List: []wire.Route{{Filter: "nobody/announced", Members: 1}}})
	within(t, 10*time.Second, "the same routes again", audited)
	within(t, 10*time.Second, "the snapshot to be confirmed", func() bool { return owner.feeds.fed(2) })
}

// TestJoinOfAnotherRelease: a node whose versions have none in common with this
// one's is refused, and a join that waits on it is told why and what to do, by this
// node's own word, whichever of the two dialled (P14).
func TestJoinOfAnotherRelease(t *testing.T) {
	r := &rig{t: t}
	x := r.start(2, "127.0.0.1:0", []wire.Member{{ID: 2, Name: "n2"}}, netsplit.Policy{})
	if err := x.cluster.mesh.AddPeer(1, "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if why := x.cluster.refusedBy(); why != "" {
		t.Fatalf("before: %q", why)
	}
	conn, err := net.Dial("tcp", x.cluster.mesh.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hello := wire.AppendHello(nil, &wire.Hello{VersionMin: wire.Version + 1, VersionMax: wire.Version + 3, Cluster: "test", Node: 1, Name: "later",
		Incarnation: 1, Durability: "fsync", Secret: true, Challenge: make([]byte, wire.ChallengeBytes)})
	proof := wire.AppendProof(nil, &wire.Proof{MAC: make([]byte, 32)})
	for kind, body := range [][]byte{hello, proof} {
		head := wire.Header{Version: wire.Version, Type: wire.TypeHello + wire.Type(kind), Flags: wire.FlagFirst | wire.FlagLast,
			TTL: 1, Source: 1, Incarnation: 1, Length: uint32(len(body))}
		if _, err := conn.Write(append(wire.AppendHeader(nil, &head), body...)); err != nil {
			t.Fatal(err)
		}
	}
	within(t, 5*time.Second, "the reason", func() bool { return x.cluster.refusedBy() != "" })
	want := `node "later" speaks versions 2 to 4, "n2" 1 to 1: upgrade the older one first`
	if why := x.cluster.refusedBy(); !strings.Contains(why, want) {
		t.Errorf("a join is told %q, want %q", why, want)
	}
	if n := x.cluster.mesh.Stats().Refusals[wire.RefuseVersion.String()]; n != 1 {
		t.Errorf("%d refusals for the version are counted, want 1", n)
	}
}

// TestR27Ended: a member that the others know to have stopped is gone when its process
// has closed its connections: who waits for it, as a CONNECT does, does not wait for
// its silence.
func TestR27Ended(t *testing.T) {
	r := newRig(t, 3, netsplit.Policy{})
	within(t, 15*time.Second, "a whole cluster", r.whole)
	r.nodes[2].stop()
	list := slices.Clone(r.nodes[0].cluster.current.Load().members)
	list[2].State = wire.MemberStopped
	for _, x := range r.nodes[:2] { // the mark may come later than the end
		x.cluster.SetMembers(2, list)
	}
	within(t, 1500*time.Millisecond, "the end of the third", func() bool {
		for _, x := range r.nodes[:2] {
			if x.cluster.Reachable(3) || !x.gate.Now().Allows(netsplit.Register) {
				return false
			}
		}
		return true
	})
}

// TestExpectedMembers: a node waits for the members that are expected until they have
// been there; one that is removed takes nobody else out of service.
func TestExpectedMembers(t *testing.T) {
	r := newRig(t, 2, netsplit.Policy{})
	within(t, 15*time.Second, "a whole cluster", r.whole)
	c := r.nodes[0].cluster
	list := slices.Clone(c.current.Load().members)
	if why := c.Missing(3); len(why) != 1 || why[0] != "the cluster has 2 of 3 expected members" {
		t.Errorf("two of three: %q", why)
	}
	c.SetMembers(2, append(list, wire.Member{ID: 3, Name: "n3", Link: "127.0.0.1:1", State: wire.MemberStopped}))
	within(t, 5*time.Second, "the third member", func() bool { return len(c.Missing(3)) == 0 && len(c.Status().Members) == 3 })
	c.SetMembers(3, list)
	within(t, 5*time.Second, "the end of the third member", func() bool { return len(c.Status().Members) == 2 })
	if why := c.Missing(3); len(why) != 0 {
		t.Errorf("after the third was removed: %q", why)
	}
}
