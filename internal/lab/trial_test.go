//go:build linux

package lab

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("lab.seed", 0, "play the schedule of this seed only")
	seedsFlag = flag.Int("lab.seeds", 2, "how many random schedules to play")
	fromFlag  = flag.Uint64("lab.from", 1, "the first of their seeds")
	stepsFlag = flag.Int("lab.steps", 6, "steps of a schedule")
	playFlag  = flag.String("lab.play", "", "play these steps in place of a random schedule, to make it shorter: wander 0.5, one way 2 and 0, restart [1]")
)

// newTrial starts a cluster with robots at work.
func newTrial(t *testing.T, nodes int, options map[string]string) *Trial {
	t.Helper()
	trial := newCluster(t, nodes, options)
	trial.Run(t.Context())
	return trial
}

// settle ends a trial and fails it for what contradicts the promises.
func settle(t *testing.T, trial *Trial) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	faults := trial.Settle(ctx)
	for _, f := range faults {
		t.Error(f)
	}
	t.Logf("%s", trial.History)
}

// TestQuietCluster: without any fault everything acknowledged arrives, once and
// in order (P1, P9).
func TestQuietCluster(t *testing.T) {
	trial := newTrial(t, 3, nil)
	pause(t.Context(), 5*time.Second)
	settle(t, trial)
}

// TestRandomSchedules plays schedules of cuts, pauses, kills and moves, and
// demands that acknowledged minus delivered is empty. Play one again with
// go test ./internal/lab -run RandomSchedules -args -lab.seed N.
func TestRandomSchedules(t *testing.T) {
	first, count := *fromFlag, *seedsFlag
	if *seedFlag != 0 { // a schedule's seed also chooses the flags
		first, count = *seedFlag, 1
	}
	for seed := first; seed < first+uint64(count); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			one := Seed{Number: seed, Nodes: 3, Steps: *stepsFlag}
			if *playFlag != "" {
				var err error
				if one.Plan, err = Parse(*playFlag); err != nil {
					t.Fatal(err)
				}
			}
			faults, story, err := one.Play(t.Context(), TrialConfig{Binary: program, Dir: t.TempDir(),
				Publishers: 2, Subscribers: 2, Pace: 20 * time.Millisecond, Log: t.Logf})
			if err != nil {
				t.Fatalf("%v\n%s", err, story)
			}
			for _, f := range faults {
				t.Error(f)
			}
			if t.Failed() {
				t.Log(story)
			}
		})
	}
}

// TestParse: what a story tells of a schedule can be played again.
func TestParse(t *testing.T) {
	for seed := range uint64(50) {
		for _, want := range Random(seed, 3+int(seed%3), 20) {
			got, err := Parse(fmt.Sprintf("%s %.3f", want, want.After.Seconds()))
			if err != nil || len(got) != 1 || got[0].String() != want.String() || got[0].After != want.After {
				t.Fatalf("%v after %v is read as %v (%v)", want, want.After, got, err)
			}
		}
	}
	for _, bad := range []string{"", "wander 1 2", "restart", "kill [x]", "one way 1", "dance", "clock [1]", "clock [1] by", "heal 1 2", "split [] 1"} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}
