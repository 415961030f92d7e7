package broker

import (
	"testing"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// TestR11Redirect: what waits in the spool for a session's home that is down
// goes to the new home when the session has one, each message once, and nothing
// that is for others.
func TestR11Redirect(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	for _, id := range []string{"s", "other"} {
		s := b.dial(t, id, lasting)
		s.subscribe(1, "a/"+id)
		s.Disconnect(packet.Success)
	}
	eventually(t, "the routes are derived", func() bool {
		return len(a.b.mount("").index.Match([]byte("a/s")).Direct) == 2 && len(a.b.mount("").index.Match([]byte("a/other")).Direct) == 2
	})
	m.cut(a, b, true)
	m.cut(c, b, true)
	m.verdict(a, b, false)
	m.verdict(c, b, false)
	pub, near := a.dial(t, "pub"), c.dial(t, "near")
	pub.send("a/s", "1", 1)
	pub.send("a/other", "2", 1)
	near.send("a/s", "3", 2)
	taken := c.dial(t, "s", lasting) // c is its home now
	taken.subscribe(1, "a/s")
	got := map[string]bool{}
	for range 2 {
		msg := <-taken.Messages()
		got[string(msg.Payload)] = true
	}
	if !got["1"] || !got["3"] {
		t.Fatalf("s got %v", got)
	}
	if n := a.counter("cluster_publish_redirected_total") + c.counter("cluster_publish_redirected_total"); n != 2 {
		t.Errorf("%d were redirected", n)
	}
	toC := a.cluster.hopTo(c.id)
	toC.mu.Lock()
	defer toC.mu.Unlock()
	last := toC.carried[len(toC.carried)-1]
	first := a.cluster.hopTo(b.id).carried[0]
	if last.Targets != wire.ToSessions || last.ID != first.ID {
		t.Errorf("redirected as %+v, was %v", last, first.ID)
	}
}
