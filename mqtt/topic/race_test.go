package topic

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// noise subscribes and unsubscribes at random until stop says so: crowds
// that grow and shrink, tables that are rebuilt, caches that are full.
func noise(x *Index[int], seed uint64, stop *atomic.Bool) {
	r := rand.New(rand.NewPCG(seed, 3))
	filters := []Filter{"t/+", "#", "t/#", "+/1", "t/1", "t/2", "x/+/y"}
	for i := 0; !stop.Load(); i++ {
		f := filters[r.IntN(len(filters))]
		if r.IntN(8) == 0 {
			f = Filter(fmt.Sprintf("t/%d/+", r.IntN(200)))
		}
		group := [...]string{"", "g"}[r.IntN(2)]
		s := 1000 + int(seed)*1000 + r.IntN(300)
		if i/1000%2 == 0 {
			x.SubscribeShared(group, f, s, Options{QoS: uint8(r.IntN(3))})
		} else {
			x.UnsubscribeShared(group, f, s)
		}
	}
}

// TestVisibility holds guarantee 1 with noise around it: each worker sees
// what it did itself, at once, on topics that all of them look up.
func TestVisibility(t *testing.T) {
	x := NewIndex[int](Config{CacheEntries: 64})
	var stop atomic.Bool
	var busy, workers sync.WaitGroup
	busy.Go(func() { noise(x, 1, &stop) })
	rounds := 1000
	if raceEnabled {
		rounds = 200
	}
	for w := range 3 {
		workers.Go(func() {
			for i := range rounds {
				f := [...]Filter{"t/1", "t/+", "#", "t/1/#", "+/+"}[i%5]
				x.Subscribe(f, w, Options{})
				x.SubscribeShared("w", f, w, Options{})
				r := x.Match([]byte("t/1"))
				if !hasSub(r, w) || !hasMember(r, "w", f, w) {
					t.Errorf("round %d: subscriber %d subscribed to %s and is not in the result", i, w, f)
				}
				x.Unsubscribe(f, w)
				x.UnsubscribeShared("w", f, w)
				r = x.Match([]byte("t/1"))
				if hasSub(r, w) || hasMember(r, "w", f, w) {
					t.Errorf("round %d: subscriber %d left %s and is still in the result", i, w, f)
				}
			}
		})
	}
	workers.Wait()
	stop.Store(true)
	busy.Wait()
}

// TestStaleResult holds guarantee 1 against readers that fill the cache: one
// that searched before a change must not leave its result as a current one.
// Nothing else happens here, since any other change would hide the mistake.
func TestStaleResult(t *testing.T) {
	x := NewIndex[int](Config{})
	for i := range 20 { // makes the search long and the window wide
		x.Subscribe(Filter([]string{"a/b/c", "#", "a/#", "a/+/c", "+/b/c"}[i%5]), 100+i, Options{})
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !stop.Load() {
				x.Match([]byte("a/b/c"))
			}
		})
	}
	rounds := 20_000
	if raceEnabled {
		rounds = 2000
	}
	for i := range rounds {
		there, still := true, false
		x.Subscribe("a/b/+", 1, Options{})
		for range 20 { // a late reader may yet put its result over ours
			there = there && hasSub(x.Match([]byte("a/b/c")), 1)
		}
		x.Unsubscribe("a/b/+", 1)
		for range 20 {
			still = still || hasSub(x.Match([]byte("a/b/c")), 1)
		}
		if !there || still {
			t.Errorf("round %d: seen after Subscribe: %v, after Unsubscribe: %v", i, there, still)
			break
		}
	}
	stop.Store(true)
	readers.Wait()
}

func hasMember(r *Result[int], group string, f Filter, s int) bool {
	for _, g := range r.Shared {
		if g.Name != group || g.Filter != f {
			continue
		}
		for _, h := range g.Members {
			if h.Sub == s {
				return true
			}
		}
	}
	return false
}

// TestSteady holds guarantee 2: who stays is never missed, whatever moves
// around it. The residents stand among subscribers that come and go, so that
// holes open and close beside them and everything is compacted.
func TestSteady(t *testing.T) {
	x := NewIndex[int](Config{CacheEntries: -1})
	filters := []Filter{"t/1", "t/+", "#", "t/7/+"}
	const residents = 5
	var stop atomic.Bool
	for i := range residents {
		for j := range 40 { // to be removed by the first decay of the noise
			x.Subscribe("t/+", 2000+i*40+j, Options{})
		}
		x.Subscribe(filters[i%len(filters)], i, Options{})
		x.SubscribeShared("g", filters[i%len(filters)], i, Options{})
	}
	var busy sync.WaitGroup
	for seed := range uint64(2) {
		busy.Go(func() { noise(x, seed+1, &stop) })
	}
	rounds := 1000
	if raceEnabled {
		rounds = 200
	}
	for range rounds {
		for i := range residents {
			f, n := filters[i%len(filters)], "t/1"
			if f == "t/7/+" {
				n = "t/7/x"
			}
			r := x.Match([]byte(n))
			if !hasSub(r, i) || !hasMember(r, "g", f, i) {
				t.Fatalf("resident %d of %s was missed by Match(%q)", i, f, n)
			}
		}
	}
	stop.Store(true)
	busy.Wait()
}

// TestEachSteady: what stays is seen exactly once by Each, whatever moves.
func TestEachSteady(t *testing.T) {
	x := NewIndex[int](Config{})
	for i := range 200 {
		x.Subscribe(Filter(fmt.Sprintf("t/%d/+", i)), i, Options{})
		x.Subscribe("t/1", i, Options{})
	}
	var stop atomic.Bool
	var busy sync.WaitGroup
	busy.Go(func() { noise(x, 1, &stop) })
	for range 60 {
		seen := 0
		x.Each(func(_ Filter, _ string, s int, _ Options) bool {
			if s < 200 {
				seen++
			}
			return true
		})
		if seen != 400 {
			t.Fatalf("Each yields %d of 400 subscriptions that stay", seen)
		}
	}
	stop.Store(true)
	busy.Wait()
}

// TestTurns: all results that hold a group take turns from one counter.
func TestTurns(t *testing.T) {
	x := NewIndex[int](Config{})
	x.SubscribeShared("g", "t/+", 1, Options{})
	x.SubscribeShared("h", "t/+", 1, Options{})
	var seen sync.Map
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for i := range 500 {
				g := &x.Match([]byte(fmt.Sprintf("t/%d", (w+i)%7))).Shared[0]
				if _, twice := seen.LoadOrStore(g.Turn(), true); twice {
					t.Errorf("a turn was given out twice")
				}
			}
		})
	}
	workers.Wait()
	if got := x.Match([]byte("t/new")).Shared[0].Turn(); got != 2000 {
		t.Errorf("after 2000 turns the next one is %d", got)
	}
	if got := x.Match([]byte("t/new")).Shared[1].Turn(); got != 0 {
		t.Errorf("the first turn of another group is %d", got)
	}
}
