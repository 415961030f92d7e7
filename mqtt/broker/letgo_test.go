package broker

import (
	"sync/atomic"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// TestDropsOfAQueueAreCounted: what a queue drops by itself, since its client comes
// back to less than waits for it or since a message's time is over, is counted.
func TestDropsOfAQueueAreCounted(t *testing.T) {
	var ahead atomic.Int64
	m := rigAfter(t, 1, func(m *mesh) {
		m.nodes[0].b.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}, func(s *Settings) { s.Queue.MaxOnline, s.Queue.MaxOffline = 3, 100 })
	a := m.nodes[0]
	for _, id := range []string{"short", "late"} {
		s := a.dial(t, id, lasting)
		s.subscribe(1, id)
		s.Disconnect(packet.Success)
		a.left(t, Key{ClientID: id})
	}
	pub := a.dial(t, "pub")
	for _, p := range []string{"1", "2", "3", "4", "5"} {
		pub.send("short", p, 1)
	}
	brief := func(p *packet.Publish) {
		p.Properties.Set |= packet.PropMessageExpiry
		p.Properties.MessageExpiry = 10
	}
	pub.send("late", "gone", 1, brief)
	pub.send("late", "kept", 1)
	ahead.Store(int64(20 * time.Second))
	a.dial(t, "short", lasting).expect("1", "2", "3")
	a.dial(t, "late", lasting).expect("kept")
	for reason, want := range map[string]uint64{dropQueueFull: 2, dropExpired: 1} {
		if n := a.b.count.dropped[reason].Value(); n != want {
			t.Errorf("%d counted as %s, want %d", n, reason, want)
		}
	}
}
