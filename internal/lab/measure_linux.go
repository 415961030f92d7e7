package lab

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// Shape is a way to lose a node. Immutable.
type Shape struct {
	Name  string
	Nodes int
	Begin func(t *Trial) error
	End   func(t *Trial) error
	Sees  []int // who has to notice; nil: everybody
}

// Shapes are those that are measured.
var Shapes = []Shape{
	{Name: "one node alone", Nodes: 3, Begin: cutting(func(w *Network) { w.Cut([]int{0}, []int{1, 2}) })},
	{Name: "halves of four", Nodes: 4, Begin: cutting(func(w *Network) { w.Cut([]int{0, 1}, []int{2, 3}) })},
	{Name: "one way between two", Nodes: 3, Begin: cutting(func(w *Network) { w.SetRule(0, 1, Rule{Cut: true}) })},
	{Name: "both ways between two", Nodes: 3, Begin: cutting(func(w *Network) { w.Cut([]int{0}, []int{1}) })},
	{Name: "a frozen process", Nodes: 3, Sees: []int{1, 2},
		Begin: func(t *Trial) error { return t.Brokers[0].Freeze() }, End: func(t *Trial) error { return t.Brokers[0].Thaw() }},
}

func cutting(f func(w *Network)) func(t *Trial) error {
	return func(t *Trial) error { f(t.Net); return nil }
}

// Sample is what was measured of one thing. Owned by one goroutine.
type Sample []time.Duration

// String gives count, median, p99 and maximum in milliseconds.
func (s Sample) String() string {
	if len(s) == 0 {
		return "nothing"
	}
	slices.Sort(s)
	at := func(q float64) int64 { return s[min(int(q*float64(len(s))), len(s)-1)].Milliseconds() }
	return fmt.Sprintf("n %d, p50 %d ms, p99 %d ms, max %d ms", len(s), at(0.5), at(0.99), s[len(s)-1].Milliseconds())
}

// MeasureShapes loses and finds nodes in each shape, each in a cluster of its
// own, all at a time, and writes how long it took until each node had noticed,
// and until each gate was open again.
func MeasureShapes(ctx context.Context, out io.Writer, c TrialConfig, trials int) error {
	lines, errs := make([]string, len(Shapes)), make([]error, len(Shapes))
	var wg sync.WaitGroup
	for i, s := range Shapes {
		wg.Go(func() {
			c := c
			c.Dir, c.Nodes = filepath.Join(c.Dir, fmt.Sprint(i)), s.Nodes
			lines[i], errs[i] = s.measure(ctx, c, trials)
		})
	}
	wg.Wait()
	for i := range Shapes {
		if errs[i] != nil {
			return fmt.Errorf("%s: %w", Shapes[i].Name, errs[i])
		}
		fmt.Fprintln(out, lines[i])
	}
	return nil
}

func (s *Shape) measure(ctx context.Context, c TrialConfig, trials int) (string, error) {
	t, err := NewTrial(ctx, c)
	if err != nil {
		return "", err
	}
	defer t.Close()
	sees := s.Sees
	if sees == nil {
		sees = t.All()
	}
	var noticed, opened, asked Sample
	late := 0
	for n := range trials {
		began := time.Now()
		if err := s.Begin(t); err != nil {
			return "", err
		}
		answers := t.askAll(ctx, sees, n)
		took, err := t.Await(ctx, began, sees, Torn)
		if err != nil {
			return "", err
		}
		noticed = append(noticed, took...)
		asked = append(asked, <-answers...)
		began = time.Now()
		t.Net.Heal()
		if s.End != nil {
			if err := s.End(t); err != nil {
				return "", err
			}
		}
		if took, err = t.Await(ctx, began, t.All(), Whole); err != nil {
			return "", err
		}
		opened = append(opened, took...)
		if err := t.AwaitWhole(ctx); err != nil {
			return "", err
		}
	}
	for _, d := range asked {
		if d > 5*time.Second {
			late++
		}
	}
	return fmt.Sprintf("%-22s noticed: %s\n%-22s heal to open: %s\n%-22s CONNECT in the window: %s; %d later than 5 s", s.Name, noticed, "", opened, "", asked, late), nil
}

// askAll sends a CONNECT every 250 ms to each node for two seconds, and returns
// how long each answer took, whatever it was.
func (t *Trial) askAll(ctx context.Context, nodes []int, trial int) <-chan Sample {
	all := make(chan Sample, 1)
	var mu sync.Mutex
	var list Sample
	var wg sync.WaitGroup
	wg.Go(func() {
		for k := range 8 {
			for _, n := range nodes {
				wg.Go(func() {
					took, _ := t.connectOnce(ctx, n, fmt.Sprintf("w%d-%d-%d", trial, k, n))
					mu.Lock()
					list = append(list, took)
					mu.Unlock()
				})
			}
			pause(ctx, 250*time.Millisecond)
		}
	})
	go func() {
		wg.Wait()
		all <- list
	}()
	return all
}

// connectOnce measures CONNECT to CONNACK, or to what came in its place.
func (t *Trial) connectOnce(ctx context.Context, node int, id string) (time.Duration, error) {
	c, took, err := t.connect(ctx, node, id)
	if err == nil {
		c.Close()
	}
	return took, err
}

func (t *Trial) connect(ctx context.Context, node int, id string) (*client.Client, time.Duration, error) {
	began := time.Now()
	c, err := client.Dial(ctx, client.Config{Address: t.Brokers[node].Address(), Dial: t.Outside().Dial, Timeout: time.Minute,
		Connect: packet.Connect{Version: packet.V5, ClientID: []byte(id), CleanStart: true, KeepAlive: 60}})
	return c, time.Since(began), err
}

// takeoversOfOne is after how many connections the next id is measured: one that is
// taken over more often than cluster.takeovers_per_minute allows is held up for a second.
const takeoversOfOne = 30

// MeasureTakeover connects a client id at one node after the other and writes
// how long CONNACK took: with an id that is new, and with one that is connected
// at another node.
func MeasureTakeover(ctx context.Context, out io.Writer, c TrialConfig, count int) error {
	c.Nodes = 3
	t, err := NewTrial(ctx, c)
	if err != nil {
		return err
	}
	defer t.Close()
	var fresh, taken Sample
	var last *client.Client
	for i := range count {
		took, err := t.connectOnce(ctx, i%3, fmt.Sprint("new", i))
		if err != nil {
			return err
		}
		fresh = append(fresh, took)
		next, took, err := t.connect(ctx, i%3, fmt.Sprint("taken", i/takeoversOfOne))
		if err != nil {
			return err
		}
		go func() { _ = next.Run(ctx) }() // it ends when it is taken over
		if i%takeoversOfOne > 0 {
			taken = append(taken, took)
			last.Close()
		}
		last = next
	}
	fmt.Fprintf(out, "CONNACK, a new id:     %s\nCONNACK, taken over:   %s\n", fresh, taken)
	return nil
}

// MeasureFalseAlarms keeps both cores busy for a while, freezes nodes for up to
// 0.95 s now and then, and writes how many netsplits were seen.
func MeasureFalseAlarms(ctx context.Context, out io.Writer, c TrialConfig, d time.Duration) error {
	c.Nodes = 3
	t, err := NewTrial(ctx, c)
	if err != nil {
		return err
	}
	defer t.Close()
	var over atomic.Bool
	defer over.Store(true)
	for range 2 {
		go func() {
			for !over.Load() {
			}
		}()
	}
	pauses := 0
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; pauses++ {
		b := t.Brokers[pauses%3]
		if err := b.Freeze(); err != nil {
			return err
		}
		pause(ctx, time.Duration(100+(pauses*137)%850)*time.Millisecond)
		if err := b.Thaw(); err != nil {
			return err
		}
		pause(ctx, 1500*time.Millisecond)
	}
	alarms := 0.0
	for _, b := range t.Brokers {
		n, err := b.Metric(ctx, "netsplit_detected_total")
		if err != nil {
			return err
		}
		alarms += n
	}
	fmt.Fprintf(out, "false alarms:          %v in %v with two busy loops and %d pauses of 0.1 to 0.95 s\n", alarms, d, pauses)
	return nil
}
