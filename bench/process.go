package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of /proc's processor times: USER_HZ is 100 on every
// Linux.
const clockTick = time.Second / 100

// usage is what processes have used up to a moment.
type usage struct {
	CPU      time.Duration // user and system, all threads
	Resident int64         // bytes
	Peak     int64         // bytes
}

// readUsage adds up the processes.
func readUsage(pids []int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		u, err := readProcess(pid)
		if err != nil {
			return usage{}, fmt.Errorf("process %d: %w", pid, err)
		}
		sum.CPU += u.CPU
		sum.Resident += u.Resident
		sum.Peak += u.Peak
	}
	return sum, nil
}

// PeakMemory is what processes have had resident at most, in bytes; those that
// have ended are left out.
func PeakMemory(pids []int) (sum int64) {
	for _, pid := range pids {
		if u, err := readProcess(pid); err == nil {
			sum += u.Peak
		}
	}
	return sum
}

func readProcess(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The name in brackets may hold spaces; fields count from behind it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime, rss = 11, 12, 21
	if len(fields) <= rss {
		return usage{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var n [3]int64
	for i, at := range []int{utime, stime, rss} {
		if n[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return usage{}, err
		}
	}
	cpu, exact := cpuClock(pid)
	if !exact {
		cpu = time.Duration(n[0]+n[1]) * clockTick
	}
	u := usage{CPU: cpu, Resident: n[2] * int64(os.Getpagesize())}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, err
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				u.Peak = kib << 10
			}
		}
	}
	return u, nil
}

// coarse says that processor time is counted in clock ticks here.
func coarse() bool {
	_, exact := cpuClock(os.Getpid())
	return !exact
}

// ownCPU is the processor time of this process, in microseconds' precision.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
