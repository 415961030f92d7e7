package compare

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"tombolo/bench"
	"tombolo/bench/peer"
)

// short is a scenario for a moment.
func short(s bench.Scenario) Scenario {
	c := bench.Defaults(s)
	c.Publishers, c.Subscribers = min(c.Publishers, 2), min(c.Subscribers, 2)
	c.WarmUp, c.Duration, c.Drain = 20*time.Millisecond, 60*time.Millisecond, 10*time.Second
	return Scenario{Name: "a little " + string(s), Config: c}
}

// TestRun compares mosquitto in two forms with a broker that does not start,
// and wants an interleaved order.
func TestRun(t *testing.T) {
	brokers := append(peer.Builtin()[:2:2], peer.Definition{Name: "broken", Command: []string{"sh", "-c", "echo no luck; exit 1"}})
	var order []string
	last := 0
	c, err := Run(t.Context(), Config{
		Brokers: brokers, Scenarios: []Scenario{short(bench.P2P), short(bench.FanOut)}, Repeat: 2, Command: "typed",
		Tick: func(p Progress) {
			if p.Run != last {
				last = p.Run
				order = append(order, p.Broker+" "+p.Scenario[len("a little "):])
			}
			if p.Runs != 12 {
				t.Errorf("run %d of %d", p.Run, p.Runs)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "mosquitto p2p, mosquitto-nodelay p2p, broken p2p, mosquitto fanout, mosquitto-nodelay fanout, broken fanout, " +
		"mosquitto-nodelay p2p, broken p2p, mosquitto p2p, mosquitto-nodelay fanout, broken fanout, mosquitto fanout"
	if got := strings.Join(order, ", "); got != want {
		t.Errorf("order:\n%s\nwant\n%s", got, want)
	}
	if c.Machine.CPUs == 0 || c.Command != "typed" || len(c.Brokers) != 3 || !strings.Contains(c.Brokers[0].Version, "mosquitto version") {
		t.Errorf("%+v", c)
	}
	for _, row := range c.Rows {
		for i, cell := range row.Cells {
			results, failures := 2, 0
			if i == 2 {
				results, failures = 0, 2
			}
			if len(cell.Results) != results || len(cell.Failures) != failures {
				t.Fatalf("%s, %s: %d results, failures %q", row.Name, c.Brokers[i].Name, len(cell.Results), cell.Failures)
			}
			for _, r := range cell.Results {
				if r.Broker == nil || r.Broker.PIDs[0] == 0 || r.Settings.Broker != c.Brokers[i].Name || r.Delivery.Received == 0 || r.Delivery.Lost > 0 {
					t.Errorf("%s, %s: %+v, %+v", row.Name, c.Brokers[i].Name, r.Delivery, r.Broker)
				}
			}
		}
	}
	if f := c.Rows[0].Cells[2].Failures[0]; !strings.Contains(f, "no luck") {
		t.Errorf("failure %q", f)
	}
	var back Comparison
	if text, err := json.Marshal(c); err != nil || json.Unmarshal(text, &back) != nil || len(back.Rows) != 2 {
		t.Errorf("JSON: %v", err)
	}
}

// TestSomeBrokers: a scenario that is for some brokers leaves the others out.
func TestSomeBrokers(t *testing.T) {
	only := short(bench.P2P)
	only.Brokers = []string{"mosquitto-nodelay"}
	c, err := Run(t.Context(), Config{Brokers: peer.Builtin()[:2], Scenarios: []Scenario{only}, Repeat: 1,
		Tick: func(p Progress) {
			if p.Runs != 1 || p.Broker != "mosquitto-nodelay" {
				t.Errorf("run %d of %d on %s", p.Run, p.Runs, p.Broker)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	if here := c.Rows[0].Present(); len(here) != 1 || here[0] != 1 || len(c.Rows[0].Cells[1].Results) != 1 {
		t.Errorf("it was run on %v: %+v", here, c.Rows[0].Cells)
	}
}

func TestFaults(t *testing.T) {
	two := []peer.Definition{{Name: "x", Command: []string{"x"}}, {Name: "x", Command: []string{"y"}}}
	_, err := Run(t.Context(), Config{Brokers: two, Scenarios: []Scenario{{Name: "bad", Config: bench.Config{Scenario: "none"}}}})
	for _, want := range []string{"one repetition", `scenario "bad"`, `the name "x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	c, err := Run(ctx, Config{Brokers: peer.Builtin()[:1], Scenarios: []Scenario{short(bench.P2P)}, Repeat: 2,
		Tick: func(p Progress) {
			if p.Run == 2 {
				cancel(enough)
			}
		}})
	if !errors.Is(err, enough) || c == nil || len(c.Rows[0].Cells[0].Results) != 1 {
		t.Errorf("cancelled in its second run: %v, %+v", err, c)
	}
}

func TestSpread(t *testing.T) {
	row := bench.Row{Value: func(r *bench.Result) (float64, bool) { return r.Seconds, r.Seconds > 0 }}
	c := &Cell{}
	if _, ok := c.Spread(&row); ok {
		t.Error("nothing has a spread")
	}
	for _, v := range []float64{5, 0, 1, 2, 9} { // 0 is not known
		c.Results = append(c.Results, &bench.Result{Seconds: v})
	}
	if s, ok := c.Spread(&row); !ok || s != (Spread{3.5, 1, 9}) {
		t.Errorf("%+v", s)
	}
}

// TestRepeatOfOne: a scenario may ask for more runs than the rest has.
func TestRepeatOfOne(t *testing.T) {
	often := short(bench.P2P)
	often.Repeat = 3
	broken := peer.Definition{Name: "broken", Command: []string{"sh", "-c", "exit 1"}}
	runs := 0
	c, err := Run(t.Context(), Config{
		Brokers: []peer.Definition{broken}, Scenarios: []Scenario{often, short(bench.FanOut)}, Repeat: 2,
		Tick: func(p Progress) { runs = p.Runs },
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := len(c.Rows[0].Cells[0].Failures), len(c.Rows[1].Cells[0].Failures); a != 3 || b != 2 || runs != 5 {
		t.Errorf("%d and %d runs of %d announced, want 3 and 2 of 5", a, b, runs)
	}
}
