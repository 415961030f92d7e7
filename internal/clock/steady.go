package clock

import (
	"sync/atomic"
	"time"
)

// lookEvery is how often a Steady looks at the wall clock, and slewMax by how much
// it comes nearer to it each time: 2 %, so that keep alives and time limits do not
// notice, and an hour is made up for in two days.
const (
	lookEvery = time.Second
	slewMax   = lookEvery / 50
)

// Steady is a clock that never jumps, though the wall clock does when somebody
// sets it: it begins with the wall clock's time, goes on with the machine's
// monotonic clock, and follows the wall clock slowly. What is to last an hour
// lasts an hour by it. Its fields are immutable or atomic.
type Steady struct {
	wall  Clock
	begun time.Time
	next  atomic.Int64 // ns after begun at which the wall clock is looked at again
	slewn atomic.Int64 // ns by which it has followed the wall clock
}

// NewSteady begins at the time of a wall clock.
func NewSteady(wall Clock) *Steady {
	s := &Steady{wall: wall, begun: wall.Now()}
	s.next.Store(int64(lookEvery))
	return s
}

// Now is the steady time. It may go back by no more than slewMax.
func (s *Steady) Now() time.Time {
	wall := s.wall.Now()
	gone := wall.Sub(s.begun) // by the monotonic clock
	now := s.begun.Add(gone + time.Duration(s.slewn.Load()))
	if next := s.next.Load(); int64(gone) >= next && s.next.CompareAndSwap(next, int64(gone+lookEvery)) {
		behind := wall.Round(0).Sub(now.Round(0)) // by the wall clock
		s.slewn.Add(int64(max(min(behind, slewMax), -slewMax)))
	}
	return now
}

// NewTimer implements Clock: timers go by the monotonic clock anyway.
func (s *Steady) NewTimer(d time.Duration) Timer { return s.wall.NewTimer(d) }
