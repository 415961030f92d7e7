package e2e

import (
	"syscall"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// TestR24RemovedWhileFrozen: a node that stands still is removed and let go by gossip;
// when it goes on it hears at once that it is no member, and serves nobody.
func TestR24RemovedWhileFrozen(t *testing.T) {
	c := startTrio(t)
	frozen := c.nodes[2]
	frozen.joined("there", keeping(3600), "to/#").Disconnect(packet.Success)
	frozen.signal(syscall.SIGSTOP)
	c.splits(0, 1)
	c.must("cluster", "remove", "node3", "--yes", "--socket", c.socket(0))
	pause(6 * time.Second) // until gossip takes it for dead, and it is linked no more
	frozen.signal(syscall.SIGCONT)
	eventually(t, 10*time.Second, "the node to hear that it was removed", func() bool { return c.view(2).Standing == "removed" })
	if got := run(t, t.TempDir(), binary, "pub", "--url", "mqtt://"+frozen.tcp, "-t", "a", "-m", "b", "-q", "1"); got.code == 0 {
		t.Error("a node that was removed serves clients")
	}
	pub := c.nodes[1].join("publisher", nil)
	pub.send("to/x", "new", 1, false)
	c.nodes[0].join("there", keeping(3600)).gets("to/x", "new")
}
