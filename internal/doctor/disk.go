package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// syncSeen is how long the disk took to make writes durable. A value.
type syncSeen struct {
	count       int
	median, p99 time.Duration
	volatile    bool // a file system in memory
	err         error
}

// syncBytes is about what one group commit writes when there is little to do.
const syncBytes = 4096

// measureSync appends to a file in dir and syncs it, again and again, until
// the time is over. It needs at least one write.
func measureSync(ctx context.Context, dir string, limit time.Duration) (seen syncSeen) {
	seen.volatile = inMemory(dir)
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		seen.err = err
		return seen
	}
	defer func() { seen.err = errors.Join(seen.err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, syncBytes)
	var times []time.Duration
	for start := time.Now(); time.Since(start) < limit && ctx.Err() == nil; {
		before := time.Now()
		if _, err = f.Write(page); err == nil {
			err = f.Sync()
		}
		if err != nil {
			seen.err = err
			return seen
		}
		times = append(times, time.Since(before))
	}
	if len(times) == 0 {
		seen.err = ctx.Err()
		return seen
	}
	slices.Sort(times)
	seen.count, seen.median, seen.p99 = len(times), times[len(times)/2], times[len(times)*99/100]
	return seen
}

// The bounds of a disk's sync time: every acknowledgement of QoS 1 waits for
// one with durability = fsync.
const (
	syncMedianMax = 10 * time.Millisecond
	syncTailMax   = 100 * time.Millisecond
)

func judgeSync(s syncSeen) Finding {
	f := Finding{Check: "disk sync", State: Well}
	if s.err != nil {
		f.State, f.Found, f.Remedy = Fault, "the disk could not be written and synced: "+s.err.Error(), "check the disk; is it full or read-only?"
		return f
	}
	f.Found = fmt.Sprintf("%v median, %v at the 99th percentile, of %d", round(s.median), round(s.p99), s.count)
	switch {
	case s.volatile:
		f.State = Warning
		f.Found += ", on a file system in memory: nothing survives a power loss"
		f.Remedy = "put data_dir on a disk"
	case s.median > syncMedianMax || s.p99 > syncTailMax:
		f.State = Warning
		f.Found += ": acknowledgements of QoS 1 and 2 wait for it"
		f.Remedy = "use a faster disk, or one with a protected write cache; durability = os does not wait, and loses the last messages in a power loss"
	}
	return f
}

func round(d time.Duration) time.Duration {
	if d > time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// space is what is left on the disk. A value.
type space struct {
	free, total int64
	err         error
}

// freeBytesMin is room for the databases to compact in.
const freeBytesMin = 1 << 30

func judgeSpace(s space) Finding {
	f := Finding{Check: "disk space", State: Well, Found: fmt.Sprintf("%s of %s free", size(s.free), size(s.total))}
	switch {
	case s.err != nil:
		f.State, f.Found, f.Remedy = Unknown, s.err.Error(), "look at df"
	case s.free < freeBytesMin/10:
		f.State, f.Remedy = Fault, "make room: with a full disk the broker refuses QoS 1 and 2"
	case s.free < freeBytesMin:
		f.State, f.Remedy = Warning, "make room: the databases need some to tidy up"
	}
	return f
}
