package clock

import (
	"sort"
	"sync"
	"time"
)

// Manual is a clock that moves only when it is told to. Its fields are
// guarded by mu.
type Manual struct {
	mu struct {
		sync.Mutex
		now    time.Time
		made   int            // timers made so far: the tie break of equal deadlines
		armed  []*manualTimer // ordered by deadline, then by creation
		change chan struct{}  // closed and renewed whenever armed changes
	}
}

// NewManual returns a clock that stands at start.
func NewManual(start time.Time) *Manual {
	m := &Manual{}
	m.mu.now = start
	m.mu.change = make(chan struct{})
	return m
}

// Now is the time the clock was last moved to.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.now
}

// Advance moves the clock by d and fires what falls due on the way.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moveLocked(m.mu.now.Add(d))
}

// Set moves the clock to t, back as well: a wall clock that jumps. Timers
// whose deadline lies at or before t fire; others wait for t to reach them.
func (m *Manual) Set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moveLocked(t)
}

// Armed is the number of timers that wait.
func (m *Manual) Armed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.armed)
}

// Changed returns a channel that is closed at the next arming, disarming or
// firing, so that a test can wait until the code under test sleeps.
func (m *Manual) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.change
}

// NewTimer makes a timer that fires when the clock has moved by d.
func (m *Manual) NewTimer(d time.Duration) Timer {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &manualTimer{clock: m, order: m.mu.made, c: make(chan time.Time, 1)}
	m.mu.made++
	m.armLocked(t, d)
	return t
}

func (m *Manual) moveLocked(to time.Time) {
	for len(m.mu.armed) > 0 && !m.mu.armed[0].at.After(to) {
		t := m.mu.armed[0]
		m.mu.armed = m.mu.armed[1:]
		if m.mu.now.Before(t.at) {
			m.mu.now = t.at
		}
		t.c <- m.mu.now
		m.changedLocked()
	}
	m.mu.now = to
}

func (m *Manual) armLocked(t *manualTimer, d time.Duration) {
	t.at = m.mu.now.Add(d)
	if d <= 0 {
		t.c <- m.mu.now
		return
	}
	i := sort.Search(len(m.mu.armed), func(i int) bool {
		o := m.mu.armed[i]
		return o.at.After(t.at) || o.at.Equal(t.at) && o.order > t.order
	})
	m.mu.armed = append(m.mu.armed, nil)
	copy(m.mu.armed[i+1:], m.mu.armed[i:])
	m.mu.armed[i] = t
	m.changedLocked()
}

// disarmLocked also empties the channel, so that no stale value stays.
func (m *Manual) disarmLocked(t *manualTimer) bool {
	select {
	case <-t.c:
	default:
	}
	for i, o := range m.mu.armed {
		if o == t {
			m.mu.armed = append(m.mu.armed[:i], m.mu.armed[i+1:]...)
			m.changedLocked()
			return true
		}
	}
	return false
}

func (m *Manual) changedLocked() {
	close(m.mu.change)
	m.mu.change = make(chan struct{})
}

// manualTimer is guarded by the mutex of its clock; order, clock and c are
// fixed once built.
type manualTimer struct {
	clock *Manual
	order int
	at    time.Time
	c     chan time.Time
}

func (t *manualTimer) C() <-chan time.Time { return t.c }

func (t *manualTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.clock.disarmLocked(t)
	t.clock.armLocked(t, d)
	return was
}

func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.clock.disarmLocked(t)
}
