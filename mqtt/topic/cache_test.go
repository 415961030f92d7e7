package topic

import (
	"fmt"
	"reflect"
	"testing"
)

// TestHitAllocatesNothing is guarantee 5.
func TestHitAllocatesNothing(t *testing.T) {
	x := NewIndex[*int](Config{})
	for i := range 10 {
		x.Subscribe(Filter(fmt.Sprintf("a/%d/+", i)), new(int), Options{ID: 1})
		x.SubscribeShared("g", "a/#", new(int), Options{})
	}
	for _, n := range []string{"a/1/x", "nobody/is/here", "a/2/a/rather/long/topic/with/ten/levels/or/so"} {
		name := []byte(n)
		x.Match(name)
		if got := testing.AllocsPerRun(100, func() { x.Match(name) }); got != 0 {
			t.Errorf("Match(%q) from the cache allocates %v times", n, got)
		}
	}
	if got := x.Misses(); got != 3 {
		t.Errorf("%d misses, want 3: the rest came from the cache", got)
	}
}

// TestInvalidation: a change to a filter ends the results of the topics that
// it matches, and of few others.
func TestInvalidation(t *testing.T) {
	x := NewIndex[int](Config{})
	for _, c := range []struct {
		filter Filter
		topic  string
	}{
		{"a/b", "a/b"},
		{"a/b/+", "a/b/c"},
		{"a/#", "a"},
		{"a/#", "a/b/c"},
		{"#", "x"},
		{"+/y", "x/y"},
		{"/+", "/x"},
		{"/#", "/"},
		{"1/2/3/4/5/6/7/8/+", "1/2/3/4/5/6/7/8/9"},
		{"1/2/3/4/5/6/7/8/9", "1/2/3/4/5/6/7/8/9"},
		{"1/2/3/4/5/6/#", "1/2/3/4/5/6"},
		{"$a/+", "$a/b"},
	} {
		name := []byte(c.topic)
		before := x.Match(name)
		x.Subscribe(c.filter, 1, Options{QoS: 1})
		during := x.Match(name)
		x.Subscribe(c.filter, 1, Options{QoS: 2})
		replaced := x.Match(name)
		x.Unsubscribe(c.filter, 1)
		after := x.Match(name)
		if len(before.Direct) != 0 || !hasSub(during, 1) || replaced.Direct[0].Options.QoS != 2 || len(after.Direct) != 0 {
			t.Errorf("%q under %q: %v, %v, %v, %v", c.topic, c.filter, before.Direct, during.Direct, replaced.Direct, after.Direct)
		}
	}
	for i := range 100 {
		x.Match([]byte(fmt.Sprint("keep/", i)))
	}
	misses := x.Misses()
	for i := range 10 {
		x.Subscribe(Filter(fmt.Sprintf("other/%d/+", i)), 1, Options{})
		x.Subscribe(Filter(fmt.Sprintf("other/%d", i)), 1, Options{})
		x.Subscribe(Filter(fmt.Sprintf("other/%d", i)), 1, Options{}) // the same again
	}
	for i := range 100 {
		x.Match([]byte(fmt.Sprint("keep/", i)))
	}
	if got := x.Misses() - misses; got > 30 {
		t.Errorf("20 subscribes elsewhere ended %d of 100 results", got)
	}
}

// TestCacheBounds: entries and hits stay within their limits, and results
// that are over do not stay for ever.
func TestCacheBounds(t *testing.T) {
	x := NewIndex[int](Config{CacheEntries: 16, CacheHits: 100})
	for i := range 10 {
		x.Subscribe("t/#", i, Options{})
	}
	count := func() (entries int, hits int64) {
		for i := range x.cache.cells {
			if e := x.cache.cells[i].Load(); e != nil {
				entries++
				hits += e.weight
			}
		}
		return entries, hits
	}
	for i := range 1000 {
		x.Match([]byte(fmt.Sprint("t/", i)))
		if entries, hits := count(); entries > 16 || hits > 100 || hits != x.cache.held.Load() {
			t.Fatalf("after %d topics: %d entries, %d hits, %d counted", i, entries, hits, x.cache.held.Load())
		}
	}
	for i := range 60 {
		x.Subscribe("big", i, Options{})
	}
	x.Match([]byte("big"))
	if e := x.cache.get(0, []byte("big")); e != nil {
		t.Errorf("a result of 60 hits is kept in a cache for 100")
	}
	for i := range 10 {
		x.Unsubscribe("t/#", i)
		x.Unsubscribe("big", i)
	}
	if entries, hits := count(); entries != 0 {
		t.Errorf("after 20 unsubscribes %d entries and %d hits stay that are over", entries, hits)
	}
}

// TestSharing: topics that match through one filter share one slice, and
// folding does not write to it.
func TestSharing(t *testing.T) {
	x := NewIndex[int](Config{})
	for i := range 50 {
		x.Subscribe("t/#", i, Options{ID: uint32(i + 1)})
		x.SubscribeShared("g", "t/#", i, Options{ID: 7})
	}
	a, b := x.Match([]byte("t/a")), x.Match([]byte("t/b"))
	if &a.Direct[0] != &b.Direct[0] || &a.Shared[0].Members[0] != &b.Shared[0].Members[0] {
		t.Errorf("two topics with the same subscribers do not share them")
	}
	was := fmt.Sprint(a.Direct)
	x.Subscribe("t/c", 3, Options{QoS: 2, ID: 100})
	c := x.Match([]byte("t/c"))
	if got := c.Direct[0]; got.Sub != 3 || !reflect.DeepEqual(got.IDs, []uint32{100, 4}) || got.Options.QoS != 2 {
		t.Errorf("folded: %v", got)
	}
	if len(c.Direct) != 50 || fmt.Sprint(a.Direct) != was {
		t.Errorf("a result has changed after Match returned it")
	}
}

// TestFold pins the rules of the contract for overlapping filters.
func TestFold(t *testing.T) {
	x := NewIndex[int](Config{})
	x.Subscribe("a", 1, Options{QoS: 0, NoLocal: true, ID: 5, RetainHandling: 2})
	x.Subscribe("#", 1, Options{QoS: 2, NoLocal: true, ID: 5})
	got := x.Match([]byte("a")).Direct[0]
	want := Hit[int]{Sub: 1, Options: Options{QoS: 2, NoLocal: true, ID: 5, RetainHandling: 2}, IDs: []uint32{5, 5}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	x.Subscribe("+", 1, Options{QoS: 1, RetainAsPublished: true})
	got = x.Match([]byte("a")).Direct[0]
	want.Options.NoLocal, want.Options.RetainAsPublished = false, true
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with a third filter: got %+v, want %+v", got, want)
	}
}
