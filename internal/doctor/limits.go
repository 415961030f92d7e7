package doctor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// descriptorsReserve is what a broker opens beside its clients: tables of the
// databases, links, logs.
const descriptorsReserve = 500

// descriptorLimit returns the hard limit: the Go runtime raises the soft one
// to it when a program starts.
func descriptorLimit() (uint64, error) {
	var r syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r)
	return r.Max, err
}

func judgeDescriptors(limit uint64, err error, connections int) Finding {
	f := Finding{Check: "descriptors", State: Well}
	const raise = "raise the limit: LimitNOFILE= in the systemd unit, or ulimit -n before the start"
	switch {
	case err != nil:
		f.State, f.Found, f.Remedy = Unknown, err.Error(), "look at ulimit -n"
	case connections < 0:
		f.Found = fmt.Sprintf("the limit is %d; max_connections has none", limit)
		if limit < 10_000 {
			f.State, f.Remedy = Warning, raise
		}
	case limit < uint64(connections)+descriptorsReserve:
		f.State = Warning
		f.Found = fmt.Sprintf("the limit is %d; max_connections (%d together) needs %d", limit, connections, connections+descriptorsReserve)
		f.Remedy = raise + "; or lower max_connections"
	default:
		f.Found = fmt.Sprintf("the limit is %d, enough for %d connections", limit, connections)
	}
	return f
}

// backlogMin is below what a reconnecting fleet fills in a moment.
const backlogMin = 1024

func readBacklog() (int, error) {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func judgeBacklog(n int, err error) Finding {
	f := Finding{Check: "accept backlog", State: Well, Found: fmt.Sprintf("net.core.somaxconn is %d", n)}
	switch {
	case err != nil:
		f.State, f.Found, f.Remedy = Unknown, err.Error(), "look at sysctl net.core.somaxconn"
	case n < backlogMin:
		f.State = Warning
		f.Found += ": many clients that connect at once are turned away"
		f.Remedy = "sysctl -w net.core.somaxconn=4096, and the same in /etc/sysctl.d"
	}
	return f
}
