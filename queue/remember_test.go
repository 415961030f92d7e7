package queue

import (
	"testing"

	"tombolo/internal/kv"
)

// take appends a message that may come again, and says whether it was stored.
func (r *running) take(id QueueID, m MessageID) bool {
	r.t.Helper()
	ev := &Event{Msg: &Message{ID: m, QoS: 2, Body: []byte("x")}, Targets: []Target{{Queue: id, QoS: 2}}, Again: true}
	done := make(chan error, 1)
	r.Append(ev, func(err error) { done <- err })
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
	return ev.Targets[0].Seq != 0
}

// TestR3LateIDs: an acknowledgement is never inferred from higher ids: a late
// (a, 50) after an acknowledged (a, 100) is a new message, while (a, 100) itself is
// known when it comes again, also after a restart, until its ingress says that it
// is settled. Then nothing is left of it in the database.
func TestR3LateIDs(t *testing.T) {
	db := kv.NewMemory()
	s := start(t, db, StoreConfig{})
	id, _ := s.open("c")
	const a = 7
	if !s.take(id, MessageID{a, 100}) {
		t.Fatal("the first was not stored")
	}
	s.Do(id, []Op{{Kind: OpAck, Seq: 1, N: 1}}, nil)
	for range 2 {
		if s.take(id, MessageID{a, 100}) {
			t.Error("what was acknowledged was stored when it came again")
		}
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		s = start(t, db, StoreConfig{})
		id, _ = s.open("c")
	}
	if !s.take(id, MessageID{a, 50}) || s.take(id, MessageID{a, 50}) {
		t.Error("a late id below an acknowledged one is a new message, once")
	}
	s.Settled(MessageID{a, 100}, nil)
	if n := s.Remembered(); n != 1 || s.take(id, MessageID{a, 100}) {
		t.Errorf("%d are remembered at the mark, want 1: that of the mark itself", n)
	}
	s.Settled(MessageID{a, 101}, nil)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	it := db.Iterator(kv.PrefixRange([]byte{tableRemembered}))
	defer it.Close()
	if it.Next() || s.Remembered() != 0 {
		t.Error("a settled id is remembered")
	}
}

// TestR3Bounds: what no mark settles is bounded; the oldest is forgotten.
func TestR3Bounds(t *testing.T) {
	var m memory
	for i := range derivedMax + 10 {
		m.add(MessageID{2, uint64(i)})
		m.over()
	}
	for i := range rememberedMax + 10 {
		m.add(MessageID{uint64(i%2)*2 + 1, uint64(i)})
		m.over()
	}
	if len(m.derived.ids) != derivedMax || m.size != rememberedMax || len(m.derived.order) != derivedMax {
		t.Errorf("%d derived and %d others are remembered", len(m.derived.ids), m.size)
	}
	if !m.add(MessageID{2, 9}) || m.add(MessageID{2, derivedMax}) {
		t.Error("another than the oldest was forgotten")
	}
}
