package doctor

import (
	"context"
	"time"
)

// State is how serious a finding is.
type State string

// The states of a finding, the best first.
const (
	Well    State = "ok"
	Warning State = "warning" // the broker runs, not as it should
	Fault   State = "fault"   // the broker does not start, or fails under load
	Unknown State = "unknown" // could not be looked at
)

// Finding is the outcome of one check. A value.
type Finding struct {
	Check  string `json:"check"`
	State  State  `json:"state"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Config is what the broker is going to be run with. A value.
type Config struct {
	DataDir        string
	Listeners      []Listener
	ConnectionsMax int   // of all listeners together; -1 unlimited
	StoreBytes     int64 // memory that the databases may take; 0: StorePercent says
	StorePercent   int   // the same as a share of the memory there is
}

// Listener is one address that the broker will listen on. A value.
type Listener struct {
	Name    string // "tcp.default"
	Network string // tcp or unix
	Address string // as net.Listen takes it
}

// syncTime is how long the disk is measured.
const syncTime = time.Second

// Run makes all checks in their order.
func Run(ctx context.Context, c Config) []Finding {
	var out []Finding
	add := func(f ...Finding) { out = append(out, f...) }
	clock := startClock()
	limit, err := descriptorLimit()
	add(judgeDescriptors(limit, err, c.ConnectionsMax))
	dir := lookAtDirectory(c.DataDir)
	add(judgeDirectory(dir))
	disk := c.DataDir
	if !dir.exists {
		disk = nearestParent(c.DataDir) // where it will be made
	}
	if dir.usable() {
		add(judgeFiles(walkFiles(ctx, c.DataDir)))
	}
	if dir.usable() || !dir.exists && dir.writable == nil {
		add(judgeSync(measureSync(ctx, disk, syncTime)))
		add(judgeSpace(lookAtSpace(disk)))
	}
	add(judgeClock(clock.read()))
	for _, l := range c.Listeners {
		add(judgePort(l, tryListen(ctx, l)))
	}
	m := lookAtMemory()
	if c.StoreBytes == 0 {
		c.StoreBytes = m.bytes / 100 * int64(c.StorePercent)
	}
	add(judgeMemory(m, c.StoreBytes, c.ConnectionsMax))
	add(judgeBacklog(readBacklog()))
	return out
}

// Healthy tells whether no finding is a fault.
func Healthy(list []Finding) bool {
	for _, f := range list {
		if f.State == Fault {
			return false
		}
	}
	return true
}
