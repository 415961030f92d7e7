package bench

import (
	"fmt"
	"testing"
	"time"

	"tombolo/bench/peertest"
	"tombolo/mqtt/packet"
)

// small gives a scenario that ends soon.
func small(s Scenario, b *peertest.Broker) Config {
	cfg := short(s, b.Address)
	cfg.PIDs, cfg.Drain = []int{b.PID}, 10*time.Second
	cfg.Duration = 150 * time.Millisecond
	cfg.Publishers, cfg.Subscribers = min(cfg.Publishers, 3), min(cfg.Subscribers, 4)
	return cfg
}

// clean fails for anything but every message once and in order.
func clean(t *testing.T, res *Result, sent uint64) {
	t.Helper()
	d := res.Delivery
	if d.Sent < sent || d.Received != d.Expected || d.Lost+d.Duplicated+d.Reordered+d.Refused+d.Foreign != 0 {
		t.Errorf("delivery: %+v, want at least %d sent, each once", d, sent)
	}
	if res.Latency.Count == 0 || len(res.Curve) == 0 || len(res.Series) == 0 {
		t.Errorf("latency %+v, %d points, %d samples", res.Latency, len(res.Curve), len(res.Series))
	}
}

// TestOtherScenarios runs a small instance of each that keeps something.
func TestOtherScenarios(t *testing.T) {
	b := peertest.Mosquitto(t)
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		for _, s := range []Scenario{Shared, Subscribe, Match, Retained, Offline} {
			t.Run(fmt.Sprintf("%s/%s", s, v), func(t *testing.T) {
				cfg := small(s, b)
				cfg.Version, cfg.Filters, cfg.Messages = v, min(cfg.Filters, 3_000), min(cfg.Messages, 500)
				if s == Offline {
					cfg.Messages = 33 // not a multiple of anything
				}
				res, err := Run(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				clean(t, res, 100)
				switch f := res.Stored; s {
				case Shared:
					if g := res.Share; g.Members != 4 || g.Least == 0 || g.Most < g.Least || g.Mean*4 != float64(res.Delivery.Received) {
						t.Errorf("share: %+v of %d", g, res.Delivery.Received)
					}
				case Subscribe, Match:
					g, wildcards := res.Subscribe, cfg.Filters*cfg.Wildcards/100
					if g.Filters != cfg.Filters || g.Wildcards != wildcards || g.PerSecond <= 0 || g.Latency.Count < 30 {
						t.Errorf("subscribe: %+v", g)
					}
				case Retained:
					if f.Messages != 500 || res.Delivery.Sent != 500 || f.GivenIn <= 0 || f.PerSecond <= 0 {
						t.Errorf("retained: %+v", f)
					}
				case Offline:
					if f.Messages != 4*33 || res.Delivery.Sent != 4*33 || f.GivenIn <= 0 || f.Forgotten != 0 {
						t.Errorf("offline: %+v", f)
					}
				}
			})
		}
	}
}

// TestNothingStays: after retained and offline the broker has nothing of the
// run: a second look finds no message and no session.
func TestNothingStays(t *testing.T) {
	b := peertest.Mosquitto(t)
	for _, s := range []Scenario{Retained, Offline} {
		cfg := small(s, b)
		cfg.Messages = 20
		res, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Tick = func(Progress) {}
		r, err := newRun(&cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		cl := client{target: b.Address, id: "b" + res.Settings.Run + "-s0", keeps: true}
		if s == Retained {
			cl.filter = "bench/" + res.Settings.Run + "/#"
		}
		found, err := r.open(t.Context(), []client{cl})
		if err != nil {
			t.Fatal(err)
		}
		if found[0].present || len(found[0].rest) > 0 {
			t.Errorf("%s: session present %v, %d bytes of messages", s, found[0].present, len(found[0].rest))
		}
		// A PING's answer stands behind whatever the broker would send.
		e := r.adopt(cl, found[0])
		heard := &listener{}
		e.role = heard
		e.ping(r)
		if ok, err := r.drive(t.Context(), "", func() bool { return heard.pings > 0 }); !ok || err != nil || heard.other > 0 {
			t.Errorf("%s: answered %v, %v, %d other packets", s, ok, err, heard.other)
		}
	}
}

// listener counts what comes.
type listener struct{ pings, other int }

func (l *listener) handle(_ *run, _ *endpoint, f packet.Frame) error {
	if f.Type == packet.TypePingresp {
		l.pings++
	} else {
		l.other++
	}
	return nil
}

func (l *listener) drained(*run) {}

func TestStorm(t *testing.T) {
	b := peertest.Mosquitto(t)
	cfg := small(Connect, b)
	cfg.Connections, cfg.Window = 300, 16
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if f := res.Connect; f.Connections != 300 || f.Broken != 0 || f.PerSecond <= 0 || res.Latency.Count != 300 {
		t.Errorf("connect: %+v, %d latencies", f, res.Latency.Count)
	}
}

// TestFilters: every topic matches its own filter and no other of the run, by
// a naive comparison.
func TestFilters(t *testing.T) {
	cfg := Defaults(Subscribe)
	cfg.Filters = 300
	r := &run{cfg: &cfg, name: "x"}
	seen := map[form]int{}
	for k := range cfg.Filters {
		seen[cfg.formOf(k)]++
		topic := string(r.appendFilter(nil, k, true))
		for other := range cfg.Filters {
			if got := naiveMatch(string(r.appendFilter(nil, other, false)), topic); got != (other == k) {
				t.Fatalf("filter %d matches the topic of %d: %v", other, k, got)
			}
		}
	}
	if seen[exact] != 150 || seen[plus] < 50 || seen[hash] < 50 {
		t.Errorf("forms: %v", seen)
	}
}

// TestPingDoesNotPublish: while filters are subscribed to, a PING on a
// publisher's connection is no leave to publish.
func TestPingDoesNotPublish(t *testing.T) {
	b := peertest.Mosquitto(t)
	cfg := small(Match, b)
	cfg.Filters, cfg.Tick = 100, func(Progress) {}
	r, err := newRun(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := r.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range r.ends {
		e.ping(r)
	}
	if _, err := r.subscribeAll(t.Context()); err != nil || r.total.sent != 0 {
		t.Errorf("%d messages went out, %v", r.total.sent, err)
	}
}
