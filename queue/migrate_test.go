package queue

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"tombolo/internal/kv"
)

// TestBacklogMovesAndComesFirst (R20): what was stored under an older epoch is
// delivered before what the new home took in, in its order, and what the source
// gave away is gone there.
func TestBacklogMovesAndComesFirst(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		b, c := start(t, db, StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
		source, _ := b.generation("s", 100)
		other, _ := b.generation("other", 100)
		for i := range 50 {
			b.put(numbered(i, []int{20, 400}[i%2]), source, other) // some bodies are shared
		}
		target, _ := c.generation("s", 200)
		c.put("new", target)
		if n := migrate(t, b, c, source, target, 7); n != 50 {
			t.Errorf("%d moved", n)
		}
		_, st := c.generation("s", 200)
		var want []string
		for i := range 50 {
			want = append(want, numbered(i, []int{20, 400}[i%2]))
		}
		if got := c.told(target, st); !slices.Equal(got, append(want, "new")) {
			t.Errorf("delivered %q", got)
		}
		if st.Total() != 51 || st.Count != 1 || len(st.Older) != 1 || st.Older[0].Generation != 100 {
			t.Errorf("%+v", st)
		}
		if _, st := b.generation("s", 100); st.Total() != 0 {
			t.Errorf("the source holds %+v", st)
		}
		if n := keys(t, db, tableRecord); n != 50 {
			t.Errorf("%d records are left, the other queue has 50", n)
		}
	})
}

// TestAllOfARecordTravels: what P1, P2 and QoS 2 need is there after the move.
func TestAllOfARecordTravels(t *testing.T) {
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
	source, _ := b.generation("s", 100)
	for n := range uint64(4) {
		msg := &Message{ID: MessageID{7, n}, QoS: 2, ExpiresAt: 1_800_000_000_123, Body: []byte("body")}
		if err := b.append(&Event{Msg: msg, Targets: []Target{{Queue: source, QoS: 2, Retain: true, SubIDs: []uint32{1, 300}}}}); err != nil {
			t.Fatal(err)
		}
	}
	b.do(source, Op{Kind: OpBind, Seq: 1, PacketID: 9})
	b.do(source, Op{Kind: OpRelease, Seq: 1, PacketID: 9})
	b.do(source, Op{Kind: OpBind, Seq: 2, PacketID: 10})
	b.Do(source, []Op{{Kind: OpSent, Seq: 3}}, nil)
	b.InboundOnly(Inbound{source, 77, false}, MessageID{5, 6}, nil)
	b.sync()
	target, _ := c.generation("s", 200)
	c.Moving(target, 11, nil)
	migrate(t, b, c, source, target, 100)
	c = start(t, c.db.(*kv.Memory).Fork(), StoreConfig{})
	target, st := c.generation("s", 200)
	want := State{Generation: 200, Head: 1, Tail: 1, Released: []uint16{9}, Received: []Received{{77, MessageID{5, 6}, false}}, MovingFrom: 11,
		Older: []Part{{Generation: 100, Head: 2, Tail: 5, Count: 3, SentThrough: 3, Bound: []Binding{{2, 10}}}}}
	st.instance = 0
	if !reflect.DeepEqual(st, want) {
		t.Errorf("%+v, want %+v", st, want)
	}
	d := newDrinker(c, target, st)
	d.q.SetMoving(false)
	d.online()
	d.drink(10)
	for i, e := range d.flight {
		m := *e.Msg
		if m.ID != (MessageID{7, uint64(i + 1)}) || m.QoS != 2 || m.ExpiresAt != 1_800_000_000_123 || string(m.Body) != "body" || e.QoS != 2 || !e.Retain ||
			!slices.Equal(e.SubIDs, []uint32{1, 300}) || e.Dup != (i < 2) || e.PacketID != []uint16{10, 0, 0}[i] {
			t.Errorf("%d: %+v %+v", i, e, m)
		}
	}
	if len(d.flight) != 3 {
		t.Errorf("%d delivered", len(d.flight))
	}
	if _, st := b.generation("s", 100); st.Total() != 0 || len(st.Released)+len(st.Received) != 0 || keys(t, b.db, tableInbound) != 0 {
		t.Errorf("the source holds %+v", st)
	}
}

// TestReturnOfAHalfMovedQueue: the session goes back before all was moved. What
// the first home gave away comes back and takes its place before what it kept.
func TestReturnOfAHalfMovedQueue(t *testing.T) {
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
	atB, _ := b.generation("s", 100)
	for _, body := range some("old", 0, 10) {
		b.put(body, atB)
	}
	atC, st := c.generation("s", 200)
	d := newDrinker(c, atC, st)
	d.q.SetMoving(true)
	d.online()
	part := b.export(atB, Place{}, 6, 1<<20)
	stored, err := c.bring(atC, carried(t, part), nil)
	if err != nil || len(stored) != 6 {
		t.Fatalf("%d stored, %v", len(stored), err)
	}
	d.q.Imported(part, stored)
	if err := b.release(atB, part); err != nil {
		t.Fatal(err)
	}
	if got := d.drink(100); !slices.Equal(got, some("old", 0, 6)) {
		t.Fatalf("delivered %q", got)
	}
	d.settle(2)
	c.put("new", atC)
	c.sync()

	// Back at B, which has four of the ten.
	again, st := b.generation("s", 300)
	if again != atB || st.Total() != 4 {
		t.Fatalf("queue %d %+v", again, st)
	}
	d = newDrinker(b, atB, st)
	d.q.SetMoving(true)
	d.online()
	b.put("newest", atB)
	d.q.Admit(1)
	d.q.Committed(Entry{Seq: 1, Msg: &Message{Body: []byte("newest")}, QoS: 1})
	if got := d.drink(100); got != nil {
		t.Errorf("delivered %q before the other node's share came", got)
	}
	if got, want := d.drinkFrom(c, atC, 3), append(some("old", 2, 10), "new"); !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	d.q.SetMoving(false)
	if got := d.drink(100); !slices.Equal(got, []string{"newest"}) {
		t.Errorf("delivered %q in the end", got)
	}
	d.settle(len(d.flight))
	b.sync()
	if _, st := b.generation("s", 300); st.Total() != 0 || keys(t, b.db, tableRecord) != 0 {
		t.Errorf("%+v", st)
	}
}

// TestReturnToWhatWasKept (R2, R20): the session goes back before the first home
// has heard that its records arrived, so that it has them still. What the client
// was told of them at the second home holds there too: they are marked as
// duplicates, and a QoS 2 message keeps its packet id.
func TestReturnToWhatWasKept(t *testing.T) {
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
	atB, _ := b.generation("s", 100)
	for n := range uint64(5) {
		msg := &Message{ID: MessageID{7, n}, QoS: 2, Body: fmt.Append(nil, n)}
		if err := b.append(&Event{Msg: msg, Targets: []Target{{Queue: atB, QoS: 2}}}); err != nil {
			t.Fatal(err)
		}
	}
	atC, _ := c.generation("s", 200)
	if stored, err := c.bring(atC, carried(t, b.export(atB, Place{}, 100, 1<<20)), nil); err != nil || len(stored) != 5 {
		t.Fatalf("%d stored, %v", len(stored), err)
	}
	c.Do(atC, []Op{{Kind: OpAck, Seq: 1, N: 1, generation: 100}, {Kind: OpSent, Seq: 3, generation: 100}}, nil)
	c.do(atC, Op{Kind: OpBind, Seq: 2, PacketID: 9, Tag: 1, generation: 100})
	c.sync()

	_, st := b.generation("s", 300)
	if st.Total() != 5 {
		t.Fatalf("the first home keeps %+v", st)
	}
	back := c.export(atC, Place{}, 100, 1<<20)
	for _, restarted := range []bool{false, true} {
		d := newDrinker(b, atB, st)
		d.q.SetMoving(true)
		d.online()
		if !restarted {
			got := carried(t, back)
			stored, err := b.bring(atB, got, nil)
			if err != nil || len(stored) != 0 {
				t.Fatalf("%d stored, %v", len(stored), err)
			}
			d.q.Imported(got, stored)
		}
		d.q.SetMoving(false)
		if got := d.drink(10); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
			t.Errorf("restarted %v: delivered %q", restarted, got)
		}
		for i, e := range d.flight {
			if e.Dup != (i < 2) || e.PacketID != []uint16{9, 0, 0, 0}[i] {
				t.Errorf("restarted %v: %+v", restarted, e)
			}
		}
		b.sync()
		b = start(t, b.db.(*kv.Memory).Fork(), StoreConfig{})
		atB, st = b.generation("s", 300)
	}
}

// TestWhatWasTakenInIsNotTakenAgain: the source crashed before it deleted, and
// sends again; the target knows by generation and sequence, also what its client
// has acknowledged meanwhile (R22).
func TestWhatWasTakenInIsNotTakenAgain(t *testing.T) {
	db := kv.NewMemory()
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, db, StoreConfig{})
	source, _ := b.generation("s", 100)
	for _, body := range some("old", 0, 10) {
		b.put(body, source)
	}
	target, st := c.generation("s", 200)
	batch := carried(t, b.export(source, Place{}, 100, 1<<20))
	d := newDrinker(c, target, st)
	d.online()
	stored, err := c.bring(target, batch, nil)
	if err != nil || len(stored) != 10 {
		t.Fatalf("%d stored, %v", len(stored), err)
	}
	d.q.Imported(batch, stored)
	d.drink(5)
	d.settle(5)
	for round := range 2 {
		if stored, err := c.bring(target, batch, nil); err != nil || len(stored) != 0 {
			t.Errorf("round %d: %d are taken again, %v", round, len(stored), err)
		}
		c.sync()
		c = start(t, db.Fork(), StoreConfig{})
		target, st = c.generation("s", 200)
		if st.Total() != 5 {
			t.Errorf("round %d: %+v", round, st)
		}
	}
	if got := c.told(target, st); !slices.Equal(got, some("old", 5, 10)) {
		t.Errorf("delivered %q", got)
	}
}

// TestSecondCopyIsLeftOutWhileMoving (R21): a message that came to both homes is
// known by its id, whichever copy is first.
func TestSecondCopyIsLeftOutWhileMoving(t *testing.T) {
	db := kv.NewMemory()
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, db, StoreConfig{})
	source, _ := b.generation("s", 100)
	target, _ := c.generation("s", 200)
	done := make(chan error, 1)
	c.Moving(target, 11, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	events := make([]*Event, 6)
	for i := range events {
		events[i] = b.put(fmt.Sprint("m ", i), source)
	}
	both := func(ev *Event) uint64 {
		copied := &Event{Msg: ev.Msg, Targets: []Target{{Queue: target, QoS: 1}}}
		if err := c.append(copied); err != nil {
			t.Fatal(err)
		}
		return copied.Targets[0].Seq
	}
	if both(events[1]) == 0 {
		t.Error("the first copy was left out")
	}
	c = start(t, db.Fork(), StoreConfig{}) // and the ids are known after a crash
	target, st := c.generation("s", 200)
	if st.MovingFrom != 11 {
		t.Errorf("%+v", st)
	}
	if n := migrate(t, b, c, source, target, 4); n != 5 {
		t.Errorf("%d were taken in", n)
	}
	if both(events[4]) != 0 || both(events[1]) != 0 {
		t.Error("a second copy was stored")
	}
	_, st = c.generation("s", 200)
	st.MovingFrom = 0
	if got, want := c.told(target, st), []string{"m 0", "m 2", "m 3", "m 4", "m 5", "m 1"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	c.Moving(target, 0, func(err error) { done <- err })
	if err := <-done; err != nil || keys(t, c.db, tableMoving) != 0 {
		t.Errorf("moved: %v, %d marks", err, keys(t, c.db, tableMoving))
	}
	if both(events[1]) == 0 {
		t.Error("ids are remembered after the move")
	}
}

// TestIdsOfAMovingQueueAreBounded, and which ones go at the bound.
func TestIdsOfAMovingQueueAreBounded(t *testing.T) {
	var m moving
	for n := range uint64(3 * idsMax) {
		if m.append(MessageID{1, n}, Place{}) != (n < idsMax) || m.bring(MessageID{2, n}, Place{}) != (n < idsMax) {
			t.Fatalf("id %d", n)
		}
	}
	if len(m.appended) != idsMax || len(m.imported) != idsMax || len(m.order) != idsMax {
		t.Errorf("%d, %d and %d are remembered", len(m.appended), len(m.imported), len(m.order))
	}
	for n, want := range map[uint64]bool{0: true, idsMax - 1: true, idsMax: false} {
		if _, known := m.knows(MessageID{1, n}); known != want {
			t.Errorf("appended %d: %v", n, !want)
		}
	}
	for n, want := range map[uint64]bool{2*idsMax - 1: false, 2 * idsMax: true, 3*idsMax - 1: true} {
		if _, known := m.knows(MessageID{2, n}); known != want {
			t.Errorf("imported %d: %v", n, !want)
		}
	}
}

// TestPacketIDsComeOnce: an inbound id that has ended at the new home does not
// come back with a batch that is sent again, or the next message under it would
// be taken for the old one.
func TestPacketIDsComeOnce(t *testing.T) {
	db := kv.NewMemory()
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, db, StoreConfig{})
	source, _ := b.generation("s", 100)
	for id := range uint16(5) {
		b.InboundOnly(Inbound{source, id + 1, false}, MessageID{5, uint64(id)}, nil)
	}
	b.sync()
	target, _ := c.generation("s", 200)
	batch := carried(t, b.export(source, Place{}, 100, 1<<20))
	if stored, err := c.bring(target, batch, nil); err != nil || len(stored) != 0 {
		t.Errorf("%d taken by a queue that is not moving, %v", len(stored), err)
	}
	c.Moving(target, 11, nil)
	c.InboundOnly(Inbound{target, 2, false}, MessageID{6, 6}, nil) // the client was here first
	if stored, err := c.bring(target, batch, nil); err != nil || len(stored) != 4 {
		t.Errorf("%d taken, %v", len(stored), err)
	}
	c.do(target, Op{Kind: OpInboundDone, PacketID: 3})
	c = start(t, db.Fork(), StoreConfig{})
	target, st := c.generation("s", 200)
	if stored, err := c.bring(target, batch, nil); err != nil || len(stored) != 0 {
		t.Errorf("%d taken again, %v", len(stored), err)
	}
	want := []Received{{1, MessageID{5, 0}, false}, {2, MessageID{6, 6}, false}, {4, MessageID{5, 3}, false}, {5, MessageID{5, 4}, false}}
	if !slices.Equal(st.Received, want) {
		t.Errorf("%+v", st.Received)
	}
}

// TestLatePacketIDs: once the client of a moving queue goes on with the packet ids that
// are here, none of its own publishing is taken from another node, though that be after
// a crash; those of deliveries are. The next move begins anew.
func TestLatePacketIDs(t *testing.T) {
	db := kv.NewMemory()
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, db, StoreConfig{})
	source, _ := b.generation("s", 100)
	b.InboundOnly(Inbound{source, 7, false}, MessageID{5, 1}, nil)
	b.append(b.event("x", source))
	b.do(source, Op{Kind: OpBind, Seq: 1, PacketID: 9})
	b.do(source, Op{Kind: OpRelease, Seq: 1, PacketID: 9})
	b.sync()
	batch := carried(t, b.export(source, Place{}, 100, 1<<20))
	if len(batch.Records) != 2 {
		t.Fatalf("%d packet ids go out, want 2", len(batch.Records))
	}
	target, _ := c.generation("s", 200)
	c.Moving(target, 11, nil)
	c.NoInbound(target)
	c.sync()
	c = start(t, db.Fork(), StoreConfig{})
	target, _ = c.generation("s", 200)
	if stored, err := c.bring(target, batch, nil); err != nil || len(stored) != 1 || !stored[0].Released {
		t.Errorf("%+v taken, %v; want that of the delivery", stored, err)
	}
	c.Moving(target, 11, nil)
	if stored, err := c.bring(target, batch, nil); err != nil || len(stored) != 2 {
		t.Errorf("%+v taken in the next move, %v; want both", stored, err)
	}
}

// TestPacketIDsComeWhileMessagesDo: packet ids have no place in any generation,
// so they do not wait for what is being appended, which may never pause.
func TestPacketIDsComeWhileMessagesDo(t *testing.T) {
	db := newGate(kv.OpenMemory())
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, db, StoreConfig{})
	source, _ := b.generation("s", 100)
	b.InboundOnly(Inbound{source, 7, false}, MessageID{5, 1}, nil)
	b.sync()
	target, _ := c.generation("s", 200)
	c.Moving(target, 11, nil)
	c.sync()
	batch := carried(t, b.export(source, Place{}, 100, 1<<20))
	db.shut()
	c.Append(c.event("on its way", target), nil)
	type result struct {
		stored []Record
		err    error
	}
	got := make(chan result, 1)
	c.Import(target, batch, nil, func(stored []Record, err error) { got <- result{stored, err} })
	db.open()
	if r := <-got; r.err != nil || len(r.stored) != 1 {
		t.Errorf("%d taken while a message was appended, %v", len(r.stored), r.err)
	}
}

// TestImportKeepsNoLimit (R22): a full queue drops nothing that comes from the old
// home; what is published meanwhile is held against all generations together.
func TestImportKeepsNoLimit(t *testing.T) {
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
	source, _ := b.generation("s", 100)
	for _, body := range some("old", 0, 10) {
		b.put(body, source)
	}
	target, st := c.generation("s", 200)
	q := New(Config{MaxOnline: 3, MaxOffline: 3}, true, st)
	batch := carried(t, b.export(source, Place{}, 100, 1<<20))
	stored, err := c.bring(target, batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Imported(batch, stored)
	if q.Len() != 10 || q.Admit(1) != DropNew {
		t.Errorf("%d wait, and another is taken", q.Len())
	}
	if _, st := c.generation("s", 200); st.Total() != 10 {
		t.Errorf("%+v", st)
	}
}

// TestBindingsKeepTheOrderOfMessages (R20): a QoS 2 message goes out when its
// binding is durable, so bindings are handed in as the messages came out, those of
// older generations first. Found in the laboratory, with the new home killed.
func TestBindingsKeepTheOrderOfMessages(t *testing.T) {
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
	source, _ := b.generation("s", 100)
	target, _ := c.generation("s", 200)
	for i := range 3 {
		b.put(fmt.Sprint("old ", i), source)
		c.put(fmt.Sprint("new ", i), target)
	}
	migrate(t, b, c, source, target, 10)
	_, st := c.generation("s", 200)
	d := newDrinker(c, target, st)
	d.online()
	var want, got []uint64
	for id := uint64(1); len(want) < 6; {
		e, ok := d.q.Next(0)
		if !ok {
			d.work()
			continue
		}
		d.q.Bind(e.Seq, uint16(id), id)
		want, id = append(want, id), id+1
	}
	for _, op := range d.q.Ops(nil) {
		if op.Kind == OpBind {
			got = append(got, op.Tag)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("bound in the order %v, want %v", got, want)
	}
}

func TestImportRefusesWhatCannotBe(t *testing.T) {
	c := start(t, kv.OpenMemory(), StoreConfig{})
	target, _ := c.generation("s", 200)
	rec := func(seq uint64) Record {
		return Record{Seq: seq, QoS: 1, Msg: &Message{ID: MessageID{1, seq}, Body: []byte("x")}}
	}
	for _, bad := range []*Batch{
		{Generation: 200, Records: []Record{rec(1)}},
		{Generation: 100, Records: []Record{rec(2), rec(2)}},
		{Generation: 100, Records: []Record{rec(0)}},
		{Generation: 100, Records: []Record{rec(1 << 60)}},
		{Generation: 100, Records: []Record{{Seq: 1}}},
		{Generation: 0, Records: []Record{rec(1)}},
		{Generation: 0, Records: []Record{{Seq: 4, PacketID: 5, Received: true, Msg: &Message{}}}},
	} {
		if stored, err := c.bring(target, bad, nil); err == nil || len(stored) > 0 {
			t.Errorf("%+v is taken: %d", bad, len(stored))
		}
	}
	if _, err := c.bring(target+5, &Batch{Generation: 100}, nil); !errors.Is(err, ErrNoQueue) {
		t.Errorf("no queue: %v", err)
	}
	if _, err := c.exported(target+5, Place{}, 1, 1); !errors.Is(err, ErrNoQueue) {
		t.Errorf("no queue: %v", err)
	}
	if _, _, err := c.OpenGeneration("s", 100, false); !errors.Is(err, ErrGeneration) {
		t.Errorf("an older generation: %v", err)
	}
	if keys(t, c.db, tableRecord) != 0 {
		t.Error("something was stored")
	}
}
