//go:build linux

package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo/internal/admin"
)

// Promised times (DESIGN §1 P3 and §4, issue "Measured").
const (
	noticedWithin  = 3 * time.Second
	healedWithin   = 3 * time.Second
	answeredWithin = 5 * time.Second
	// A node that comes into a majority to which it did not belong waits until
	// nobody can take another group for the primary any more (R25).
	handedOverWithin = 3500 * time.Millisecond
)

// cuts are the shapes of a cut between three nodes.
var cuts = []struct {
	name    string
	missing string // pairs, as every node comes to see them; "": they cannot all know
	cut     func(w *Network)
}{
	{"node 1 alone", "node1-node2 node1-node3", func(w *Network) { w.Cut([]int{0}, []int{1, 2}) }},
	{"one way from 1 to 2", "node1-node2", func(w *Network) { w.SetRule(0, 1, Rule{Cut: true}) }},
	{"one way to 3 from all", "node1-node3 node2-node3", func(w *Network) { w.SetRule(0, 2, Rule{Cut: true}); w.SetRule(1, 2, Rule{Cut: true}) }},
	{"only between 1 and 2", "node1-node2", func(w *Network) { w.Cut([]int{0}, []int{1}) }},
	{"everybody alone", "", func(w *Network) { w.Cut([]int{0}, []int{1}, []int{2}) }},
}

// missingPairs is what a view misses, in order.
func missingPairs(v *admin.ClusterView) string {
	var out []string
	for _, p := range v.Missing {
		out = append(out, min(p[0], p[1])+"-"+max(p[0], p[1]))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestDetection: whatever the shape of a cut, every node of the cluster notices
// within 3 s (P3, R25), and within 3 s of the heal every gate is open (R28).
// Clients are not cut off: they keep their connections.
func TestDetection(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, nil)
	var people []*person
	for n := range trial.Brokers {
		people = append(people, admit(t, trial, n, visit{id: fmt.Sprintf("stays-%d", n)}))
	}
	for _, c := range cuts {
		began := time.Now()
		c.cut(trial.Net)
		must(t, trial, began, noticedWithin, c.name+": noticed", trial.All(), Torn)
		if c.missing != "" {
			must(t, trial, began, noticedWithin, c.name+": seen alike", trial.All(), func(v *admin.ClusterView) bool { return missingPairs(v) == c.missing })
		}
		began = time.Now()
		trial.Net.Heal()
		must(t, trial, began, healedWithin, c.name+": open again", trial.All(), Whole)
	}
	for n, p := range people {
		select {
		case <-p.gone:
			t.Errorf("the client of node %d lost its connection: %v", n+1, p.err)
		default:
		}
	}
}

// TestHalves: four nodes split evenly notice it, and majority is open on neither
// side (R24).
func TestHalves(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 4, map[string]string{"allow_publish_during_netsplit": "majority"})
	began := time.Now()
	trial.Net.Cut([]int{0, 1}, []int{2, 3})
	must(t, trial, began, noticedWithin, "halves: noticed, and nobody is the majority", trial.All(), func(v *admin.ClusterView) bool {
		return v.Split && !v.Majority && !v.Gate.Publish
	})
	pause(t.Context(), handedOverWithin+time.Second)
	for n, b := range trial.Brokers {
		v, err := b.View(within(t, time.Second))
		if err != nil || v.Majority || v.Gate.Publish {
			t.Errorf("node %d has a majority %v and admits publishes %v in half a cluster: %v", n+1, v.Majority, v.Gate.Publish, err)
		}
	}
	began = time.Now()
	trial.Net.Heal()
	must(t, trial, began, healedWithin, "halves: open again", trial.All(), Whole)
}

// TestPauses: nothing shorter than a second is a netsplit (P3): a frozen process,
// a network that stands still, a burst of delay and loss.
func TestPauses(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, nil)
	ctx := t.Context()
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for n := range trial.Brokers {
		wg.Go(func() {
			if _, err := trial.Await(watching, time.Now(), []int{n}, Torn); err == nil {
				t.Errorf("node %d saw a netsplit", n+1)
			}
		})
	}
	for n, b := range trial.Brokers {
		if err := b.Freeze(); err != nil {
			t.Fatal(err)
		}
		pause(ctx, 900*time.Millisecond)
		if err := b.Thaw(); err != nil {
			t.Fatal(err)
		}
		pause(ctx, 400*time.Millisecond)
		trial.Net.Cut([]int{n}, trial.others([]int{n}))
		pause(ctx, 900*time.Millisecond)
		trial.Net.Heal()
		pause(ctx, 400*time.Millisecond)
	}
	slow := Rule{Delay: 300 * time.Millisecond, Jitter: 300 * time.Millisecond, Loss: 0.02}
	trial.Net.SetRule(0, 1, slow)
	trial.Net.SetRule(1, 0, slow)
	pause(ctx, 2*time.Second)
	trial.Net.Heal()
	pause(ctx, time.Second)
	stop()
	wg.Wait()
	for n, b := range trial.Brokers {
		if v, err := b.Metric(within(t, 2*time.Second), "netsplit_detected_total"); err != nil || v != 0 {
			t.Errorf("node %d counted %v netsplits (%v)", n+1, v, err)
		}
	}
}

// TestFrozenNode: a node that stands still for ten seconds is missed within 3 s,
// serves nobody on stale knowledge when it goes on (R17), and is back within 3 s.
func TestFrozenNode(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, nil)
	began := time.Now()
	if err := trial.Brokers[2].Freeze(); err != nil {
		t.Fatal(err)
	}
	must(t, trial, began, noticedWithin, "frozen: noticed", []int{0, 1}, Torn)
	early := make(chan string, 1)
	go func() { // this CONNECT waits in the frozen node's socket
		_, err := call(t, trial, 2, visit{id: "early", timeout: 20 * time.Second})
		early <- refusal(err)
	}()
	pause(t.Context(), time.Until(began.Add(10*time.Second)))
	began = time.Now()
	if err := trial.Brokers[2].Thaw(); err != nil {
		t.Fatal(err)
	}
	if got, took := <-early, time.Since(began); got == "ok" && took < time.Second {
		t.Errorf("the thawed node let a client in after %v, on what it knew ten seconds before", took)
	}
	must(t, trial, began, healedWithin, "frozen: open again", trial.All(), Whole)
}

// TestAnyOrder: all nodes stopped and started in any order make the same
// cluster (P11), whether they were stopped or killed.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, nil)
	keep := admit(t, trial, 1, visit{id: "keeper", persistent: true})
	if got := keep.subscribe(within(t, 5*time.Second), "keep/#", 1); got != "ok" {
		t.Fatal(got)
	}
	keep.Close()
	first, err := trial.Brokers[0].View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for round, order := range [][]int{{2, 0, 1}, {1, 2, 0}} {
		for _, n := range []int{0, 1, 2} {
			if round == 0 {
				if err := trial.Brokers[n].Stop(within(t, 15*time.Second)); err != nil {
					t.Fatal(err)
				}
			} else {
				trial.Brokers[n].Kill()
			}
		}
		began := time.Now()
		var wg sync.WaitGroup
		for _, n := range order {
			wg.Go(func() {
				if err := trial.Brokers[n].Start(within(t, 20*time.Second)); err != nil {
					t.Error(err)
				}
			})
			pause(t.Context(), 300*time.Millisecond)
		}
		wg.Wait()
		must(t, trial, began, 15*time.Second, fmt.Sprint("started in the order ", order), trial.All(), Whole)
		for n, b := range trial.Brokers {
			v, err := b.View(t.Context())
			if err != nil || fmt.Sprint(names(v)) != fmt.Sprint(names(first)) {
				t.Errorf("node %d is in a cluster of %v, it was one of %v: %v", n+1, names(v), names(first), err)
			}
		}
	}
	if got := admit(t, trial, 0, visit{id: "writer"}).publish(within(t, 5*time.Second), "keep/it", "kept"); got != "ok" {
		t.Fatalf("publish: %s", got)
	}
	admit(t, trial, 2, visit{id: "keeper", persistent: true}).expect(t, 5*time.Second, "kept")
}

func names(v admin.ClusterView) (out []string) {
	for _, m := range v.Members {
		out = append(out, m.Name+" "+m.ID)
	}
	return out
}
