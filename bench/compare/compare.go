package compare

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"tombolo/bench"
	"tombolo/bench/peer"
)

// Scenario is a run under a name. Its targets and processes are set for each
// broker.
type Scenario struct {
	Name   string
	Config bench.Config
	// Brokers are the names of those that it is run on; none: all.
	Brokers []string
	// Repeat, if it is more than that of the comparison, counts in its place.
	Repeat int
}

// repeat is how often the scenario is run on each broker.
func (s *Scenario) repeat(usual int) int { return max(usual, s.Repeat) }

// on reports whether the scenario is run on the broker of that name.
func (s *Scenario) on(name string) bool {
	return len(s.Brokers) == 0 || slices.Contains(s.Brokers, name)
}

// Config says what to compare.
type Config struct {
	Brokers   []peer.Definition
	Scenarios []Scenario
	Repeat    int
	// Stay has each broker started once, and all of them up during all runs: for
	// many short runs in turns.
	Stay    bool
	Profile peer.Profile // of the brokers that can; each run has its own directory below
	Command string       // as it was typed, for the record
	// Tick, if set, is called with the state of the run that goes on.
	Tick func(Progress)
}

// Progress is what a live view shows.
type Progress struct {
	Run, Runs int // from 1
	Broker    string
	Scenario  string
	bench.Progress
}

// Comparison is what came of it, and what is kept as JSON.
type Comparison struct {
	Machine bench.Machine `json:"machine"`
	Command string        `json:"command,omitempty"`
	Repeat  int           `json:"repeat"`
	Brokers []Broker      `json:"brokers"`
	Rows    []Row         `json:"rows"`
}

// Broker is one of those compared.
type Broker struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Settings string   `json:"settings"`
	Command  []string `json:"command"`
}

// Row is one scenario: a cell for each broker, in their order, empty for one
// that it was not run on.
type Row struct {
	Name  string `json:"name"`
	Cells []Cell `json:"cells"`
}

// Cell is what one broker showed in one scenario.
type Cell struct {
	Results  []*bench.Result `json:"results"`
	Failures []string        `json:"failures,omitempty"`
}

// Run compares.
func Run(ctx context.Context, cfg Config) (*Comparison, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Comparison{Machine: bench.ThisMachine(), Command: cfg.Command, Repeat: cfg.Repeat}
	for i := range cfg.Brokers {
		d := &cfg.Brokers[i]
		c.Brokers = append(c.Brokers, Broker{Name: d.Name, Version: d.VersionLine(), Settings: d.Settings, Command: d.Command})
	}
	for _, s := range cfg.Scenarios {
		c.Rows = append(c.Rows, Row{Name: s.Name, Cells: make([]Cell, len(cfg.Brokers))})
	}
	var running []*peer.Broker
	if cfg.Stay {
		var err error
		if running, err = cfg.startAll(ctx); err != nil {
			return nil, errors.Join(err, stopAll(running))
		}
	}
	err := c.takeTurns(ctx, &cfg, running)
	return c, errors.Join(err, stopAll(running))
}

// takeTurns makes all runs, on the brokers that are running or on new ones.
func (c *Comparison) takeTurns(ctx context.Context, cfg *Config, running []*peer.Broker) error {
	run, most := 0, cfg.Repeat
	for i := range cfg.Scenarios {
		most = max(most, cfg.Scenarios[i].Repeat)
	}
	for repetition := range most {
		for i := range cfg.Scenarios {
			if repetition >= cfg.Scenarios[i].repeat(cfg.Repeat) {
				continue
			}
			for k := range cfg.Brokers {
				at := (k + repetition) % len(cfg.Brokers)
				if !cfg.Scenarios[i].on(cfg.Brokers[at].Name) {
					continue
				}
				run++
				if err := c.Rows[i].Cells[at].add(ctx, cfg, running, i, at, run); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// runs counts them all.
func (cfg *Config) runs() (n int) {
	for i := range cfg.Scenarios {
		for k := range cfg.Brokers {
			if cfg.Scenarios[i].on(cfg.Brokers[k].Name) {
				n += cfg.Scenarios[i].repeat(cfg.Repeat)
			}
		}
	}
	return n
}

func (cfg *Config) check() error {
	var faults []error
	if len(cfg.Brokers) == 0 || len(cfg.Scenarios) == 0 || cfg.Repeat < 1 {
		faults = append(faults, errors.New("a comparison needs a broker, a scenario and one repetition at least"))
	}
	for i := range cfg.Scenarios {
		if err := cfg.Scenarios[i].Config.Check(); err != nil {
			faults = append(faults, fmt.Errorf("scenario %q: %w", cfg.Scenarios[i].Name, err))
		}
	}
	var names []string
	for i := range cfg.Brokers {
		if slices.Contains(names, cfg.Brokers[i].Name) {
			faults = append(faults, fmt.Errorf("two brokers have the name %q", cfg.Brokers[i].Name))
		}
		names = append(names, cfg.Brokers[i].Name)
	}
	return errors.Join(faults...)
}

// add runs one scenario on one broker. The error is that of ctx.
func (c *Cell) add(ctx context.Context, cfg *Config, running []*peer.Broker, scenario, broker, run int) error {
	d, s := cfg.Brokers[broker], cfg.Scenarios[scenario]
	profile := cfg.Profile
	if profile.Kind != "" {
		profile.Dir = filepath.Join(profile.Dir, fmt.Sprintf("%03d-%s-%s", run, d.Name, s.Config.Scenario))
	}
	tick := func(p bench.Progress) {
		if cfg.Tick != nil {
			cfg.Tick(Progress{Run: run, Runs: cfg.runs(), Broker: d.Name, Scenario: s.Name, Progress: p})
		}
	}
	var result *bench.Result
	var err error
	if cfg.Stay {
		result, err = on(ctx, &d, running[broker], s.Config, tick)
	} else {
		result, err = Once(ctx, d, s.Config, profile, tick)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if result != nil {
		c.Results = append(c.Results, result)
	}
	if err != nil {
		c.Failures = append(c.Failures, err.Error())
	}
	return nil
}

// Once starts a broker, runs one scenario on it, and ends it.
func Once(ctx context.Context, d peer.Definition, cfg bench.Config, p peer.Profile, tick func(bench.Progress)) (result *bench.Result, err error) {
	tick(bench.Progress{Phase: "starting"})
	err = peer.With(ctx, d, p, func(b *peer.Broker) (fault error) {
		result, fault = measure(ctx, &d, b, cfg, tick)
		return fault
	})
	return result, err
}

// measure runs a scenario on a broker that is up.
func measure(ctx context.Context, d *peer.Definition, b *peer.Broker, cfg bench.Config, tick func(bench.Progress)) (*bench.Result, error) {
	cfg.Targets, cfg.PIDs, cfg.Tick = b.Targets, b.PIDs(), tick
	cfg.Cross = cfg.Cross || d.Cross
	if b.TLS != nil {
		cfg.TLS = b.TLS
	}
	result, err := bench.Run(ctx, cfg)
	if result != nil {
		result.Settings.Broker = d.Name
	}
	return result, err
}

// Present are the brokers, by their places, that the row was run on.
func (r *Row) Present() (list []int) {
	for i := range r.Cells {
		if len(r.Cells[i].Results)+len(r.Cells[i].Failures) > 0 {
			list = append(list, i)
		}
	}
	return list
}

// Spread is a figure over the repetitions.
type Spread struct{ Median, Least, Most float64 }

// Spread is that of one row of the summary; false if the figure is not known.
func (c *Cell) Spread(row *bench.Row) (Spread, bool) {
	var values []float64
	for _, r := range c.Results {
		if v, ok := row.Value(r); ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Spread{}, false
	}
	slices.Sort(values)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Least: values[0], Most: values[n-1]}, true
}
