package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"tombolo/mqtt/packet"
)

// TestR23HandOver: a node with offline sessions is killed and removed by name. What
// it held comes to its clients at other nodes by tombolo queue hand-over, once, in
// order and before what was published since, though the command is killed in the
// midst of it and run again. A client that began anew gets nothing old.
func TestR23HandOver(t *testing.T) {
	c := startTrio(t)
	const sessions, messages, more = 6, 800, 20
	c.offline(2, sessions, messages)
	dead, dir := c.nodes[2], c.nodes[2].options["data_dir"]
	dead.kill()
	c.splits(0, 1)
	command := []string{"queue", "hand-over", "--data-dir", dir, "--socket", c.socket(1)}
	if got := run(t, t.TempDir(), binary, command...); got.code == 0 || !strings.Contains(got.stderr, "is a member") {
		t.Errorf("while it is a member: %+v", got)
	}
	c.must("cluster", "remove", "node3", "--yes", "--socket", c.socket(0))
	eventually(t, patience, "two members", func() bool { return len(c.view(0).Members) == 2 && len(c.view(1).Members) == 2 && !c.view(0).Split })
	pub := c.nodes[0].join("publisher", nil)
	for m := range more {
		pub.send("to/all", fmt.Sprint("m", messages+m), 1, false)
	}
	c.nodes[1].join("off5", func(c *packet.Connect) { keeping(3600)(c); c.CleanStart = true }).Disconnect(packet.Success)

	dead.start()
	eventually(t, patience, "the removed node to say what it holds", func() bool {
		_, why := dead.get("/health")
		return strings.Contains(why, fmt.Sprintf("still holds %d messages of %d sessions", sessions*messages, sessions)) && strings.Contains(why, "hand-over")
	})
	if status, _ := dead.get("/ready"); status != http.StatusServiceUnavailable {
		t.Errorf("/ready answers %d", status)
	}
	if got := run(t, t.TempDir(), binary, command...); got.code == 0 || !strings.Contains(got.stderr, "stop the node") {
		t.Errorf("while it runs: %+v", got)
	}
	dead.terminate()

	c.broken(messages, command)
	list := c.must("queue", "hand-over", "--data-dir", dir, "--list")
	if !strings.Contains(list.out, "off5") {
		t.Errorf("after it was killed it holds\n%s", list.out)
	}
	if got := c.must(command...); !strings.Contains(got.out, "session ended") || !strings.Contains(got.out, "--discard") {
		t.Errorf("it says\n%s", got.out)
	}
	c.delivered(sessions-1, messages+more, 0, 1)
	last := c.nodes[0].join("off5", keeping(3600))
	last.listen("to/#", 1)
	pub.send("to/all", "new", 1, false)
	last.gets("to/all", "new")

	if got := c.must(append(command, "--discard")...); !strings.Contains(got.out, "discarded") {
		t.Errorf("--discard says\n%s", got.out)
	}
	if got := c.must("queue", "hand-over", "--data-dir", dir, "--list"); strings.Contains(got.out, "off") {
		t.Errorf("at the end it holds\n%s", got.out)
	}
}

// broken runs a hand-over and kills it in the midst: the second queue has begun when
// the first is home.
func (c *trio) broken(messages int, command []string) {
	c.tb.Helper()
	cmd := exec.Command(binary, command...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		c.tb.Fatal(err)
	}
	came := func(i int) float64 { return c.nodes[i].metric("tombolo_queue_migrated_in_total", "") }
	eventually(c.tb, patience, "the first messages at a member", func() bool { return came(0)+came(1) > float64(messages) })
	_ = cmd.Process.Kill() // on a slow machine it may have ended
	c.tb.Logf("killed: %v\n%s", cmd.Wait(), said.String())
}

// TestR11HandOverSpool: what a node took in while it was cut off, with publishing
// allowed, waits in its spool for the homes of the sessions. The node is killed and
// removed: tombolo queue hand-over brings it to the sessions, once and in order, also to
// one that moved meanwhile, though the command is killed in the midst of it and run
// again.
func TestR11HandOverSpool(t *testing.T) {
	c := startTrio(t, "allow_publish_during_netsplit", "on", "allow_register_during_netsplit", "on")
	const sessions, messages, more = 6, 800, 20
	c.offline(0, sessions, 0)
	dead, dir := c.nodes[2], c.nodes[2].options["data_dir"]
	c.cut(2, "node1", "node2")
	c.splits(0, 1, 2)
	pub := dead.join("cut off", nil)
	for m := range messages {
		pub.send("to/all", fmt.Sprint("m", m), 1, false)
	}
	dead.kill()
	c.nodes[1].join("off4", keeping(3600)).Disconnect(packet.Success)
	c.must("cluster", "remove", "node3", "--yes", "--socket", c.socket(0))
	eventually(t, patience, "two members", func() bool { return len(c.view(0).Members) == 2 && len(c.view(1).Members) == 2 && !c.view(0).Split })
	pub = c.nodes[1].join("publisher", nil)
	for m := range more {
		pub.send("to/all", fmt.Sprint("m", messages+m), 1, false)
	}
	c.nodes[1].join("off5", func(c *packet.Connect) { keeping(3600)(c); c.CleanStart = true }).Disconnect(packet.Success)

	command := []string{"queue", "hand-over", "--data-dir", dir, "--socket", c.socket(1)}
	list := c.must("queue", "hand-over", "--data-dir", dir, "--list")
	for s := range sessions {
		if !hasLine(list.out, fmt.Sprint("off", s), fmt.Sprint(messages), "held") {
			t.Errorf("off%d is not listed with what the spool has for it:\n%s", s, list.out)
		}
	}
	c.broken(messages, command)
	if got := c.must(command...); !strings.Contains(got.out, "session ended") {
		t.Errorf("it says\n%s", got.out)
	}
	for s := range sessions - 1 {
		u := c.nodes[s%2].join(fmt.Sprint("off", s), keeping(3600))
		late, since := 0, messages
		for late < messages || since < messages+more {
			switch got := string(receive(t, "a message", u.Messages()).Payload); {
			case got == fmt.Sprint("m", late) && late < messages:
				late++
			case got == fmt.Sprint("m", since):
				since++
			default:
				t.Fatalf("off%d gets %q after %d from the spool and %d others", s, got, late, since-messages)
			}
		}
		u.Disconnect(packet.Success)
	}
	if got := c.must(append(command, "--discard")...); !strings.Contains(got.out, "discarded") {
		t.Errorf("--discard says\n%s", got.out)
	}
	last := c.nodes[0].join("off0", keeping(3600))
	pub.send("to/all", "new", 1, false)
	last.gets("to/all", "new")
	if got := c.must("queue", "hand-over", "--data-dir", dir, "--list"); strings.Contains(got.out, "off") {
		t.Errorf("at the end it holds\n%s", got.out)
	}
}
