package across

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tombolo/bench"
)

// Config says what to run.
type Config struct {
	Targets []string // the nodes, two or more
	PIDs    []int    // their processes
	Repeat  int
	// Duration and WarmUp are of each run; there are ten in a repetition.
	Duration, WarmUp time.Duration
	// Tick, if set, is called with the state of the run that goes on.
	Tick func(name string, p bench.Progress)
}

// Row is one line: what is asked of the figure across nodes, and how it came out.
type Row struct {
	Name       string  `json:"name"`
	Unit       string  `json:"unit"`
	More       bool    `json:"more_is_better"`
	Asked      float64 `json:"asked,omitempty"`       // of the figure across nodes
	AskedRatio float64 `json:"asked_ratio,omitempty"` // across to same-node
	Same       Figure  `json:"same_node"`
	Across     Figure  `json:"across_nodes"`
}

// Figure is the median of the repetitions, and their ends.
type Figure struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`

	values []float64
}

// Result is what came of it.
type Result struct {
	Machine bench.Machine `json:"machine"`
	Repeat  int           `json:"repeat"`
	Seconds float64       `json:"seconds_each"`
	Rows    []Row         `json:"rows"`
	Faults  []string      `json:"faults,omitempty"` // runs that lost, repeated or reordered something
}

// row is a Row before it was run.
type row struct {
	Row
	scenario   bench.Scenario
	qos        uint8
	persistent bool
	due        *Row // of latencies: from when messages were due
}

const (
	perCPU = "deliveries /CPU s"
	p50    = "p50 µs"
)

// rows are what was promised; a zero is nothing asked.
func rows() []row {
	return []row{
		{Row{Name: "p2p, QoS 0", Unit: perCPU, More: true, Asked: 250_000, AskedRatio: 0.5}, bench.P2P, 0, false, nil},
		{Row{Name: "p2p, QoS 1", Unit: perCPU, More: true, Asked: 100_000, AskedRatio: 0.5}, bench.P2P, 1, false, nil},
		{Row{Name: "1,000 /s, QoS 0", Unit: p50, AskedRatio: 2}, bench.Latency, 0, false, nil},
		{Row{Name: "1,000 /s, QoS 1", Unit: p50, Asked: 250}, bench.Latency, 1, false, nil},
		{Row{Name: "1,000 /s, QoS 1, persistent", Unit: p50, Asked: 600}, bench.Latency, 1, true, nil},
	}
}

// Run runs every row in both placements, Repeat times.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if len(cfg.Targets) < 2 || cfg.Repeat < 1 {
		return nil, fmt.Errorf("%d nodes, %d repetitions: give two nodes and one repetition at least", len(cfg.Targets), cfg.Repeat)
	}
	if cfg.Tick == nil {
		cfg.Tick = func(string, bench.Progress) {}
	}
	out := &Result{Machine: bench.ThisMachine(), Repeat: cfg.Repeat, Seconds: cfg.Duration.Seconds()}
	list := rows()
	for i := range list {
		if r := &list[i]; r.Unit == p50 {
			due := r.Row
			due.Name += ", since due"
			r.due = &due
		}
	}
	for repetition := range cfg.Repeat {
		for i := range list {
			for k := range 2 {
				across := (k+repetition)%2 == 1
				if err := list[i].once(ctx, &cfg, out, repetition, across); err != nil {
					return nil, err
				}
			}
		}
	}
	for i := range list {
		out.add(&list[i].Row)
		if due := list[i].due; due != nil {
			out.add(due)
		}
	}
	return out, nil
}

// add takes in a row that was run.
func (out *Result) add(r *Row) {
	r.Same.settle()
	r.Across.settle()
	out.Rows = append(out.Rows, *r)
}

// once runs a row in one placement.
func (r *row) once(ctx context.Context, cfg *Config, out *Result, repetition int, across bool) error {
	name, figure := r.Name+", same node", &r.Same
	if across {
		name, figure = r.Name+", across", &r.Across
	}
	c := bench.Defaults(r.scenario)
	c.Targets, c.PIDs, c.Cross, c.QoS, c.Persistent = cfg.Targets, cfg.PIDs, across, r.qos, r.persistent
	c.Duration, c.WarmUp = cfg.Duration, cfg.WarmUp
	c.Tick = func(p bench.Progress) { cfg.Tick(fmt.Sprintf("%d/%d %s", repetition+1, cfg.Repeat, name), p) }
	res, err := bench.Run(ctx, c)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if d := res.Delivery; d.Lost+d.Reordered+d.Duplicated > 0 {
		out.Faults = append(out.Faults, fmt.Sprintf("%s, repetition %d: %d lost, %d duplicated, %d reordered", name, repetition+1, d.Lost, d.Duplicated, d.Reordered))
	}
	switch {
	case r.Unit == p50:
		figure.values = append(figure.values, res.Written.P50)
		due := &r.due.Same
		if across {
			due = &r.due.Across
		}
		due.values = append(due.values, res.Latency.P50)
	case res.Broker != nil:
		figure.values = append(figure.values, res.Broker.DeliveriesPerCPU)
	}
	return nil
}

func (f *Figure) settle() {
	n := len(f.values)
	if n == 0 {
		return
	}
	slices.Sort(f.values)
	f.Least, f.Most, f.Median = f.values[0], f.values[n-1], (f.values[(n-1)/2]+f.values[n/2])/2
}

// Ratio is across to same-node; 0 if either is not known.
func (r *Row) Ratio() float64 {
	if r.Same.Median == 0 {
		return 0
	}
	return r.Across.Median / r.Same.Median
}

// Met reports whether the figures are as asked.
func (r *Row) Met() bool {
	good := func(got, asked float64) bool {
		return asked == 0 || got > 0 && (r.More && got >= asked || !r.More && got <= asked)
	}
	return good(r.Across.Median, r.Asked) && good(r.Ratio(), r.AskedRatio)
}
