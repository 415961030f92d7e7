package metadata

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
)

// TestPowerLoss cuts the power at any byte of a commit: what was acknowledged is
// there, and objects, index, clock and digest are of one batch (I30, I31).
func TestPowerLoss(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { powerLoss(t, seed) })
	}
}

func powerLoss(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	disk := faulty.New(seed)
	acked := map[string]string{}
	for life := range 4 {
		db, _, err := kv.OpenLevelOn(disk, kv.Options{MemoryBudget: 1 << 20})
		if err != nil {
			t.Fatalf("life %d: %v", life, err)
		}
		s, err := Open(db, Config{Node: 1})
		if err != nil {
			t.Fatalf("life %d: %v", life, err)
		}
		for k, v := range acked {
			got, ok, err := s.Get(TableConfig, []byte(k))
			if err != nil || ok != (v != "") || v != "" && len(got) < 1 {
				t.Fatalf("life %d: %s = %q, %v, %v; acknowledged %q", life, k, got, ok, err, v)
			}
		}
		ran := make(chan error, 1)
		go func() { ran <- s.Run(context.Background()) }()
		<-s.Running()
		// A database that says that it may have lost something is rebuilt before
		// the first write is taken, and the power may go in the middle of that:
		// only then is the store to be held to its invariants.
		served := make(chan error, 1)
		s.Put(TableConfig, fmt.Appendf(nil, "life %d", life), []byte("begun"), func(err error) { served <- err })
		if err := <-served; err != nil {
			t.Fatalf("life %d: the first write: %v", life, err)
		}
		if faults, err := s.Verify(); life > 0 && (err != nil || len(faults) > 0) {
			t.Fatalf("life %d: %v, %v (suspect: %v)", life, faults, err, db.Suspect())
		}
		disk.Arm(faulty.Faults{CrashAfterBytes: 500 + r.Int64N(20_000), Garble: true})
		writeUntilDead(s, r, acked)
		if err := <-ran; err == nil {
			t.Fatalf("life %d: Run ended well on a dead disk", life)
		}
		db.Close()
		disk.PowerLoss()
	}
}

// writeUntilDead writes until the store refuses, and notes what it acknowledged.
// Unacknowledged writes of a key may or may not be there: it is not written
// again, and forgotten.
func writeUntilDead(s *Store, r *rand.Rand, acked map[string]string) {
	var mu sync.Mutex
	dead := false
	var wg sync.WaitGroup
	for i := 0; ; i++ {
		mu.Lock()
		stop := dead
		mu.Unlock()
		if stop {
			break
		}
		k, v := fmt.Sprintf("%d-%d", r.IntN(1000), i), fmt.Sprint(i)
		wg.Add(1)
		done := func(err error) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				dead = true
				return
			}
			acked[k] = v
		}
		s.Put(TableConfig, []byte(k), []byte(v), done)
		if i%7 == 0 {
			wg.Wait()
		}
	}
	wg.Wait()
}

// TestFullDisk: nothing is acknowledged that was not stored, and the error says
// what is wrong.
func TestFullDisk(t *testing.T) {
	disk := faulty.New(1)
	db, _, err := kv.OpenLevelOn(disk, kv.Options{MemoryBudget: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := Open(db, Config{Node: 1})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	<-s.Running()
	disk.Arm(faulty.Faults{FullAfterBytes: 4000})
	acked := map[string]string{}
	writeUntilDead(s, rand.New(rand.NewPCG(1, 1)), acked)
	if err := <-ran; err == nil {
		t.Fatal("Run ended well on a full disk")
	}
	for k := range acked {
		if _, ok, err := s.Get(TableConfig, []byte(k)); !ok || err != nil {
			t.Fatalf("%s was acknowledged: %v, %v", k, ok, err)
		}
	}
	ch := make(chan error, 1)
	s.Put(TableConfig, []byte("late"), nil, func(err error) { ch <- err })
	if err := <-ch; err == nil {
		t.Fatal("a write after the failure was acknowledged")
	}
}
