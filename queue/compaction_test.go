package queue

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// paced publishes to one queue, a message every so often, and returns how long each
// took until its publisher could be answered, ascending. What a message waits for
// its turn counts.
func paced(t *testing.T, sub *subscriber, every, d time.Duration) []time.Duration {
	s := sub.s
	var mu sync.Mutex
	var lat []time.Duration
	var wg sync.WaitGroup
	began := time.Now()
	for due := began; due.Sub(began) < d; due = due.Add(every) {
		<-time.After(time.Until(due))
		if !sub.admit() {
			t.Fatal("not admitted")
		}
		ev := &Event{Msg: &Message{ID: s.NextID(), QoS: 1, Body: make([]byte, 100)}, Targets: []Target{{Queue: sub.id, QoS: 1}}}
		wg.Add(1)
		s.Append(ev, func(err error) {
			defer wg.Done()
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			lat = append(lat, time.Since(due))
			mu.Unlock()
			sub.committed(Entry{Seq: ev.Targets[0].Seq, Msg: ev.Msg, QoS: 1})
		})
	}
	wg.Wait()
	slices.Sort(lat)
	return lat
}

// TestLoadCompaction publishes to one online queue of a store that holds many
// messages, first while it is idle, then while it compacts all of them again and
// again. The goal is a p99 of at most 5 times that of the idle store.
func TestLoadCompaction(t *testing.T) {
	n, d := 10_000*factor(), min(time.Duration(factor())*100*time.Millisecond, 10*time.Second)
	s := start(t, loadDB(t, kv.SyncAlways), StoreConfig{TidyEvery: 1 << 40})
	var subs []*subscriber
	for i := range 10 {
		id, st := s.open("away " + strconv.Itoa(i))
		subs = append(subs, newSubscriber(s.Store, id, st, unlimited()))
	}
	publish(t, subs, n, 100, 4096)
	id, st := s.open("online")
	online := newSubscriber(s.Store, id, st, unlimited())
	online.connect()
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	idle := paced(t, online, time.Millisecond, d)
	stop, done, rounds := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Compact(); err != nil {
				t.Error(err)
			}
			rounds++
		}
	}()
	busy := paced(t, online, time.Millisecond, d)
	close(stop)
	<-done
	p99 := func(l []time.Duration) time.Duration { return l[len(l)*99/100] }
	t.Logf("%d stored; %d messages at 1,000 a second: idle p50 %v p99 %v; %d compactions meanwhile: p50 %v p99 %v, %.1f × idle (asked: ≤ 5)",
		n, len(idle), idle[len(idle)/2], p99(idle), rounds, busy[len(busy)/2], p99(busy), float64(p99(busy))/float64(p99(idle)))
	if got := online.received(); got != len(idle)+len(busy) || rounds == 0 {
		t.Errorf("%d of %d delivered, %d compactions", got, len(idle)+len(busy), rounds)
	}
}
