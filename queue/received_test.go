package queue

import (
	"slices"
	"testing"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/kv"
)

// begin appends a message that has begun for some queues.
func (r *running) begin(in Inbound, id MessageID, ids ...QueueID) {
	r.t.Helper()
	ev := r.event("x", ids...)
	ev.Msg.ID, ev.Inbound = id, in
	if err := r.append(ev); err != nil {
		r.t.Fatal(err)
	}
}

// held is how many messages a queue holds.
func (r *running) held(name string) int {
	_, st := r.open(name)
	return st.Count
}

// TestR4Begun: what is known of a publisher's packet id before its message leaves
// the node outlives a crash: the message sent again is the same one, queues that
// have it do not get it twice, and one that came meanwhile gets it.
func TestR4Begun(t *testing.T) {
	db := kv.NewMemory()
	s := start(t, db, StoreConfig{})
	pub, _ := s.open("pub")
	near, _ := s.open("near")
	id := s.NextID()
	in := Inbound{pub, 7, true}
	s.begin(in, id, near)
	check := func(when string, want Received, begun []MessageID) {
		t.Helper()
		if _, st := s.open("pub"); !slices.Equal(st.Received, []Received{want}) {
			t.Errorf("%s: %+v, want %+v", when, st.Received, want)
		}
		if got := s.Begun(id.Ingress); !slices.Equal(got, begun) {
			t.Errorf("%s: begun %v, want %v", when, got, begun)
		}
	}
	check("at once", Received{7, id, true}, []MessageID{id})
	_ = s.end()
	s = start(t, db, StoreConfig{})
	check("after a restart", Received{7, id, true}, []MessageID{id})
	near, _ = s.open("near")
	late, _ := s.open("late")
	s.begin(in, id, near, late)
	if n, l := s.held("near"), s.held("late"); n != 1 || l != 1 {
		t.Errorf("sent again: %d and %d messages, want one each", n, l)
	}
	_ = s.end()
	s = start(t, db, StoreConfig{})
	_, _ = s.open("pub")
	near, _ = s.open("near")
	late, _ = s.open("late")
	s.begin(in, id, near, late)
	if n, l := s.held("near"), s.held("late"); n != 1 || l != 1 {
		t.Errorf("sent a third time: %d and %d messages, want one each", n, l)
	}
	s.Confirmed(pub, 7)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	check("confirmed", Received{7, id, false}, nil)
	_ = s.end()
	s = start(t, db, StoreConfig{})
	check("confirmed and restarted", Received{7, id, false}, nil)
	s.begin(in, s.NextID(), near)
	s.do(pub, Op{Kind: OpInboundDone, PacketID: 7})
	if got := s.Begun(id.Ingress); len(got) != 0 {
		t.Errorf("after PUBREL: begun %v", got)
	}
}

// TestR4BegunByMany: of a message for more queues than are named none gets it again.
func TestR4BegunByMany(t *testing.T) {
	s := start(t, kv.NewMemory(), StoreConfig{})
	pub, _ := s.open("pub")
	var ids []QueueID
	for i := range holdersMax + 1 {
		q, _ := s.open(string(rune('0' + i)))
		ids = append(ids, q)
	}
	in, id := Inbound{pub, 7, true}, s.NextID()
	s.begin(in, id, ids...)
	s.begin(in, id, ids...)
	if n := s.held("0"); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// TestR4BegunMoves: a message that has begun is the same one at the new home of its
// publisher, where a copy that another node sent is known by its id; and it is not
// settled however late its publisher sends it again there, unless very many have
// moved since.
func TestR4BegunMoves(t *testing.T) {
	now := clock.NewManual(time.Unix(1_700_000_000, 0))
	a, b := start(t, kv.NewMemory(), StoreConfig{Clock: now}), start(t, kv.NewMemory(), StoreConfig{})
	pub, _ := a.open("pub")
	id := a.NextID()
	a.begin(Inbound{pub, 7, true}, id)
	to, _ := b.generation("pub", 200)
	b.Moving(to, 11, nil)
	near, _ := b.open("near")
	first := b.event("x", near)
	first.Msg.ID, first.Again = id, true
	if err := b.append(first); err != nil {
		t.Fatal(err)
	}
	migrate(t, a, b, pub, to, 10)
	if _, st := b.open("pub"); !slices.Equal(st.Received, []Received{{7, id, true}}) {
		t.Errorf("at the new home: %+v", st.Received)
	}
	b.begin(Inbound{to, 7, true}, id, near)
	if n := b.held("near"); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	if got := a.Begun(id.Ingress); !slices.Equal(got, []MessageID{id}) {
		t.Errorf("begun at the old home: %v", got)
	}
	now.Advance(24 * time.Hour)
	lend := func(from, to int) {
		for i := from; i < to; i++ {
			a.begin(Inbound{pub, uint16(i + 1), true}, a.NextID())
			b, err := a.ExportIDs(pub, Place{}, 1)
			if err != nil {
				t.Fatal(err)
			}
			away := make(chan error, 1)
			a.Exported(pub, b.Receipt, func(err error) { away <- err })
			if err := <-away; err != nil {
				t.Fatal(err)
			}
		}
	}
	lend(1, lentMax)
	if got := a.Begun(id.Ingress); len(got) != lentMax || got[0] != id {
		t.Errorf("%d have begun at the old home a day and %d moves later, want all", len(got), lentMax-1)
	}
	lend(lentMax, lentMax+1)
	if got := a.Begun(id.Ingress); len(got) != lentMax || got[0] == id {
		t.Errorf("%d have begun at the old home, want %d, and not the first", len(got), lentMax)
	}
}
