package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tombolo/internal/admin"
)

// majority are the options that leave the larger side open.
var majority = []string{"allow_register_during_netsplit", "majority", "allow_publish_during_netsplit", "majority", "netsplit_publish_response", "error"}

// handover is how long a node that comes into the majority waits, and what asking
// takes on a busy machine.
const handover = 3250*time.Millisecond + 3*time.Second

// publishes tries a publish at QoS 1.
func (c *trio) publishes(i int) bool {
	return run(c.tb, c.tb.TempDir(), binary, "pub", "--url", "mqtt://"+c.nodes[i].tcp, "-t", "a", "-m", "b", "-q", "1").code == 0
}

// ready asks whether a node is to get clients, and why not.
func (c *trio) ready(i int) (bool, string) {
	status, why := c.nodes[i].get("/ready")
	return status == http.StatusOK, why
}

// TestR24DeadMember: a member that is away for longer than
// cluster.dead_member_timeout, set while it is away, gates nobody any more (R24).
// What it has is kept, and when it is back it is a member like the others.
func TestR24DeadMember(t *testing.T) {
	c := startTrio(t)
	c.must("pub", "--url", "mqtt://"+c.nodes[2].tcp, "-t", "kept", "-m", "of the dead", "-q", "1", "-r")
	c.nodes[2].kill()
	c.splits(0, 1)
	if c.publishes(0) {
		t.Error("a publish is admitted while a member is missing and everything is off")
	}
	for i := range 2 {
		c.must("set", "cluster.dead_member_timeout=5s", "--socket", c.socket(i))
	}
	eventually(t, patience, "the dead member to be marked", func() bool { return state(c.view(0), "node3") == "absent" })
	eventually(t, patience, "both others to admit everything", func() bool {
		return !c.view(0).Split && !c.view(1).Split && c.publishes(0) && c.publishes(1)
	})
	if v := c.view(0); len(v.Members) != 3 {
		t.Errorf("an absent member is none any more: %+v", v.Members)
	}
	if got := c.must("sub", "--url", "mqtt://"+c.nodes[0].tcp, "-t", "kept", "-C", "1", "-W", "5"); !strings.Contains(got.out, "of the dead") {
		t.Errorf("what it wrote is gone: %+v", got)
	}
	c.nodes[2].start()
	c.whole()
	eventually(t, patience, "the mark to go", func() bool { return state(c.view(2), "node3") == "joined" })
	if got := c.must("sub", "--url", "mqtt://"+c.nodes[2].tcp, "-t", "kept", "-C", "1", "-W", "5"); !strings.Contains(got.out, "of the dead") {
		t.Errorf("what it wrote is gone there: %+v", got)
	}
}

func state(v admin.ClusterView, name string) string {
	for _, m := range v.Members {
		if m.Name == name {
			return m.State
		}
	}
	return "no member"
}

// TestR24EvenSplit: of four nodes split evenly nobody holds a majority, until
// cluster.tiebreaker names a node, at run time: its half goes on, the other never
// does.
func TestR24EvenSplit(t *testing.T) {
	c := newNodes(t, 4, true, majority...)
	c.whole()
	for i := range 2 {
		c.cut(i, "node3", "node4")
		c.cut(i+2, "node1", "node2")
	}
	c.splits(0, 1, 2, 3)
	pause(handover)
	for i := range c.nodes {
		if v := c.view(i); v.Majority || v.Gate.Publish || v.Gate.Register {
			t.Errorf("node %d goes on with half of the members: %+v", i+1, v)
		}
	}
	for i := range c.nodes {
		c.must("set", "cluster.tiebreaker=node2", "--socket", c.socket(i))
	}
	eventually(t, patience, "the half of the tiebreaker to go on", func() bool { return c.publishes(0) && c.publishes(1) })
	for i := 2; i < 4; i++ {
		if v := c.view(i); v.Majority || v.Gate.Publish || c.publishes(i) {
			t.Errorf("node %d goes on as well: %+v", i+1, v)
		}
	}
	for i := range c.nodes {
		c.cut(i)
	}
	c.whole()
}

// TestR24TwoNodes: with two members, majority is the same as off.
func TestR24TwoNodes(t *testing.T) {
	c := newNodes(t, 2, true, majority...)
	c.whole()
	c.nodes[1].kill()
	c.splits(0)
	pause(handover)
	if v := c.view(0); v.Majority || v.Gate.Publish || c.publishes(0) {
		t.Errorf("one of two goes on: %+v", v)
	}
	c.nodes[1].start()
	c.whole()
}

// TestReadiness: /ready and /health say why a node is to get no clients: while it
// looks for its cluster, while members are expected, and during a netsplit; an
// expectation can be changed at run time.
func TestReadiness(t *testing.T) {
	c := newTrio(t, true, majority...)
	c.nodes[1].kill()
	c.nodes[2].kill()
	alone := newNode(t, "nodename", "node9", "cluster.bind_address", "127.0.0.1", "cluster.secret_key", "the secret of this test",
		"cluster.link_port", freePort(t), "cluster.gossip_port", freePort(t), "cluster.seeds", freeAddress(t))
	alone.start()
	for _, path := range []string{"/ready", "/health"} {
		if status, why := alone.get(path); status != http.StatusServiceUnavailable || !strings.Contains(why, "not a member of a cluster yet") {
			t.Errorf("%s of a node without its seeds: %d %s", path, status, why)
		}
	}
	if status, _ := alone.get("/health/ping"); status != http.StatusOK {
		t.Errorf("/health/ping of a node without its seeds: %d", status)
	}
	c.nodes[1].start()
	c.nodes[2].start()
	c.whole()
	readyAgain := func() bool { ok, _ := c.ready(0); return ok }
	eventually(t, patience, "node 1 to be ready", readyAgain)
	c.must("set", "cluster.expected_members=4", "--socket", c.socket(0))
	if ok, why := c.ready(0); ok || !strings.Contains(why, "3 of 4 expected members") {
		t.Errorf("three of four expected members: %v %s", ok, why)
	}
	if status, why := c.nodes[0].get("/health"); status != http.StatusOK {
		t.Errorf("/health asks how many members are expected: %d %s", status, why)
	}
	c.must("set", "cluster.expected_members=3", "--socket", c.socket(0))
	eventually(t, patience, "node 1 to be ready", readyAgain)
	c.seated()
	c.cut(2, "node1", "node2")
	c.splits(0, 1, 2)
	if ok, why := c.ready(2); ok || !strings.Contains(why, "netsplit: register is closed") || !strings.Contains(why, "netsplit: publish is closed") {
		t.Errorf("the minority: %v %s", ok, why)
	}
	if ok, why := c.ready(0); ok || strings.Contains(why, "publish is closed") || !strings.Contains(why, "netsplit: subscribe is closed") {
		t.Errorf("the majority, where subscribing is off: %v %s", ok, why)
	}
	if status, why := c.nodes[0].get("/health"); status != http.StatusOK {
		t.Errorf("/health is no matter of a netsplit: %d %s", status, why)
	}
	c.cut(2)
	c.whole()
}

// seated waits until every node has been with the others for long enough to go on
// with a majority of them.
func (c *trio) seated() {
	c.tb.Helper()
	eventually(c.tb, patience, "a majority that every node belongs to", func() bool {
		for i := range c.nodes {
			if !c.view(i).Majority {
				return false
			}
		}
		return true
	})
}

func freePort(tb testing.TB) string {
	address := freeAddress(tb)
	return address[strings.LastIndex(address, ":")+1:]
}

// TestConfirmWaitAtRunTime: cluster.publish_confirm_wait changes while publishes
// run, within its bounds.
func TestConfirmWaitAtRunTime(t *testing.T) {
	c := newNodes(t, 2, true)
	c.whole()
	for _, wait := range []string{"1ms", "5s"} {
		c.must("set", "cluster.publish_confirm_wait="+wait, "--all", "--socket", c.socket(0))
		if got := c.must("show", "cluster.publish_confirm_wait", "--socket", c.socket(1)); !strings.Contains(got.out, wait) {
			t.Errorf("node 2 does not show %s: %s", wait, got.out)
		}
		if !c.publishes(0) {
			t.Errorf("a publish fails with %s", wait)
		}
	}
	if got := run(t, t.TempDir(), binary, "set", "cluster.publish_confirm_wait=0", "--socket", c.socket(0)); got.code == 0 {
		t.Error("a wait of nothing is taken")
	}
}
