package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tombolo/internal/admin"
	"tombolo/mqtt/packet"
)

// TrialConfig says what a trial is made of. A value.
type TrialConfig struct {
	Binary      string
	Dir         string            // for the brokers' directories
	Nodes       int               // 3 to 5
	Options     map[string]string // of every broker, above those of the laboratory
	Base        string            // an operator's configuration file: see Broker; only what belongs to a host is set above it
	Here        bool              // clients are on this machine itself, not on a host of their own
	Publishers  int               // for each node, at QoS 1 and 2 in turn
	Subscribers int               // for each node
	Pace        time.Duration     // between two messages of one publisher
	Size        int               // of their payloads, at least
	Small       []int             // nodes whose disk is small enough to be filled
	Log         func(format string, args ...any)
}

// Trial is a cluster with robots at work in a laboratory. Its methods belong to
// one goroutine.
type Trial struct {
	Net         *Network
	Brokers     []*Broker
	History     *History
	Publishers  []*Robot
	Subscribers []*Robot

	cfg  TrialConfig
	stop context.CancelFunc
	wg   sync.WaitGroup
	// publishing ends before the subscribers do.
	stopPublishing context.CancelFunc
	wrong, ill     bool // what the steps up to now have left behind
}

// ClusterOptions are what the brokers of a laboratory are told, but for what
// belongs to one host. Queues have no limit: what a limit drops is not lost by a
// fault, and a session that stays away for half a minute would reach it.
func ClusterOptions() map[string]string {
	return map[string]string{
		"allow_anonymous":        "on",
		"log.console":            "console",
		"systree_enabled":        "off",
		"leveldb.maximum_memory": "64MB",
		"max_offline_messages":   "-1",
		"max_online_messages":    "-1",
		"cluster.name":           "lab",
		"cluster.secret_key":     "dG9tYm9sbyBsYWIga2V5IQ==",
	}
}

// NewTrial makes the network and starts the brokers, one host each, and one more
// host for clients that reaches all of them.
func NewTrial(ctx context.Context, c TrialConfig) (*Trial, error) {
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	w, err := newNetwork(c.Nodes+1, c.Here)
	if err != nil {
		return nil, err
	}
	t := &Trial{Net: w, History: NewHistory(), cfg: c, stop: func() {}, stopPublishing: func() {}}
	for i := range c.Nodes {
		t.Brokers = append(t.Brokers, t.broker(i))
	}
	for _, i := range c.Small {
		if err := t.Brokers[i].confine(); err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	if err := t.startAll(ctx, t.All()); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	if err := t.AwaitWhole(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// broker is the one on a host, with every node as a seed.
func (t *Trial) broker(i int) *Broker {
	h := t.Net.Host(i)
	b := &Broker{Host: h, Binary: t.cfg.Binary, Dir: filepath.Join(t.cfg.Dir, fmt.Sprintf("node%d", i+1)), Options: ClusterOptions(), Base: t.cfg.Base}
	if b.Base != "" {
		clear(b.Options)
	}
	var seeds []string
	for k := range t.cfg.Nodes {
		seeds = append(seeds, t.Net.Host(k).Addr().String()+":44054")
	}
	b.Options["nodename"] = fmt.Sprintf("node%d", i+1)
	b.Options["data_dir"] = filepath.Join(b.Dir, "data")
	b.Options["listener.tcp.default"] = b.Address()
	b.Options["cluster.bind_address"] = h.Addr().String()
	b.Options["cluster.seeds"] = strings.Join(seeds, ",")
	b.Options["cluster.rehearsal"] = "on"
	maps.Copy(b.Options, t.cfg.Options)
	return b
}

// startAll starts brokers at once: the first may wait for the others.
func (t *Trial) startAll(ctx context.Context, nodes []int) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = t.Brokers[n].Start(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// AwaitWhole waits until every node knows all the others, admits everything, and
// has been with them for long enough to be a majority when one is lost.
func (t *Trial) AwaitWhole(ctx context.Context) error {
	_, err := t.Await(ctx, time.Now(), t.All(), func(v *admin.ClusterView) bool {
		return Whole(v) && v.Majority && len(v.Members) == t.cfg.Nodes
	})
	return err
}

// Outside is the host of the clients.
func (t *Trial) Outside() *Host { return t.Net.Host(t.Net.Hosts() - 1) }

// Run starts the robots.
func (t *Trial) Run(ctx context.Context) {
	all, stop := context.WithCancel(ctx)
	publishing, stopPublishing := context.WithCancel(all)
	t.stop, t.stopPublishing = stop, stopPublishing
	for n := range t.cfg.Nodes {
		for i := range t.cfg.Subscribers {
			r := t.robot(fmt.Sprintf("s%d-%d", n+1, i), n, i)
			r.Topic, r.QoS = "lab/#", byte(1+i%2)
			if i%3 == 1 {
				r.Topic = "lab/+/data"
			}
			t.Subscribers = append(t.Subscribers, r)
			t.wg.Go(func() { r.Subscribe(all) })
		}
	}
	for n := range t.cfg.Nodes {
		for i := range t.cfg.Publishers {
			r := t.robot(fmt.Sprintf("p%d-%d", n+1, i), n, i)
			r.Topic, r.QoS, r.Pause = "lab/"+r.Name+"/data", byte(1+i%2), t.cfg.Pace
			r.Size = t.cfg.Size
			t.Publishers = append(t.Publishers, r)
			t.wg.Go(func() { r.Publish(publishing) })
		}
	}
}

// robot makes one that begins at node n; every other speaks MQTT 3.1.1.
func (t *Trial) robot(name string, n, i int) *Robot {
	r := &Robot{Name: name, Version: packet.V5, Dial: t.Outside().Dial, History: t.History, Within: 20 * time.Second}
	if (n+i)%2 == 1 {
		r.Version = packet.V311
	}
	var list []string
	for k := range t.Brokers {
		list = append(list, t.Brokers[(n+k)%len(t.Brokers)].Address())
	}
	r.UseBrokers(list...)
	return r
}

// Play does the steps of a schedule.
func (t *Trial) Play(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		pause(ctx, s.After)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.History.Event("%s", s)
		t.cfg.Log("%s", s)
		t.History.Wrong(t.wrong || t.ill || s.Action != Wander && s.Action != Clock)
		err := t.step(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		switch s.Action {
		case Split, OneWay, Apart, Slow:
			t.wrong = true
		case Freeze, Full:
			t.ill = true
		case Thaw, Room:
			t.ill = false
		case Heal:
			t.wrong = false
		}
		t.History.Wrong(t.wrong || t.ill)
	}
	return nil
}

func (t *Trial) step(ctx context.Context, s Step) error {
	switch s.Action {
	case Split:
		t.Net.Cut(s.A, t.others(s.A))
	case OneWay:
		t.Net.SetRule(s.A[0], s.B, Rule{Cut: true})
	case Apart:
		t.Net.Cut([]int{s.A[0]}, []int{s.B})
	case Slow:
		t.Net.SetRule(s.A[0], s.B, Rule{Loss: 0.02, Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond})
	case Heal:
		t.Net.Heal()
	case Freeze:
		return t.Brokers[s.A[0]].Freeze()
	case Thaw:
		return t.Brokers[s.A[0]].Thaw()
	case Kill, Restart:
		return t.restart(ctx, t.Brokers[s.A[0]], s.Action == Kill)
	case Full:
		return t.Brokers[s.A[0]].fill()
	case Room:
		if err := t.Brokers[s.A[0]].empty(); err != nil {
			return err
		}
		return t.restart(ctx, t.Brokers[s.A[0]], true)
	case Clock:
		return t.Brokers[s.A[0]].SetClock(ctx, s.By)
	case Wander:
		for _, r := range t.Subscribers {
			r.Move()
		}
	}
	return nil
}

// restart ends a broker and starts it again. A start that has to wait for the
// others is no fault of the step.
func (t *Trial) restart(ctx context.Context, b *Broker, kill bool) error {
	if kill {
		b.Kill()
	} else if err := b.Stop(ctx); err != nil {
		return err
	}
	t.History.Ended(b.Address(), kill)
	return b.Start(ctx)
}

func (t *Trial) others(list []int) []int {
	var out []int
	for i := range t.cfg.Nodes {
		if !slices.Contains(list, i) {
			out = append(out, i)
		}
	}
	return out
}

// Settle heals everything, ends the publishers, waits until what is owed has
// arrived or ctx ends, and returns what contradicts the promises.
func (t *Trial) Settle(ctx context.Context) []string {
	t.Net.Heal()
	t.History.Event("settle")
	t.stopPublishing()
	for quiet := 0; quiet < 5 && ctx.Err() == nil; {
		pause(ctx, 200*time.Millisecond)
		if quiet++; t.History.Missing() > 0 {
			quiet = 0
		}
	}
	return t.History.Check()
}

// Close ends the robots and the laboratory.
func (t *Trial) Close() error {
	t.stop()
	t.wg.Wait()
	err := t.Net.Close()
	for _, b := range t.Brokers {
		err = errors.Join(err, b.release())
	}
	return err
}
