package kv_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
)

// history is what a writer did: batch i sets every key of its own round to i.
// Owned by one test.
type history struct {
	acked, tried int
}

const (
	crashKeys  = 3
	crashValue = 700
)

func roundKey(k int) []byte { return fmt.Appendf(nil, "key%d", k) }

func roundValue(i int) []byte {
	v := make([]byte, crashValue)
	copy(v, fmt.Sprintf("%06d", i))
	return v
}

// write writes batches until the disk fails or n are done. Every batch sets
// all keys to its number and adds a key of its own.
func (h *history) write(db kv.DB, n int) {
	for range n {
		var b kv.Batch
		h.tried++
		for k := range crashKeys {
			b.Put(roundKey(k), roundValue(h.tried))
		}
		b.Put(fmt.Appendf(nil, "log%06d", h.tried), nil)
		if db.Write(&b, true) != nil {
			return
		}
		h.acked = h.tried
	}
}

// check demands a prefix of the batches that holds all acknowledged ones, each
// whole.
func (h *history) check(t *testing.T, db kv.DB, where string) {
	t.Helper()
	got := -1
	for k := range crashKeys {
		v, err := db.Get(roundKey(k))
		n := 0
		if err == nil {
			if _, serr := fmt.Sscanf(string(v), "%d", &n); serr != nil {
				t.Fatalf("%s: key %d holds %q", where, k, v[:8])
			}
		} else if !errors.Is(err, kv.ErrNotFound) {
			t.Fatalf("%s: %v", where, err)
		}
		if got >= 0 && n != got {
			t.Fatalf("%s: half a batch: key %d says %d, an earlier one %d", where, k, n, got)
		}
		got = n
	}
	if got < h.acked || got > h.tried {
		t.Fatalf("%s: batch %d is the last one there; %d were acknowledged, %d tried", where, got, h.acked, h.tried)
	}
	it := db.Iterator(kv.PrefixRange([]byte("log")))
	defer it.Close()
	n := 0
	for it.Next() {
		if n++; string(it.Key()) != fmt.Sprintf("log%06d", n) {
			t.Fatalf("%s: not a prefix: %q stands at place %d", where, it.Key(), n)
		}
	}
	if n != got || it.Err() != nil {
		t.Fatalf("%s: %d batches in the log, %d in the keys, %v", where, n, got, it.Err())
	}
	h.acked, h.tried = got, got // what was recovered stays
}

// openSurely opens on a disk that may lose power during the opening as well.
func openSurely(t *testing.T, d *faulty.Disk, where string) (kv.DB, *kv.Report) {
	t.Helper()
	for range 50 {
		db, report, err := kv.OpenLevelOn(d, kv.Options{MemoryBudget: 1 << 20})
		if err == nil {
			return db, report
		}
		if !d.Dead() {
			t.Fatalf("%s: open: %v", where, err)
		}
		d.PowerLoss()
	}
	t.Fatalf("%s: 50 openings, none with power", where)
	return nil, nil
}

// crashRun loses power many times at places the seed chooses.
func crashRun(t *testing.T, seed uint64, rounds int, garble bool) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	d := faulty.New(seed)
	var h history
	for round := range rounds {
		where := fmt.Sprintf("seed %d round %d (go test ./internal/kv -run TestPowerLoss)", seed, round)
		if rng.IntN(2) == 0 { // else the opening itself has power
			d.Arm(faulty.Faults{CrashAfterOps: 1 + rng.Int64N(60), Garble: garble})
		}
		db, report := openSurely(t, d, where)
		// What is left of the faults is not for the check.
		d.Arm(faulty.Faults{Garble: garble})
		if d.Dead() {
			_ = db.Close()
			d.PowerLoss()
			db, report = openSurely(t, d, where)
		}
		if len(report.Suspect) > 0 && !garble {
			t.Fatalf("%s: a power loss alone makes it suspect: %q", where, report.Suspect)
		}
		h.check(t, db, where)
		switch rng.IntN(3) {
		case 0:
			d.Arm(faulty.Faults{CrashAfterBytes: 1 + rng.Int64N(200_000), Garble: garble})
		case 1:
			d.Arm(faulty.Faults{CrashAfterOps: 1 + rng.Int64N(200), Garble: garble})
		default:
			d.Arm(faulty.Faults{Garble: garble})
		}
		h.write(db, rng.IntN(200))
		stop(d, db, rng.IntN(4))
	}
}

// stop ends a run in one of the ways there are.
func stop(d *faulty.Disk, db kv.DB, how int) {
	if how == 0 {
		_ = db.Close() // in order, if the power holds
	}
	if how == 1 && !d.Dead() {
		d.Kill()
	} else {
		d.PowerLoss()
	}
	_ = db.Close() // the dead process's goroutines end; its handles are void
}

func TestPowerLossKeepsWhatWasSynced(t *testing.T) {
	for seed := range uint64(40) {
		crashRun(t, seed, 8, false)
	}
}

func TestPowerLossWithGarbledTails(t *testing.T) {
	for seed := range uint64(20) {
		crashRun(t, 1000+seed, 8, true)
	}
}

// TestPowerLossAtEveryByte loses power inside the journal at each byte of a
// few batches.
func TestPowerLossAtEveryByte(t *testing.T) {
	measure := faulty.New(1)
	db, _ := openSurely(t, measure, "measure")
	measure.Arm(faulty.Faults{})
	(&history{}).write(db, 2)
	total, _ := measure.Counted()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for at := int64(1); at <= total; at += 7 {
		d := faulty.New(uint64(at))
		db, _ := openSurely(t, d, "first")
		d.Arm(faulty.Faults{CrashAfterBytes: at})
		var h history
		h.write(db, 2)
		d.PowerLoss()
		_ = db.Close()
		where := fmt.Sprintf("power lost at byte %d", at)
		db, report := openSurely(t, d, where)
		if len(report.Suspect) > 0 {
			t.Fatalf("%s: suspect %q", where, report.Suspect)
		}
		h.check(t, db, where)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryOperationFails breaks each single operation of a life once: an
// error is returned or nothing is lost, and the next opening is whole.
func TestEveryOperationFails(t *testing.T) {
	life := func(d *faulty.Disk, h *history) error {
		db, _, err := kv.OpenLevelOn(d, kv.Options{MemoryBudget: 1 << 20})
		if err != nil {
			return err
		}
		h.write(db, 20)
		return db.Close()
	}
	measure := faulty.New(1)
	if err := life(measure, &history{}); err != nil {
		t.Fatal(err)
	}
	_, total := measure.Counted()
	for op := int64(1); op <= total; op++ {
		d := faulty.New(uint64(op))
		d.Arm(faulty.Faults{FailOp: op})
		var h history
		err := life(d, &h)
		where := fmt.Sprintf("operation %d of %d failed with %v", op, total, err)
		d.PowerLoss()
		db, _ := openSurely(t, d, where)
		h.check(t, db, where)
		if err := db.Close(); err != nil {
			t.Fatalf("%s: close: %v", where, err)
		}
	}
}
