//go:build linux

package lab

import (
	"sync"
	"testing"
	"time"
)

// pulse tells how long the machine did not let a process run that had nothing to do
// but to wake up: so much, and more, those lost that had something to do, the nodes
// among them. What is promised of them is promised of a machine that runs, so that
// their times are longer by that; on a quiet machine by nothing. Guarded by mu.
type pulse struct {
	mu   sync.Mutex
	lost []lateness
}

// lateness is one time that the process woke up late. A value.
type lateness struct {
	until time.Time
	by    time.Duration
}

const (
	pulseEvery = 10 * time.Millisecond
	pulseLate  = 10 * time.Millisecond // less is what timers are late everywhere
)

// standstill is the pulse of all tests; TestMain has it beat.
var standstill pulse

// beat runs for as long as the process.
func (p *pulse) beat() {
	last := time.Now()
	for range time.Tick(pulseEvery) {
		now := time.Now() // what the ticker says is when it was due
		p.woke(last, now)
		last = now
	}
}

func (p *pulse) woke(last, now time.Time) {
	if late := now.Sub(last) - pulseEvery; late > pulseLate {
		p.mu.Lock()
		p.lost = append(p.lost, lateness{now, late})
		p.mu.Unlock()
	}
}

// since is how much was lost from a moment on.
func (p *pulse) since(began time.Time) (sum time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lost {
		if d := l.until.Sub(began); d > 0 {
			sum += min(d, l.by)
		}
	}
	return sum
}

// TestPulse: what was lost counts from a moment on, and timers that are a little
// late do not.
func TestPulse(t *testing.T) {
	var p pulse
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	p.woke(at(0), at(12))
	p.woke(at(12), at(522))
	p.woke(at(522), at(540))
	p.woke(at(540), at(650))
	for from, want := range map[int]int{0: 600, 100: 522, 522: 100, 600: 50, 700: 0} {
		if got := p.since(at(from)); got != time.Duration(want)*time.Millisecond {
			t.Errorf("from %d ms on %v were lost, want %d ms", from, got, want)
		}
	}
}
