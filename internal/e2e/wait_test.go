package e2e

import (
	"testing"
	"time"

	"tombolo/internal/freeport"
)

// patience bounds every wait for something that should happen at once. It is
// long because the machine may be busy, and costs nothing when all is well.
const patience = 30 * time.Second

// pollEvery is how often something that cannot announce itself is looked at.
const pollEvery = 5 * time.Millisecond

// eventually waits until holds does, and says what was awaited if it does not
// in time.
func eventually(tb testing.TB, limit time.Duration, what string, holds func() bool) {
	tb.Helper()
	if !within(limit, holds) {
		tb.Fatalf("after %v still not so: %s", limit, what)
	}
}

// within reports whether holds becomes true in time.
func within(limit time.Duration, holds func() bool) bool {
	over := time.NewTimer(limit)
	defer over.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-over.C:
			return holds()
		}
	}
	return true
}

// receive takes one value from a channel, in time.
func receive[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			tb.Fatalf("%s: the channel was closed", what)
		}
		return v
	case <-time.After(patience):
		tb.Fatalf("%s: nothing came within %v", what, patience)
	}
	panic("unreachable")
}

// pause lets load run for a while: the one thing that only time can do.
func pause(d time.Duration) { <-time.After(d) }

// freeAddress finds a free port, which is still free after a restart.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	address, err := freeport.Address()
	if err != nil {
		tb.Fatal(err)
	}
	return address
}
