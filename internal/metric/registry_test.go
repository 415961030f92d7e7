package metric

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestEachIsSortedAndComplete(t *testing.T) {
	r := New()
	r.Gauge(Opts{Name: "sessions", Help: "Sessions."}).Set(-3)
	vec := r.CounterVec(Opts{Name: "publish_total", Help: "Publishes.", Label: "version"}, "5", "4")
	vec["4"].Add(7)
	vec["5"].Inc()
	h := r.Histogram(Opts{Name: "commit_seconds", Help: "Commits."}, []float64{0.1, 1})
	h.Observe(0.1)
	h.Observe(0.5)
	h.Observe(9)
	r.GaugeFunc(Opts{Name: "a_bytes", Help: "A."}, func() float64 { return 2.5 })
	var got []string
	r.Each(func(s Sample) {
		got = append(got, fmt.Sprintf("%s %s{%s} %v %d %v", s.Kind, s.Name, s.LabelValue, s.Value, s.Count, s.Buckets))
	})
	want := []string{
		"gauge a_bytes{} 2.5 0 []",
		"histogram commit_seconds{} 9.6 3 [{0.1 1} {1 2}]",
		"counter publish_total{4} 7 0 []",
		"counter publish_total{5} 1 0 []",
		"gauge sessions{} -3 0 []",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWrongDeclarationsPanic(t *testing.T) {
	ok := Opts{Name: "x_total", Help: "X.", Verne: "x"}
	cases := map[string]func(r *Registry){
		"same name":       func(r *Registry) { r.Counter(Opts{Name: "x_total", Help: "X."}) },
		"same VerneMQ":    func(r *Registry) { r.Counter(Opts{Name: "y_total", Help: "Y.", Verne: "x"}) },
		"no help":         func(r *Registry) { r.Gauge(Opts{Name: "y"}) },
		"upper case":      func(r *Registry) { r.Gauge(Opts{Name: "Y", Help: "Y."}) },
		"counter suffix":  func(r *Registry) { r.Counter(Opts{Name: "y", Help: "Y."}) },
		"vec without key": func(r *Registry) { r.CounterVec(Opts{Name: "y_total", Help: "Y."}, "a") },
		"value twice":     func(r *Registry) { r.CounterVec(Opts{Name: "y_total", Help: "Y.", Label: "l"}, "a", "a") },
		"reserved label":  func(r *Registry) { r.CounterVec(Opts{Name: "y_total", Help: "Y.", Label: "node"}, "a") },
		"buckets descend": func(r *Registry) { r.Histogram(Opts{Name: "y", Help: "Y."}, []float64{2, 1}) },
		"no buckets":      func(r *Registry) { r.Histogram(Opts{Name: "y", Help: "Y."}, nil) },
	}
	for name, declare := range cases {
		t.Run(name, func(t *testing.T) {
			r := New()
			r.Counter(ok)
			defer func() {
				if p := recover(); p == nil || !strings.HasPrefix(fmt.Sprint(p), "BUG:") {
					t.Fatalf("want a panic that begins BUG:, got %v", p)
				}
			}()
			declare(r)
		})
	}
}

func TestConcurrentUseLosesNothing(t *testing.T) {
	const workers, each = 8, 2000
	r := New()
	c := r.Counter(Opts{Name: "c_total", Help: "C."})
	g := r.Gauge(Opts{Name: "g", Help: "G."})
	h := r.Histogram(Opts{Name: "h", Help: "H."}, []float64{1})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r.Counter(Opts{Name: fmt.Sprintf("late%d_total", w), Help: "L."})
			for range each {
				c.Inc()
				g.Add(1)
				h.Observe(0.5)
			}
			r.Each(func(Sample) {})
		})
	}
	wg.Wait()
	const want = workers * each
	if c.Value() != want || g.Value() != want || h.Count() != want || h.Sum() != want/2 {
		t.Fatalf("counter %d, gauge %d, histogram %d with sum %v, want %d", c.Value(), g.Value(), h.Count(), h.Sum(), want)
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	r := New()
	c := r.Counter(Opts{Name: "c_total", Help: "C."})
	g := r.Gauge(Opts{Name: "g", Help: "G."})
	h := r.Histogram(Opts{Name: "h", Help: "H."}, []float64{1, 2, 4, 8})
	if n := testing.AllocsPerRun(1000, func() { c.Add(3); g.Add(-1); h.Observe(3) }); n != 0 {
		t.Fatalf("%v allocations a round, want none", n)
	}
}

func BenchmarkCounterAdd(b *testing.B) {
	c := New().Counter(Opts{Name: "c_total", Help: "C."})
	b.ReportAllocs()
	for b.Loop() {
		c.Add(1)
	}
}

// BenchmarkNeighbours shows what the padding buys: each goroutine has a
// counter of its own, and they must not slow each other.
func BenchmarkNeighbours(b *testing.B) {
	r := New()
	values := make([]string, 64)
	for i := range values {
		values[i] = fmt.Sprint("v", i)
	}
	vec := r.CounterVec(Opts{Name: "c_total", Help: "C.", Label: "l"}, values...)
	var mu sync.Mutex
	next := 0
	b.RunParallel(func(pb *testing.PB) {
		mu.Lock()
		c := vec[values[next%len(values)]]
		next++
		mu.Unlock()
		for pb.Next() {
			c.Add(1)
		}
	})
}

func BenchmarkHistogramObserve(b *testing.B) {
	h := New().Histogram(Opts{Name: "h", Help: "H."}, []float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1})
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(3e-4)
	}
}
