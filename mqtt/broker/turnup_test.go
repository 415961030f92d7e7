package broker

import (
	"testing"

	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// TestSessionTurnsUp: a session of this node which its own tables lacked when it
// started, and the others knew, takes what is published for it as soon as its record
// is here, and its client finds it with its subscriptions.
func TestSessionTurnsUp(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	k := Key{ClientID: "s"}
	s := a.dial(t, "s", lasting)
	s.subscribe(1, "t")
	s.Disconnect(packet.Success)
	a.left(t, k)
	// The node knows nothing of it, as after a start with the tables of a backup.
	c := a.b.registry.get(k)
	a.b.forgetClient(c)
	a.queue.Drop(c.qid, nil)
	rec, err := b.b.storedSession(k)
	if err != nil || rec == nil {
		t.Fatalf("the record at the other node: %v, %v", rec, err)
	}
	written := make(chan error, 1)
	b.meta.PutSession(metadata.ClientKey{ClientID: "s"}, rec, func(err error) { written <- err })
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session is known again", func() bool { return a.b.registry.get(k) != nil })
	b.dial(t, "pub").send("t", "1", 1)
	a.dial(t, "other").send("t", "2", 1)
	if n := a.counter("sessions_turned_up_total"); n != 1 {
		t.Errorf("%d sessions turned up, want 1", n)
	}
	a.dial(t, "s", lasting).expectAll("1", "2")
}
