package bench

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// short gives a scenario for a fraction of a second.
func short(s Scenario, target string) Config {
	c := Defaults(s)
	c.Targets = []string{target}
	c.WarmUp, c.Duration, c.Drain = 50*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	return c
}

// TestAccounting lets the broker lose, repeat and reorder: the result has the
// very numbers.
func TestAccounting(t *testing.T) {
	var mu sync.Mutex // the relay's goroutine beside ours
	var late []byte
	var dropped, repeated, swapped uint64
	r := &relay{t: t, deliver: func(n int, frame []byte, send func([]byte)) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case n%10 == 3:
			dropped++
			return
		case n%10 == 5:
			repeated++
			send(frame)
		case n%10 == 7:
			late = bytes.Clone(frame)
			return
		case n%10 == 8:
			swapped++
			send(frame)
			send(late)
			late = nil
			return
		}
		send(frame)
	}}
	cfg := short(FanOut, r.listen())
	cfg.Subscribers, cfg.Rate = 1, 2_000
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	lost := dropped
	if late != nil {
		lost++ // the last one was kept back and never sent
	}
	d := res.Delivery
	if d.Lost != lost || d.Duplicated != repeated || d.Reordered != swapped || d.Sent != d.Received+d.Lost || d.Sent < 400 {
		t.Errorf("got %+v, want lost %d, duplicated %d, reordered %d", d, lost, repeated, swapped)
	}
	for _, want := range []string{"lost", "came again", "out of order"} {
		if !strings.Contains(strings.Join(res.Warnings, "\n"), want) {
			t.Errorf("no warning %q in %q", want, res.Warnings)
		}
	}
}

// TestLostMessageDoesNotEndTheLoad: a window that waits for a lost message is
// given up after a second, and counted.
func TestLostMessageDoesNotEndTheLoad(t *testing.T) {
	r := &relay{t: t, deliver: func(n int, frame []byte, send func([]byte)) {
		if n != 100 {
			send(frame)
		}
	}}
	cfg := short(P2P, r.listen())
	cfg.Publishers, cfg.Subscribers, cfg.Duration = 1, 1, 1_800*time.Millisecond
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Delivery.Stalls == 0 || res.Delivery.Lost != 1 || res.Delivery.Sent < 200 {
		t.Errorf("got %+v, want a stall, one lost message and many sent", res.Delivery)
	}
}

// TestStallCounts is the correction for coordinated omission: a broker that
// stands still for 300 ms delays every message that was due in that time, and
// each of them counts.
func TestStallCounts(t *testing.T) {
	r := &relay{t: t, deliver: func(n int, frame []byte, send func([]byte)) {
		if n == 200 {
			<-time.NewTimer(300 * time.Millisecond).C
		}
		send(frame)
	}}
	cfg := short(Latency, r.listen())
	cfg.Publishers, cfg.Subscribers, cfg.Duration = 1, 1, 600*time.Millisecond
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if l := res.Latency; l.Max < 280e3 || l.P90 < 150e3 || l.Count < 550 {
		t.Errorf("a stall of 300 ms in 600 ms gives p90 %.0f µs, max %.0f µs over %d messages", l.P90, l.Max, l.Count)
	}
	if w := res.Written; w.P90 < 150e3 || w.Count != res.Latency.Count || w.P50 > res.Latency.P50 {
		t.Errorf("since they were written p50 %.0f µs, p90 %.0f µs over %d messages", w.P50, w.P90, w.Count)
	}
}

// TestWaitingKeepsItsTime: a message that waits for a packet identifier goes
// out with the time at which it was due, and in its order.
func TestWaitingKeepsItsTime(t *testing.T) {
	cfg := short(Latency, "")
	cfg.QoS = 1
	r := &run{cfg: &cfg, id: 5, payload: make([]byte, cfg.PayloadSize), lag: newRecorder()}
	p := newPublisher(0, &cfg, "t", 1, 1) // the broker takes one message at once
	p.end = &endpoint{role: p}
	sent := func() (times []int64) {
		for rest := p.end.out; len(rest) > 0; {
			f, size, err := packet.Split(rest, 0)
			var out packet.Publish
			if err != nil || packet.DecodePublish(f, cfg.Version, &out) != nil || out.ID != 1 {
				t.Fatalf("sent %x", rest)
			}
			h, ok := parseHeader(out.Payload, 5, cfg.PayloadSize)
			if !ok || h.number != uint64(len(times)) {
				t.Fatalf("message %d is %+v, %v", len(times), h, ok)
			}
			times = append(times, h.sentAt)
			rest = rest[size:]
		}
		return times
	}
	for _, at := range []int64{5, 10, 20} {
		p.due(r, at)
	}
	r.now = 100
	for range 2 {
		ack, _, _ := packet.Split(packet.AppendAck(nil, cfg.Version, &packet.Ack{Type: packet.TypePuback, ID: 1}), 0)
		if err := p.handle(r, p.end, ack); err != nil {
			t.Fatal(err)
		}
		r.publishEager()
	}
	if got := sent(); len(got) != 3 || got[0] != 5 || got[1] != 10 || got[2] != 20 {
		t.Errorf("sent with the times %v, want 5, 10, 20", got)
	}
	if p.writtenAt(1) != 10 || p.writtenAt(2) != 20 {
		t.Errorf("what the broker kept waiting counts from %d and %d", p.writtenAt(1), p.writtenAt(2))
	}
}

// TestBrokenConnection: the run ends with an error that says which client.
func TestBrokenConnection(t *testing.T) {
	r := &relay{t: t, closeAfter: 50}
	cfg := short(P2P, r.listen())
	cfg.Publishers, cfg.Subscribers = 1, 1
	_, err := Run(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "-p0") {
		t.Errorf("got %v", err)
	}
}

// TestStream compares the checker with a naive twin on every order of few
// numbers, some missing, some twice.
func TestStream(t *testing.T) {
	numbers := []uint64{0, 1, 2, 3}
	var walk func(sequence []uint64)
	walk = func(sequence []uint64) {
		var s stream
		seen := map[uint64]bool{}
		highest, came := uint64(0), uint64(0)
		for i, n := range sequence {
			want := inOrder
			switch {
			case seen[n]:
				want = duplicated
			case i > 0 && n < highest:
				want = reordered
			}
			if !seen[n] {
				came++
			}
			seen[n] = true
			highest = max(highest, n)
			if got := s.arrive(n); got != want {
				t.Fatalf("%v: arrival of %d is %d, want %d", sequence[:i+1], n, got, want)
			}
		}
		if s.received != came || s.lost(4) != 4-came {
			t.Fatalf("%v: received %d, lost %d of 4; want %d", sequence, s.received, s.lost(4), came)
		}
		if len(sequence) < 5 {
			for _, n := range numbers {
				walk(append(sequence[:len(sequence):len(sequence)], n))
			}
		}
	}
	walk(nil)
}

// TestStreamForgets: a gap beyond the bound is lost, and memory stays bounded.
func TestStreamForgets(t *testing.T) {
	var s stream
	s.arrive(10 * missingMax)
	if len(s.missing) != missingMax || s.forgotten != 9*missingMax {
		t.Errorf("remembers %d, forgot %d", len(s.missing), s.forgotten)
	}
	if got := s.arrive(5); got != reordered {
		t.Errorf("a remembered message is %d", got)
	}
	if got := s.arrive(9 * missingMax); got != duplicated {
		t.Errorf("a forgotten message is %d", got)
	}
}

func TestHeader(t *testing.T) {
	payload := make([]byte, 40)
	h := header{publisher: 7, number: 1 << 40, sentAt: -5}
	h.put(payload, 99)
	if got, ok := parseHeader(payload, 99, 40); !ok || got != h {
		t.Errorf("got %+v %v", got, ok)
	}
	if _, ok := parseHeader(payload, 98, 40); ok {
		t.Error("took the message of another run")
	}
	if _, ok := parseHeader(payload[:39], 99, 40); ok {
		t.Error("took a message that was cut")
	}
}

func TestCheck(t *testing.T) {
	for _, s := range []Scenario{Latency, P2P, FanIn, FanOut, Idle} {
		c := Defaults(s)
		if err := c.Check(); err != nil {
			t.Errorf("defaults of %s: %v", s, err)
		}
	}
	c := Defaults(Latency)
	c.Targets, c.QoS, c.PayloadSize, c.Rate, c.Version = nil, 3, 31, 0, packet.V31
	c.Subscribers = 3
	err := c.Check()
	for _, want := range []string{"no broker", "QoS 3", "31 bytes", "needs a rate", "3.1.1 or 5", "as many subscribers"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in %v", want, err)
		}
	}
	if err := (&Config{Scenario: "x"}).Check(); err == nil || !strings.Contains(err.Error(), `no scenario "x"`) {
		t.Errorf("got %v", err)
	}
}

// TestAnswersAreGathered: PUBACKs that nothing waits for are read several at a time,
// and yet all of them: one that is missing is waited for like a lost message.
func TestAnswersAreGathered(t *testing.T) {
	for _, missing := range []int{-1, 50} {
		r := &relay{t: t, answers: func(n int) bool { return n != missing }}
		cfg := short(FanIn, r.listen())
		cfg.QoS, cfg.Publishers, cfg.Window, cfg.Tick = 1, 3, 4, func(Progress) {}
		cfg.Drain = 400 * time.Millisecond
		run, err := newRun(&cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer run.close()
		began := time.Now()
		res, err := run.steady(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if res.Delivery.Lost > 0 || res.Delivery.Received < 200 {
			t.Fatalf("got %+v", res.Delivery)
		}
		acked := uint64(0)
		for _, p := range run.pubs {
			acked += p.acked
			if !p.gathers {
				t.Error("a publisher reads each answer by itself")
			}
		}
		waited := time.Since(began) >= cfg.WarmUp+cfg.Duration+cfg.Drain
		want := res.Delivery.Sent
		if missing >= 0 {
			want--
		}
		if acked != want || waited != (missing >= 0) {
			t.Errorf("missing %d: %d answers to %d messages, waited for one: %v", missing, acked, res.Delivery.Sent, waited)
		}
	}
}
