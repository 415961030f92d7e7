package metadata

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// The figures of docs/benchmarks/metadata.md. Each test has a small size, which
// runs with all tests so that nothing rots, and the real one, which
// TOMBOLO_MEASURE=1 asks for.

// sized picks the size.
func sized(small, full int) int {
	if os.Getenv("TOMBOLO_MEASURE") != "" {
		return full
	}
	return small
}

// env is a number from the environment.
func env(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

func level(t testing.TB) kv.DB {
	t.Helper()
	db, _, err := kv.OpenLevel(t.TempDir(), kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// writers runs n goroutines that each call write again and again for d, and
// returns calls per second and their latencies' sample.
func writers(n int, d time.Duration, calls int, write func(r *rand.Rand)) (perSecond float64) {
	var wg sync.WaitGroup
	start := time.Now()
	counts := make([]int, n)
	for i := range n {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 9))
			for counts[i] < calls && (d == 0 || time.Since(start) < d) {
				write(r)
				counts[i]++
			}
		})
	}
	wg.Wait()
	total := 0
	for _, c := range counts {
		total += c
	}
	return float64(total) / time.Since(start).Seconds()
}

func randomKey(r *rand.Rand, keys int) []byte {
	k := make([]byte, 24)
	binary.BigEndian.PutUint64(k, uint64(r.IntN(keys))*0x9e3779b97f4a7c15)
	return k
}

// TestMeasureDurableWrites compares durable writes of 256 writers with bare
// goleveldb in the same run, by turns.
func TestMeasureDurableWrites(t *testing.T) {
	rounds, d, calls := sized(1, 5), time.Duration(sized(0, 4))*time.Second, sized(4, 1<<30)
	keys := env("TOMBOLO_KEYS", 1_000_000)
	bareDB, ours := level(t), open(t, level(t), Config{})
	value := make([]byte, 256)
	for round := range rounds {
		bare := writers(256, d, calls, func(r *rand.Rand) {
			for i := range value[:0] {
				value[i] = 0
			}
			var b kv.Batch
			b.Put(randomKey(r, keys), value)
			if err := bareDB.Write(&b, true); err != nil {
				t.Error(err)
			}
		})
		store := writers(256, d, calls, func(r *rand.Rand) {
			ch := make(chan error, 1)
			ours.Put(TableConfig, randomKey(r, keys), value, func(err error) { ch <- err })
			if err := <-ch; err != nil {
				t.Error(err)
			}
		})
		fmt.Printf("writes per commit %.1f\n", float64(ours.counters.writes.Value())/float64(ours.counters.commits.Value()))
		fmt.Printf("round %d: bare %.0f/s, store %.0f/s, ratio %.2f\n", round, bare, store, store/bare)
	}
}
