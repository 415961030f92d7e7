package broker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRegistrySerialisesOneKey: of many registrations of one client id one is
// under way at a time, and others do not wait for it.
func TestRegistrySerialisesOneKey(t *testing.T) {
	r := newRegistry()
	k := Key{ClientID: "one"}
	var inside, most, entered atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 200 {
				if _, ok := r.hold(k, nil); !ok {
					t.Error("hold gave up without being stopped")
					return
				}
				n := inside.Add(1)
				if n > most.Load() {
					most.Store(n)
				}
				entered.Add(1)
				inside.Add(-1)
				r.release(k)
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 || entered.Load() != 16*200 {
		t.Fatalf("%d at a time, %d in all; want 1 and %d", most.Load(), entered.Load(), 16*200)
	}
	if _, ok := r.tryHold(k); !ok {
		t.Fatal("the key is not free after everyone let go")
	}
	if _, ok := r.tryHold(k); ok {
		t.Fatal("the key was taken twice")
	}
	if _, ok := r.tryHold(Key{Mountpoint: "other", ClientID: "one"}); !ok {
		t.Fatal("client ids of different mountpoints are in each other's way")
	}
}

// TestRegistryHoldStops: who waits for a key is let go when the broker stops.
func TestRegistryHoldStops(t *testing.T) {
	r := newRegistry()
	k := Key{ClientID: "one"}
	r.hold(k, nil)
	stop := make(chan struct{})
	gaveUp := make(chan bool)
	go func() { _, ok := r.hold(k, stop); gaveUp <- ok }()
	close(stop)
	if <-gaveUp {
		t.Fatal("hold got a key that is taken")
	}
}

// TestRegistryRemoveIsExact: a session that was replaced does not take its
// successor out.
func TestRegistryRemoveIsExact(t *testing.T) {
	r := newRegistry()
	old, young := &client{key: Key{ClientID: "c"}}, &client{key: Key{ClientID: "c"}}
	r.put(old)
	r.put(young)
	if r.remove(old) || r.get(young.key) != young {
		t.Fatal("the old session took the new one out")
	}
	if !r.remove(young) || r.get(young.key) != nil {
		t.Fatal("the session is still there")
	}
	for i := range 100 {
		r.put(&client{key: Key{ClientID: fmt.Sprint(i)}})
	}
	n := 0
	r.each(func(*client) bool { n++; return n < 60 })
	if n != 60 {
		t.Fatalf("each went on for %d", n)
	}
}

// ring is a timer that notes when it was called and wants to be called again.
type ring struct {
	called []int64
	again  []int64
}

func (r *ring) due(now int64) int64 {
	r.called = append(r.called, now)
	if len(r.again) == 0 {
		return 0
	}
	next := r.again[0]
	r.again = r.again[1:]
	return next
}

// TestWheel: a timer is called at its time or within a tick of it, never
// before, and again when it asks; a clock that jumps calls each once.
func TestWheel(t *testing.T) {
	now := time.UnixMilli(10_000_000)
	w := newWheel(func() time.Time { return now })
	tick := wheelTick.Milliseconds()
	start := now.UnixMilli()
	soon, late := &ring{again: []int64{start + 5000}}, &ring{}
	w.at(start+1000, soon)
	w.at(start+3_600_000, late)
	w.at(start-500, late) // overdue: called at the next tick
	for ms := start; ms <= start+8000; ms += tick {
		w.advance(ms)
		for _, c := range soon.called {
			if c < start+1000 {
				t.Fatalf("called %d ms early", start+1000-c)
			}
		}
	}
	if len(soon.called) != 2 || soon.called[0] > start+1000+2*tick || soon.called[1] < start+5000 || soon.called[1] > start+5000+2*tick {
		t.Fatalf("called at %v, want about %d and %d", soon.called, start+1000, start+5000)
	}
	if len(late.called) != 1 {
		t.Fatalf("the overdue timer was called %d times", len(late.called))
	}
	w.advance(start + 100*3_600_000)
	if len(late.called) != 2 {
		t.Fatalf("after the jump: %v", late.called)
	}
	if len(w.mu.slots) != 0 {
		t.Fatalf("%d slots are left", len(w.mu.slots))
	}
}

// TestWorkersEnd: end waits for those that run, and takes no more.
func TestWorkersEnd(t *testing.T) {
	var w workers
	release := make(chan struct{})
	var ran atomic.Int32
	w.run(func() { <-release; ran.Add(1) })
	go close(release)
	w.end()
	w.run(func() { ran.Add(1) })
	if ran.Load() != 1 {
		t.Fatalf("%d ran, want the one from before the end", ran.Load())
	}
}
