package queue

import (
	"fmt"
	"slices"
	"testing"

	"tombolo/internal/kv"
)

// sparse puts messages into two queues, one of which forgets nearly all, and the
// other all of them.
func sparse(t *testing.T, s *running, n int, keep func(i int) bool) (a QueueID, kept []Entry) {
	t.Helper()
	a, st := s.open("a")
	b, stB := s.open("b")
	for i := range n {
		s.Append(s.event(numbered(i, 2000), a, b), nil)
	}
	s.sync()
	for i, e := range s.all(a, st) {
		if keep(i) {
			kept = append(kept, e)
		} else {
			s.ack(a, e)
		}
	}
	s.ack(b, s.all(b, stB)...)
	s.sync()
	return a, kept
}

// turn begins a new segment, so that the one before may be rewritten.
func (r *running) turn() {
	r.Store.mu.Lock()
	defer r.Store.mu.Unlock()
	r.Store.mu.filling = nil
}

func TestSparseSegmentIsRewritten(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
		a, kept := sparse(t, s, 200, func(i int) bool { return i%20 == 7 })
		_, st := s.open("a")
		before := bodies(s.all(a, st))
		s.turn()
		if err := s.rewriteSparse(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.sync()
		if n := keys(t, db, tableBody); n != len(kept) {
			t.Errorf("%d bodies are left, %d are needed", n, len(kept))
		}
		if got := bodies(s.all(a, st)); !slices.Equal(got, before) {
			t.Errorf("after the rewrite %d messages, before %d", len(got), len(before))
		}
		// These entries still name the old segment.
		s.ack(a, kept[0], kept[3])
		s.do(a, Op{Kind: OpBind, Seq: kept[1].Seq, PacketID: 5})
		s.do(a, Op{Kind: OpRelease, Seq: kept[1].Seq, PacketID: 5, segment: kept[1].Msg.segment})
		eventually(t, "they are forgotten", func() bool { _, st := s.open("a"); return st.Count == len(kept)-3 })
		if _, st := s.open("a"); !slices.Equal(st.Released, []uint16{5}) || len(st.Bound) != 0 {
			t.Errorf("QoS 2 state %+v", st)
		}
		_ = s.end()
		audit(t, db)
		s = start(t, db, StoreConfig{TidyEvery: 1 << 40})
		a, st = s.open("a")
		es := s.all(a, st)
		if len(es) != len(kept)-3 || !slices.Equal(st.Released, []uint16{5}) {
			t.Errorf("after a restart %d messages, want %d; %+v", len(es), len(kept)-3, st)
		}
		s.ack(a, es...)
		s.sync()
		_ = s.rewriteSparse(t.Context())
		_ = s.end()
		audit(t, db)
		if n := keys(t, db, tableBody) + keys(t, db, tableSegment) + keys(t, db, tableRecord); n != 0 {
			t.Errorf("%d keys are left of nothing", n)
		}
	})
}

// TestRewriteRacesWithReadsAndAcks moves bodies while they are read and
// acknowledged.
func TestRewriteRacesWithReadsAndAcks(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
		a, kept := sparse(t, s, 400, func(i int) bool { return i%6 == 0 })
		_, st := s.open("a")
		s.turn()
		moved := make(chan error, 1)
		go func() { moved <- s.rewriteSparse(t.Context()) }()
		for i, e := range kept {
			if i%2 == 0 {
				s.ack(a, e)
			}
			if got := s.all(a, st); i%8 == 0 && len(got) < len(kept)-i/2-1 {
				t.Fatalf("%d messages after %d acks of %d", len(got), i/2+1, len(kept))
			}
		}
		if err := <-moved; err != nil {
			t.Fatal(err)
		}
		s.sync()
		eventually(t, "half of them are left", func() bool { _, st := s.open("a"); return st.Count == len(kept)/2 })
		if f := s.faults(); len(f) > 0 {
			t.Errorf("faults: %v", f)
		}
		_ = s.end()
		audit(t, db)
	})
}

func TestSegmentIsFreedWhole(t *testing.T) {
	db := kv.OpenMemory()
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	a, _ := sparse(t, s, segmentBodiesMax+10, func(i int) bool { return i == segmentBodiesMax })
	if n := keys(t, db, tableBody); n != 10 {
		t.Errorf("%d bodies are left, want the 10 of the second segment", n)
	}
	if freed := s.counts.segmentsFreed.Value(); freed != 1 {
		t.Errorf("%d segments were freed", freed)
	}
	_, st := s.open("a")
	if got := s.all(a, st); len(got) != 1 {
		t.Errorf("%d messages are left", len(got))
	}
}

func TestSuspectDatabaseCountsSegmentsAnew(t *testing.T) {
	mem := kv.NewMemory()
	s := start(t, mem, StoreConfig{TidyEvery: 1 << 40})
	_, kept := sparse(t, s, 50, func(i int) bool { return i%3 == 0 })
	_ = s.end()
	// An older state of the record came back: it says that little is live.
	var k key
	var b kv.Batch
	seg := segment{bodies: 50, bytes: 100_000, live: 1}
	b.Put(k.segment(1), seg.append(nil))
	if err := mem.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	db := &suspectDB{DB: mem}
	s = start(t, db, StoreConfig{TidyEvery: 1 << 40})
	a, st := s.open("a")
	es := s.all(a, st)
	s.ack(a, es[0], es[1])
	s.sync()
	if got := s.all(a, st); len(got) != len(kept)-2 {
		t.Fatalf("%d messages, want %d: the segment was freed under them", len(got), len(kept)-2)
	}
	if err := s.rewriteSparse(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = s.rewriteSparse(t.Context())
	s.sync()
	if got := s.all(a, st); len(got) != len(kept)-2 {
		t.Errorf("%d messages after the rewrite, want %d", len(got), len(kept)-2)
	}
	_ = s.end()
	audit(t, mem)
	if len(s.faults()) == 0 {
		t.Error("nobody was told that the database is suspect")
	}
}

// suspectDB says that it may have lost something.
type suspectDB struct{ kv.DB }

func (suspectDB) Suspect() []string { return []string{"a test says so"} }

func TestSpansBehaveAsASet(t *testing.T) {
	rnd := newRig(t, 1).rnd
	for round := range 300 {
		var s spans
		set := map[uint64]bool{}
		for range 60 {
			lo := uint64(rnd.IntN(100))
			hi := lo + 1 + uint64(rnd.IntN(6))
			var parts []span
			s.missing(lo, hi, func(lo, hi uint64) { parts = append(parts, span{lo, hi}) })
			for _, p := range parts {
				s.add(p.lo, p.hi)
			}
			for n := lo; n < hi; n++ {
				set[n] = true
			}
			checkSpans(t, fmt.Sprint("round ", round), s, set)
		}
	}
}

func checkSpans(t *testing.T, where string, s spans, set map[uint64]bool) {
	t.Helper()
	for n := range uint64(110) {
		if s.has(n) != set[n] {
			t.Fatalf("%s: %d in %v: %v", where, n, s, s.has(n))
		}
	}
	if n := s.size(0, 1000); int(n) != len(set) {
		t.Fatalf("%s: size %d of %v, want %d", where, n, s, len(set))
	}
	for i := range s {
		if s[i].lo >= s[i].hi || i > 0 && s[i-1].hi >= s[i].lo {
			t.Fatalf("%s: %v is not normal", where, s)
		}
	}
}

// hook calls before ahead of every Get, once it is set.
type hook struct {
	kv.DB
	before func(key []byte)
}

func (h *hook) Get(key []byte) ([]byte, error) {
	if h.before != nil {
		h.before(key)
	}
	return h.DB.Get(key)
}

// TestBodyThatMovesUnderAReader moves a body after the reader saw the record and
// before it looks for the body.
func TestBodyThatMovesUnderAReader(t *testing.T) {
	db := &hook{DB: kv.OpenMemory()}
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	a, kept := sparse(t, s, 200, func(i int) bool { return i%20 == 7 })
	_, st := s.open("a")
	s.turn()
	moved := false
	db.before = func(k []byte) {
		if k[0] != tableBody || moved {
			return
		}
		moved = true
		if err := s.rewriteSparse(t.Context()); err != nil {
			t.Error(err)
		}
		s.sync()
	}
	es := s.all(a, st)
	if !moved || len(es) != len(kept) || len(s.faults()) > 0 {
		t.Fatalf("moved %v: %d messages, want %d, faults %v", moved, len(es), len(kept), s.faults())
	}
	// The entries name the new segment, so that nothing has to be looked up.
	s.ack(a, es...)
	s.sync()
	if _, st := s.open("a"); st.Count != 0 {
		t.Errorf("%d are left", st.Count)
	}
}
