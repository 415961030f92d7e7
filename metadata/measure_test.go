package metadata

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
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
func writers(n int, d time.Duration, calls int, write func(r *rand.Rand)) (perSecond float64, cpu time.Duration) {
	var wg sync.WaitGroup
	start, used := time.Now(), cpuTime()
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
	return float64(total) / time.Since(start).Seconds(), (cpuTime() - used) / time.Duration(total)
}

// cpuTime is what the process has used, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
		bare, bareCPU := writers(256, d, calls, func(r *rand.Rand) {
			var b kv.Batch
			b.Put(randomKey(r, keys), value)
			if err := bareDB.Write(&b, true); err != nil {
				t.Error(err)
			}
		})
		commits, written := ours.counters.commits.Value(), ours.counters.writes.Value()
		store, storeCPU := writers(256, d, calls, func(r *rand.Rand) {
			ch := make(chan error, 1)
			ours.Put(TableConfig, randomKey(r, keys), value, func(err error) { ch <- err })
			if err := <-ch; err != nil {
				t.Error(err)
			}
		})
		group := float64(ours.counters.writes.Value()-written) / float64(ours.counters.commits.Value()-commits)
		fmt.Printf("round %d: bare %.0f/s (CPU %v a write), store %.0f/s (CPU %v a write, %.0f writes a commit), ratio %.2f\n",
			round, bare, bareCPU, store, storeCPU, group, store/bare)
	}
}
