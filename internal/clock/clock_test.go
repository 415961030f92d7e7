package clock

import (
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func fired(t Timer) bool {
	select {
	case <-t.C():
		return true
	default:
		return false
	}
}

func TestManualFiresInOrderOfDeadline(t *testing.T) {
	m := NewManual(start)
	late, early := m.NewTimer(2*time.Second), m.NewTimer(time.Second)
	m.Advance(999 * time.Millisecond)
	if fired(late) || fired(early) {
		t.Fatal("a timer fired before its deadline")
	}
	m.Advance(time.Millisecond)
	if !fired(early) || fired(late) {
		t.Fatal("after 1 s only the early timer fires")
	}
	if !m.Now().Equal(start.Add(time.Second)) {
		t.Fatalf("now %v, want %v", m.Now(), start.Add(time.Second))
	}
	m.Advance(time.Hour)
	if !fired(late) || fired(early) {
		t.Fatal("after an hour the late timer fires, the early one not again")
	}
}

func TestManualStopAndResetLeaveNoStaleValue(t *testing.T) {
	m := NewManual(start)
	a := m.NewTimer(time.Second)
	m.Advance(time.Second)
	if a.Stop() {
		t.Fatal("Stop says armed after firing")
	}
	if fired(a) {
		t.Fatal("a stale value after Stop")
	}
	if a.Reset(time.Second) {
		t.Fatal("Reset says armed after Stop")
	}
	if !a.Reset(2 * time.Second) {
		t.Fatal("Reset says not armed though it was")
	}
	m.Advance(time.Second)
	if fired(a) {
		t.Fatal("fired at the deadline that was replaced")
	}
	m.Advance(time.Second)
	if !fired(a) {
		t.Fatal("did not fire at the new deadline")
	}
	if m.Armed() != 0 {
		t.Fatalf("%d timers armed, want none", m.Armed())
	}
}

func TestManualZeroFiresAtOnceAndJumpsBackKeepDeadlines(t *testing.T) {
	m := NewManual(start)
	if !fired(m.NewTimer(0)) {
		t.Fatal("a timer of zero did not fire")
	}
	a := m.NewTimer(time.Second)
	m.Set(start.Add(-time.Hour))
	if fired(a) {
		t.Fatal("fired though the clock went back")
	}
	changed := m.Changed()
	m.Set(start.Add(time.Second))
	if !fired(a) {
		t.Fatal("did not fire when the clock reached the deadline")
	}
	select {
	case <-changed:
	default:
		t.Fatal("Changed was not closed by a firing timer")
	}
}

func TestSystemTimer(t *testing.T) {
	c := System()
	before := c.Now()
	a := c.NewTimer(time.Millisecond)
	select {
	case <-a.C():
	case <-time.After(10 * time.Second):
		t.Fatal("a timer of 1 ms did not fire within 10 s")
	}
	if c.Now().Before(before) {
		t.Fatal("the system clock went back")
	}
	if a.Stop() || a.Reset(time.Hour) || !a.Stop() {
		t.Fatal("Stop and Reset misreport whether the timer was armed")
	}
}
