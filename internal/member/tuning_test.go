package member

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"tombolo/internal/freeport"
	"tombolo/metadata"
)

// TestTuning: what a Set is told of gossip is what memberlist is told, and what is
// left out is the default. What the options say reaches a Set by node.TestGossipSettings.
// Effects that can be told apart are in TestProbes, TestNews and TestMuteSeed; gossip to the
// dead, probes through others and repeated news only change how likely something is.
func TestTuning(t *testing.T) {
	set := GossipConfig{TCPTimeout: 1 * time.Millisecond, PushPullInterval: 2 * time.Millisecond, ProbeInterval: 3 * time.Millisecond,
		ProbeTimeout: 4 * time.Millisecond, GossipInterval: 5 * time.Millisecond, GossipToTheDeadTime: 6 * time.Millisecond,
		IndirectChecks: 7, RetransmitMult: 8, SuspicionMult: 9}
	unset := GossipConfig{}
	unset.defaults()
	for name, c := range map[string]struct {
		config *GossipConfig
		times  [6]time.Duration
		counts [3]int
	}{
		"set": {&set, [6]time.Duration{1e6, 2e6, 3e6, 4e6, 5e6, 6e6}, [3]int{7, 8, 9}},
		"unset": {&unset, [6]time.Duration{3 * time.Second, 30 * time.Second, time.Second, 500 * time.Millisecond, 200 * time.Millisecond, 30 * time.Second},
			[3]int{3, 4, 4}},
	} {
		m := c.config.tuned()
		if got := [6]time.Duration{m.TCPTimeout, m.PushPullInterval, m.ProbeInterval, m.ProbeTimeout, m.GossipInterval, m.GossipToTheDeadTime}; got != c.times {
			t.Errorf("%s: times %v, want %v", name, got, c.times)
		}
		if got := [3]int{m.IndirectChecks, m.RetransmitMult, m.SuspicionMult}; got != c.counts {
			t.Errorf("%s: counts %v, want %v", name, got, c.counts)
		}
		if m.DeadNodeReclaimTime != m.ProbeInterval {
			t.Errorf("%s: a dead node may come back elsewhere after %v", name, m.DeadNodeReclaimTime)
		}
	}
}

// cutPair is two members that see each other, tuned alike, and then a cut between them.
func cutPair(t *testing.T, tune func(g *GossipConfig)) (a *unit) {
	t.Helper()
	r := newRig(t)
	a, b := r.unit(1), r.unit(2)
	tune(&a.config.Gossip)
	tune(&b.config.Gossip)
	a.start()
	b.start()
	if err := b.set.Join(soon(t), []string{a.set.GossipAddress()}); err != nil {
		t.Fatal(err)
	}
	within(t, "both to see each other", func() bool { return len(a.set.Nodes()) == 1 && len(b.set.Nodes()) == 1 })
	r.split(2)
	return a
}

// TestProbes: a node that has gone is noticed by its probes, and forgotten after the
// time of a suspicion: who probes once an hour, or suspects for minutes, sees it still
// when others have long forgotten theirs.
func TestProbes(t *testing.T) {
	rare := cutPair(t, func(g *GossipConfig) { g.ProbeInterval = time.Hour })
	patient := cutPair(t, func(g *GossipConfig) { g.SuspicionMult = 10_000 })
	quick := cutPair(t, func(*GossipConfig) {})
	within(t, "its probes to fail, and the suspicion to end", func() bool { return len(quick.set.Nodes()) == 0 })
	if n := len(rare.set.Nodes()); n != 1 {
		t.Error("probe_interval: who probes once an hour has noticed")
	}
	if n := len(patient.set.Nodes()); n != 1 {
		t.Error("suspicion_mult: a suspicion of a quarter of an hour has ended")
	}
	within(t, "the patient one to suspect", func() bool { return patient.said("Suspect") })
}

// TestNews: a node hears of another one that joined elsewhere by what is gossiped
// (gossip_interval), or else by an exchange of all (push_pull_interval); without either
// it does not.
func TestNews(t *testing.T) {
	third := func(tune func(g *GossipConfig)) (a *unit) {
		r := newRig(t)
		a, b, c := r.unit(1), r.unit(2), r.unit(3)
		for _, u := range []*unit{a, b, c} {
			g := &u.config.Gossip
			g.GossipInterval, g.PushPullInterval = time.Hour, time.Hour
			g.ProbeInterval, g.RejoinInterval = time.Hour, time.Hour // what carries news as well
			tune(g)
			u.start()
		}
		for _, pair := range [][2]*unit{{b, a}, {c, b}} {
			if err := pair[0].set.Join(soon(t), []string{pair[1].set.GossipAddress()}); err != nil {
				t.Fatal(err)
			}
		}
		return a
	}
	deaf := third(func(*GossipConfig) {})
	gossips := third(func(g *GossipConfig) { g.GossipInterval = 20 * time.Millisecond })
	exchanges := third(func(g *GossipConfig) { g.PushPullInterval = 100 * time.Millisecond })
	within(t, "news by gossip", func() bool { return len(gossips.set.Nodes()) == 2 })
	within(t, "news by an exchange", func() bool { return len(exchanges.set.Nodes()) == 2 })
	if n := len(deaf.set.Nodes()); n != 1 {
		t.Errorf("who hears nothing for an hour knows of %d", n)
	}
}

// TestMuteSeed: one that takes a connection and says nothing is given up after
// tcp_timeout.
func TestMuteSeed(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0") // the system takes connections for it; nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	u := newRig(t).unit(1)
	u.config.Gossip.TCPTimeout = 200 * time.Millisecond
	u.start()
	<-u.set.gossip.started
	var took time.Duration
	for range 3 { // the machine may be late with one
		began := time.Now()
		err = u.set.gossip.contact(0, mute.Addr().String())
		if took = time.Since(began); err == nil || took < 2500*time.Millisecond {
			break
		}
	}
	if err == nil || took < 200*time.Millisecond || took > 2500*time.Millisecond {
		t.Errorf("%v after %v; the limit is 200 ms, the default 3 s", err, took)
	}
}

// TestSeedIsHTTP: of a seed that is another port of a node the operator hears that,
// not only of secrets.
func TestSeedIsHTTP(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	u := newRig(t).unit(1)
	u.config.Gossip.Secret = []byte("a secret of some length")
	u.start()
	<-u.set.gossip.started
	err := u.set.contactOne([]string{other.Listener.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "no port for gossip") || !strings.Contains(err.Error(), "cluster.gossip_port") {
		t.Errorf("%v; want it to say that the port is another one", err)
	}
}

// TestPortsTaken: the system's error of a port that somebody has, and of an address
// that is not this machine's, can be told from others though memberlist makes text
// of it: the one is waited for, and both have a remedy.
func TestPortsTaken(t *testing.T) {
	var taken [2]string // free for the other protocol
	for i := range taken {
		var err error
		if taken[i], err = freeport.Address(); err != nil {
			t.Fatal(err)
		}
	}
	udp, err := net.ListenPacket("udp", taken[0])
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", taken[1])
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for address, want := range map[string]struct {
		cause syscall.Errno
		plane string
	}{
		udp.LocalAddr().String(): {syscall.EADDRINUSE, "UDP"}, tcp.Addr().String(): {syscall.EADDRINUSE, "TCP"}, "192.0.2.77:24054": {syscall.EADDRNOTAVAIL, "TCP"},
	} {
		u := newRig(t).unit(1)
		u.config.Gossip.Bind = address
		u.config.Store, _ = metadata.Open(u.db, metadata.Config{Node: 1})
		set, err := New(u.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := set.Listen(); !errors.Is(err, want.cause) || !strings.Contains(err.Error(), address+", "+want.plane) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
