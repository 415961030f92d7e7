package topic

import (
	"fmt"
	"runtime"
	"testing"
)

// budget is the live heap per subscription that issue and package promise.
const budget = 250

// load is a shape of a routing table at which memory and speed are held.
// The filters are made by the caller, as a session makes them, and are
// counted: exact ones stay in the Index, wildcard ones do not. Immutable.
type load struct {
	name   string
	filter func(i int) Filter
	subs   int  // distinct subscribers
	match  bool // whether results are remembered as well
}

// half is exact for even i, the given wildcard filter for odd i.
func half(wild func(i int) string) func(i int) Filter {
	return func(i int) Filter {
		if i%2 == 0 {
			return Filter(fmt.Sprintf("site/%d/dev/%d/state", i/1000, i))
		}
		return Filter(wild(i))
	}
}

var loads = []load{
	{"own filters", half(func(i int) string { return fmt.Sprintf("site/%d/dev/%d/+", i/1000, i) }), 10000, false},
	{"own first levels", half(func(i int) string { return fmt.Sprintf("dev/%d/cmd/#", i) }), 10000, false},
	{"own sites", half(func(i int) string { return fmt.Sprintf("site/%d/dev/%d/+", i, i%10) }), 10000, false},
	{"shared by hundreds", func(i int) Filter { return Filter(fmt.Sprintf("room/%d/+", i%(1+i/300))) }, 0, true},
	{"shared by all", func(i int) Filter { return [...]Filter{"news/#", "news/today"}[i%2] }, 0, true},
}

// build subscribes count times. With load.subs 0 each subscriber is new.
func (l load) build(count int) (*Index[*int], []*int) {
	x := NewIndex[*int](Config{})
	n := l.subs
	if n == 0 {
		n = count
	}
	store := make([]int, n) // one allocation, taken off by the caller
	subs := make([]*int, n)
	for i := range subs {
		subs[i] = &store[i]
	}
	for i := range count {
		x.Subscribe(l.filter(i), subs[i*7919%n], Options{QoS: 1})
	}
	return x, subs
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// bytesPerSub measures the live heap of a table of count subscriptions.
func (l load) bytesPerSub(count int) float64 {
	before := heap()
	x, subs := l.build(count)
	if l.match {
		for i := 0; i < count; i += 300 {
			x.Match([]byte(fmt.Sprintf("room/%d/a", i/300)))
		}
		x.Match([]byte("news"))
	}
	after := heap() - int64(len(subs))*16
	got := float64(after-before) / float64(x.Len())
	runtime.KeepAlive(x)
	runtime.KeepAlive(subs)
	return got
}

// TestMemory is guarantee 8 at a twentieth of the size that BenchmarkMemory
// measures; the fixed part of an Index weighs twenty times as much here.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector pads allocations: only the building is checked")
	}
	for _, l := range loads {
		got := l.bytesPerSub(50_000)
		t.Logf("%-20s %.0f B each", l.name, got)
		if got > budget && !raceEnabled {
			t.Errorf("%s: %.0f B of live heap per subscription, budget %d", l.name, got, budget)
		}
	}
}

// TestMemoryReturns: what was subscribed and left again is not kept.
func TestMemoryReturns(t *testing.T) {
	for _, l := range loads {
		before := heap()
		x, subs := l.build(20_000)
		for i := range 20_000 {
			x.Unsubscribe(l.filter(i), subs[i*7919%len(subs)])
		}
		n := len(subs)
		subs = nil
		if x.Len() != 0 {
			t.Fatalf("%s: %d subscriptions are left", l.name, x.Len())
		}
		// The Index itself: cells, counters and shards.
		if got := heap() - before - int64(n)*8; got > 1<<20 && !raceEnabled {
			t.Errorf("%s: %d bytes stay when all have left", l.name, got)
		}
		runtime.KeepAlive(x)
	}
}
