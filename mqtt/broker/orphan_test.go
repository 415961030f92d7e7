package broker

import (
	"context"
	"testing"

	"tombolo/mqtt/packet"
)

// left waits until it is written that a client has gone: whoever deletes its record
// before would have it back.
func (n *rigNode) left(t *testing.T, k Key) {
	t.Helper()
	eventually(t, "the client has left", func() bool {
		rec, _ := n.b.storedSession(k)
		return rec != nil && rec.DisconnectedAt != 0
	})
}

// TestOrphanedQueues: queues in the store without a session are found at the
// start and counted; one whose session turns up is served, or follows it to its
// home, and one without is dropped when it is late.
func TestOrphanedQueues(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	for _, id := range []string{"served", "moved", "none"} {
		s := a.dial(t, id, lasting)
		s.subscribe(1, "t")
		s.Disconnect(packet.Success)
	}
	pub := b.dial(t, "pub")
	pub.send("t", "1", 1)
	// The tables are lost, and come back in part.
	now := a.b.cfg.Now().UnixMilli()
	for _, id := range []string{"served", "moved", "none"} {
		a.left(t, Key{ClientID: id})
		c := a.b.registry.get(Key{ClientID: id})
		a.b.forgetClient(c)
	}
	none := Key{ClientID: "none"}
	gone := make(chan error, 1)
	a.meta.DeleteSession(none.meta(), func(err error) { gone <- err })
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	moved := Key{ClientID: "moved"}
	if err := b.b.Adopt(context.Background(), moved, a.id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the move is known", func() bool {
		rec, _ := a.b.storedSession(moved)
		return rec != nil && rec.Home == uint64(b.id)
	})
	if err := a.b.findOrphans(now); err != nil {
		t.Fatal(err)
	}
	if n := a.counter("queues_orphaned"); n != 3 {
		t.Fatalf("%d queues are orphaned, want 3", n)
	}
	list, err := a.b.Orphans()
	if err != nil || len(list) != 3 || list[1].Key != none || list[1].Messages != 1 {
		t.Fatalf("listed as %+v, %v", list, err)
	}
	look := func(late bool) (found, dropped int) {
		for _, id := range []string{"served", "moved", "none"} {
			f, d, err := a.b.adoptQueue(Key{ClientID: id}, now, late)
			if err != nil {
				t.Fatal(err)
			}
			if f {
				found++
			}
			if d {
				dropped++
			}
		}
		return found, dropped
	}
	if found, dropped := look(false); found != 2 || dropped != 0 {
		t.Errorf("%d found and %d dropped, want 2 and 0", found, dropped)
	}
	if found, dropped := look(true); found != 2 || dropped != 1 {
		t.Errorf("when it is late: %d found and %d dropped, want 2 and 1", found, dropped)
	}
	eventually(t, "the queue without a session is gone", func() bool {
		_, stored := a.queue.Lookup(queueName(none))
		return !stored
	})
	for i, id := range []string{"served", "moved"} {
		m.nodes[i].dial(t, id, lasting).expect("1")
	}
}

// TestDiscardOrphan: an operator discards an orphaned queue before its time, and no
// other queue.
func TestDiscardOrphan(t *testing.T) {
	m := rig(t, 1)
	a := m.nodes[0]
	for _, id := range []string{"orphan", "other"} {
		a.dial(t, id, lasting).Disconnect(packet.Success)
	}
	orphan, other := Key{ClientID: "orphan"}, Key{ClientID: "other"}
	a.left(t, orphan)
	a.b.forgetClient(a.b.registry.get(orphan))
	gone := make(chan error, 1)
	a.meta.DeleteSession(orphan.meta(), func(err error) { gone <- err })
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	if err := a.b.findOrphans(a.b.cfg.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	if dropped, err := a.b.DiscardOrphan(other); dropped || err != nil {
		t.Errorf("a queue with a session: %v, %v", dropped, err)
	}
	if dropped, err := a.b.DiscardOrphan(orphan); !dropped || err != nil {
		t.Errorf("the orphan: %v, %v", dropped, err)
	}
	eventually(t, "it is gone", func() bool {
		list, err := a.b.Orphans()
		_, stored := a.queue.Lookup(queueName(orphan))
		return err == nil && len(list) == 0 && !stored
	})
}
