package doctor

import (
	"fmt"
	"time"
)

// clockSeen is what a look at the clocks gave. A value.
type clockSeen struct {
	now     time.Time
	step    time.Duration // how far the wall clock moved against the monotonic one while we looked
	ntp     bool          // whether the kernel told anything
	synced  bool
	errorUs int64 // the kernel's bound on the error, microseconds
}

// clockWatch compares two clocks between its start and read. Immutable.
type clockWatch struct{ start time.Time }

func startClock() clockWatch { return clockWatch{time.Now()} }

func (w clockWatch) read() clockSeen {
	now := time.Now()
	wall := now.Round(0).Sub(w.start.Round(0))
	seen := clockSeen{now: now, step: wall - now.Sub(w.start)}
	seen.ntp, seen.synced, seen.errorUs = kernelClock()
	return seen
}

// earliest is before this program was written: no clock may show it.
var earliest = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// stepMax is what the two clocks may drift apart while the disk is measured.
const stepMax = 10 * time.Millisecond

func judgeClock(c clockSeen) Finding {
	f := Finding{Check: "clock", State: Well}
	const service = "run a time service, such as chrony or systemd-timesyncd"
	switch {
	case c.now.Before(earliest):
		f.State, f.Found = Fault, "the clock shows "+c.now.UTC().Format(time.RFC3339)+": certificates and expiry dates are judged wrong"
		f.Remedy = "set the clock, then " + service
	case c.step.Abs() > stepMax:
		f.State, f.Found = Warning, fmt.Sprintf("the clock was stepped by %v while it was watched", c.step.Round(time.Millisecond))
		f.Remedy = "let the time service slew the clock instead of stepping it; expiry dates jump with each step"
	case !c.ntp:
		f.State, f.Found, f.Remedy = Unknown, "the kernel does not tell whether the clock is synchronised", service
	case !c.synced:
		f.State, f.Found, f.Remedy = Warning, "the clock is not synchronised", service
	default:
		f.Found = fmt.Sprintf("synchronised, at most %v off", (time.Duration(c.errorUs) * time.Microsecond).Round(time.Millisecond))
	}
	return f
}
