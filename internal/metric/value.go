package metric

import (
	"math"
	"sort"
	"sync/atomic"
)

// cacheLineBytes keeps two values that different cores write off one line.
const cacheLineBytes = 64

// Counter only grows. Its one word is atomic; any goroutine may use it.
type Counter struct {
	v atomic.Uint64
	_ [cacheLineBytes - 8]byte
}

// Add adds n.
func (c *Counter) Add(n uint64) { c.v.Add(n) }

// Inc adds one.
func (c *Counter) Inc() { c.v.Add(1) }

// Value returns the sum so far.
func (c *Counter) Value() uint64 { return c.v.Load() }

func (c *Counter) float() float64 { return float64(c.v.Load()) }

// Gauge goes up and down. Its one word is atomic; any goroutine may use it.
type Gauge struct {
	v atomic.Int64
	_ [cacheLineBytes - 8]byte
}

// Set replaces the value.
func (g *Gauge) Set(n int64) { g.v.Store(n) }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) { g.v.Add(n) }

// Value returns the value.
func (g *Gauge) Value() int64 { return g.v.Load() }

func (g *Gauge) float() float64 { return float64(g.v.Load()) }

// Histogram counts observations by upper bound. Its words are atomic; any
// goroutine may use it. A reader may see an observation in a bucket and not
// yet in the sum: the two are not taken together, which no rate notices.
type Histogram struct {
	bounds []float64       // ascending; immutable
	counts []atomic.Uint64 // one per bound and one above; not cumulative
	sum    atomic.Uint64   // bits of a float64
}

func newHistogram(bounds []float64) *Histogram {
	return &Histogram{
		bounds: append([]float64(nil), bounds...),
		counts: make([]atomic.Uint64, len(bounds)+1),
	}
}

// Observe counts v in the first bucket whose bound is not below it. Not a
// number counts above the last bound and leaves the sum alone.
func (h *Histogram) Observe(v float64) {
	if math.IsNaN(v) {
		h.counts[len(h.bounds)].Add(1)
		return
	}
	h.counts[sort.SearchFloat64s(h.bounds, v)].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// Count returns the number of observations.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Sum returns the sum of the observations.
func (h *Histogram) Sum() float64 { return math.Float64frombits(h.sum.Load()) }

// buckets returns cumulative counts per bound and the count of all.
func (h *Histogram) buckets() (list []Bucket, count uint64) {
	list = make([]Bucket, len(h.bounds))
	for i, b := range h.bounds {
		count += h.counts[i].Load()
		list[i] = Bucket{UpperBound: b, Count: count}
	}
	return list, count + h.counts[len(h.bounds)].Load()
}
