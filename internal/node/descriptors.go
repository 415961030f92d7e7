package node

import (
	"fmt"
	"math"
	"syscall"

	"tombolo/internal/option"
)

// descriptorsReserve is what the databases, logs and HTTP clients of a node
// need beside its MQTT clients; doctor reckons with the same.
const descriptorsReserve = 500

// warnDescriptors says before clients come that the limit of open files is
// lower than what the listeners promise together.
func (n *Node) warnDescriptors() {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return // a system that does not tell cannot be warned about
	}
	want := promised(n.set.Listeners())
	// The Go runtime raises the soft limit to the hard one.
	if limit := uint64(r.Max); want+descriptorsReserve > limit {
		n.logger.Warn(fmt.Sprintf("max_connections of all MQTT listeners is %d together, but this process may open %d files only; further clients will be refused: raise the limit (LimitNOFILE= in the systemd unit, ulimit -n in a shell) or lower max_connections", want, limit))
	}
}

// clientDescriptors is the number from which on descriptors are not for clients:
// without one the store cannot begin its next file, and takes nothing more until
// a restart; nor do links come back, or tools and scrapes get an answer. Of a low
// limit a quarter is kept. 0 is a limit that is not known.
func clientDescriptors() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	limit := min(uint64(r.Cur), math.MaxInt32)
	return int(limit - min(descriptorsReserve, limit/4))
}

// promised is how many MQTT clients the listeners take together; a listener
// without a limit promises none.
func promised(listeners []option.Listener) uint64 {
	sum := uint64(0)
	for i := range listeners {
		l := &listeners[i]
		if l.Kind != option.ListenerHTTP && l.Kind != option.ListenerHTTPS && l.MaxConnections > 0 {
			sum += uint64(l.MaxConnections)
		}
	}
	return sum
}
