package bench

import (
	"testing"

	"tombolo/mqtt/packet"
)

// told is a run that takes messages without a network.
func told(t *testing.T, s Scenario) (r *run, hear func(s *subscriber, publisher uint32, number uint64, receiver uint32)) {
	cfg := Defaults(s)
	cfg.QoS = 0
	r = &run{cfg: &cfg, id: 7, latency: newRecorder(), payload: make([]byte, cfg.PayloadSize)}
	for i := range cfg.Publishers {
		r.pubs = append(r.pubs, &publisher{index: uint32(i), next: 1000})
	}
	return r, func(s *subscriber, publisher uint32, number uint64, receiver uint32) {
		t.Helper()
		header{publisher: publisher, number: number, receiver: receiver}.put(r.payload, r.id)
		frame, _, err := packet.Split(packet.AppendPublish(nil, cfg.Version, &packet.Publish{Topic: []byte("t"), Payload: r.payload}), 0)
		if err == nil {
			err = s.handle(r, &endpoint{}, frame)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPool: two members of a group may overtake each other; a message for both,
// one that comes late to its own member, and one for somebody else are faults.
func TestPool(t *testing.T) {
	r, hear := told(t, Shared)
	pool := make([]stream, len(r.pubs))
	member := func(i uint32) *subscriber {
		return &subscriber{index: i, streams: pool, pooled: true, newest: make([]uint64, len(r.pubs))}
	}
	a, b := member(0), member(1)
	hear(a, 3, 1, 0)
	hear(b, 3, 0, 0) // behind a's, but the first for b
	hear(b, 3, 2, 2) // addressed to b
	if got := (tally{received: 3}); r.total != got || a.received != 1 || b.received != 2 {
		t.Fatalf("%+v, %d and %d", r.total, a.received, b.received)
	}
	hear(a, 3, 0, 0) // b had it
	hear(a, 3, 5, 0)
	hear(a, 3, 4, 0) // behind 5, on the same connection
	hear(a, 3, 6, 2) // b's
	want := tally{received: 5, duplicated: 1, reordered: 1, foreign: 1}
	if r.total != want {
		t.Errorf("%+v, want %+v", r.total, want)
	}
}

// TestOfflineAccount: of a publisher's messages every tenth is for a session,
// and they keep their order.
func TestOfflineAccount(t *testing.T) {
	r, hear := told(t, Offline)
	s := &subscriber{index: 4, streams: make([]stream, len(r.pubs)), every: 10}
	for _, n := range []uint64{4, 14, 34, 24, 14} { // 24 late, 14 again
		hear(s, 1, n, 5)
	}
	hear(s, 1, 44, 4) // another's
	want := tally{received: 4, duplicated: 1, reordered: 1, foreign: 1}
	if r.total != want || s.streams[1].lost(6) != 2 {
		t.Errorf("%+v, want %+v; lost %d, want 2", r.total, want, s.streams[1].lost(6))
	}
}

// TestRetainedAccount: retained messages come in any order, once.
func TestRetainedAccount(t *testing.T) {
	r, hear := told(t, Retained)
	s := &subscriber{streams: make([]stream, len(r.pubs))}
	for range r.pubs {
		s.seen = append(s.seen, newBitset(100))
	}
	for _, n := range []uint64{99, 0, 64, 63, 64} {
		hear(s, 2, n, 0)
	}
	if want := (tally{received: 4, duplicated: 1}); r.total != want {
		t.Errorf("%+v, want %+v", r.total, want)
	}
}
