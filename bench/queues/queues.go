package queues

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tombolo/bench"
	"tombolo/bench/peer"
)

// Config says what to run.
type Config struct {
	Program, Version string   // of the broker to start
	Rows             []string // by name; none: all
	// Scale multiplies the numbers of messages; 1 is what is asked.
	Scale float64
	// Duration is of each run with a steady load.
	Duration time.Duration
	// Bare writes records of so many bytes to the database alone, each one synced,
	// from 256 goroutines for a time, and returns how many in a second.
	Bare func(size int, d time.Duration) (float64, error)
	// Tick, if set, is called with the state of the run that goes on.
	Tick func(name string, p bench.Progress)
}

// Figure is one number, and what is asked of it: nothing if Asked is 0.
type Figure struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Asked float64 `json:"asked,omitempty"`
	More  bool    `json:"more_is_better,omitempty"`
}

// Met reports whether the figure is as asked.
func (f *Figure) Met() bool {
	return f.Asked == 0 || f.More && f.Value >= f.Asked || !f.More && f.Value <= f.Asked
}

// Row is what came of one.
type Row struct {
	Name    string        `json:"name"`
	Took    time.Duration `json:"took_ns"`
	Figures []Figure      `json:"figures"`
	Fault   string        `json:"fault,omitempty"`
}

// Result is what came of all.
type Result struct {
	Machine bench.Machine `json:"machine"`
	Scale   float64       `json:"scale"`
	Rows    []Row         `json:"rows"`
}

// row is a Row while it runs. Owned by Run.
type row struct {
	Row
	cfg    *Config
	faults []error
}

var runs = []struct {
	name string
	run  func(r *row, ctx context.Context) error
}{
	{"fsync", (*row).fsync},
	{"os", (*row).os},
	{"offline", (*row).offline},
	{"migrate", (*row).migrate},
	{"disk", (*row).disk},
	{"boot", (*row).boot},
}

// Names lists the rows.
func Names() (out []string) {
	for _, r := range runs {
		out = append(out, r.name)
	}
	return out
}

// Run runs the rows.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	for _, name := range cfg.Rows {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("there is no row %q: give of %s", name, strings.Join(Names(), ", "))
		}
	}
	if cfg.Scale <= 0 || cfg.Duration <= 0 {
		return nil, fmt.Errorf("scale %v, duration %v: both are above 0", cfg.Scale, cfg.Duration)
	}
	if cfg.Tick == nil {
		cfg.Tick = func(string, bench.Progress) {}
	}
	out := &Result{Machine: bench.ThisMachine(), Scale: cfg.Scale}
	for _, one := range runs {
		if len(cfg.Rows) > 0 && !slices.Contains(cfg.Rows, one.name) {
			continue
		}
		r := &row{Row: Row{Name: one.name}, cfg: &cfg}
		began := time.Now()
		err := one.run(r, ctx)
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		r.Took = time.Since(began)
		if err = errors.Join(append(r.faults, err)...); err != nil {
			r.Fault = err.Error()
		}
		out.Rows = append(out.Rows, r.Row)
	}
	return out, nil
}

// scaled is a number of messages.
func (r *row) scaled(n int) int { return max(1000, int(float64(n)*r.cfg.Scale)) }

func (r *row) add(what string, value float64, unit string, asked float64, more bool) {
	r.Figures = append(r.Figures, Figure{what, value, unit, asked, more})
}

// tombolo is a broker whose queues have no limit, with further options.
func (r *row) tombolo(options ...string) peer.Definition {
	return peer.Tombolo(r.cfg.Program, r.cfg.Version, append([]string{"--max_offline_messages", "-1", "--max_online_messages", "-1"}, options...)...)
}

// on starts a broker for as long as do runs.
func (r *row) on(ctx context.Context, d peer.Definition, do func(b *peer.Broker) error) error {
	return peer.With(ctx, d, peer.Profile{}, do)
}

// load runs a scenario on a broker and notes what it lost.
func (r *row) load(ctx context.Context, b *peer.Broker, what string, c bench.Config) (*bench.Result, error) {
	c.Targets, c.PIDs, c.WarmUp = b.Targets, b.PIDs(), min(c.WarmUp, r.cfg.Duration/3)
	c.Tick = func(p bench.Progress) { r.cfg.Tick(r.Name+", "+what, p) }
	res, err := bench.Run(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if d := res.Delivery; !c.Keep && d.Lost+d.Reordered+d.Duplicated+d.Refused > 0 {
		r.faults = append(r.faults, fmt.Errorf("%s: %d lost, %d reordered, %d duplicated, %d refused", what, d.Lost, d.Reordered, d.Duplicated, d.Refused))
	}
	return res, nil
}
