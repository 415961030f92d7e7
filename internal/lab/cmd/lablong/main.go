//go:build linux

// Command lablong plays random schedules on real nodes for as long as it is
// told, or measures what the cluster's benchmark page tells.
//
// State owned: one laboratory at a time, and the archive of failed seeds.
// Concurrency: one trial after the other; measurements run side by side.
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
	"syscall"
	"time"

	"tombolo/internal/lab"
)

func main() {
	program := flag.String("program", "bin/tombolo", "the broker to try")
	seeds := flag.Int("seeds", 20, "how many seeds to play")
	from := flag.Uint64("from", 1, "the first of them")
	steps := flag.Int("steps", 8, "steps of a schedule")
	nodes := flag.Int("nodes", 3, "nodes of a cluster")
	archive := flag.String("archive", "lab-failures", "directory for the stories of failed seeds")
	measure := flag.Bool("measure", false, "measure in place of playing seeds")
	trials := flag.Int("trials", 20, "with -measure: trials of each shape")
	busy := flag.Duration("busy", 4*time.Minute, "with -measure: how long to look for false alarms")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, err := filepath.Abs(*program)
	if err == nil {
		c := lab.TrialConfig{Binary: path, Publishers: 2, Subscribers: 2, Pace: 20 * time.Millisecond}
		if *measure {
			err = measureAll(ctx, c, *trials, *busy)
		} else {
			err = play(ctx, c, lab.Seed{Number: *from, Nodes: *nodes, Steps: *steps}, *seeds, *archive)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lablong:", err)
		os.Exit(1)
	}
}

// play plays seeds one after the other.
func play(ctx context.Context, c lab.TrialConfig, s lab.Seed, count int, archive string) error {
	began, failed := time.Now(), 0
	for n := range count {
		if ctx.Err() != nil {
			count = n
			break
		}
		faults, story, err := one(ctx, c, s)
		if err != nil {
			faults = append(faults, err.Error())
		}
		if len(faults) == 0 {
			summary, _, _ := strings.Cut(strings.SplitN(story, "\n", 3)[1], "\n")
			fmt.Printf("seed %d: %s\n", s.Number, summary)
		} else {
			failed++
			path, err := s.Archive(archive, faults, story)
			if err != nil {
				return err
			}
			fmt.Printf("seed %d FAILED: %s (%d faults, %s)\n", s.Number, faults[0], len(faults), path)
		}
		s.Number++
	}
	took := time.Since(began)
	fmt.Printf("%d seeds in %v, %.1f a minute; %d failed\n", count, took.Round(time.Second), float64(count)/took.Minutes(), failed)
	if failed > 0 {
		return fmt.Errorf("%d seeds failed; play one again with: go test ./internal/lab -run RandomSchedules -args -lab.seed N -lab.steps %d", failed, s.Steps)
	}
	return nil
}

func one(ctx context.Context, c lab.TrialConfig, s lab.Seed) (faults []string, story string, err error) {
	if c.Dir, err = os.MkdirTemp("", "tombolo-lablong-"); err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(c.Dir)
	return s.Play(ctx, c)
}

func measureAll(ctx context.Context, c lab.TrialConfig, trials int, busy time.Duration) (err error) {
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
	for i, f := range []func(c lab.TrialConfig) error{
		func(c lab.TrialConfig) error { return lab.MeasureTakeover(ctx, os.Stdout, c, 300) },
		func(c lab.TrialConfig) error { return lab.MeasureShapes(ctx, os.Stdout, c, trials) },
		func(c lab.TrialConfig) error { return lab.MeasureFalseAlarms(ctx, os.Stdout, c, busy) },
	} {
		c := c
		c.Dir = filepath.Join(c.Dir, fmt.Sprint("part", i))
		if err := f(c); err != nil {
			return err
		}
	}
	load("after")
	return nil
}
