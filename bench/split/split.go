package split

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"tombolo/bench"
	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// Config describes a run that cuts a cluster and watches what clients see.
type Config struct {
	Targets  []string      // host:port of every node
	Cut      []string      // command that cuts the cluster
	Heal     []string      // command that heals it
	Before   time.Duration // of quiet before the cut
	During   time.Duration // between cut and heal
	After    time.Duration // after the heal
	Every    time.Duration // between two probes of one kind on one node
	Version  packet.Version
	Username string
	Password string
	Tick     func(second int, phase string)
}

// Defaults is a run of half a minute.
func Defaults() Config {
	return Config{Before: 5 * time.Second, During: 10 * time.Second, After: 15 * time.Second, Every: 200 * time.Millisecond, Version: packet.V5}
}

// Check reports what is wrong with the settings.
func (c *Config) Check() error {
	var faults []error
	if len(c.Targets) < 2 {
		faults = append(faults, errors.New("netsplit needs two nodes of a cluster at least: give --target twice"))
	}
	if len(c.Cut) == 0 || len(c.Heal) == 0 {
		faults = append(faults, errors.New("netsplit needs the commands that cut and heal: give --cut and --heal"))
	}
	if c.Before <= 0 || c.During <= 0 || c.After <= 0 || c.Every <= 0 {
		faults = append(faults, errors.New("the times must be positive"))
	}
	return errors.Join(faults...)
}

// Probe is what kind of thing a client tried.
type Probe string

// The probes: each is a version of what a client does all day.
const (
	ProbeConnect   Probe = "connect"   // a new client, and away again
	ProbePublish   Probe = "publish"   // QoS 1 on a connection that stands
	ProbeSubscribe Probe = "subscribe" // a filter that nobody has, on such a connection
)

var probes = []Probe{ProbeConnect, ProbePublish, ProbeSubscribe}

// Probes lists them in the order of the table.
func Probes() []Probe { return slices.Clone(probes) }

// Cell is what one kind of probe met at one node within one second. A probe
// counts in the second in which it began.
type Cell struct {
	OK      int            `json:"ok"`
	Refused int            `json:"refused"`
	Failed  int            `json:"failed"` // no answer, or the connection broke
	Codes   map[string]int `json:"codes,omitempty"`
	Slowest float64        `json:"slowest_seconds"`
}

// Node is what clients of one node saw.
type Node struct {
	Target  string           `json:"target"`
	Seconds []map[Probe]Cell `json:"seconds"`
	// Noticed is from the cut to the first probe that was refused, OpenAgain
	// from the heal to the first of the last run of good answers. 0: never
	// refused.
	Noticed   map[Probe]float64 `json:"noticed_after_seconds"`
	OpenAgain map[Probe]float64 `json:"open_again_after_seconds"`
}

// Settings are what the run was told, for the record.
type Settings struct {
	Version string   `json:"version"`
	Every   float64  `json:"seconds_between_probes"`
	Cut     []string `json:"cut"`
	Heal    []string `json:"heal"`
}

// Result is the outcome of a run.
type Result struct {
	Machine  bench.Machine `json:"machine"`
	Settings Settings      `json:"settings"`

	CutAt  float64 `json:"cut_at_seconds"`
	HealAt float64 `json:"heal_at_seconds"`
	Nodes  []Node  `json:"nodes"`
	// Hung counts probes that had no answer within HangAfter.
	Hung int `json:"hung"`
}

// HangAfter is when a probe counts as hanging: longer than any answer that a
// node that is well gives, a held publish included.
const HangAfter = 20 * time.Second

// attempt is one probe and how it went. Immutable.
type attempt struct {
	node  int
	probe Probe
	began time.Duration // since the start
	took  time.Duration
	ok    bool
	code  string // of a refusal; "" for none
}

// Run cuts a cluster and heals it while clients of every node go on.
func Run(ctx context.Context, c Config) (*Result, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &run{cfg: &c, began: time.Now()}
	var wg sync.WaitGroup
	for n := range c.Targets {
		for _, p := range probes {
			wg.Go(func() { s.probe(ctx, n, p) })
		}
	}
	res := &Result{Machine: bench.ThisMachine(),
		Settings: Settings{Version: c.Version.String(), Every: c.Every.Seconds(), Cut: c.Cut, Heal: c.Heal}}
	err := s.story(ctx, res)
	// Probes that wait for an answer get the time that an answer may take.
	time.AfterFunc(HangAfter, cancel)
	s.over.Store(true)
	wg.Wait()
	if err != nil {
		return nil, err
	}
	s.sum(res)
	return res, nil
}

// story does what happens to the cluster.
func (s *run) story(ctx context.Context, res *Result) error {
	for _, part := range []struct {
		phase string
		long  time.Duration
		next  []string
		at    *float64
	}{
		{"whole", s.cfg.Before, s.cfg.Cut, &res.CutAt},
		{"split", s.cfg.During, s.cfg.Heal, &res.HealAt},
		{"healed", s.cfg.After, nil, nil},
	} {
		if err := s.wait(ctx, part.phase, part.long); err != nil {
			return err
		}
		if part.next == nil {
			continue
		}
		*part.at = time.Since(s.began).Seconds()
		if out, err := exec.CommandContext(ctx, part.next[0], part.next[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(part.next, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

func (s *run) wait(ctx context.Context, phase string, long time.Duration) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(long); time.Now().Before(end); {
		if s.cfg.Tick != nil {
			s.cfg.Tick(int(time.Since(s.began).Seconds()), phase)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// sum turns attempts into the table.
func (s *run) sum(res *Result) {
	seconds := int((s.cfg.Before + s.cfg.During + s.cfg.After).Seconds()) + 1
	res.Nodes = make([]Node, len(s.cfg.Targets))
	for i := range res.Nodes {
		n := &res.Nodes[i]
		n.Target, n.Seconds = s.cfg.Targets[i], make([]map[Probe]Cell, seconds)
		for j := range n.Seconds {
			n.Seconds[j] = map[Probe]Cell{}
		}
		n.Noticed, n.OpenAgain = map[Probe]float64{}, map[Probe]float64{}
	}
	sort.Slice(s.done, func(i, j int) bool { return s.done[i].began < s.done[j].began })
	closed := map[[2]any]bool{}
	for _, a := range s.done {
		if a.took >= HangAfter {
			res.Hung++
		}
		n := &res.Nodes[a.node]
		if at := int(a.began.Seconds()); at < seconds {
			n.Seconds[at][a.probe] = n.Seconds[at][a.probe].with(a)
		}
		key := [2]any{a.node, a.probe}
		answered := (a.began + a.took).Seconds()
		switch {
		case !a.ok && answered >= res.CutAt && !closed[key]:
			closed[key] = true
			if n.Noticed[a.probe] == 0 {
				n.Noticed[a.probe] = answered - res.CutAt
			}
			delete(n.OpenAgain, a.probe)
		case a.ok && closed[key] && a.began.Seconds() >= res.HealAt:
			closed[key] = false
			n.OpenAgain[a.probe] = answered - res.HealAt
		}
	}
}

func (c Cell) with(a attempt) Cell {
	switch {
	case a.ok:
		c.OK++
	case a.code != "":
		c.Refused++
	default:
		c.Failed++
	}
	if a.code != "" {
		if c.Codes == nil {
			c.Codes = map[string]int{}
		}
		c.Codes[a.code]++
	}
	c.Slowest = max(c.Slowest, a.took.Seconds())
	return c
}

// codeOf names the refusal in an error, "" if it is none.
func codeOf(err error) string {
	var refused *client.RefusedError
	if errors.As(err, &refused) {
		return fmt.Sprintf("0x%02x", uint8(refused.Reason))
	}
	return ""
}
