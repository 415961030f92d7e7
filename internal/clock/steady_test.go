package clock

import (
	"testing"
	"time"
)

// TestSteppedMovesTheWallClockOnly holds what package time's own layout is relied
// upon for.
func TestSteppedMovesTheWallClockOnly(t *testing.T) {
	for _, by := range []time.Duration{0, time.Second, time.Hour, -time.Second, -time.Hour, 300 * 24 * time.Hour} {
		at := time.Now()
		got := shiftWall(at, int64(by/time.Second))
		if wall := got.Round(0).Sub(at.Round(0)); wall != by || got.Nanosecond() != at.Nanosecond() {
			t.Errorf("by %v: the wall clock moved by %v", by, wall)
		}
		if mono := got.Sub(at); mono != 0 {
			t.Errorf("by %v: the monotonic clock moved by %v", by, mono)
		}
		if bare := shiftWall(at.Round(0), int64(by/time.Second)); bare.Sub(at.Round(0)) != by {
			t.Errorf("by %v: without a monotonic reading it moved by %v", by, bare.Sub(at.Round(0)))
		}
	}
}

// hand is a machine's clock that goes on when it is told to, and whose wall clock is
// set. Owned by its test.
type hand struct {
	system
	at   time.Time
	step time.Duration
}

func (h *hand) Now() time.Time { return shiftWall(h.at, int64(h.step/time.Second)) }

// TestSteadyNeverJumps sets the wall clock forth and back by an hour.
func TestSteadyNeverJumps(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		wall := &hand{at: time.Now()}
		s := NewSteady(wall)
		begun, last := wall.at, s.Now()
		if d := last.Round(0).Sub(begun.Round(0)); d != 0 {
			t.Fatalf("it began %v off the wall clock", d)
		}
		wall.step = step
		for range 600 {
			wall.at = wall.at.Add(100 * time.Millisecond)
			now := s.Now()
			for what, d := range map[string]time.Duration{"wall": now.Round(0).Sub(last.Round(0)), "monotonic": now.Sub(last)} {
				if d < 100*time.Millisecond-slewMax || d > 100*time.Millisecond+slewMax {
					t.Fatalf("step %v: its %s time went on by %v in 100 ms", step, what, d)
				}
			}
			last = now
		}
		followed := last.Round(0).Sub(begun.Round(0)) - time.Minute
		if want := step / time.Hour * 60 * slewMax; (followed - want).Abs() > slewMax {
			t.Fatalf("step %v: in a minute it followed the wall clock by %v, want %v", step, followed, want)
		}
	}
}

// TestSteadyArrives: what it follows for long enough it shows.
func TestSteadyArrives(t *testing.T) {
	wall := &hand{at: time.Now()}
	s := NewSteady(wall)
	wall.step = time.Second
	for range 60 {
		wall.at = wall.at.Add(lookEvery)
		s.Now()
	}
	if d := s.Now().Round(0).Sub(wall.Now().Round(0)); d.Abs() > time.Millisecond {
		t.Fatalf("after a minute it is still %v off", d)
	}
}
