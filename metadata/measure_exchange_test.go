package metadata

import (
	"fmt"
	"os"
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
	cfg.Replica = replica.Config{ExchangeEvery: 500 * time.Millisecond, SummariesMax: env("TOMBOLO_SUMMARIES", 0)}
	return cfg
}

// TestMeasureHeal: two stores with the same keys write apart, then meet.
func TestMeasureHeal(t *testing.T) {
	keys, differ := env("TOMBOLO_HEAL_KEYS", sized(2000, 1_000_000)), env("TOMBOLO_HEAL_DIFFER", sized(100, 50_000))
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

// steadyBytes is the least that goes over the wire in a time of two exchanges, once
// transfers that were under way have ended.
func steadyBytes(t *testing.T, c *trio) int64 {
	t.Helper()
	least := int64(1 << 60)
	for n := 0; n < 3 || least > 1024 && n < 50; n++ {
		before := c.bytes.Load()
		eventually(t, "an exchange", func() bool { return c.bytes.Load() > before })
		start := time.Now()
		eventually(t, "its end", func() bool { return time.Since(start) > 100*time.Millisecond })
		least = min(least, c.bytes.Load()-before)
	}
	return least
}

// TestMeasureJoin: an empty node joins a store that is written to. Both are in one
// process and share its cores; with TOMBOLO_JOINER=memory they do not share a disk,
// which nodes on machines of their own do not do either.
func TestMeasureJoin(t *testing.T) {
	keys := env("TOMBOLO_JOIN_KEYS", sized(2000, 1_000_000))
	c := &trio{}
	donorDB, joinerDB := level(t), kv.DB(kv.NewMemory())
	if os.Getenv("TOMBOLO_JOINER") != "memory" {
		joinerDB = level(t)
	}
	donor := open(t, donorDB, measured(c, 1))
	c.stores[1].Store(donor)
	fill(t, donor, "k", keys)
	donor.SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	idle := latencies(t, donor, sized(50, 2000))
	before := heap()
	config := measured(c, 2)
	config.Join = env("TOMBOLO_JOIN_PULL", 0) == 0 // else by the index, as a store does that lacks much
	joiner := open(t, joinerDB, config)
	c.stores[2].Store(joiner)
	joiner.SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	start, used, written := time.Now(), cpuTime(), joinerDB.Stats().BytesWritten
	c.link(true)
	var during []time.Duration
	for !(joiner.Status().Live >= int64(keys)) {
		during = append(during, latencies(t, donor, 20)...)
	}
	took, cpu := time.Since(start), cpuTime()-used
	eventually(t, "agreement", c.equal)
	looked := time.Now()
	within(t, 10*time.Minute, "objects without contexts", func() bool { // they are looked through at a pace of thousands a second
		if time.Since(looked) < 200*time.Millisecond {
			return false // a look passes what was taken away since the last compaction
		}
		looked = time.Now()
		return residual(t, joinerDB) == 0
	})
	agreed := time.Since(start)
	written = joinerDB.Stats().BytesWritten - written
	after, again := heap(), latencies(t, donor, sized(50, 2000))
	fmt.Printf("join: %d keys: %v, %v of CPU, at rest after %v, %d MB written by the joiner; donor p99 idle %v, during %v, idle again %v; heap of both %d MB before, %d MB after, caches included\n", keys,
		took.Round(time.Millisecond), cpu.Round(time.Millisecond), agreed.Round(time.Millisecond), written>>20, p99(idle), p99(during), p99(again), before>>20, after>>20)
	for i, s := range []*Store{donor, joiner} {
		fmt.Printf("memory: %d B a key at node %d, beyond the engine's caches\n", ownHeap(t, s)/keys, i+1)
	}
	runtime.KeepAlive([]kv.DB{donorDB, joinerDB})
}

// residual is 1 if db has an object with a context.
func residual(t *testing.T, db kv.DB) int {
	t.Helper()
	it := db.Iterator(kv.PrefixRange([]byte("r")))
	defer it.Close()
	if it.First() {
		return 1
	}
	return 0
}

// ownHeap is what the heap has less once s is gone and its database stays: what the
// store itself keeps, without the caches of the engine.
func ownHeap(t *testing.T, s *Store) int {
	t.Helper()
	with := heap()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.core = nil
	return max(int(with)-int(heap()), 0)
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
	runtime.GC() // what pools kept from the first one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// compacted is what db takes on disk without what was deleted.
func compacted(t *testing.T, db kv.DB) int64 {
	t.Helper()
	if err := db.CompactRange(kv.Range{}); err != nil {
		t.Fatal(err)
	}
	size, err := db.Size(kv.Range{})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// TestMeasureDeletes: put and delete pairs leave nothing behind: the store is as one
// that never had them.
func TestMeasureDeletes(t *testing.T) {
	pairs, keys := env("TOMBOLO_PAIRS", sized(5000, 300_000)), sized(2000, 20_000)
	never := level(t)
	fill(t, open(t, never, Config{}), "k", keys)
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
	fill(t, s, "k", keys)
	start, used, k := time.Now(), cpuTime(), ClientKey{ClientID: "c"}
	var most int64
	for i := range pairs {
		if i%10_000 == 0 {
			most = max(most, pending(t, dbs[0]), pending(t, dbs[1]))
		}
		filter := fmt.Sprintf("f/%d", i)
		s.PutSubscription(k, filter, &Subscription{QoS: 1}, nil)
		done, after := wait(t)
		if i%500 != 499 && i != pairs-1 {
			done, after = nil, func() {}
		}
		s.DeleteSubscription(k, filter, done)
		after()
	}
	wrote := time.Since(start)
	eventually(t, "collection", func() bool {
		if !c.equal() || pending(t, dbs[0]) > 0 || pending(t, dbs[1]) > 0 {
			return false // looking through the whole store would cost more than what is measured
		}
		for i := 1; i <= 2; i++ {
			in, err := c.stores[i].Load().Inspect()
			if err != nil {
				t.Fatal(err)
			}
			if in.Garbage != 0 || in.Index != 0 || in.Residual != 0 {
				return false
			}
		}
		return true
	})
	took, cpu := time.Since(start), cpuTime()-used
	before, err := dbs[0].Size(kv.Range{})
	if err != nil {
		t.Fatal(err)
	}
	size, other, want := compacted(t, dbs[0]), compacted(t, dbs[1]), compacted(t, never)
	for try := 0; max(size, other) > 2*want && try < 5; try++ {
		// A snapshot that an exchange still had kept what was deleted; the engine
		// looks at a table again only when something new is in its range.
		s.PutSubscription(k, "f", &Subscription{QoS: 1}, nil)
		done, after := wait(t)
		s.DeleteSubscription(k, "f", done)
		after()
		eventually(t, "the last pair", c.equal)
		size, other = compacted(t, dbs[0]), compacted(t, dbs[1])
	}
	fmt.Printf("deletes: %d pairs beside %d keys in %v, %v of them after the last write, %v of CPU a pair at both members, %d deletes waited at most: index 0, garbage 0, on disk %d bytes before compaction, %d after it, %d at the other member, %d without the pairs\n",
		pairs, keys, took.Round(time.Millisecond), (took - wrote).Round(time.Millisecond), cpu/time.Duration(pairs), most, before, size, other, want)
	if max(size, other) > 2*want {
		t.Errorf("%d and %d bytes on disk, and %d in a store that never had the pairs", size, other, want)
	}
}

// pending is how many deletes wait for collection.
func pending(t *testing.T, db kv.DB) int64 {
	t.Helper()
	raw, err := db.Get([]byte("ms"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := replica.DecodeSums(raw)
	if err != nil {
		t.Fatal(err)
	}
	return sums.Garbage
}
