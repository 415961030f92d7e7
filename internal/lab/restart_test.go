//go:build linux

package lab

import (
	"sync"
	"testing"
	"time"

	"tombolo/internal/admin"
)

// restartWithin is how long a planned restart may take behind a partial cut, from
// SIGTERM until the node admits what its settings allow.
const restartWithin = 12 * time.Second

// slack is what this test forgives a busy machine where others hold the time.
const slack = 2 * time.Second

// TestR7RestartBehindCut: a node that is restarted while one of two others cannot
// be reached from it waits for that one no longer than for one that is away, and
// says of no stall that it did not have. It sees the split itself, though the others
// do not miss it while it is marked as stopped (R27).
func TestR7RestartBehindCut(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, map[string]string{"trade_consistency": "on"})
	trial.Net.SetRule(2, 0, Rule{Cut: true})
	must(t, trial, time.Now(), noticedWithin+slack, "one way from 3 to 1: noticed", trial.All(), Torn)
	began := time.Now()
	b := trial.Brokers[2]
	if err := b.Stop(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped after %v", time.Since(began))
	if err := b.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Logf("started after %v", time.Since(began))
	must(t, trial, began, restartWithin, "restarted", []int{2}, func(v *admin.ClusterView) bool { return v.Opened && v.Split && v.Gate.Publish })
	if v, err := b.Metric(within(t, 2*time.Second), "cluster_stalls_total"); err != nil || v != 0 {
		t.Errorf("%v stalls are counted after a start: %v", v, err)
	}
	began = time.Now()
	trial.Net.Heal()
	must(t, trial, began, healedWithin+slack, "open again", trial.All(), Whole)
}

// TestR25FiveNodes: of five nodes split two and three, the three are open all the
// time with majority, before, during and after; the two close within 3 s and open
// within 3 s of the heal.
func TestR25FiveNodes(t *testing.T) {
	t.Parallel()
	options := map[string]string{}
	for _, op := range []string{"register", "publish", "subscribe", "unsubscribe"} {
		options["allow_"+op+"_during_netsplit"] = "majority"
	}
	trial := newCluster(t, 5, options)
	two, three := []int{0, 3}, []int{1, 2, 4}
	over := make(chan struct{})
	var wg sync.WaitGroup
	for _, n := range three {
		wg.Go(func() {
			for looks := 0; ; looks++ {
				v, err := trial.Brokers[n].View(t.Context())
				if g := v.Gate; err != nil || !g.Register || !g.Publish || !g.Subscribe || !g.Unsubscribe {
					t.Errorf("node %d of the three closes at look %d: %+v %v", n+1, looks, v, err)
					return
				}
				select {
				case <-over:
					return
				default:
					pause(t.Context(), lookEvery)
				}
			}
		})
	}
	began := time.Now()
	trial.Net.Cut(two, three)
	must(t, trial, began, noticedWithin, "two and three: noticed", trial.All(), Torn)
	must(t, trial, began, noticedWithin, "the two are closed", two, func(v *admin.ClusterView) bool { return !v.Majority && !v.Gate.Publish })
	pause(t.Context(), 2*time.Second)
	began = time.Now()
	trial.Net.Heal()
	must(t, trial, began, healedWithin, "open again", trial.All(), Whole)
	close(over)
	wg.Wait()
}
