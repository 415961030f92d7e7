package across

import (
	"strings"
	"testing"
	"time"

	"tombolo/bench"
	"tombolo/bench/peer"
)

// TestRun runs all rows for a moment, against one broker under two names, and
// wants both placements of each row in turn.
func TestRun(t *testing.T) {
	b, err := peer.Start(t.Context(), peer.Builtin()[0], peer.Profile{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	var order []string
	r, err := Run(t.Context(), Config{
		Targets: []string{b.Address, b.Address}, PIDs: b.PIDs(), Repeat: 2, Duration: 50 * time.Millisecond, WarmUp: 10 * time.Millisecond,
		Tick: func(name string, _ bench.Progress) {
			if len(order) == 0 || order[len(order)-1] != name {
				order = append(order, name)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 8 || len(order) != 20 || len(r.Faults) > 0 {
		t.Fatalf("%d rows, %d runs, faults %q", len(r.Rows), len(order), r.Faults)
	}
	if !strings.HasSuffix(order[0], "same node") || !strings.HasSuffix(order[1], "across") || !strings.HasSuffix(order[10], "across") {
		t.Errorf("order %q", order)
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Unit == p50 && (row.Same.Median <= 0 || row.Across.Median <= 0 || row.Across.Least > row.Across.Most) {
			t.Errorf("%+v", row)
		}
		if i > 2 && strings.HasSuffix(r.Rows[i].Name, "since due") && r.Rows[i].Across.Least < r.Rows[i-1].Across.Least {
			t.Errorf("from when messages were due %v, from when they were written %v", r.Rows[i].Across, r.Rows[i-1].Across)
		}
	}
}

// TestMet: what is asked holds of the figure and of the ratio, in its direction.
func TestMet(t *testing.T) {
	figure := func(v float64) (f Figure) {
		f.values = []float64{v, v - 1, v + 1}
		f.settle()
		return f
	}
	for _, c := range []struct {
		row  Row
		want string
	}{
		{Row{More: true, Asked: 100, AskedRatio: 0.5, Same: figure(300), Across: figure(150)}, "≥ 100, ratio ≥ 0.5: yes"},
		{Row{More: true, Asked: 100, AskedRatio: 0.5, Same: figure(300), Across: figure(149)}, "≥ 100, ratio ≥ 0.5: no"},
		{Row{More: true, Asked: 100, Same: figure(50), Across: figure(99)}, "≥ 100: no"},
		{Row{Asked: 250, Same: figure(50), Across: figure(250)}, "≤ 250: yes"},
		{Row{AskedRatio: 2, Same: figure(50), Across: figure(101)}, "ratio ≤ 2.0: no"},
		{Row{Asked: 250}, "≤ 250: no"},
	} {
		if got := c.row.asked(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.row, got, c.want)
		}
	}
}
