package queue

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/kv"
)

// meter counts what is read from a database. Its counters are atomic.
type meter struct {
	kv.DB
	reads atomic.Int64
}

func (m *meter) Get(key []byte) ([]byte, error) {
	m.reads.Add(1)
	return m.DB.Get(key)
}

func (m *meter) Iterator(r kv.Range) kv.Iterator {
	m.reads.Add(1)
	return &meteredIterator{m.DB.Iterator(r), m}
}

type meteredIterator struct {
	kv.Iterator
	m *meter
}

func (i *meteredIterator) Next() bool {
	i.m.reads.Add(1)
	return i.Iterator.Next()
}

func (i *meteredIterator) Last() bool {
	i.m.reads.Add(1)
	return i.Iterator.Last()
}

// TestOpeningCostsTheSameWhateverIsStored counts reads of OpenStore and Open.
func TestOpeningCostsTheSameWhateverIsStored(t *testing.T) {
	cost := func(messages, queues int) [2]int64 {
		db := kv.NewMemory()
		s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
		var ids []QueueID
		for i := range queues {
			id, _ := s.open(fmt.Sprint("queue ", i))
			ids = append(ids, id)
		}
		for i := range messages {
			s.Append(s.event(numbered(i, 200), ids...), nil)
		}
		s.sync()
		m := &meter{DB: db.Fork()} // as a crash leaves it
		again, err := OpenStore(m, StoreConfig{})
		if err != nil {
			t.Fatal(err)
		}
		store := m.reads.Swap(0)
		_, st, err := again.Open("queue 0", false)
		if err != nil || st.Count != messages {
			t.Fatalf("%+v %v", st, err)
		}
		return [2]int64{store, m.reads.Load()}
	}
	small, large := cost(5, 2), cost(3000, 20)
	if small != large {
		t.Errorf("opening the store and a queue takes %v reads with little in it and %v with much", small, large)
	}
}

func TestAcksAreGathered(t *testing.T) {
	hands := clock.NewManual(time.Unix(1000, 0))
	s := start(t, kv.OpenMemory(), StoreConfig{Clock: hands, AckCount: 64, AckDelay: 10 * time.Millisecond})
	id, st := s.open("a")
	for i := range 200 {
		s.put(numbered(i, 10), id)
	}
	es := s.all(id, st)
	s.sync()
	written := s.counts.cursors.Value()
	s.ack(id, es[:63]...)
	s.put("another commit does not take them along", id)
	if n := s.counts.cursors.Value() - written; n != 0 {
		t.Errorf("%d cursors were written for 63 acks", n)
	}
	s.ack(id, es[63])
	eventually(t, "64 acks are written", func() bool { return s.counts.cursors.Value() == written+1 })
	s.ack(id, es[64])
	s.put("nor this one", id)
	// The committer may not have set its timer yet, so time goes on.
	eventually(t, "one ack is written when it is due", func() bool {
		hands.Advance(time.Millisecond)
		return s.counts.cursors.Value() == written+2
	})
}

// TestAcksGoAlong: acknowledgements that are half way to being written go with the
// commit of a message, and have no commit of their own any more.
func TestAcksGoAlong(t *testing.T) {
	const delay = 10 * time.Millisecond
	hands := clock.NewManual(time.Unix(1000, 0))
	s := start(t, kv.OpenMemory(), StoreConfig{Clock: hands, AckCount: 64, AckDelay: delay})
	id, st := s.open("a")
	for i := range 5 {
		s.put(numbered(i, 10), id)
	}
	es := s.all(id, st)
	s.sync()
	written := s.counts.cursors.Value()
	s.ack(id, es[0])
	hands.Advance(delay / 2)
	s.put("takes it along", id)
	if n := s.counts.cursors.Value() - written; n != 1 {
		t.Fatalf("%d cursors were written with the message, want 1", n)
	}
	commits := s.counts.commits.Value()
	hands.Advance(delay)
	s.put("comes when the acknowledgement would have been due", id)
	if n, c := s.counts.cursors.Value()-written, s.counts.commits.Value()-commits; n != 1 || c != 1 {
		t.Errorf("%d cursors and %d commits, want one each", n, c)
	}
}

// TestBusyQueueDoesNotHoldUpAnother: a cursor that is written early again and
// again must not hide that another one is due.
func TestBusyQueueDoesNotHoldUpAnother(t *testing.T) {
	hands := clock.NewManual(time.Unix(1000, 0))
	s := start(t, kv.OpenMemory(), StoreConfig{Clock: hands, AckCount: 2, AckDelay: 10 * time.Millisecond})
	busy, stBusy := s.open("busy")
	quiet, stQuiet := s.open("quiet")
	for i := range 40 {
		s.put(numbered(i, 10), busy, quiet)
	}
	loud := s.all(busy, stBusy)
	calm := s.all(quiet, stQuiet)
	s.ack(busy, loud[0])
	s.ack(quiet, calm[0])
	for i := 1; i < 21; i += 2 {
		s.ack(busy, loud[i], loud[i+1])
		hands.Advance(time.Millisecond)
	}
	eventually(t, "the quiet one's ack is on disk", func() bool {
		hands.Advance(time.Millisecond / 2)
		var k key
		_, err := s.db.Get(k.record(quiet, 1, calm[0].Seq))
		return isNotFound(err)
	})
}

// TestSpaceComesBack stores and acknowledges far more than may stay on disk.
func TestSpaceComesBack(t *testing.T) {
	db := openLevel(t, t.TempDir())
	s := start(t, db, StoreConfig{Durability: OS, TidyEvery: 1 << 40})
	a, stA := s.open("a")
	b, stB := s.open("b")
	subs := []*subscriber{newSubscriber(s.Store, a, stA, unlimited()), newSubscriber(s.Store, b, stB, unlimited())}
	for _, sub := range subs {
		sub.connect()
	}
	n := 20_000 * factor()
	publish(t, subs, n, 1000, 256)
	// And shared ones.
	for i := range n / 4 {
		ev := s.event(numbered(i, 1000), a, b)
		for _, sub := range subs {
			sub.admit()
		}
		s.Append(ev, func(error) {
			for i, sub := range subs {
				sub.committed(Entry{Seq: ev.Targets[i].Seq, Msg: ev.Msg, QoS: 1})
			}
		})
		if i%100 == 0 {
			s.sync()
		}
	}
	s.sync()
	s.turn()
	s.tidy(t.Context())
	s.sync()
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	size, err := db.Size(kv.Range{Start: []byte{0}, Limit: []byte{0xff}})
	if err != nil || size > 1<<20 {
		t.Errorf("%d messages of 1,000 bytes are gone and %d bytes are on disk, %v", n+n/4, size, err)
	}
	for _, table := range []byte{tableRecord, tableBody, tableSegment} {
		if left := keys(t, db, table); left > 0 {
			t.Errorf("%d keys are left in table %q", left, table)
		}
	}
}

// sink is a database that forgets what is written, so that what the heap holds is
// the store's and the queue's.
type sink struct{ kv.DB }

func (sink) Write(*kv.Batch, bool) error { return nil }

// TestMemoryDoesNotGrowWithTheBacklog stores much for a client that is away.
func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	s := start(t, sink{kv.OpenMemory()}, StoreConfig{TidyEvery: 1 << 40})
	id, st := s.open("a")
	sub := newSubscriber(s.Store, id, st, unlimited())
	publish(t, []*subscriber{sub}, 1000, 500, 256)
	before := heapMB()
	n := 40_000 * factor()
	publish(t, []*subscriber{sub}, n, 500, 256)
	// 40,000 bodies of 500 bytes are 20 MB.
	if grown := heapMB() - before; grown > 3 {
		t.Errorf("the heap grew by %.1f MB with a backlog of %d messages", grown, n)
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if st := sub.mu.q.Stats(); st.Stored != 1000+n || st.Bytes != 0 {
		t.Errorf("%+v", st)
	}
}

func TestRunLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		s := start(t, kv.OpenMemory(), StoreConfig{})
		id, _ := s.open("a")
		s.put("x", id)
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}
