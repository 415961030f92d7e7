package link

import (
	"testing"
	"time"

	"tombolo/internal/wire"
)

// TestHushes: segments become smaller after connections that fall silent again and again
// though the next one stands at once, and after nothing else: not after a cut, however
// long and however the verdicts of both sides fall, nor after restarts.
func TestHushes(t *testing.T) {
	const ms = time.Millisecond
	type end struct {
		gap, lived time.Duration // since the last one ended, and of this one
		why        string
		born       uint64
	}
	hole := []end{{0, time.Hour, Silence, 1}, {30 * ms, 200 * ms, PeerClosed, 1}, {80 * ms, 170 * ms, "verdict", 1}, {80 * ms, 4 * time.Second, Silence, 1},
		{50 * ms, 200 * ms, "verdict", 1}, {50 * ms, 4 * time.Second, PeerReset, 1}}
	for _, c := range []struct {
		name string
		ends []end
		want bool
	}{
		{"large packets are dropped", hole, true},
		{"a little less often", hole[:5], false},
		{"cuts of 2.2 s, healed at the worst moment", []end{{0, time.Hour, Silence, 1}, {200 * ms, 300 * ms, PeerClosed, 1}, {100 * ms, 100 * ms, "verdict", 1},
			{100 * ms, time.Hour, Silence, 1}, {200 * ms, 300 * ms, PeerClosed, 1}, {100 * ms, 100 * ms, "verdict", 1}}, false},
		{"long cuts", []end{{0, time.Hour, Silence, 1}, {5 * time.Second, 10 * time.Second, Silence, 1}, {5 * time.Second, 10 * time.Second, Silence, 1}, {5 * time.Second, 10 * time.Second, Silence, 1}}, false},
		{"restarts", []end{{0, time.Hour, PeerClosed, 1}, {500 * ms, 5 * time.Second, PeerReset, 2}, {500 * ms, 5 * time.Second, PeerReset, 3}, {500 * ms, 5 * time.Second, PeerClosed, 4}}, false},
		{"other ends", []end{{0, time.Hour, "gap", 1}, {10 * ms, 5 * time.Second, "gap", 1}, {10 * ms, 5 * time.Second, "replaced", 1}, {10 * ms, 5 * time.Second, "gap", 1}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h hushes
			at, got := time.Minute, false
			for _, e := range c.ends {
				at += e.gap
				s := stay{from: at, to: at + e.lived, why: e.why, incarnation: wire.Incarnation(e.born)}
				at = s.to
				got = h.ended(s) || got
			}
			if got != c.want {
				t.Errorf("smaller segments: %v, want %v", got, c.want)
			}
		})
	}
}

// TestWidth: each size is tried once, and a connection of a larger one that ends later
// says nothing of the size that is in use.
func TestWidth(t *testing.T) {
	var w width
	for i, want := range segments[1:] {
		if !w.narrow(segments[i]) || w.narrow(segments[i]) || w.segment() != want {
			t.Fatalf("step %d: %d, want %d", i, w.segment(), want)
		}
	}
	if w.narrow(w.segment()) {
		t.Error("there is nothing below the last")
	}
}
