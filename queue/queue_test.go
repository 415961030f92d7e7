package queue

import (
	"testing"
	"unsafe"

	"tombolo/internal/invariant"
)

func online(c Config, durable bool) *Queue {
	q := New(c, durable, State{})
	q.SetOnline(true, 0)
	return q
}

func put(q *Queue, seq uint64, qos uint8) Admission {
	a := q.Admit(qos)
	if a <= AcceptEvictOldest {
		q.Committed(Entry{Seq: seq, Msg: &Message{Body: []byte("body")}, QoS: qos})
	}
	return a
}

func drain(q *Queue) (seqs []uint64) {
	for e, ok := q.Next(0); ok; e, ok = q.Next(0) {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

func TestAdmissionAtTheBound(t *testing.T) {
	tests := []struct {
		name  string
		c     Config
		on    bool
		holds int // put in before
		qos   uint8
		want  Admission
	}{
		{"fifo below", Config{MaxOnline: 3}, true, 2, 1, Accept},
		{"fifo full", Config{MaxOnline: 3}, true, 3, 1, DropNew},
		{"fifo full, unlimited", Config{MaxOnline: -1}, true, 300, 1, Accept},
		{"fifo offline full", Config{MaxOnline: 9, MaxOffline: 2}, false, 2, 1, DropNew},
		{"refuse", Config{MaxOnline: 3, Refuse: true}, true, 3, 1, Refuse},
		{"refuse goes before lifo", Config{MaxOnline: 3, Refuse: true, LIFO: true}, true, 3, 1, Refuse},
		{"lifo full", Config{MaxOnline: 3, LIFO: true}, true, 3, 1, AcceptEvictOldest},
		{"lifo with no place at all", Config{LIFO: true}, true, 0, 1, DropNew},
		{"none offline", Config{MaxOnline: 3}, false, 0, 1, DropNew},
		{"qos 0 offline", Config{MaxOffline: 3}, false, 0, 0, DropNew},
		{"qos 0 online", Config{MaxOnline: 3}, true, 0, 0, Accept},
	}
	for _, tt := range tests {
		for _, durable := range []bool{false, true} {
			if durable && tt.qos == 0 {
				continue
			}
			q := New(tt.c, durable, State{})
			q.SetOnline(tt.on, 0)
			for i := range tt.holds {
				put(q, uint64(i+1), 1)
			}
			if got := q.Admit(tt.qos); got != tt.want {
				t.Errorf("%s, durable %v: %v, want %v", tt.name, durable, got, tt.want)
			}
		}
	}
}

func TestDurableQueueTakesNoQoS0(t *testing.T) {
	q := online(Config{MaxOnline: -1}, true)
	if a := q.Admit(0); a != DropNew || q.Stats().DroppedQoS0 != 1 {
		t.Fatalf("%v, %+v", a, q.Stats())
	}
}

func TestQoS0IsNotInFlight(t *testing.T) {
	q := online(Config{MaxOnline: -1}, false)
	put(q, 0, 0)
	put(q, 0, 1)
	if e, ok := q.Next(0); !ok || e.QoS != 0 || q.InFlight() != 0 {
		t.Fatalf("%+v %v, %d in flight", e, ok, q.InFlight())
	}
	if e, ok := q.Next(0); !ok || e.QoS != 1 || q.InFlight() != 1 {
		t.Fatalf("%+v %v, %d in flight", e, ok, q.InFlight())
	}
}

func TestReservationsCountAgainstTheBound(t *testing.T) {
	q := online(Config{MaxOnline: 2}, true)
	q.Admit(1)
	q.Admit(1)
	if a := q.Admit(1); a != DropNew {
		t.Fatalf("third: %v", a)
	}
	q.Abandoned()
	if a := q.Admit(1); a != Accept || q.Stats().Failed != 1 || q.Pending() != 2 {
		t.Fatalf("after one was abandoned: %v %+v, %d pending", a, q.Stats(), q.Pending())
	}
}

func TestCommitWithoutAdmissionIsABug(t *testing.T) {
	q := online(Config{MaxOnline: 2}, true)
	put(q, 5, 1)
	q.Admit(1)
	for name, f := range map[string]func(){
		"sequence falls": func() { q.Committed(Entry{Seq: 5, Msg: &Message{}, QoS: 1}) },
		"no reservation": func() { online(Config{}, true).Committed(Entry{Seq: 1, Msg: &Message{}}) },
	} {
		func() {
			defer func() {
				if _, ok := recover().(*invariant.Violation); !ok {
					t.Errorf("%s: no violation", name)
				}
			}()
			f()
		}()
	}
}

func TestCommitThatOpenHadCountedIsOnlySettled(t *testing.T) {
	q := New(Config{MaxOnline: 9, MaxOffline: 9}, true, State{Head: 1, Tail: 4, Count: 3})
	q.Admit(1)
	q.Committed(Entry{Seq: 3, Msg: &Message{}, QoS: 1})
	if q.Len() != 3 {
		t.Fatalf("%d waiting, want 3", q.Len())
	}
	put(q, 4, 1)
	if q.Len() != 4 {
		t.Fatalf("%d waiting, want 4", q.Len())
	}
}

func TestLostRecordsAreCountedAndPassed(t *testing.T) {
	q := New(Config{MaxOnline: 9, MaxOffline: 9}, true, State{Head: 1, Tail: 6, Count: 5})
	q.SetOnline(true, 0)
	ops := q.Ops(nil)
	if len(ops) != 1 || ops[0].Kind != OpRead || ops[0].Seq != 1 || ops[0].Tag < ReadTag {
		t.Fatalf("ops %+v", ops)
	}
	m := &Message{}
	q.Loaded(ops[0].Tag, []Entry{{Seq: 2, Msg: m, QoS: 1}, {Seq: 5, Msg: m, QoS: 1}}, false)
	if got := drain(q); len(got) != 2 || q.Len() != 0 || q.Stats().Lost != 3 {
		t.Fatalf("got %v, %+v", got, q.Stats())
	}
	put(q, 6, 1)
	if got := drain(q); len(got) != 1 || got[0] != 6 {
		t.Fatalf("after the loss: %v", got)
	}
}

func TestFailedReadIsAskedAgainAfterAReconnect(t *testing.T) {
	q := New(Config{MaxOnline: 9, MaxOffline: 9}, true, State{Head: 1, Tail: 3, Count: 2})
	q.SetOnline(true, 0)
	first := q.Ops(nil)
	q.ReadFailed(first[0].Tag)
	put(q, 3, 1)
	if ops := q.Ops(nil); len(ops) != 0 || len(drain(q)) != 0 {
		t.Fatalf("asked again at once: %+v", ops)
	}
	q.SetOnline(false, 0)
	q.SetOnline(true, 0)
	second := q.Ops(nil)
	if len(second) != 1 || second[0].Tag == first[0].Tag {
		t.Fatalf("ops %+v", second)
	}
	// The answer to the first read comes late and is not taken for this one.
	q.Loaded(first[0].Tag, []Entry{{Seq: 1, Msg: &Message{}, QoS: 1}}, false)
	if q.Ready() {
		t.Fatal("took the answer to a read from before")
	}
}

func TestAnswerWithoutProgressIsNotAskedForever(t *testing.T) {
	q := New(Config{MaxOnline: 9, MaxOffline: 9}, true, State{Head: 1, Tail: 3, Count: 2})
	q.SetOnline(true, 0)
	q.Loaded(q.Ops(nil)[0].Tag, nil, true)
	if ops := q.Ops(nil); len(ops) != 0 {
		t.Fatalf("ops %+v", ops)
	}
}

// TestReadWithoutRoomIsNotAskedAgain until something was taken: a client that is
// slow to acknowledge would have the store read the same part again and again.
func TestReadWithoutRoomIsNotAskedAgain(t *testing.T) {
	q := New(Config{MaxOnline: -1, MaxOffline: -1, MemoryEntries: 10, MemoryBytes: 100}, true, State{Head: 1, Tail: 4, Count: 3})
	q.SetOnline(true, 0)
	e := func(seq uint64, n int) Entry { return Entry{Seq: seq, Msg: &Message{Body: make([]byte, n)}, QoS: 1} }
	q.Loaded(q.Ops(nil)[0].Tag, []Entry{e(1, 40), e(2, 80), e(3, 1)}, false)
	if ops := q.Ops(nil); len(ops) != 0 {
		t.Fatalf("with 40 of 100 bytes taken and 80 to come: %+v", ops)
	}
	q.Next(0)
	if ops := q.Ops(nil); len(ops) != 2 || ops[0].Kind != OpRead || ops[0].Seq != 2 {
		t.Fatalf("after one was taken: %+v", ops)
	}
}

func TestAcksInOrderAreOneOp(t *testing.T) {
	q := online(Config{MaxOnline: -1}, true)
	for i := range uint64(5) {
		put(q, i+1, 1)
	}
	drain(q)
	for _, seq := range []uint64{1, 2, 3, 5, 4} {
		q.Ack(seq)
	}
	got := q.Ops(nil)
	want := []Op{{Kind: OpAck, Seq: 1, N: 3}, {Kind: OpAck, Seq: 5, N: 1}, {Kind: OpAck, Seq: 4, N: 1}, {Kind: OpSent, Seq: 5}}
	if len(got) != len(want) {
		t.Fatalf("ops %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("op %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestOutOfOrderAcksDoNotGrowTheFlight(t *testing.T) {
	q := online(Config{MaxOnline: -1}, false)
	put(q, 0, 1)
	q.Next(0) // never acknowledged
	for range 100_000 {
		put(q, 0, 1)
		e, _ := q.Next(0)
		if !q.Ack(e.Seq) {
			t.Fatalf("no ack of %d", e.Seq)
		}
	}
	if n := len(q.flight.slots); n > 64 || q.InFlight() != 1 {
		t.Fatalf("%d slots for %d in flight", n, q.InFlight())
	}
}

func TestMemoryAfterABurstComesBack(t *testing.T) {
	q := online(Config{MaxOnline: -1}, false)
	for range 5000 {
		put(q, 0, 1)
	}
	for _, seq := range drain(q) {
		q.Ack(seq)
	}
	q.Trim()
	if q.waiting.slots != nil || q.flight.slots != nil {
		t.Fatalf("%d and %d slots are held", len(q.waiting.slots), len(q.flight.slots))
	}
}

func TestIdleQueueIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Queue{}); size > 200 {
		t.Fatalf("a queue takes %d bytes, want at most 200", size)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, durable := range []bool{false, true} {
		q := online(Config{MaxOnline: -1}, durable)
		msg := &Message{Body: make([]byte, 64)}
		seq := uint64(0)
		ops := make([]Op, 0, 64)
		cycle := func() {
			for range 8 {
				seq++
				q.Admit(1)
				q.Committed(Entry{Seq: seq, Msg: msg, QoS: 1})
			}
			for e, ok := q.Next(0); ok; e, ok = q.Next(0) {
				q.Ack(e.Seq)
			}
			ops = q.Ops(ops[:0])
		}
		if n := testing.AllocsPerRun(200, cycle); n > 0 {
			t.Errorf("durable %v: %v allocations in 8 messages", durable, n)
		}
	}
}

func BenchmarkPushNextAck(b *testing.B) {
	q := online(Config{MaxOnline: 1000}, false)
	msg := &Message{Body: make([]byte, 64)}
	b.ReportAllocs()
	for b.Loop() {
		q.Admit(1)
		q.Committed(Entry{Msg: msg, QoS: 1})
		e, _ := q.Next(0)
		q.Ack(e.Seq)
	}
}

func BenchmarkPushNextAckWindow(b *testing.B) {
	q := online(Config{MaxOnline: 1000}, false)
	msg := &Message{Body: make([]byte, 64)}
	var window [20]uint64
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Admit(1)
		q.Committed(Entry{Msg: msg, QoS: 1})
		e, _ := q.Next(0)
		at := &window[i%len(window)]
		if *at != 0 {
			q.Ack(*at)
		}
		*at = e.Seq
	}
}
