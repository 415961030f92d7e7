package queue

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/kv"
)

// TestNoCommitWaitsForTheClock: the message that follows a large batch is committed
// although no time passes. It used to wait for a timer, which an idle runtime rounds
// up to a millisecond: most of the time of a message.
func TestNoCommitWaitsForTheClock(t *testing.T) {
	hands := clock.NewManual(time.Unix(1000, 0))
	s := start(t, kv.OpenMemory(), StoreConfig{Clock: hands})
	id, _ := s.open("a")
	hold := make(chan struct{})
	s.Append(s.event("keeps the completion goroutine busy", id), func(error) { <-hold })
	for i := range 100 {
		s.Append(s.event(numbered(i, 10), id), nil)
	}
	for range 100 {
		s.Append(s.event("has somebody who waits", id), func(error) {})
	}
	close(hold)
	s.put("behind the large batch", id)
	s.put("and behind that", id)
}

// TestCompletionsAreGathered: commits that ended while somebody was told of an
// earlier one are told in one run, so that connections are written to once.
func TestCompletionsAreGathered(t *testing.T) {
	var runs atomic.Int64
	s := start(t, kv.OpenMemory(), StoreConfig{BatchEnd: func() { runs.Add(1) }})
	id, _ := s.open("a")
	s.put("settled", id)
	eventually(t, "the first run ends", func() bool { return runs.Load() > 0 })
	before, commits := runs.Load(), s.counts.commits.Value()
	hold, last := make(chan struct{}), make(chan struct{})
	s.Append(s.event("keeps the completion goroutine busy", id), func(error) { <-hold })
	const more = 5
	for i := range uint64(more) {
		eventually(t, "the commit before", func() bool { return s.counts.commits.Value() == commits+i+1 })
		done := func(error) {}
		if i == more-1 {
			done = func(error) { close(last) }
		}
		s.Append(s.event("has a commit of its own", id), done)
	}
	eventually(t, "the last commit waits", func() bool { return len(s.completions) == more })
	close(hold)
	<-last
	eventually(t, "the run ends", func() bool { return runs.Load() > before })
	if n := runs.Load() - before; n != 1 {
		t.Errorf("%d commits were told in %d runs, want 1", more+1, n)
	}
}

// TestGroupsAreSplitWhereNobodySyncs: many that wait are several commits where one
// costs little, so that the first is answered while the next is written; where each
// is synced they are one.
func TestGroupsAreSplitWhereNobodySyncs(t *testing.T) {
	const handed = 2*groupTicketsMax + 44
	for _, c := range []struct {
		durability Durability
		sealed     int
		open       int
	}{
		{Fsync, 0, handed},
		{OS, 2, 44},
		{Memory, 2, 44},
	} {
		s, err := OpenStore(kv.OpenMemory(), StoreConfig{Durability: c.durability})
		if err != nil {
			t.Fatal(err)
		}
		var answered atomic.Int64
		for range handed {
			s.note(0, func(error) { answered.Add(1) }, func(*group) {})
		}
		s.mu.Lock()
		sealed, open := len(s.mu.sealed), len(s.mu.open.tickets)
		s.mu.Unlock()
		if sealed != c.sealed || open != c.open {
			t.Errorf("durability %v: %d groups and %d that wait, want %d and %d", c.durability, sealed, open, c.sealed, c.open)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		eventually(t, "all have their answer", func() bool { return answered.Load() == handed })
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}
