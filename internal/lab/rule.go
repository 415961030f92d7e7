package lab

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Rule says what becomes of packets from one host to another. The zero value
// lets all of them pass at once. A value.
type Rule struct {
	Cut            bool          // drop everything
	Protocol       byte          // drop what is of this IP protocol (TCP, UDP); 0: none
	Largest        int           // drop packets that are larger, and tell nobody; 0: none
	Loss           float64       // share of packets that is dropped, 0 to 1
	Delay          time.Duration // before a packet is delivered
	Jitter         time.Duration // up to so much more, at random; packets keep their order
	BytesPerSecond int           // 0: no limit
}

// plain reports whether packets pass at once.
func (r *Rule) plain() bool {
	return !r.Cut && r.Protocol == 0 && r.Largest == 0 && r.Loss == 0 && r.Delay == 0 && r.Jitter == 0 && r.BytesPerSecond == 0
}

// The protocols of Rule.Protocol.
const (
	TCP = 6
	UDP = 17
)

// stops reports whether the rule drops an IPv4 packet whatever chance says.
func (r *Rule) stops(packet []byte) bool {
	return r.Cut || r.Protocol != 0 && packet[9] == r.Protocol || r.Largest > 0 && len(packet) > r.Largest
}

// String tells the rule in words.
func (r *Rule) String() string {
	var words []string
	if r.Cut {
		words = append(words, "cut")
	}
	if r.Protocol != 0 {
		words = append(words, fmt.Sprintf("nothing of protocol %d", r.Protocol))
	}
	if r.Largest > 0 {
		words = append(words, fmt.Sprintf("nothing above %d bytes", r.Largest))
	}
	if r.Delay > 0 || r.Jitter > 0 {
		words = append(words, fmt.Sprintf("delay %v to %v", r.Delay, r.Delay+r.Jitter))
	}
	if r.Loss > 0 {
		words = append(words, fmt.Sprintf("loss %.3g%%", 100*r.Loss))
	}
	if r.BytesPerSecond > 0 {
		words = append(words, fmt.Sprintf("%d bytes a second", r.BytesPerSecond))
	}
	if words == nil {
		return "passes"
	}
	return strings.Join(words, ", ")
}

// waitingBytesMax bounds what waits in one direction: about what a router of
// the kind that is imitated here keeps.
const waitingBytesMax = 4 << 20

// direction carries packets from one host to another. Safe for concurrent use.
type direction struct {
	rule    atomic.Pointer[Rule]
	dropped atomic.Uint64
	out     func(packet []byte)
	wake    chan struct{}
	mu      struct {
		sync.Mutex
		list  []delayed
		bytes int
		free  time.Time // when the wire is free for the next packet
		last  time.Time // when the last one in line is due
	}
}

// delayed is a packet on its way. Immutable.
type delayed struct {
	packet []byte
	due    time.Time
}

func newDirection(out func([]byte)) *direction {
	d := &direction{out: out, wake: make(chan struct{}, 1)}
	d.rule.Store(&Rule{})
	return d
}

// take carries a packet, which is valid during the call.
func (d *direction) take(packet []byte) {
	r := d.rule.Load()
	switch {
	case r.plain() && !d.waiting():
		d.out(packet)
	case r.stops(packet), r.Loss > 0 && rand.Float64() < r.Loss:
		d.dropped.Add(1)
	default:
		d.put(r, packet, time.Now())
	}
}

func (d *direction) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mu.list) > 0
}

// put lines a packet up for the time at which it is due.
func (d *direction) put(r *Rule, packet []byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.bytes+len(packet) > waitingBytesMax {
		d.dropped.Add(1)
		return
	}
	due := now
	if r.BytesPerSecond > 0 {
		due = later(due, d.mu.free).Add(time.Duration(len(packet)) * time.Second / time.Duration(r.BytesPerSecond))
		d.mu.free = due
	}
	due = due.Add(r.Delay)
	if r.Jitter > 0 {
		due = due.Add(time.Duration(rand.Int64N(int64(r.Jitter))))
	}
	due = later(due, d.mu.last)
	d.mu.last = due
	d.mu.list = append(d.mu.list, delayed{append([]byte(nil), packet...), due})
	d.mu.bytes += len(packet)
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// run delivers what waits until stop closes. What waits when a cut begins is
// lost with it.
func (d *direction) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := d.deliver(time.Now())
		timer.Reset(wait)
		select {
		case <-stop:
			return
		case <-d.wake:
		case <-timer.C:
		}
	}
}

// deliver sends what is due and says how long the next one has to wait.
func (d *direction) deliver(now time.Time) time.Duration {
	for {
		d.mu.Lock()
		if len(d.mu.list) == 0 {
			d.mu.Unlock()
			return time.Hour
		}
		first := d.mu.list[0]
		if wait := first.due.Sub(now); wait > 0 {
			d.mu.Unlock()
			return wait
		}
		d.mu.list = d.mu.list[1:]
		d.mu.bytes -= len(first.packet)
		d.mu.Unlock()
		if d.rule.Load().Cut {
			d.dropped.Add(1)
		} else {
			d.out(first.packet)
		}
	}
}
