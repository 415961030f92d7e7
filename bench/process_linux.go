package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuClock is the clock of a process's threads, those that ended included, in
// nanoseconds; false where the kernel does not tell it. Its number is made of the
// process id as clock_getcpuclockid(3) does.
func cpuClock(pid int) (time.Duration, bool) {
	const schedulerClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}
