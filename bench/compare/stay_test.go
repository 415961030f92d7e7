package compare

import (
	"testing"

	"tombolo/bench"
	"tombolo/bench/peer"
)

// Brokers that stay up are the same processes in all runs, and are ended after.
func TestStay(t *testing.T) {
	c, err := Run(t.Context(), Config{Brokers: peer.Builtin()[:2], Scenarios: []Scenario{short(bench.P2P)}, Repeat: pairsMin, Stay: true})
	if err != nil {
		t.Fatal(err)
	}
	row := &c.Rows[0]
	for i, cell := range row.Cells {
		if len(cell.Results) != pairsMin {
			t.Fatalf("broker %d: %d results, failures %q", i, len(cell.Results), cell.Failures)
		}
		pid := cell.Results[0].Broker.PIDs[0]
		for _, r := range cell.Results {
			if r.Broker.PIDs[0] != pid || r.Delivery.Lost > 0 {
				t.Errorf("broker %d: process %v after %d, %+v", i, r.Broker.PIDs, pid, r.Delivery)
			}
		}
	}
	if pid := row.Cells[1].Results[0].Broker.PIDs[0]; pid == row.Cells[0].Results[0].Broker.PIDs[0] {
		t.Error("both brokers are one process")
	}
	_, err = Run(t.Context(), Config{Brokers: []peer.Definition{{Name: "broken", Command: []string{"false"}}},
		Scenarios: []Scenario{short(bench.P2P)}, Repeat: 1, Stay: true})
	if err == nil {
		t.Error("a broker that does not start is no error")
	}
}

func TestPaired(t *testing.T) {
	figure := bench.Row{Value: func(r *bench.Result) (float64, bool) { return r.Seconds, r.Seconds > 0 }}
	row := Row{Cells: make([]Cell, 2)}
	for i := range 20 {
		load := float64(1 + i%7) // of the machine, the same for both of a pair
		row.Cells[0].Results = append(row.Cells[0].Results, &bench.Result{Seconds: load})
		row.Cells[1].Results = append(row.Cells[1].Results, &bench.Result{Seconds: load * (0.90 + float64(i)/100)})
	}
	p, ok := row.Paired(&figure, 1)
	near := func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }
	// Of 20 ranked pairs the 6th and the 15th bound the median (binomial: 0.959).
	if !ok || p.Pairs != 20 || !near(p.Median, 0.995) || !near(p.Low, 0.95) || !near(p.High, 1.04) {
		t.Errorf("%+v, %v", p, ok)
	}
	if _, ok := row.Paired(&figure, 0); ok {
		t.Error("the first broker has a ratio to itself")
	}
	row.Cells[1].Results = row.Cells[1].Results[:19]
	if _, ok := row.Paired(&figure, 1); ok {
		t.Error("a run without its pair was taken")
	}
}
