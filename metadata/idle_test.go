package metadata

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tombolo/internal/kv"
)

// TestIdleStoreSleeps: a store that has nothing to do looks at its affairs about
// once a second, and one with a peer that has nothing to do either a few times.
func TestIdleStoreSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(1)
		var list []*Store
		for id := uint64(1); id <= 3; id++ {
			s, err := Open(kv.OpenMemory(), Config{Node: id, Transport: port{n, id}})
			if err != nil {
				t.Fatal(err)
			}
			n.mu.stores[id] = s
			go s.Run(context.Background())
			list = append(list, s)
		}
		const minute = 60
		wakes := func() (most uint64) {
			<-time.After(5 * time.Second) // of the bubble's clock: what is new settles
			var before [3]uint64
			for i, s := range list {
				before[i] = s.counters.wakes.Value()
			}
			<-time.After(minute * time.Second)
			for i, s := range list {
				most = max(most, s.counters.wakes.Value()-before[i])
			}
			return most
		}
		if got := wakes(); got > minute*5/4 {
			t.Errorf("alone: %d wake-ups a minute", got)
		}
		join(t, list)
		// Two peers: a meeting begun with each, one answered for each, and probes.
		if got := wakes(); got > minute*12 {
			t.Errorf("with two peers: %d wake-ups a minute", got)
		} else {
			t.Logf("with two peers: %d wake-ups a minute", got)
		}
		for _, s := range list {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestBlockedStoreSleeps: a store that takes no writes yet does not look at those that
// wait again and again, and takes them once it serves.
func TestBlockedStoreSleeps(t *testing.T) {
	n := newNetwork(1)
	s := n.start(t, 1, kv.OpenMemory(), func(c *Config) { c.Join = true })
	s.SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	answers := make(chan error, 100)
	for range 100 {
		s.Put(TableConfig, []byte("key"), []byte("v"), func(err error) { answers <- err })
	}
	before := s.counters.wakes.Value()
	start := time.Now()
	eventually(t, "some time", func() bool { return time.Since(start) > 300*time.Millisecond })
	if woke := s.counters.wakes.Value() - before; woke > 50 {
		t.Errorf("%d wake-ups while no write could be taken", woke)
	}
	s.ServeAnyway()
	for range 100 {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
}
