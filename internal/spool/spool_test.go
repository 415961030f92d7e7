package spool

import (
	"errors"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
	"tombolo/internal/link"
)

// TestLimit: at the limit nothing is taken and nothing is evicted (R11); what was
// removed makes room.
func TestLimit(t *testing.T) {
	c := small
	c.BytesMax = 10 * (100 + overhead)
	s := openOn(t, faulty.New(1), c)
	defer closeIt(t, s)
	for i := range 5 {
		if err := s.Append(7, []link.Spooled{message(2*i, 100), message(2*i+1, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(7, []link.Spooled{message(10, 8)}); !errors.Is(err, link.ErrSpoolFull) {
		t.Fatalf("above the limit: %v", err)
	}
	if s.Count(7) != 10 || s.counters.refused.Value() != 1 {
		t.Errorf("%d messages, %d refused", s.Count(7), s.counters.refused.Value())
	}
	if err := s.Append(8, []link.Spooled{message(1, 100)}); err != nil {
		t.Errorf("another node's tail has a limit of its own: %v", err)
	}
	if err := s.Remove(7, []uint64{all(t, s, 7)[0].Place}); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(7, []link.Spooled{message(10, 100), message(11, 100)}); !errors.Is(err, link.ErrSpoolFull) {
		t.Fatalf("half of a list would fit: %v", err)
	}
	if err := s.Append(7, []link.Spooled{message(10, 100)}); err != nil {
		t.Fatal(err)
	}
	list := all(t, s, 7)
	for i, m := range list {
		if number(t, m) != i+1 {
			t.Fatalf("place %d holds %d", m.Place, number(t, m))
		}
	}
	if len(list) != 10 || s.Bytes(7) != c.BytesMax {
		t.Errorf("%d messages, %d bytes", len(list), s.Bytes(7))
	}
}

func TestLimitZeroTakesNothing(t *testing.T) {
	s := openOn(t, faulty.New(1), Config{})
	defer closeIt(t, s)
	if err := s.Append(1, []link.Spooled{message(1, 1)}); !errors.Is(err, link.ErrSpoolFull) {
		t.Errorf("a spool of no bytes: %v", err)
	}
}

// TestReadLimits: at least one message, else no more than was asked for.
func TestReadLimits(t *testing.T) {
	s := openOn(t, faulty.New(1), small)
	defer closeIt(t, s)
	var list []link.Spooled
	for i := range 20 {
		list = append(list, message(i, 1000))
	}
	if err := s.Append(1, list); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ after, count, bytes, want int }{
		{0, 5, 1 << 20, 5}, {0, 100, 2500, 2}, {0, 100, 10, 1}, {0, 0, 0, 1}, {18, 5, 1 << 20, 2}, {20, 5, 5, 0}, {1 << 40, 5, 5, 0},
	} {
		got, err := s.Read(1, uint64(c.after), c.count, c.bytes)
		if err != nil || len(got) != c.want || c.want > 0 && got[0].Place != uint64(c.after)+1 {
			t.Errorf("behind %d, at most %d and %d bytes: %d messages, %v; want %d", c.after, c.count, c.bytes, len(got), err, c.want)
		}
	}
}

// TestSmallAppendsAreMerged: a long tail of single messages is neither a key nor
// an entry of the index for each.
func TestSmallAppendsAreMerged(t *testing.T) {
	s := openOn(t, faulty.New(1), small)
	defer closeIt(t, s)
	const count = 3000
	for i := range count {
		if err := s.Append(1, []link.Spooled{message(i, 50)}); err != nil {
			t.Fatal(err)
		}
	}
	s.check(t)
	keys := 0
	it := s.db.Iterator(kv.PrefixRange([]byte{areaChunk}))
	for it.Next() {
		keys++
	}
	it.Close()
	if most := count*(50+overhead)/smallBytes + runCountMax; keys > most {
		t.Errorf("%d messages are %d keys, want %d at most", count, keys, most)
	}
	for i, m := range all(t, s, 1) {
		if number(t, m) != i {
			t.Fatalf("message %d is %d", i, number(t, m))
		}
	}
}

// TestSpaceComesBack: what was removed leaves the disk, in order or with a message
// left in every chunk.
func TestSpaceComesBack(t *testing.T) {
	for _, every := range []int{0, 300} {
		s := openOn(t, faulty.New(1), small)
		for i := range 32 {
			list := make([]link.Spooled, 300)
			for j := range list {
				list[j] = message(300*i+j, 1000)
			}
			if err := s.Append(1, list); err != nil {
				t.Fatal(err)
			}
		}
		var places []uint64
		for i, m := range all(t, s, 1) {
			if every == 0 || i%every != 0 {
				places = append(places, m.Place)
			}
		}
		for len(places) > 0 {
			n := min(500, len(places))
			if err := s.Remove(1, places[:n]); err != nil {
				t.Fatal(err)
			}
			places = places[n:]
		}
		s.check(t)
		if freed := s.freed.Load(); freed < 4<<20 {
			t.Errorf("one of %d left: only %d bytes count as removed", every, freed)
		}
		s.freed.Store(giveBackMin)
		if err := s.Remove(1, []uint64{1 << 50}); err != nil {
			t.Fatal(err)
		}
		s.compactor.Wait()
		size, err := s.db.Size(kv.Range{})
		if err != nil {
			t.Fatal(err)
		}
		// Pinned messages are not thinned out below pinnedMin.
		if size > pinnedMin+2<<20 {
			t.Errorf("one of %d left: %d bytes on disk", every, size)
		}
		closeIt(t, s)
	}
}

// TestNodes: who has something is listed; Each ends when it is told to.
func TestNodes(t *testing.T) {
	s := openOn(t, faulty.New(1), small)
	defer closeIt(t, s)
	for _, to := range []link.NodeID{9, 2, 5} {
		if err := s.Append(to, []link.Spooled{message(1, 10), message(2, 10)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Scan(5, func(link.Spooled) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if got := s.Nodes(); len(got) != 2 || got[0] != 2 || got[1] != 9 {
		t.Errorf("nodes %v", got)
	}
	n := 0
	if err := s.Each(2, func(link.Spooled) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("%d calls, %v", n, err)
	}
}

// TestScanWhileAppending: fn may use the spool, and what comes meanwhile is not
// scanned (R11).
func TestScanWhileAppending(t *testing.T) {
	s := openOn(t, faulty.New(1), small)
	defer closeIt(t, s)
	for i := range 50 {
		if err := s.Append(1, []link.Spooled{message(i, 3000)}); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err := s.Scan(1, func(m link.Spooled) bool {
		seen++
		if err := s.Append(1, []link.Spooled{message(1000, 10)}); err != nil {
			t.Fatal(err)
		}
		return false
	})
	if err != nil || seen != 50 || s.Count(1) != 50 {
		t.Errorf("%d seen, %d there, %v", seen, s.Count(1), err)
	}
	s.check(t)
}
