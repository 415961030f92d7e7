package broker

import (
	"context"
	"sync"
	"time"
)

// timer is something that wants to be told when its time has come. due is
// called on the wheel's goroutine with no lock held and must be quick; it
// returns when it wants to be called again, or 0.
type timer interface {
	due(now int64) (again int64)
}

// wheelTick is the resolution: deadlines here are seconds and more.
const wheelTick = 250 * time.Millisecond

// wheel calls timers at their time, in unix ms. It is cheap for many timers
// that are pushed back all the time: a timer is not moved, it says when it is
// called that its time is later. Safe for concurrent use. Bound: one entry per
// call of at that is not yet due.
type wheel struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		slots map[int64][]timer // by tick
		last  int64             // the last tick that was run
	}
}

func newWheel(now func() time.Time) *wheel {
	w := &wheel{now: now}
	w.mu.slots = make(map[int64][]timer)
	w.mu.last = now().UnixMilli() / wheelTick.Milliseconds()
	return w
}

// at has t called at the given time, never before it.
func (w *wheel) at(ms int64, t timer) {
	tick := ms/wheelTick.Milliseconds() + 1
	w.mu.Lock()
	if tick <= w.mu.last {
		tick = w.mu.last + 1
	}
	w.mu.slots[tick] = append(w.mu.slots[tick], t)
	w.mu.Unlock()
}

// run calls timers until ctx ends.
func (w *wheel) run(ctx context.Context) {
	tick := time.NewTicker(wheelTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.advance(w.now().UnixMilli())
		}
	}
}

// advance runs every slot up to now. A clock that jumped far ahead runs the
// slots that exist, in order, not every tick between.
func (w *wheel) advance(now int64) {
	target := now / wheelTick.Milliseconds()
	for {
		w.mu.Lock()
		next, found := int64(0), false
		if target-w.mu.last > int64(len(w.mu.slots)) {
			for t := range w.mu.slots {
				if t <= target && (!found || t < next) {
					next, found = t, true
				}
			}
		} else {
			for t := w.mu.last + 1; t <= target && !found; t++ {
				_, found = w.mu.slots[t]
				next = t
			}
		}
		if !found {
			w.mu.last = max(w.mu.last, target)
			w.mu.Unlock()
			return
		}
		due := w.mu.slots[next]
		delete(w.mu.slots, next)
		w.mu.last = next
		w.mu.Unlock()
		for _, t := range due {
			if again := t.due(now); again > 0 {
				w.at(again, t)
			}
		}
	}
}
