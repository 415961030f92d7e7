package replica

import (
	"sync/atomic"
	"time"
)

// HLC is a hybrid logical clock: milliseconds of the wall clock in the upper 48
// bits, a counter in the lower 16. It never goes back, follows what it hears of,
// and is kept across restarts with a lease. Safe for use from any goroutine: its
// fields are atomic.
type HLC struct {
	last   atomic.Uint64
	frozen atomic.Bool // the wall clock has drifted: count on instead (R34)
}

// leaseMargin is how far ahead of the clock the persisted bound lies: more than
// two of the longest times between ticks, since it is renewed when half is gone.
const leaseMargin = 3 * wakeMax

func hlcOf(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) << 16 }

// Drifted says that the wall clock is not stamped from.
func (h *HLC) Drifted() bool { return h.frozen.Load() }

// Stamp is a reading above all before it.
func (h *HLC) Stamp(now time.Time) uint64 {
	wall := hlcOf(now)
	if h.frozen.Load() {
		wall = 0
	}
	for {
		last := h.last.Load()
		next := max(last+1, wall)
		if h.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Observe raises the clock to a reading of another node.
func (h *HLC) Observe(reading uint64) {
	for {
		last := h.last.Load()
		if reading <= last || h.last.CompareAndSwap(last, reading) {
			return
		}
	}
}

// lease is what the next start begins above.
func (h *HLC) lease() uint64 { return h.last.Load() + uint64(leaseMargin.Milliseconds())<<16 }
