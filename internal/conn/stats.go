package conn

import "sync/atomic"

// Refusal is why a connection was not served.
type Refusal uint8

const (
	// RefusedMaxConnections: the listener's MaxConnections was reached.
	RefusedMaxConnections Refusal = iota
	// RefusedDescriptors: the process or the system has no descriptor left, or
	// none below DescriptorsMax.
	RefusedDescriptors
	// RefusedByHandler: Accept returned nil.
	RefusedByHandler
	// RefusedProxy: no valid PROXY header, or an untrusted X-Forwarded-For.
	RefusedProxy
	// RefusedTLS: the TLS handshake failed or took too long.
	RefusedTLS
	// RefusedWebSocket: the WebSocket upgrade failed or took too long.
	RefusedWebSocket
	// RefusedSocket: the socket failed before it was served.
	RefusedSocket

	refusalCount
)

var refusalNames = [refusalCount]string{
	"max_connections", "descriptors", "handler", "proxy", "tls", "websocket", "socket",
}

// String returns the reason as a metric label.
func (r Refusal) String() string { return refusalNames[r] }

// Refusals returns all reasons in order.
func Refusals() []Refusal {
	all := make([]Refusal, refusalCount)
	for i := range all {
		all[i] = Refusal(i)
	}
	return all
}

// Event is something worth a log line. Err is never nil.
type Event struct {
	Listener string
	Peer     string // "" if there is none
	Reason   Refusal
	Err      error
}

// Stats counts what a listener did. All of it is atomic.
type Stats struct {
	accepted, closed atomic.Uint64
	active           atomic.Int64
	refused          [refusalCount]atomic.Uint64
}

// Accepted returns how many connections the kernel has handed over.
func (s *Stats) Accepted() uint64 { return s.accepted.Load() }

// Closed returns how many connections that were counted in Active have ended.
func (s *Stats) Closed() uint64 { return s.closed.Load() }

// Active returns how many connections are alive, handshakes included.
func (s *Stats) Active() int64 { return s.active.Load() }

// Refused returns how many connections were not served for the reason.
func (s *Stats) Refused(r Refusal) uint64 { return s.refused[r].Load() }

func (s *Stats) refuse(r Refusal) { s.refused[r].Add(1) }
