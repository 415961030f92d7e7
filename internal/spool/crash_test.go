package spool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
	"tombolo/internal/link"
)

// story is what was asked of a spool and what it answered. Owned by one test.
type story struct {
	acked   map[int]bool // by number
	removed map[int]bool // perhaps; after a crash they may be back
	lists   [][]int      // what went together
	failed  int          // index of the list that was answered with an error, -1
}

// tell runs a fixed list of operations until the disk fails.
func tell(s *Spool, seed uint64) *story {
	r := rand.New(rand.NewPCG(seed, 11))
	y := &story{acked: map[int]bool{}, removed: map[int]bool{}, failed: -1}
	places := map[uint64]int{}
	n := 0
	for range 12 {
		var list []link.Spooled
		var numbers []int
		for range 1 + r.IntN(5)*r.IntN(30) {
			n++
			list, numbers = append(list, message(n, r.IntN(900))), append(numbers, n)
		}
		y.lists = append(y.lists, numbers)
		if s.Append(1, list) != nil {
			y.failed = len(y.lists) - 1
			return y
		}
		for i, m := range list {
			y.acked[numbers[i]], places[m.Place] = true, numbers[i]
		}
		if r.IntN(2) == 0 {
			continue
		}
		got, err := s.Read(1, 0, 1+r.IntN(60), 1<<20)
		if err != nil {
			return y
		}
		var gone []uint64
		for _, m := range got {
			if r.IntN(8) > 0 {
				gone = append(gone, m.Place)
				y.removed[places[m.Place]] = true
			}
		}
		if s.Remove(1, gone) != nil {
			return y
		}
	}
	return y
}

// check demands of what is there after a crash: all that was acknowledged and not
// removed, in order and once; nothing that was never appended; a list that failed
// whole or not at all.
func (y *story) check(t *testing.T, s *Spool, where string) {
	t.Helper()
	s.check(t)
	there, last := map[int]bool{}, 0
	for _, m := range all(t, s, 1) {
		n := number(t, m)
		if n <= last {
			t.Fatalf("%s: message %d after %d", where, n, last)
		}
		there[n], last = true, n
		if !y.acked[n] && (y.failed < 0 || !contains(y.lists[y.failed], n)) {
			t.Fatalf("%s: message %d was never appended", where, n)
		}
	}
	for n := range y.acked {
		if !y.removed[n] && !there[n] {
			t.Fatalf("%s: message %d was acknowledged and is lost", where, n)
		}
	}
	if y.failed >= 0 {
		k := 0
		for _, n := range y.lists[y.failed] {
			if there[n] {
				k++
			}
		}
		if k != 0 && k != len(y.lists[y.failed]) {
			t.Fatalf("%s: %d of the %d messages of one Append", where, k, len(y.lists[y.failed]))
		}
	}
}

func contains(list []int, n int) bool {
	for _, o := range list {
		if o == n {
			return true
		}
	}
	return false
}

// TestPowerLossAtEachStep loses power before every operation of the disk in turn.
func TestPowerLossAtEachStep(t *testing.T) {
	probe := faulty.New(1)
	s := openOn(t, probe, small)
	probe.Arm(faulty.Faults{})
	tell(s, 1)
	_, ops := probe.Counted()
	closeIt(t, s)
	if ops < 20 {
		t.Fatalf("%d operations: the test shows nothing", ops)
	}
	for op := int64(1); op <= ops; op++ {
		disk := faulty.New(uint64(op))
		s := openOn(t, disk, small)
		disk.Arm(faulty.Faults{CrashAfterOps: op, Garble: op%2 == 0})
		y := tell(s, 1)
		_ = s.Close() // of a process that has died
		disk.PowerLoss()
		disk.Arm(faulty.Faults{})
		again := openOn(t, disk, small)
		y.check(t, again, fmt.Sprintf("power lost before operation %d", op))
		if err := again.Append(1, []link.Spooled{message(99999, 10)}); err != nil {
			t.Fatal(err)
		}
		closeIt(t, again)
	}
}

// TestKilledAfterEachStep: a process that is killed loses nothing, whatever the
// durability.
func TestKilledAfterEachStep(t *testing.T) {
	for seed := range uint64(10) {
		disk := faulty.New(seed)
		c := small
		c.Sync = kv.SyncNever
		s := openOn(t, disk, c)
		y := tell(s, seed)
		disk.Kill()
		_ = s.Close()
		again := openOn(t, disk, c)
		y.check(t, again, fmt.Sprint("killed, seed ", seed))
		closeIt(t, again)
	}
}

// TestFullDisk: a message that found no room was not acknowledged, and the rest is
// there.
func TestFullDisk(t *testing.T) {
	for limit := int64(1000); limit < 150_000; limit += 7013 {
		disk := faulty.New(uint64(limit))
		s := openOn(t, disk, small)
		disk.Arm(faulty.Faults{FullAfterBytes: limit})
		y := tell(s, 3)
		if y.failed >= 0 {
			if err := s.Append(1, []link.Spooled{message(1, 1)}); !errors.Is(err, kv.ErrFull) {
				t.Fatalf("on a full disk: %v", err)
			}
		}
		_ = s.Close()
		disk.Arm(faulty.Faults{})
		again := openOn(t, disk, small)
		y.check(t, again, fmt.Sprintf("full after %d bytes", limit))
		closeIt(t, again)
	}
}
