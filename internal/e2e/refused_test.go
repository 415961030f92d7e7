package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// joinWithin is how long a join may take to say why nothing comes of it, asking
// on a busy machine included.
const joinWithin = 5 * time.Second

// loner starts a node that belongs to nobody yet.
func loner(tb testing.TB, options ...string) *node {
	tb.Helper()
	return startNode(tb, append([]string{"nodename", "node9", "cluster.bind_address", "127.0.0.1", "cluster.secret_key", "the secret of this test",
		"cluster.link_port", freePort(tb), "cluster.gossip_port", freePort(tb)}, options...)...)
}

// TestRefusedJoins: tombolo cluster join says within seconds why nothing comes of
// it, and what to do: nobody listens, another name, another secret, none, data of
// its own, another durability (R35).
func TestRefusedJoins(t *testing.T) {
	founder := loner(t, "nodename", "node1")
	seed := "127.0.0.1:" + founder.options["cluster.gossip_port"]
	for _, c := range []struct {
		name, seed string
		options    []string
		data       bool
		says       []string
	}{
		{name: "nobody there", seed: freeAddress(t), says: []string{"nothing listens at", "cluster.gossip_port"}},
		{name: "another name", options: []string{"cluster.name", "other"}, says: []string{"hangs up", `cluster.name is not "other"`}},
		{name: "another secret", options: []string{"cluster.secret_key", "another secret than theirs"}, says: []string{"cluster.secret_key"}},
		{name: "durability", options: []string{"durability", "os"}, says: []string{"durability", "os", "fsync"}},
		{name: "history", data: true, says: []string{"of its own", "move its data directory away"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := loner(t, c.options...)
			if c.data {
				if got := run(t, n.dir, binary, "pub", "--url", "mqtt://"+n.tcp, "-t", "mine", "-m", "x", "-q", "1", "-r"); got.code != 0 {
					t.Fatalf("%+v", got)
				}
			}
			if c.seed == "" {
				c.seed = seed
			}
			began := time.Now()
			got := run(t, n.dir, binary, "cluster", "join", c.seed, "--socket", n.options["data_dir"]+"/admin.sock")
			if took := time.Since(began); got.code == 0 || took > joinWithin {
				t.Errorf("exit %d after %v", got.code, took)
			}
			for _, want := range c.says {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("it does not say %q: %s", want, got.stderr)
				}
			}
		})
	}
}

// TestR35DurabilityForced: two nodes of different durability are one cluster if both
// sides say that they may be; otherwise they are refused (TestRefusedJoins).
func TestR35DurabilityForced(t *testing.T) {
	founder := loner(t, "nodename", "node1", "cluster.durability_may_differ", "on")
	n := loner(t, "durability", "os", "cluster.durability_may_differ", "on")
	c := &trio{tb: t, nodes: []*node{founder, n}}
	c.must("cluster", "join", "127.0.0.1:"+founder.options["cluster.gossip_port"], "--socket", c.socket(1))
	c.whole()
}

// TestRemovedNodeStarts: a node that was removed while it was down, and starts
// again, says what it is, serves nobody, and fills nobody's log; its data is there.
func TestRemovedNodeStarts(t *testing.T) {
	c := startTrio(t)
	c.nodes[2].kill()
	c.splits(0, 1)
	c.must("cluster", "remove", "node3", "--yes", "--socket", c.socket(0))
	eventually(t, patience, "two members", func() bool { return len(c.view(0).Members) == 2 && len(c.view(1).Members) == 2 && !c.view(0).Split })
	c.nodes[2].start()
	eventually(t, patience, "the removed node to say so", func() bool {
		status, why := c.nodes[2].get("/health")
		return status == http.StatusServiceUnavailable && strings.Contains(why, "was removed from it") && strings.Contains(why, "empty data directory")
	})
	if c.publishes(2) {
		t.Error("a node that was removed serves clients")
	}
	if got := run(t, t.TempDir(), binary, "cluster", "join", c.gossip[0], "--socket", c.socket(2)); got.code == 0 || !strings.Contains(got.stderr, "move its data directory away") {
		t.Errorf("a removed node joins again with its data: %+v", got)
	}
	if !c.publishes(0) || len(c.view(0).Members) != 2 {
		t.Error("the members are disturbed by it")
	}
	if n := strings.Count(c.nodes[0].stderr.String(), "is not known to"); n > 6 {
		t.Errorf("the log of a member has %d lines about it", n)
	}
	if _, err := os.Stat(c.nodes[2].options["data_dir"] + "/metadata"); err != nil {
		t.Errorf("its data is gone: %v", err)
	}
}
