package metadata

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// fill writes n keys of 256 bytes with the given prefix and waits for them.
func fill(t *testing.T, s *Store, prefix string, n int) {
	t.Helper()
	ch := make(chan error, 1)
	for i := range n {
		value := make([]byte, 256)
		copy(value, fmt.Sprint(prefix, i))
		var done func(error)
		if i%1000 == 999 || i == n-1 {
			done = func(err error) { ch <- err }
		}
		s.Put(TableConfig, fmt.Appendf(nil, "%s%08d", prefix, i), value, done)
		if done != nil {
			if err := <-ch; err != nil {
				t.Fatal(err)
			}
		}
	}
}

// measured is how the exchange runs by default, but for the pace of probing.
func measured(c *trio, id uint64) Config {
	cfg := c.config(id)
	cfg.Replica = replica.Config{ExchangeEvery: 500 * time.Millisecond}
	return cfg
}

// TestMeasureHeal: two stores with the same keys write apart, then meet.
func TestMeasureHeal(t *testing.T) {
	keys, differ := sized(2000, 1_000_000), sized(100, 50_000)
	c := &trio{}
	for i := uint64(1); i <= 2; i++ {
		c.stores[i].Store(open(t, level(t), measured(c, i)))
	}
	for i := 1; i <= 2; i++ {
		c.stores[i].Load().SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	}
	c.link(true)
	fill(t, c.stores[1].Load(), "k", keys)
	eventually(t, "the same keys", c.equal)
	steady := steadyBytes(t, c)
	c.link(false)
	fill(t, c.stores[1].Load(), "k", differ/2)
	fill(t, c.stores[2].Load(), "n", differ/2)
	c.bytes.Store(0)
	start := time.Now()
	c.link(true)
	eventually(t, "equal digests", c.equal)
	took, sent := time.Since(start), c.bytes.Load()
	records := int64(differ) * (256 + 9)
	fmt.Printf("heal: %d keys, %d differ: %v, %d bytes sent = %.2f x the records, steady exchange %d bytes\n",
		keys, differ, took.Round(time.Millisecond), sent, float64(sent)/float64(records), steady)
	if steady > 1024 {
		t.Errorf("a steady exchange took %d bytes", steady)
	}
	if sent > 2*records {
		t.Errorf("%d bytes for records of %d", sent, records)
	}
}

// steadyBytes is the least that goes over the wire in a time of two exchanges.
func steadyBytes(t *testing.T, c *trio) int64 {
	t.Helper()
	least := int64(1 << 60)
	for range 3 {
		before := c.bytes.Load()
		eventually(t, "an exchange", func() bool { return c.bytes.Load() > before })
		start := time.Now()
		eventually(t, "its end", func() bool { return time.Since(start) > 100*time.Millisecond })
		least = min(least, c.bytes.Load()-before)
	}
	return least
}

// TestMeasureJoin: an empty node joins a store that is written to.
func TestMeasureJoin(t *testing.T) {
	keys := env("TOMBOLO_JOIN_KEYS", sized(2000, 1_000_000))
	c := &trio{}
	donor := open(t, level(t), measured(c, 1))
	c.stores[1].Store(donor)
	fill(t, donor, "k", keys)
	donor.SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	idle := latencies(t, donor, sized(50, 2000))
	before := heap()
	config := measured(c, 2)
	config.Join = env("TOMBOLO_JOIN_PULL", 0) == 0 // else by the index, as a store does that lacks much
	joiner := open(t, level(t), config)
	c.stores[2].Store(joiner)
	joiner.SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	start := time.Now()
	c.link(true)
	var during []time.Duration
	for !(joiner.Status().Live >= int64(keys)) {
		during = append(during, latencies(t, donor, 20)...)
	}
	took := time.Since(start)
	eventually(t, "agreement", c.equal)
	after := heap()
	fmt.Printf("join: %d keys: %v, donor p99 idle %v, during %v, heap of both %d MB before, %d MB after, %d B a key\n", keys,
		took.Round(time.Millisecond), p99(idle), p99(during), before>>20, after>>20, (int64(after)-int64(before))/int64(keys))
}

func latencies(t *testing.T, s *Store, n int) []time.Duration {
	t.Helper()
	list := make([]time.Duration, 0, n)
	for i := range n {
		ch := make(chan error, 1)
		start := time.Now()
		s.Put(TableConfig, fmt.Appendf(nil, "latency%d", i), []byte("x"), func(err error) { ch <- err })
		if err := <-ch; err != nil {
			t.Fatal(err)
		}
		list = append(list, time.Since(start))
	}
	return list
}

func p99(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)*99/100].Round(10 * time.Microsecond)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMeasureDeletes: put and delete pairs leave nothing behind.
func TestMeasureDeletes(t *testing.T) {
	pairs := sized(2000, 100_000)
	c := &trio{}
	dbs := []kv.DB{level(t), level(t)}
	for i := uint64(1); i <= 2; i++ {
		c.stores[i].Store(open(t, dbs[i-1], c.config(i)))
	}
	for i := 1; i <= 2; i++ {
		c.stores[i].Load().SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	}
	c.link(true)
	s := c.stores[1].Load()
	k := ClientKey{ClientID: "c"}
	for i := range pairs {
		filter := fmt.Sprintf("f/%d", i)
		s.PutSubscription(k, filter, &Subscription{QoS: 1}, nil)
		done, after := wait(t)
		if i%500 != 499 && i != pairs-1 {
			done, after = nil, func() {}
		}
		s.DeleteSubscription(k, filter, done)
		after()
	}
	eventually(t, "collection", func() bool {
		for i := 1; i <= 2; i++ {
			in, err := c.stores[i].Load().Inspect()
			if err != nil {
				t.Fatal(err)
			}
			if in.Garbage != 0 || in.Index != 0 {
				return false
			}
		}
		return c.equal()
	})
	size, err := dbs[0].Size(kv.Range{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("deletes: after %d pairs: index 0, garbage 0, %d bytes on disk before compaction\n", pairs, size)
}
