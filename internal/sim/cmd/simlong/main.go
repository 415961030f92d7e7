// Command simlong runs many seeds of the simulator, prints how fast, and keeps
// the seeds that fail.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tombolo/internal/sim"
)

func main() {
	var o options
	flag.Uint64Var(&o.seeds, "seeds", 10_000, "how many seeds to run")
	flag.Uint64Var(&o.from, "from", 0, "the first seed")
	flag.IntVar(&o.workers, "workers", 1, "how many seeds run at a time; one keeps a core busy")
	flag.StringVar(&o.core, "core", "replica", "which replica runs: "+coreNames())
	flag.StringVar(&o.archive, "archive", filepath.Join(os.TempDir(), "tombolo-sim-failures"), "the folder that keeps the reports of failing seeds")
	flag.StringVar(&o.profile, "profile", "", "run every seed in this profile instead of all in turn: network, crashes, losses, members, everything")
	flag.BoolVar(&o.verbose, "v", false, "print every run and, of a failing one, what chaos did last")
	flag.IntVar(&o.stop, "stop", 10, "stop after this many failures")
	flag.Parse()
	debug.SetGCPercent(400) // runs are short and their memory small
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options is what the flags say.
type options struct {
	seeds, from   uint64
	workers, stop int
	core, archive string
	profile       string
	verbose       bool
}

// cores is the replicas that can run.
var cores = map[string]sim.Maker{"replica": sim.ReplicaMaker(), "twin": sim.TwinMaker(0)}

func coreNames() string {
	names := ""
	for n := range cores {
		names += n + " "
	}
	return names
}

// tally is what the workers add up.
type tally struct {
	next, done, failed, events atomic.Uint64
	simulated                  atomic.Int64
	mu                         sync.Mutex // guards the archive and the output
}

func run(o options) error {
	m, ok := cores[o.core]
	if !ok {
		return fmt.Errorf("no core %q; there is %s", o.core, coreNames())
	}
	var t tally
	began := time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var wg sync.WaitGroup
		for range max(o.workers, 1) {
			wg.Add(1)
			go func() { defer wg.Done(); work(o, m, &t) }()
		}
		wg.Wait()
	}()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			report(&t, began, o)
		case <-ended:
			report(&t, began, o)
			if n := t.failed.Load(); n > 0 {
				return fmt.Errorf("%d of %d seeds failed; their reports are in %s", n, t.done.Load(), o.archive)
			}
			return nil
		}
	}
}

func work(o options, m sim.Maker, t *tally) {
	for t.failed.Load() < uint64(o.stop) {
		n := t.next.Add(1) - 1
		if n >= o.seeds {
			return
		}
		seed := o.from + n
		p := sim.ProfileOf(seed, m)
		for _, q := range sim.Profiles(m) {
			if q.Name == o.profile {
				p = q
			}
		}
		r := sim.Run(seed, p)
		t.done.Add(1)
		t.events.Add(uint64(r.Events))
		t.simulated.Add(int64(r.Simulated))
		if o.verbose || r.Violation != nil {
			t.show(o, r)
		}
	}
}

// show prints a run and keeps it if it failed.
func (t *tally) show(o options, r sim.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := r.String() + "\n"
	if r.Violation != nil {
		t.failed.Add(1)
		if o.core != "replica" {
			text = r.String() + " -core " + o.core + "\n"
		}
		if o.profile != "" {
			text = strings.TrimSuffix(text, "\n") + " -profile " + o.profile + "\n"
		}
		trail := ""
		for _, line := range r.Trail {
			trail += line + "\n"
		}
		if err := os.MkdirAll(o.archive, 0o755); err == nil {
			err = os.WriteFile(filepath.Join(o.archive, fmt.Sprintf("%s-%d.txt", o.core, r.Seed)), []byte(text+trail), 0o644)
			if err != nil {
				text += err.Error() + "\n"
			}
		}
		if o.verbose {
			text += trail
		}
	}
	fmt.Print(text)
}

func report(t *tally, began time.Time, o options) {
	took := time.Since(began)
	per := cpuSeconds()
	fmt.Printf("%d seeds, %d failed, %.1f seeds/s, %.0f × real time per CPU second, %.0f events/s\n", t.done.Load(), t.failed.Load(),
		float64(t.done.Load())/took.Seconds(), time.Duration(t.simulated.Load()).Seconds()/per, float64(t.events.Load())/took.Seconds())
}

// cpuSeconds is what this process has used of the processors: on a busy machine
// the wall clock says nothing about speed.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 1
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
