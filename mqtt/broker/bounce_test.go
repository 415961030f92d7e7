package broker

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo/internal/wire"
)

// heard keeps what is logged at level warn. Safe for concurrent use.
type heard struct {
	slog.Handler
	mu   sync.Mutex
	list []string
}

func (h *heard) Enabled(context.Context, slog.Level) bool { return true }

func (h *heard) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Level == slog.LevelWarn {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
		h.list = append(h.list, text)
	}
	return nil
}

func (h *heard) warnings() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.list...)
}

// TestPingPong: two clients with one id at two nodes, which take each other over as
// fast as they can, are named in the log once, and each CONNECT waits from then on; one
// that moves less often is not held up, nor is another client.
func TestPingPong(t *testing.T) {
	const limit = 3
	said := &heard{Handler: slog.DiscardHandler}
	m := rigAfter(t, 2, func(m *mesh) {
		for _, n := range m.nodes {
			n.b.cfg.Log = slog.New(said)
		}
	}, func(s *Settings) { s.TakeoversMax = limit })
	a, b := m.nodes[0], m.nodes[1]
	held := func() int {
		return a.counter("mqtt_connects_held_back_total") + b.counter("mqtt_connects_held_back_total")
	}
	turn := func() {
		a.dial(t, "s", lasting)
		b.dial(t, "s", lasting)
	}
	for range limit {
		turn()
	}
	if n := held(); n != 0 {
		t.Errorf("%d CONNECTs waited after %d takeovers", n, limit)
	}
	turn() // the limit is passed at the first node
	began := time.Now()
	a.dial(t, "s", lasting)
	if took := time.Since(began); took < bouncePause || held() != 1 {
		t.Errorf("let in after %v, %d were held back", took, held())
	}
	a.dial(t, "other", lasting)
	b.dial(t, "other", lasting)
	if held() != 1 {
		t.Error("another client is held back")
	}
	named := 0
	for _, w := range said.warnings() {
		if strings.HasPrefix(w, "a client id is taken over") && strings.Contains(w, "client=s ") {
			named++
		}
	}
	if named != 2 {
		t.Errorf("named %d times, want once at each node: %q", named, said.warnings())
	}
}

// TestMovingIsShown: a queue on its way is listed and counted at its old home, with
// what was sent and what is left, until it has arrived.
func TestMovingIsShown(t *testing.T) {
	m := rig(t, 2, func(s *Settings) { s.DrainStep = 5 })
	a, b := m.nodes[0], m.nodes[1]
	m.offline(t, a, 1)
	pub := b.dial(t, "pub")
	for range 20 {
		pub.send("all/x", "1", 1)
	}
	h := a.cluster.hopTo(b.id)
	h.change(func() { h.paused[wire.StreamMigration] = true })
	s := b.dial(t, "s0", lasting)
	moving := func() (list []Moving) {
		a.b.EachMoving(func(m Moving) bool { list = append(list, m); return true })
		return list
	}
	eventually(t, "the move is shown", func() bool {
		l := moving()
		return len(l) == 1 && l[0].Key.ClientID == "s0" && l[0].To == b.id && l[0].Sent == 0 && l[0].Queued == 20
	})
	if n := a.counter("queues_moving"); n != 1 {
		t.Errorf("%d queues move by the gauge", n)
	}
	h.change(func() { h.paused[wire.StreamMigration] = false })
	for range 20 {
		s.expect("1")
	}
	eventually(t, "it is over", func() bool { return len(moving()) == 0 && a.counter("queues_moving") == 0 })
}

// TestRestFor: max_drain_time bounds how long a migration rests when its batches are
// not taken.
func TestRestFor(t *testing.T) {
	for _, c := range []struct {
		most   time.Duration
		failed int
		want   time.Duration
	}{
		{0, 0, 100 * time.Millisecond}, {0, 9, 100 * time.Millisecond},
		{20 * time.Millisecond, 0, 20 * time.Millisecond}, {time.Second, 0, 100 * time.Millisecond}, {time.Second, 2, 400 * time.Millisecond},
		{time.Second, 4, time.Second}, {time.Hour, 6, 6400 * time.Millisecond}, {time.Hour, 60, 6400 * time.Millisecond},
	} {
		if got := restFor(c.most, c.failed); got != c.want {
			t.Errorf("at most %v, %d before: %v, want %v", c.most, c.failed, got, c.want)
		}
	}
}

// TestStuckIsNamed: a session that waits for its old home's part of the queue is named
// in the log every half minute, and no longer when that has come.
func TestStuckIsNamed(t *testing.T) {
	said := &heard{Handler: slog.DiscardHandler}
	m := rigAfter(t, 2, func(m *mesh) { m.nodes[1].b.cfg.Log = slog.New(said) })
	a, b := m.nodes[0], m.nodes[1]
	m.offline(t, a, 1)
	b.dial(t, "pub").send("all/x", "1", 1)
	h := a.cluster.hopTo(b.id)
	h.change(func() { h.paused[wire.StreamMigration] = true })
	s := b.dial(t, "s0", lasting)
	c := b.b.registry.get(Key{ClientID: "s0"})
	check := stuckCheck{c, c.shift.Load().epoch}
	if again := check.due(1000); again != 1000+stuckReport.Milliseconds() {
		t.Errorf("looks again at %d", again)
	}
	if w := said.warnings(); len(w) != 1 || !strings.Contains(w[0], "client=s0") || !strings.Contains(w[0], "from=[0000000000000001]") {
		t.Errorf("it says %q", w)
	}
	h.change(func() { h.paused[wire.StreamMigration] = false })
	s.expect("1")
	eventually(t, "the move is over", func() bool { return check.due(2000) == 0 })
}
