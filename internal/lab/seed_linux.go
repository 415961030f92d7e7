package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Seed says what one random trial is made of. A value.
type Seed struct {
	Number uint64
	Nodes  int    // 3 to 5
	Steps  int    // of the schedule
	Plan   []Step // in place of the random schedule
}

// Mode is what the flags allow during a netsplit in the trial of this seed.
func (s Seed) Mode() string { return []string{"off", "majority", "on"}[s.Number%3] }

// Play plays one seed in a laboratory of its own and returns what contradicts
// the promises, with the story of the trial.
func (s Seed) Play(ctx context.Context, c TrialConfig) (faults []string, story string, err error) {
	mode := s.Mode()
	c.Nodes = s.Nodes
	c.Options = map[string]string{"allow_register_during_netsplit": mode, "allow_publish_during_netsplit": mode, "allow_subscribe_during_netsplit": mode}
	plan := s.Plan
	if plan == nil {
		plan = Random(s.Number, s.Nodes, s.Steps)
	}
	s.Plan, c.Small = plan, filled(plan)
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t, err := NewTrial(starting, c)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if e := t.Close(); err == nil {
			err = e
		}
	}()
	t.History.HangAfter = 30 * time.Second
	t.Run(ctx)
	within, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := t.Play(within, plan); err != nil {
		return nil, t.story(s), err
	}
	settling, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return t.Settle(settling), t.story(s), nil
}

// filled are the nodes whose disk a schedule fills.
func filled(plan []Step) (list []int) {
	for _, s := range plan {
		if s.Action == Full && !slices.Contains(list, s.A[0]) {
			list = append(list, s.A[0])
		}
	}
	return list
}

// NodesOf is how many nodes the cluster of a seed has, if nobody says.
func NodesOf(seed uint64) int { return []int{3, 3, 3, 4, 5}[seed%5] }

// story is what a reader of a failure wants to know.
func (t *Trial) story(s Seed) string {
	var out strings.Builder
	fmt.Fprintf(&out, "seed %d, %d nodes, flags %s, -play %q\n%s", s.Number, s.Nodes, s.Mode(), Text(s.Plan), t.History)
	for i, b := range t.Brokers {
		fmt.Fprintf(&out, "\nlog of node %d:\n%s\n", i+1, lastLines(b.Log(), 200))
	}
	out.WriteString("\n")
	_ = t.History.Dump(&out) // a Builder takes everything
	return out.String()
}

// Archive writes the story of a failed seed into a directory.
func (s Seed) Archive(dir string, faults []string, story string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("seed-%d.txt", s.Number))
	return path, os.WriteFile(path, []byte(strings.Join(faults, "\n")+"\n\n"+story), 0o644)
}
