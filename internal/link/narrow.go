package link

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"tombolo/internal/wire"
)

// Somewhere on the way to a peer packets may be dropped for being too large, and
// nobody told: jumbo frames at the hosts and a switch or a tunnel that carries less,
// with ICMP filtered. A connection is made then, since what makes it is small, and
// falls silent with the first large piece that it carries; the next one is made at
// once, and so on, a netsplit every five seconds. TCP gets over that only where
// net.ipv4.tcp_mtu_probing is set, and not within the two seconds of a silence. So
// who dials asks for smaller segments when it has seen that often enough.

// segments are the sizes that are asked for, one after the other: what every IPv6
// path carries, then what every IPv4 path does. 0 is what the interfaces carry.
var segments = [...]int{0, 1200, 536}

const (
	// hushesMax is how many connections in a row may fall silent though the next one
	// stood at once. A cut that is over within the time of a silence looks the same.
	hushesMax = 2
	// onceMax is how late the next one may stand. A node that does not run makes none.
	onceMax = time.Second
	// A connection that ends earlier than hushMin has not fallen silent: it ends with
	// the verdict on the one before. One that has carried what there was for hushMax
	// was not made where large packets do not pass.
	hushMin, hushMax = time.Second, time.Minute
)

// width is how large the segments to a peer may be. Safe for concurrent use.
type width struct {
	mu struct {
		sync.Mutex
		step int // of segments
	}
}

func (w *width) segment() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return segments[w.mu.step]
}

// narrow goes on to the next size if a connection with segments of this one fell
// silent; false if there is none, or another plane has gone on already.
func (w *width) narrow(segment int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if segments[w.mu.step] != segment || w.mu.step == len(segments)-1 {
		return false
	}
	w.mu.step++
	return true
}

// stay is one connection that stood, as who dialled it saw it. A value.
type stay struct {
	from, to    time.Duration // since the mesh was made
	why         string
	segment     int
	incarnation wire.Incarnation
}

// silent reports whether it ended since too little was heard, here or there.
func (s *stay) silent() bool {
	return s.why == Silence || s.why == byVerdict || s.why == PeerClosed || s.why == PeerReset
}

// hushes counts the connections of one plane that fell silent though the next one
// stood at once. Owned by the goroutine that dials.
type hushes struct {
	last  stay
	count int
}

// ended takes in one more, and reports whether that was enough of them.
func (h *hushes) ended(s stay) bool {
	last, lived := h.last, s.to-s.from
	h.last = s
	switch atOnce := s.from-last.to <= onceMax; {
	case !s.silent(), !atOnce, !last.silent(), s.incarnation != last.incarnation, s.segment != last.segment, lived > hushMax:
		h.count = 0
	case lived >= hushMin:
		h.count++
	}
	return h.count >= hushesMax
}

// stay is how it went with a connection that was dialled and has ended.
func (c *connection) stay() stay {
	return stay{from: c.stood, to: time.Duration(c.m.now()), why: c.why, segment: c.segment, incarnation: c.info.Incarnation}
}

// stayed notes how a connection to the peer ended.
func (p *peer) stayed(h *hushes, s stay) {
	if !h.ended(s) || !p.width.narrow(s.segment) {
		return
	}
	p.mu.Lock()
	name, address, conns := p.mu.info.Name, p.mu.address, p.mu.conns
	p.mu.Unlock()
	for _, c := range conns {
		if c != nil {
			c.close("replaced") // the other plane would fall silent as well, at the worst moment
		}
	}
	p.m.config.Log(fmt.Sprintf("links to %s fall silent and stand again at once: perhaps large packets do not pass between here and %s, and nobody says so (an MTU that is smaller on the way, ICMP dropped). "+
		"They use segments of %d bytes at most from now on; see which size passes with: ping -M do -s 1472 HOST", nameOf(name, p.id), address, p.width.segment()))
}

// dialer is one that asks for segments of this size.
func dialer(segment int) *net.Dialer {
	d := &net.Dialer{}
	if segment > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			_ = c.Control(func(fd uintptr) { limitSegments(fd, segment) }) // it is a connection without, too
			return nil
		}
	}
	return d
}
