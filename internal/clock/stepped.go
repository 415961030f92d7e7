package clock

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Stepped is the machine's clock with the wall clock set wrong on purpose, for a
// rehearsal: as after `date --set`, readings of the wall clock jump, while the
// monotonic clock and timers go on. Safe for concurrent use.
type Stepped struct {
	system
	seconds atomic.Int64
}

// Set puts the wall clock before the machine's (or behind it, if less than zero),
// in whole seconds.
func (s *Stepped) Set(by time.Duration) { s.seconds.Store(int64(by / time.Second)) }

// Now is the machine's time by the monotonic clock, and another by the wall clock.
func (s *Stepped) Now() time.Time { return shiftWall(time.Now(), s.seconds.Load()) }

// shiftWall changes what the wall clock says in t and leaves its monotonic
// reading, for which package time has no function. In the first word of a Time that
// has both, bit 63 says so and bits 30 to 62 are the seconds since 1885.
func shiftWall(t time.Time, seconds int64) time.Time {
	word := (*uint64)(unsafe.Pointer(&t))
	if *word>>63 == 0 {
		return t.Add(time.Duration(seconds) * time.Second) // no monotonic reading to keep
	}
	*word += uint64(seconds) << 30
	return t
}
