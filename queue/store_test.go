package queue

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"tombolo/internal/kv"
)

func TestStoreKeepsWhatItAcknowledged(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{})
		a, _ := s.open("m\x00a")
		b, _ := s.open("m\x00b")
		var want []string
		for i := range 300 {
			body := numbered(i, 20+i)
			s.put(body, a, b)
			want = append(want, body)
		}
		if err := s.end(); err != nil {
			t.Fatalf("end: %v", err)
		}
		s = start(t, db, StoreConfig{})
		for _, name := range []string{"m\x00a", "m\x00b"} {
			id, st := s.open(name)
			if st.Count != 300 || st.Head != 1 || st.Tail != 301 {
				t.Errorf("%q: %+v", name, st)
			}
			es := s.all(id, st)
			if got := bodies(es); !slices.Equal(got, want) {
				t.Errorf("%q holds %d messages, want %d as they were put in", name, len(got), len(want))
			}
			s.ack(id, es...)
		}
		s.sync()
		if n := keys(t, db, tableRecord); n != 0 {
			t.Errorf("%d records are left", n)
		}
		eventually(t, "all shared bodies are freed", func() bool {
			_ = s.rewriteSparse(t.Context())
			s.sync()
			return keys(t, db, tableBody) == 0 && keys(t, db, tableSegment) == 0
		})
		if f := s.faults(); len(f) > 0 {
			t.Errorf("faults: %v", f)
		}
	})
}

func TestEntryComesBackAsItWas(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{})
		a, _ := s.open("a")
		b, _ := s.open("b")
		for _, length := range []int{0, 5, 5000} {
			msg := &Message{ID: s.NextID(), QoS: 2, ExpiresAt: 1_800_000_000_123, Body: make([]byte, length)}
			ev := &Event{Msg: msg, Targets: []Target{
				{Queue: a, QoS: 1, Retain: true, SubIDs: []uint32{1, 268_435_455}}, {Queue: b, QoS: 2}}}
			if err := s.append(ev); err != nil {
				t.Fatal(err)
			}
			for i, id := range []QueueID{a, b} {
				es := s.do(id, Op{Kind: OpRead, Seq: ev.Targets[i].Seq, N: 1, Tag: ReadTag}).es
				if len(es) != 1 {
					t.Fatalf("%d entries", len(es))
				}
				got, m, want := es[0], es[0].Msg, ev.Targets[i]
				if got.Seq != want.Seq || got.QoS != want.QoS || got.Retain != want.Retain || !slices.Equal(got.SubIDs, want.SubIDs) ||
					m.ID != msg.ID || m.QoS != 2 || m.ExpiresAt != msg.ExpiresAt || len(m.Body) != length {
					t.Errorf("%d bytes in queue %d: %+v %+v", length, i, got, m)
				}
			}
		}
	})
}

func TestDonesComeInOrder(t *testing.T) {
	s := start(t, kv.OpenMemory(), StoreConfig{})
	id, _ := s.open("a")
	var got []int
	for i := range 5000 {
		s.Append(s.event("x", id), func(error) { got = append(got, i) })
	}
	s.sync()
	for i, n := range got {
		if i != n {
			t.Fatalf("done %d came as number %d", n, i)
		}
	}
	if len(got) != 5000 {
		t.Fatalf("%d of 5000 done", len(got))
	}
}

func TestAckedMessagesAreNotReadAgain(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{AckDelay: 1 << 40, AckCount: 1 << 30})
		id, st := s.open("a")
		for i := range 20 {
			s.put(fmt.Sprint(i), id)
		}
		es := s.all(id, st)
		s.ack(id, es[3], es[4], es[0], es[1], es[10])
		s.ack(id, es[3]) // twice
		want := []string{"2", "5", "6", "7", "8", "9", "11", "12", "13", "14", "15", "16", "17", "18", "19"}
		if got := bodies(s.all(id, st)); !slices.Equal(got, want) {
			t.Errorf("before the cursor is written: %v", got)
		}
		_, st = s.open("a")
		if st.Count != 15 || st.Head != 3 {
			t.Errorf("state %+v", st)
		}
		if in, ok := s.Inspect("a"); !ok || in.ID != id || in.Unwritten != 5 || in.State.Count != 15 || in.Uncommitted != 0 {
			t.Errorf("inspection %+v %v", in, ok)
		}
		if _, ok := s.Inspect("b"); ok {
			t.Error("a queue that is not there is inspected")
		}
		_ = s.end()
		s = start(t, db, StoreConfig{})
		id, st = s.open("a")
		if st.Count != 15 || st.Head != 3 || st.Tail != 21 {
			t.Errorf("state after restart %+v", st)
		}
		if got := bodies(s.all(id, st)); !slices.Equal(got, want) {
			t.Errorf("after restart: %v", got)
		}
	})
}

func TestQoS2StateIsRestored(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{})
		id, _ := s.open("a")
		for i := range 6 {
			s.put(numbered(i, 10), id)
		}
		s.do(id, Op{Kind: OpBind, Seq: 2, PacketID: 20})
		s.do(id, Op{Kind: OpBind, Seq: 3, PacketID: 30})
		s.do(id, Op{Kind: OpBind, Seq: 4, PacketID: 40})
		s.do(id, Op{Kind: OpBind, Seq: 5, PacketID: 50})
		s.do(id, Op{Kind: OpRelease, Seq: 4, PacketID: 40})
		s.do(id, Op{Kind: OpRelease, Seq: 3, PacketID: 30})
		s.do(id, Op{Kind: OpRelease, Seq: 5, PacketID: 50})
		s.Do(id, []Op{{Kind: OpComplete, PacketID: 40}, {Kind: OpSent, Seq: 2}}, nil)
		in := s.event("in", id)
		in.Inbound = Inbound{id, 7, false}
		if err := s.append(in); err != nil {
			t.Fatal(err)
		}
		s.InboundOnly(Inbound{id, 8, false}, MessageID{1, 2}, nil)
		s.InboundOnly(Inbound{id, 9, false}, MessageID{1, 3}, nil)
		s.do(id, Op{Kind: OpInboundDone, PacketID: 8})
		check := func(when string, st State) {
			t.Helper()
			if !slices.Equal(st.Bound, []Binding{{2, 20}}) || !slices.Equal(st.Released, []uint16{30, 50}) || st.SentThrough != 2 ||
				!slices.Equal(st.Received, []Received{{7, in.Msg.ID, false}, {9, MessageID{1, 3}, false}}) || st.Count != 4 {
				t.Errorf("%s: %+v", when, st)
			}
		}
		_, st := s.open("a")
		check("running", st)
		_ = s.end()
		s = start(t, db, StoreConfig{})
		_, st = s.open("a")
		check("restarted", st)
	})
}

func TestFreshDropsWhatWasThere(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{})
		old, _ := s.open("a")
		other, _ := s.open("b")
		for i := range 30 {
			s.put(numbered(i, 500), old, other)
		}
		s.InboundOnly(Inbound{old, 8, false}, MessageID{1, 2}, nil)
		id, st, err := s.Open("a", true)
		if err != nil || id == old || st.Count != 0 || len(st.Received) != 0 {
			t.Fatalf("%d %+v %v", id, st, err)
		}
		ev := s.event("late", old, other)
		if err := s.append(ev); err != nil || ev.Targets[0].Seq != 0 || ev.Targets[1].Seq != 31 {
			t.Errorf("append to a dropped queue: %v %+v", err, ev.Targets)
		}
		if a := s.do(old, Op{Kind: OpRead, Seq: 1, N: 1, Tag: ReadTag}); !errors.Is(a.err, ErrNoQueue) {
			t.Errorf("read of a dropped queue: %+v", a)
		}
		eventually(t, "the old records are gone", func() bool { return keys(t, db, tableRecord) == 31 && keys(t, db, tableDropped) == 0 })
		if n := keys(t, db, tableInbound); n != 0 {
			t.Errorf("%d inbound ids are left", n)
		}
		_, st = s.open("b")
		if got := s.all(other, st); len(got) != 31 {
			t.Errorf("the other queue holds %d", len(got))
		}
		// A stop right after a drop leaves nothing of it but what is swept later.
		s.Drop(other, nil)
		_ = s.end()
		audit(t, db)
		start(t, db, StoreConfig{})
		eventually(t, "the rest is swept after the restart", func() bool { return keys(t, db, tableRecord) == 0 && keys(t, db, tableDropped) == 0 })
	})
}

func TestEachFindsEveryQueue(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{})
		for _, name := range []string{"a", "b", "c", "d"} {
			id, _ := s.open(name)
			s.put("x", id)
		}
		drop, _ := s.Lookup("c")
		s.Drop(drop, nil)
		_ = s.end()
		s = start(t, db, StoreConfig{})
		s.open("d")
		var got []string
		err := s.Each(func(name string, id QueueID, st State) bool {
			got = append(got, fmt.Sprint(name, st.Count))
			return true
		})
		if err != nil || !slices.Equal(got, []string{"a1", "b1", "d1"}) {
			t.Errorf("%v %v", got, err)
		}
		if _, ok := s.Lookup("c"); ok {
			t.Error("the dropped queue is still there")
		}
		if id, ok := s.Lookup("a"); !ok || id == 0 {
			t.Error("a queue that is not open is not found")
		}
	})
}

func TestEvictionsByPlace(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{})
		id, st := s.open("a")
		other, _ := s.open("b")
		for i := range 10 {
			s.put(numbered(i+1, 200), id, other)
		}
		es := s.all(id, st)
		s.ack(id, es[0], es[4])
		s.do(id, Op{Kind: OpBind, Seq: 2, PacketID: 1})
		s.do(id, Op{Kind: OpBind, Seq: 9, PacketID: 2})
		s.Do(id, []Op{
			{Kind: OpEvict, Seq: 1, N: 2, segment: refUnknown},   // 3, 4
			{Kind: OpEvict, Seq: 10, N: -2, segment: refUnknown}, // 10, 8
			{Kind: OpEvict, Seq: 6, segment: es[5].Msg.segment},  // 6
		}, nil)
		var got []uint64
		for _, e := range s.all(id, st) {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, []uint64{2, 7, 9}) {
			t.Errorf("left: %v", got)
		}
		if _, now := s.open("a"); now.Count != 3 {
			t.Errorf("count %d", now.Count)
		}
	})
}

func TestMemoryDurabilityForgets(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		s := start(t, db, StoreConfig{Durability: Memory})
		id, _ := s.open("a")
		first := s.put("x", id)
		_ = s.end()
		s = start(t, db, StoreConfig{Durability: Memory})
		if _, ok := s.Lookup("a"); ok {
			t.Error("the queue is still there")
		}
		if next := s.NextID(); next.Ingress == first.Msg.ID.Ingress {
			t.Errorf("ids go on as %+v after %+v", next, first.Msg.ID)
		}
	})
}

func TestIdsAreNeverGivenTwice(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		var last MessageID
		var lastQueue QueueID
		var lastSeq uint64
		for run := range 4 {
			s := start(t, db, StoreConfig{})
			id, _ := s.open("a")
			fresh, _ := s.open(fmt.Sprint("run ", run))
			ev := s.put("x", id)
			if run > 0 && (ev.Msg.ID.Ingress != last.Ingress || ev.Msg.ID.N <= last.N || fresh <= lastQueue || ev.Targets[0].Seq <= lastSeq) {
				t.Fatalf("run %d: %+v after %+v, queue %d after %d, sequence %d after %d", run, ev.Msg.ID, last, fresh, lastQueue, ev.Targets[0].Seq, lastSeq)
			}
			last, lastQueue, lastSeq = ev.Msg.ID, fresh, ev.Targets[0].Seq
			_ = s.end()
		}
	})
}

func TestAppendBlocksAtTheBoundUntilCommitted(t *testing.T) {
	db := newGate(kv.OpenMemory())
	s := start(t, db, StoreConfig{MaxBytesPending: 1000})
	id, _ := s.open("a")
	s.sync()
	db.shut()
	handed, all := make(chan int, 100), make(chan struct{})
	go func() {
		defer close(all)
		for i := range 20 {
			s.Append(s.event(numbered(i, 400), id), nil)
			handed <- i
		}
	}()
	eventually(t, "a publisher waits", func() bool { return s.counts.blocked.Value() > 0 })
	if n := len(handed); n > 4 {
		t.Errorf("%d messages of 400 bytes were taken, the bound is 1000", n)
	}
	s.AppendNow(s.event("a will", id), nil) // does not wait
	db.open()
	<-all
	s.sync()
	if _, st := s.open("a"); st.Count != 21 {
		t.Errorf("%d stored", st.Count)
	}
}

func TestNothingIsTakenAfterTheStop(t *testing.T) {
	s := start(t, kv.OpenMemory(), StoreConfig{})
	id, _ := s.open("a")
	s.put("x", id)
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if err := s.append(s.event("y", id)); !errors.Is(err, ErrStopped) {
		t.Errorf("append: %v", err)
	}
	if a := s.do(id, Op{Kind: OpRead, Seq: 1, N: 1}); !errors.Is(a.err, ErrStopped) {
		t.Errorf("read: %v", a.err)
	}
	if err := s.Sync(); !errors.Is(err, ErrStopped) {
		t.Errorf("sync: %v", err)
	}
	if _, _, err := s.Open("b", false); !errors.Is(err, ErrStopped) {
		t.Errorf("open: %v", err)
	}
}

// TestOpsAreDoneInTheOrderInWhichTheyWereTakenOut hands them in the other way
// round, as two goroutines may.
func TestOpsAreDoneInTheOrderInWhichTheyWereTakenOut(t *testing.T) {
	s := start(t, kv.OpenMemory(), StoreConfig{})
	id, _ := s.open("a")
	for i := range 10 {
		s.put(numbered(i, 10), id)
	}
	_, st := s.open("a")
	q := New(Config{MaxOnline: -1, MaxOffline: -1, MemoryEntries: 20}, true, st)
	q.SetOnline(true, 0)
	read := q.Ops(nil)
	a := s.do(id, read[0])
	q.Loaded(read[0].Tag, a.es, a.more)
	for range 4 {
		e, _ := q.Next(0)
		q.Ack(e.Seq)
	}
	acks := q.Ops(nil)
	q.SetOnline(false, 0)
	q.SetOnline(true, 0)
	again := q.Ops(nil)
	answers := make(chan answer, 1)
	s.Do(id, again, func(_ uint64, es []Entry, more bool, err error) { answers <- answer{es, more, err} })
	s.Do(id, acks, nil)
	if got := <-answers; len(got.es) != 6 || got.es[0].Seq != 5 {
		t.Errorf("a read that overtook 4 acks gives %d messages", len(got.es))
	}
	// A Queue that went away with a batch that was never handed in holds up
	// nobody.
	q.Next(0)
	q.Ops(nil)
	_, st = s.open("a")
	next := New(unlimited(), true, st)
	next.SetOnline(true, 0)
	if got := s.do(id, next.Ops(nil)[0]); len(got.es) != 6 {
		t.Errorf("the next Queue reads %d messages", len(got.es))
	}
}
