//go:build linux

package lab

import (
	"testing"
	"time"
)

// TestLargePacketsDropped: where large packets do not pass between two nodes, and nobody
// says so, links are made and fall silent again and again; then the nodes use smaller
// segments, twice here, and from then on there is no netsplit between them. Nothing
// acknowledged is lost.
func TestLargePacketsDropped(t *testing.T) {
	t.Parallel()
	trial, err := NewTrial(within(t, time.Minute), TrialConfig{Binary: program, Dir: t.TempDir(), Nodes: 3,
		Publishers: 1, Subscribers: 1, Pace: 100 * time.Millisecond, Size: 3000, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTrial(t, trial) })
	trial.Run(t.Context())
	pause(t.Context(), time.Second)
	trial.History.Wrong(true)
	trial.Net.SetRule(0, 1, Rule{Largest: 600})
	trial.Net.SetRule(1, 0, Rule{Largest: 600})
	began := time.Now()
	for {
		if s := smallest(t, trial); s != 0 && s < 600 {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatal("segments are as large as ever")
		}
		pause(t.Context(), 200*time.Millisecond)
	}
	t.Logf("segments were small enough after %v", time.Since(began))
	pause(t.Context(), time.Second) // the verdict on the last silence is still to come
	must(t, trial, time.Now(), 15*time.Second, "whole with small segments", trial.All(), Whole)
	before := splits(t, trial)
	pause(t.Context(), 10*time.Second) // two rounds of what it was before
	if now := splits(t, trial); now != before {
		t.Errorf("%v netsplits with small segments", now-before)
	}
	settle(t, trial)
}

// smallest is the size to which the first two nodes limit the segments between them;
// whichever dials knows it.
func smallest(t *testing.T, trial *Trial) (size int) {
	t.Helper()
	for _, b := range trial.Brokers[:2] {
		v, err := b.View(within(t, 5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range v.Members {
			size = max(size, m.Segment)
		}
	}
	return size
}

func splits(t *testing.T, trial *Trial) (sum float64) {
	t.Helper()
	for _, b := range trial.Brokers {
		n, err := b.Metric(within(t, 5*time.Second), "netsplit_detected_total")
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}
