//go:build linux

// Command lablong plays random schedules on real nodes for as long as it is
// told, or measures what the cluster's benchmark page tells.
//
// State owned: as many laboratories at a time as -labs says, and the archive of
// failed seeds. Concurrency: one goroutine plays in each laboratory; measurements
// are taken one after the other.
// Guarantee: it ends with 1 if a seed failed. Failure: what keeps a trial from
// running is printed, and counts as a failed seed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"tombolo/internal/lab"
)

func main() {
	program := flag.String("program", "bin/tombolo", "the broker to try")
	seeds := flag.Int("seeds", 20, "how many seeds to play")
	from := flag.Uint64("from", 1, "the first of them")
	steps := flag.Int("steps", 8, "steps of a schedule")
	nodes := flag.Int("nodes", 0, "nodes of a cluster, 3 to 5; 0: the seed says")
	steady := flag.String("play", "", "play these steps in place of random schedules: wander 0.5, one way 2 and 0, restart [1]")
	labs := flag.Int("labs", 1, "laboratories at a time; one takes a quarter of a core or more")
	within := flag.Duration("for", 24*time.Hour, "begin no seed after this time")
	archive := flag.String("archive", "lab-failures", "directory for the stories of failed seeds")
	all := flag.Bool("all", false, "archive the stories of all seeds, not only of those that failed")
	measure := flag.Bool("measure", false, "measure in place of playing seeds")
	trials := flag.Int("trials", 20, "with -measure: trials of each shape")
	busy := flag.Duration("busy", 4*time.Minute, "with -measure: how long to look for false alarms")
	only := flag.String("only", "", "with -measure: takeover, shapes or alarms alone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, err := filepath.Abs(*program)
	var plan []lab.Step
	if err == nil && *steady != "" {
		plan, err = lab.Parse(*steady)
	}
	if err == nil {
		c := lab.TrialConfig{Binary: path, Publishers: 2, Subscribers: 2, Pace: 40 * time.Millisecond}
		if *measure {
			err = measureAll(ctx, c, *trials, *busy, *only)
		} else {
			p := player{trial: c, first: lab.Seed{Number: *from, Nodes: *nodes, Steps: *steps, Plan: plan}, count: *seeds, until: time.Now().Add(*within), archive: *archive, all: *all}
			err = p.play(ctx, *labs)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lablong:", err)
		os.Exit(1)
	}
}

// player plays seeds. Its upper fields are immutable, the lower ones guarded by mu.
type player struct {
	trial   lab.TrialConfig
	first   lab.Seed
	count   int
	until   time.Time // no seed begins after it
	archive string
	all     bool // stories are archived

	mu     sync.Mutex
	begun  int
	played int
	failed []uint64
}

// play plays all seeds, some at a time.
func (p *player) play(ctx context.Context, labs int) error {
	began := time.Now()
	var wg sync.WaitGroup
	for range labs {
		wg.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	fmt.Printf("%d seeds in %v, %.1f a minute; %d failed\n", p.played, took.Round(time.Second), float64(p.played)/took.Minutes(), len(p.failed))
	if len(p.failed) > 0 {
		return fmt.Errorf("%d seeds failed: %v", len(p.failed), p.failed)
	}
	return nil
}

// next plays one more seed; false if there is none.
func (p *player) next(ctx context.Context) bool {
	p.mu.Lock()
	s := p.first
	s.Number += uint64(p.begun)
	p.begun++
	if s.Nodes == 0 {
		s.Nodes = lab.NodesOf(s.Number)
	}
	over := p.begun > p.count || time.Now().After(p.until) || ctx.Err() != nil
	p.mu.Unlock()
	if over {
		return false
	}
	faults, story, err := one(ctx, p.trial, s)
	if ctx.Err() != nil {
		return false // it was cut short
	}
	if err != nil {
		faults = append(faults, err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.played++
	if len(faults) == 0 {
		summary, _, _ := strings.Cut(strings.SplitN(story, "\n", 3)[1], "\n")
		fmt.Printf("seed %d: %s\n", s.Number, summary)
		if p.all {
			if _, err := s.Archive(p.archive, nil, story); err != nil {
				fmt.Println(err)
			}
		}
		return true
	}
	p.failed = append(p.failed, s.Number)
	path, err := s.Archive(p.archive, faults, story)
	if err != nil {
		path = err.Error()
	}
	fmt.Printf("seed %d FAILED: %s (%d faults, %s); again with: go run ./internal/lab/cmd/lablong -program bin/tombolo -seeds 1 -from %d -steps %d -nodes %d\n",
		s.Number, faults[0], len(faults), path, s.Number, s.Steps, s.Nodes)
	return true
}

func one(ctx context.Context, c lab.TrialConfig, s lab.Seed) (faults []string, story string, err error) {
	if c.Dir, err = os.MkdirTemp("", "tombolo-lablong-"); err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(c.Dir)
	return s.Play(ctx, c)
}

func measureAll(ctx context.Context, c lab.TrialConfig, trials int, busy time.Duration, only string) (err error) {
	if c.Dir, err = os.MkdirTemp("", "tombolo-lablong-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.Dir)
	load := func(when string) {
		text, err := os.ReadFile("/proc/loadavg")
		if err == nil {
			fmt.Printf("load average %s: %s\n", when, strings.Join(strings.Fields(string(text))[:3], " "))
		}
	}
	load("before")
	parts := []struct {
		name string
		run  func(c lab.TrialConfig) error
	}{
		{"takeover", func(c lab.TrialConfig) error { return lab.MeasureTakeover(ctx, os.Stdout, c, 300) }},
		{"shapes", func(c lab.TrialConfig) error { return lab.MeasureShapes(ctx, os.Stdout, c, trials) }},
		{"alarms", func(c lab.TrialConfig) error { return lab.MeasureFalseAlarms(ctx, os.Stdout, c, busy) }},
	}
	ran := 0
	for _, p := range parts {
		if only != "" && only != p.name {
			continue
		}
		ran++
		c := c
		c.Dir = filepath.Join(c.Dir, p.name)
		if err := p.run(c); err != nil {
			return err
		}
	}
	if ran == 0 {
		return fmt.Errorf("-only %s: there are takeover, shapes and alarms", only)
	}
	load("after")
	return nil
}
