package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo/bench"
	"tombolo/bench/compare"
	"tombolo/bench/peer"
)

// suiteTimeMax is what docs/benchmarks promises for three repetitions.
const suiteTimeMax = 22 * time.Minute

// costOf is how long one run takes on a quiet machine, with starting and ending
// the broker.
func costOf(s *compare.Scenario, nodes int) time.Duration {
	c := &s.Config
	d := c.WarmUp + c.Duration + time.Second
	switch c.Scenario {
	case bench.Subscribe:
		d += time.Duration(c.Filters) * 15 * time.Microsecond
	case bench.Connect, bench.Idle:
		d += time.Duration(c.Connections) * 100 * time.Microsecond
	case bench.Retained, bench.Offline:
		d = 4 * time.Second
	}
	if slices.Contains(s.Brokers, overTLS) {
		d += time.Duration(c.Connections) * time.Millisecond // handshakes, at both ends
	}
	if nodes > 1 {
		d += 6 * time.Second
	}
	return d
}

// TestSuites: every row can be read, each kind of row meets the brokers that it
// is for, and the full one takes no longer than the page says.
func TestSuites(t *testing.T) {
	defs := []peer.Definition{
		{Name: noDelay}, {Name: "mosquitto"}, {Name: "tombolo"}, {Name: nats}, peer.TomboloTLS("x", "y"),
		peer.TomboloCluster("x", "y", false), peer.TomboloCluster("x", "y", true),
	}
	quick, err := suite("quick", false, defs[:3], 1)
	if err != nil || len(quick) != len(suites["quick"]) {
		t.Errorf("quick: %d rows, %v", len(quick), err)
	}
	full, err := suite("full", false, defs, 3)
	if err != nil || len(full) != len(suites["full"]) {
		t.Fatalf("full: %d rows, %v", len(full), err)
	}
	var took time.Duration
	met := map[string]string{}
	for i := range full {
		s := &full[i]
		met[s.Name] = strings.Join(s.Brokers, " ")
		for _, b := range s.Brokers {
			nodes := 1
			if strings.HasPrefix(b, threeNodes) {
				nodes = 3
			}
			took += time.Duration(max(3, s.Repeat)) * costOf(s, nodes)
		}
	}
	for name, want := range map[string]string{
		"fanin --duration 4s":                        "mosquitto tombolo nats-server",
		"fanin -q 1 --duration 4s":                   "mosquitto tombolo",
		"latency --duration 10s":                     "mosquitto-nodelay tombolo",
		"latency --pairs 100 --duration 4s":          "mosquitto tombolo",
		"idle --connections 6000 --duration 4s, TLS": "tombolo-tls",
		"p2p --duration 4s, three nodes":             "tombolo-3 tombolo-3-cross",
		"idle --connections 15000 --duration 4s":     "mosquitto tombolo",
	} {
		if met[name] != want {
			t.Errorf("%s is run on %q, want %q", name, met[name], want)
		}
	}
	t.Logf("the full suite takes %v", took)
	for i := range full {
		if want := map[bool]int{true: rareRepeat}[strings.HasPrefix(full[i].Name, "latency")]; want > 0 && full[i].Repeat != want {
			t.Errorf("%s is run %d times, want %d", full[i].Name, full[i].Repeat, want)
		}
	}
	if took > suiteTimeMax {
		t.Errorf("the full suite takes about %v, the page says %v", took, suiteTimeMax)
	}
	if alone, err := suite("full", true, defs[:1], 1); err != nil || len(alone) != len(full)-3 {
		t.Errorf("a broker that was named takes part in %d of %d rows, %v", len(alone), len(full), err)
	}
}

// TestBenchThreeNodes: a cluster is started, and clients are placed at one node
// or across, with nothing lost.
func TestBenchThreeNodes(t *testing.T) {
	t.Setenv(asProgram, "1")
	const more = " --pairs 6 --warm-up 20ms --duration 100ms --drain 10s"
	got := runTool(t, "", "bench", "compare", "--broker", threeNodes, "--broker", threeAcross, "--json", "--quiet", "--run", "p2p -q 1"+more)
	var c compare.Comparison
	if err := json.Unmarshal([]byte(got.out.String()), &c); err != nil || got.code != 0 {
		t.Fatalf("exit code %d, %v: %s", got.code, err, got.err.String())
	}
	for i, cell := range c.Rows[0].Cells {
		if len(cell.Results) != 1 {
			t.Fatalf("%s: %q", c.Brokers[i].Name, cell.Failures)
		}
		r := cell.Results[0]
		checkLittle(t, c.Brokers[i].Name, "p2p", r)
		if s := &r.Settings; len(s.Targets) != 3 || s.Cross != (i == 1) || len(r.Broker.PIDs) < 4 {
			t.Errorf("%s: %d targets, across %v, %d processes", c.Brokers[i].Name, len(s.Targets), s.Cross, len(r.Broker.PIDs))
		}
	}
}

// TestBenchOverTLS: our broker is started with a certificate of its own and spoken to
// over TLS.
func TestBenchOverTLS(t *testing.T) {
	t.Setenv(asProgram, "1")
	const more = " --warm-up 20ms --duration 60ms"
	got := runTool(t, "", "bench", "compare", "--broker", overTLS, "--json", "--quiet",
		"--run", "idle --connections 30"+more, "--run", "p2p --pairs 2 --drain 10s"+more)
	var c compare.Comparison
	if err := json.Unmarshal([]byte(got.out.String()), &c); err != nil || got.code != 0 {
		t.Fatalf("exit code %d, %v: %s", got.code, err, got.err.String())
	}
	for _, row := range c.Rows {
		if len(row.Cells[0].Results) != 1 {
			t.Fatalf("%s: %q", row.Name, row.Cells[0].Failures)
		}
		r := row.Cells[0].Results[0]
		checkLittle(t, overTLS, row.Name, r)
		if !strings.HasPrefix(r.Settings.Targets[0], "mqtts://") || r.Idle != nil && (r.Idle.Connections != 30 || r.Idle.Broken != 0) {
			t.Errorf("%s at %v: %+v", row.Name, r.Settings.Targets, r.Idle)
		}
	}
}
