package metric

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Kind tells how a value moves.
type Kind uint8

// The kinds of metric.
const (
	KindCounter   Kind = iota // only grows until the process ends
	KindGauge                 // goes up and down
	KindHistogram             // a distribution in cumulative buckets
)

// String returns the word that Prometheus uses in a TYPE line.
func (k Kind) String() string {
	switch k {
	case KindCounter:
		return "counter"
	case KindGauge:
		return "gauge"
	case KindHistogram:
		return "histogram"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Opts declares one metric. Immutable once registered.
type Opts struct {
	Name  string // Prometheus name with its unit, without namespace: "mqtt_publish_received_total"
	Help  string // one sentence
	Verne string // VerneMQ's name if the meaning is the same, "" otherwise
	Label string // label key of a vec, "" otherwise
}

// family is one declared metric with its series. Immutable once registered;
// the values behind the series are atomic.
type family struct {
	opts   Opts
	kind   Kind
	series []series // sorted by label value
}

// series is one value of a family. Immutable once registered; exactly one of
// read and histogram is set.
type series struct {
	label     string
	read      func() float64
	histogram *Histogram
}

// Registry is the list of everything that is counted in one process. Guarded
// by mu, except that the functions and values in the list are their own.
type Registry struct {
	mu struct {
		sync.Mutex
		families []*family // sorted by name; replaced, never changed in place
		names    map[string]bool
		verne    map[string]bool
	}
}

// New returns an empty registry.
func New() *Registry {
	r := &Registry{}
	r.mu.names = map[string]bool{}
	r.mu.verne = map[string]bool{}
	return r
}

// Counter registers a counter without labels.
func (r *Registry) Counter(o Opts) *Counter {
	c := new(Counter)
	r.add(o, KindCounter, []series{{read: c.float}})
	return c
}

// CounterVec registers a counter with one label whose values are fixed now.
// The map it returns must only be read.
func (r *Registry) CounterVec(o Opts, values ...string) map[string]*Counter {
	if o.Label == "" || len(values) == 0 {
		panic("BUG: metric " + o.Name + ": a vec needs a label key and at least one value")
	}
	counters := make(map[string]*Counter, len(values))
	list := make([]series, 0, len(values))
	for _, v := range values {
		if counters[v] != nil {
			panic("BUG: metric " + o.Name + ": label value " + v + " given twice")
		}
		c := new(Counter)
		counters[v] = c
		list = append(list, series{label: v, read: c.float})
	}
	r.add(o, KindCounter, list)
	return counters
}

// Gauge registers a gauge.
func (r *Registry) Gauge(o Opts) *Gauge {
	g := new(Gauge)
	r.add(o, KindGauge, []series{{read: g.float}})
	return g
}

// GaugeFunc registers a gauge that is computed when somebody looks. f must be
// safe for concurrent use and quick.
func (r *Registry) GaugeFunc(o Opts, f func() float64) {
	r.add(o, KindGauge, []series{{read: f}})
}

// CounterFunc registers a counter whose value is kept elsewhere. f must be
// safe for concurrent use, quick, and must never return less than before.
func (r *Registry) CounterFunc(o Opts, f func() float64) {
	r.add(o, KindCounter, []series{{read: f}})
}

// Histogram registers a histogram. The upper bounds must ascend; a bucket for
// everything above the last one is always there.
func (r *Registry) Histogram(o Opts, buckets []float64) *Histogram {
	if len(buckets) == 0 || !slices.IsSorted(buckets) || math.IsInf(buckets[len(buckets)-1], 1) {
		panic(fmt.Sprintf("BUG: metric %s: buckets must be finite and ascend: %v", o.Name, buckets))
	}
	h := newHistogram(buckets)
	r.add(o, KindHistogram, []series{{histogram: h}})
	return h
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// checkOpts holds the declaration to the house rules, so that a mistake shows
// at the first start and not in a dashboard.
func checkOpts(o Opts, k Kind, n int) {
	switch {
	case !nameForm.MatchString(o.Name):
		panic("BUG: metric name " + o.Name + " is not lower case, digits and underscores")
	case o.Verne != "" && !nameForm.MatchString(o.Verne):
		panic("BUG: metric " + o.Name + ": VerneMQ name " + o.Verne + " is malformed")
	case o.Label != "" && !nameForm.MatchString(o.Label):
		panic("BUG: metric " + o.Name + ": label key " + o.Label + " is malformed")
	case o.Label == "node" || o.Label == "le":
		panic("BUG: metric " + o.Name + ": label key " + o.Label + " is reserved")
	case o.Label != "" && n == 1 && k != KindCounter:
		panic("BUG: metric " + o.Name + ": only a counter may have a label")
	case strings.TrimSpace(o.Help) == "":
		panic("BUG: metric " + o.Name + " has no help")
	case k == KindCounter && !strings.HasSuffix(o.Name, "_total"):
		panic("BUG: counter " + o.Name + " does not end in _total")
	}
}

func (r *Registry) add(o Opts, k Kind, list []series) {
	checkOpts(o, k, len(list))
	slices.SortFunc(list, func(a, b series) int { return strings.Compare(a.label, b.label) })
	f := &family{opts: o, kind: k, series: list}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.names[o.Name] {
		panic("BUG: metric " + o.Name + " registered twice")
	}
	if o.Verne != "" && r.mu.verne[o.Verne] {
		panic("BUG: VerneMQ metric " + o.Verne + " registered twice, now by " + o.Name)
	}
	r.mu.names[o.Name] = true
	r.mu.verne[o.Verne] = true
	at, _ := slices.BinarySearchFunc(r.mu.families, o.Name, func(f *family, name string) int {
		return strings.Compare(f.opts.Name, name)
	})
	r.mu.families = slices.Insert(slices.Clone(r.mu.families), at, f)
}

// snapshot returns the families; the slice must not be changed.
func (r *Registry) snapshot() []*family {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.families
}
