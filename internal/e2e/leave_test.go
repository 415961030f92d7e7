package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tombolo/internal/admin"
	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// offline makes keeping(3600) sessions at a node, without clients, each with messages.
func (c *trio) offline(i, sessions, messages int) {
	c.tb.Helper()
	for s := range sessions {
		u := c.nodes[i].joined(fmt.Sprint("off", s), keeping(3600), "to/#")
		u.Disconnect(packet.Success)
	}
	pub := c.nodes[1].join("publisher", nil)
	for m := range messages {
		pub.send("to/all", fmt.Sprint("m", m), 1, false)
	}
	pub.Disconnect(packet.Success)
}

// delivered connects the sessions to other nodes and wants all their messages, in
// order.
func (c *trio) delivered(sessions, messages int, at ...int) {
	c.tb.Helper()
	for s := range sessions {
		u := c.nodes[at[s%len(at)]].join(fmt.Sprint("off", s), keeping(3600))
		for m := range messages {
			u.gets("to/all", fmt.Sprint("m", m))
		}
		u.Disconnect(packet.Success)
	}
}

// TestLeave: a node that leaves hands over what it holds, through a kill -9, and
// ends with exit code 0; everything is delivered by the others. A connected client
// is told 0x9D and goes on elsewhere. Started again the node says what it is, and
// serves nobody (P11, R24).
func TestLeave(t *testing.T) {
	c := startTrio(t)
	first := c.nodes[0]
	const sessions, messages = 50, 20
	c.offline(0, sessions, messages)
	online, ended := first.watching("online")

	c.must("cluster", "leave", "--socket", c.socket(0))
	if got := run(t, t.TempDir(), binary, "pub", "--url", "mqtt://"+first.tcp, "-t", "x", "-m", "y"); got.code == 0 {
		t.Error("a node that leaves still takes connections")
	}
	online.send("on/a", "1", 1, false) // who is connected goes on
	eventually(t, patience, "the state", func() bool { return strings.Contains(c.shows(), "leaving") })

	c.must("cluster", "leave", "--abort", "--socket", c.socket(0))
	c.must("pub", "--url", "mqtt://"+first.tcp, "-t", "x", "-m", "y")
	if got := c.shows(); strings.Contains(got, "leaving") {
		t.Errorf("after the abort:\n%s", got)
	}

	asker := admin.NewSocketClient(c.socket(0))
	defer asker.Close()
	zero := 0
	if err := asker.Do(t.Context(), "POST", "/api/v1/cluster/leave", nil, admin.LeaveOrder{KillSessions: true, TimeoutSeconds: &zero}, nil); err != nil {
		t.Fatal(err)
	}
	var told *client.DisconnectedError
	if err := <-ended; !errors.As(err, &told) || told.Reason != packet.ServerMoved {
		t.Errorf("a client was sent away with %v", err)
	}
	first.kill() // in the midst of it
	first.start()
	if said := first.stdout.String(); !strings.Contains(said, "leaves its cluster") {
		t.Errorf("started again in the midst of leaving it says %q", said)
	}
	if code := first.exit(patience); code != 0 {
		t.Errorf("exit code %d after leaving, want 0", code)
	}
	eventually(t, patience, "two members", func() bool { return len(c.view(1).Members) == 2 && len(c.view(2).Members) == 2 })
	c.delivered(sessions, messages, 1, 2)
	if _, err := os.Stat(filepath.Join(first.options["data_dir"], "leave")); err == nil {
		t.Error("the order to leave is still there")
	}

	first.start()
	if said := first.stdout.String(); !strings.Contains(said, "has left its cluster") {
		t.Errorf("started again it says %q", said)
	}
	if v := c.view(0); v.Standing != "removed" || len(v.Reaches) > 1 {
		t.Errorf("started again it is %+v", v)
	}
	if got := run(t, t.TempDir(), binary, "pub", "--url", "mqtt://"+first.tcp, "-t", "x", "-m", "y"); got.code == 0 {
		t.Error("a node that has left serves a client")
	}
	if got := c.must("session", "show", "--socket", c.socket(0)); strings.Contains(got.out, "off1") {
		t.Errorf("a node that has left holds sessions:\n%s", got.out)
	}
	first.signal(syscall.SIGTERM)
	first.exit(patience)
}

// watching connects a client with a session; the channel tells how it ended.
func (n *node) watching(id string) (*user, <-chan error) {
	n.tb.Helper()
	c := packet.Connect{Version: packet.V5, ClientID: []byte(id), KeepAlive: 60}
	keeping(3600)(&c)
	ctx, cancel := limited()
	defer cancel()
	cl, err := client.Dial(ctx, client.Config{Address: n.tcp, Connect: c, Timeout: patience})
	if err != nil {
		n.tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cl.Run(n.tb.Context()) }()
	n.tb.Cleanup(func() { cl.Close() })
	return &user{cl, n.tb}, ended
}
