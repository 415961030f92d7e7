package spool

import (
	"fmt"
	"strings"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
	"tombolo/internal/link"
)

// filled is a disk with a spool of several files.
func filled(t *testing.T) (disk *faulty.Disk, count int) {
	disk = faulty.New(1)
	s := openOn(t, disk, small)
	for i := range 60 {
		list := make([]link.Spooled, 20)
		for j := range list {
			count++
			list[j] = message(count, 700)
		}
		if err := s.Append(link.NodeID(1+i%2), list); err != nil {
			t.Fatal(err)
		}
	}
	closeIt(t, s)
	return disk, count
}

// TestDamagedFiles: a spool with a flipped bit or a file cut short opens, says what
// it lost, keeps the order of the rest, and goes on.
func TestDamagedFiles(t *testing.T) {
	healthy, count := filled(t)
	image := healthy.Snapshot()
	told := 0
	for _, name := range healthy.Names() {
		if !strings.Contains(name, ".l") && !strings.HasPrefix(name, "MANIFEST") {
			continue
		}
		size := healthy.Size(name)
		for _, how := range []string{"flip", "cut"} {
			for _, at := range []int{size / 3, size - 2} {
				if at < 0 {
					continue
				}
				where := fmt.Sprintf("%s %s at %d of %d", how, name, at, size)
				disk := faulty.New(2)
				disk.Restore(image)
				if how == "flip" {
					disk.Flip(name, 8*at)
				} else {
					disk.Truncate(name, at)
				}
				told += goesOn(t, disk, where, count)
			}
		}
	}
	if told == 0 {
		t.Error("no damage was told of")
	}
}

// goesOn opens a damaged spool and says whether it told of the damage.
func goesOn(t *testing.T, disk *faulty.Disk, where string, count int) (told int) {
	t.Helper()
	c := small
	c.Damaged = func(string) { told = 1 }
	s, report, err := OpenOn(disk, c)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	s.check(t)
	left := 0
	for to := link.NodeID(1); to <= 2; to++ {
		last := 0
		for _, m := range all(t, s, to) {
			if n := number(t, m); n <= last {
				t.Fatalf("%s: %d after %d", where, n, last)
			} else {
				last = n
			}
			left++
		}
		if err := s.Append(to, []link.Spooled{message(count+1, 10)}); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if list := all(t, s, to); number(t, list[len(list)-1]) != count+1 {
			t.Fatalf("%s: what came after is not the last", where)
		}
	}
	if len(report.Dropped)+len(report.SetAside) > 0 || report.TornTail || report.Rebuilt {
		told = 1
	}
	if left < count && told == 0 {
		t.Fatalf("%s: %d of %d messages are lost and nobody was told", where, count-left, count)
	}
	closeIt(t, s)
	again := openOn(t, disk, small)
	if got := len(all(t, again, 1)) + len(all(t, again, 2)); got != left+2 {
		t.Fatalf("%s: %d messages, %d after another start", where, left+2, got)
	}
	closeIt(t, again)
	return told
}

// TestDamagedChunk: what the engine reads and this package cannot is set aside, at
// opening and at reading.
func TestDamagedChunk(t *testing.T) {
	for _, open := range []bool{true, false} {
		disk := faulty.New(1)
		told := 0
		c := small
		c.Damaged = func(string) { told++ }
		s := openOn(t, disk, c)
		for i := range 3 {
			if err := s.Append(1, []link.Spooled{message(i, 20_000)}); err != nil {
				t.Fatal(err)
			}
		}
		var b kv.Batch
		b.Put(chunkKey(areaChunk, 1, 2), []byte{formatVersion, 9, 9, 9})
		if err := s.db.Write(&b, true); err != nil {
			t.Fatal(err)
		}
		if open {
			closeIt(t, s)
			s = openOn(t, disk, c)
		}
		list := all(t, s, 1)
		if len(list) != 2 || number(t, list[0]) != 0 || number(t, list[1]) != 2 || told != 1 || s.Count(1) != 2 {
			t.Errorf("at opening %v: %d messages, told %d times, Count %d", open, len(list), told, s.Count(1))
		}
		if v, err := s.db.Get(chunkKey(areaDamaged, 1, 2)); err != nil || len(v) != 4 {
			t.Errorf("at opening %v: set aside: %x, %v", open, v, err)
		}
		s.check(t)
		closeIt(t, s)
	}
}

func TestLaterFormatIsRefused(t *testing.T) {
	db := kv.OpenMemory()
	var b kv.Batch
	b.Put([]byte{areaFormat}, []byte{formatVersion + 1})
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if _, err := New(db, small); err == nil || !strings.Contains(err.Error(), "later version") {
		t.Errorf("got %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
