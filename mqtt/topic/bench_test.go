package topic

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// benchSubs is the size of the table in the issue.
const benchSubs = 1_000_000

// BenchmarkMemory reports live heap and building time of a million
// subscriptions; run it with -benchtime 1x.
func BenchmarkMemory(b *testing.B) {
	for _, l := range loads {
		b.Run(l.name, func(b *testing.B) {
			for b.Loop() {
				start := time.Now()
				got := l.bytesPerSub(benchSubs)
				b.ReportMetric(got, "B/sub")
				b.ReportMetric(time.Since(start).Seconds()*1e9/benchSubs, "ns/sub")
			}
		})
	}
}

var million = sync.OnceValue(func() *Index[*int] {
	x, _ := loads[0].build(benchSubs)
	return x
})

// matchNames are topics that hit one filter each of the large table.
func matchNames(n int) [][]byte {
	names := make([][]byte, n)
	for i := range names {
		k := i * 7919 % benchSubs
		names[i] = []byte(fmt.Sprintf("site/%d/dev/%d/state", k/1000, k))
	}
	return names
}

// BenchmarkMatch measures one Match in a table of a million, cached and not,
// with its 99th percentile.
func BenchmarkMatch(b *testing.B) {
	x := million()
	for _, c := range []struct {
		name   string
		topics int
	}{{"cached", 1000}, {"uncached", 500_000}} {
		names := matchNames(c.topics)
		for _, n := range names[:min(len(names), 20_000)] {
			x.Match(n)
		}
		b.Run(c.name, func(b *testing.B) {
			took := make([]time.Duration, 0, 1<<20)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				x.Match(names[i])
				if d := time.Since(start); len(took) < cap(took) {
					took = append(took, d)
				}
				if i++; i == len(names) {
					i = 0
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
		})
	}
}

// BenchmarkStorm puts one subscribe to a filter of its own between any two
// matches of 1,000 cached topics, and reports how many of them had to search.
// With one generation for the table that would be all.
func BenchmarkStorm(b *testing.B) {
	x, names := million(), matchNames(1000)
	sub := new(int)
	misses, n := x.Misses(), 0
	for b.Loop() {
		f := fmt.Sprintf("site/%d/dev/%d/+", n/1000%1000, n%benchSubs)
		x.Subscribe(Filter(f), sub, Options{QoS: uint8(n / benchSubs)})
		x.Match(names[n%len(names)])
		n++
	}
	b.ReportMetric(float64(x.Misses()-misses)/float64(n)*100, "%miss")
}

// BenchmarkChurn measures one subscribe and unsubscribe on a filter that
// 100,000 subscribers share.
func BenchmarkChurn(b *testing.B) {
	x := NewIndex[int](Config{})
	for i := range 100_000 {
		x.Subscribe("news/#", i, Options{})
	}
	i := 0
	for b.Loop() {
		x.Unsubscribe("news/#", i%100_000)
		x.Subscribe("news/#", i%100_000, Options{})
		i++
	}
}
