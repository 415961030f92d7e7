package queue

import (
	"fmt"
	"slices"
	"testing"

	"tombolo/internal/kv"
)

// threeGenerations makes a queue with messages of three epochs.
func threeGenerations(t *testing.T, db kv.DB, each int) []string {
	t.Helper()
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	var want []string
	for _, epoch := range []uint64{100, 200, 300} {
		id, _ := s.generation("s", epoch)
		other, _ := s.open("other")
		for i := range each {
			body := numbered(int(epoch)+i, []int{20, 300}[i%2])
			s.Append(s.event(body, id, other), nil)
			want = append(want, body)
		}
	}
	s.sync()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	audit(t, db)
	return want
}

// TestDamageToGenerations: a cursor that is damaged, or gone, loses no message of
// any generation, and the order stays.
func TestDamageToGenerations(t *testing.T) {
	var k key
	for _, c := range []struct {
		what   string
		damage func(b *kv.Batch, id QueueID)
		faults int
	}{
		{"nothing", func(*kv.Batch, QueueID) {}, 0},
		{"a cursor of an older generation", func(b *kv.Batch, id QueueID) { b.Put(k.cursor(id, 200), []byte{1, 7}) }, 1},
		{"the cursor of the newest", func(b *kv.Batch, id QueueID) { b.Put(k.cursor(id, 300), []byte{9}) }, 1},
		{"all cursors are gone", func(b *kv.Batch, id QueueID) {
			for _, g := range []uint64{100, 200, 300} {
				b.Delete(k.cursor(id, g))
			}
		}, 3},
		{"the moving mark", func(b *kv.Batch, id QueueID) { b.Put(k.moving(id), []byte{1}) }, 1},
	} {
		db := kv.NewMemory()
		want := threeGenerations(t, db, 6)
		s := start(t, db.Fork(), StoreConfig{})
		id, _ := s.open("s")
		var b kv.Batch
		c.damage(&b, id)
		if err := db.Write(&b, true); err != nil {
			t.Fatal(err)
		}
		s = start(t, db, StoreConfig{TidyEvery: 1 << 40})
		id, st := s.open("s")
		if st.Total() != len(want) || st.Generation != 300 || st.MovingFrom != 0 || len(s.faults()) != c.faults {
			t.Errorf("%s: %+v, faults %v", c.what, st, s.faults())
		}
		if got := s.told(id, st); !slices.Equal(got, want) {
			t.Errorf("%s: delivered %q", c.what, got)
		}
		if s.put("next", id).Targets[0].Seq <= 6 {
			t.Errorf("%s: a sequence is given twice", c.what)
		}
	}
}

// TestLostRecordsOfAGeneration are reported and passed over, and not told to
// another node as acknowledged: it may have them.
func TestLostRecordsOfAGeneration(t *testing.T) {
	db := kv.NewMemory()
	want := threeGenerations(t, db, 6)
	var b kv.Batch
	var k key
	b.Delete(k.record(1, 200, 2))
	b.Put(k.record(1, 200, 4), []byte{1})
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	id, st := s.open("s")
	want = slices.Delete(slices.Delete(want, 9, 10), 7, 8)
	if got := s.told(id, st); !slices.Equal(got, want) || len(s.faults()) != 2 {
		t.Errorf("delivered %q, faults %v", got, s.faults())
	}
	batch := s.export(id, Place{200, 0}, 100, 1<<20)
	if len(batch.Records) != 4 || len(batch.Acknowledged) != 0 || !batch.Last {
		t.Errorf("%+v", batch)
	}
}

// TestEmptyGenerationsAreForgotten, but for the last few, also with their keys.
func TestEmptyGenerationsAreForgotten(t *testing.T) {
	db := kv.NewMemory()
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	for epoch := uint64(100); epoch < 150; epoch++ {
		id, _ := s.generation("s", epoch)
		s.put("x", id)
		_, st := s.open("s")
		if epoch != 120 { // one stays
			s.ack(id, s.all(id, st)...)
		}
		s.sync()
	}
	if n := keys(t, db, tableCursor); n > memoriesKept+3 {
		t.Errorf("%d cursors", n)
	}
	s = start(t, db.Fork(), StoreConfig{})
	id, st := s.open("s")
	if got := s.told(id, st); len(got) != 1 || len(st.Older) != 1 || st.Older[0].Generation != 120 {
		t.Errorf("%q %+v", got, st)
	}
}

// TestOpeningGenerationsCostsTheSameWhateverTheyHold counts reads.
func TestOpeningGenerationsCostsTheSameWhateverTheyHold(t *testing.T) {
	cost := func(each int) int64 {
		db := kv.NewMemory()
		threeGenerations(t, db, each)
		m := &meter{DB: db}
		s := start(t, m, StoreConfig{TidyEvery: 1 << 40})
		m.reads.Store(0)
		if _, st := s.open("s"); st.Total() != 3*each {
			t.Fatalf("%+v", st)
		}
		return m.reads.Load()
	}
	// The sweeper begins beside it, and its first few reads fall on either side.
	const sweeper = 16
	if small, large := cost(3), cost(2000); large > small+sweeper {
		t.Errorf("%d reads with little and %d with much", small, large)
	}
}

// TestBacklogOfTheLoserAfterAHeal (P8): the home that won a split may have the
// older generation, since its client never left it. It takes in what the loser
// stored under a later one, and goes on appending to its own, also after a crash.
func TestBacklogOfTheLoserAfterAHeal(t *testing.T) {
	db := kv.NewMemory()
	b, c := start(t, db, StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
	winner, st := b.generation("s", 100)
	d := newDrinker(b, winner, st)
	d.online()
	loser, _ := c.generation("s", 200)
	b.put("winner 0", winner)
	for _, body := range some("loser", 0, 9) {
		c.put(body, loser)
	}
	if got := d.drinkFrom(c, loser, 4); !slices.Equal(got, some("loser", 0, 9)) {
		t.Errorf("delivered %q", got)
	}
	d.settle(3)
	for life := range 3 {
		if ev := b.put(fmt.Sprint("winner ", life+1), winner); ev.Targets[0].Seq <= uint64(life) {
			t.Errorf("sequence %d", ev.Targets[0].Seq)
		}
		b.sync()
		db = db.Fork()
		audit(t, db)
		b = start(t, db, StoreConfig{TidyEvery: 1 << 40})
		if winner, st = b.open("s"); st.Generation != 100 || st.Count != 2+life || len(st.Older) != 1 || st.Older[0].Generation != 200 {
			t.Fatalf("life %d: %+v", life, st)
		}
	}
	want := append(some("loser", 3, 9), some("winner", 0, 4)...)
	if got := b.told(winner, st); !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	// All of it follows the session on.
	winner, st = b.generation("s", 300)
	b.put("later", winner)
	if winner, st = b.open("s"); st.Generation != 300 || st.Total() != 11 || len(st.Older) != 2 {
		t.Errorf("%+v", st)
	}
	next := start(t, kv.OpenMemory(), StoreConfig{})
	target, _ := next.generation("s", 400)
	if n := migrate(t, b, next, winner, target, 3); n != 11 {
		t.Errorf("%d moved", n)
	}
	b.sync()
	audit(t, db)
}

// TestExportGoesOnBehindTheCurrentGeneration, when an older one is current.
func TestExportGoesOnBehindTheCurrentGeneration(t *testing.T) {
	b, c, e := start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
	for n, current := range []string{"empty", "with a message"} {
		name := "s" + current
		winner, _ := b.generation(name, 100)
		loser, _ := c.generation(name, 200)
		for _, body := range some("loser", 0, 9) {
			c.put(body, loser)
		}
		migrate(t, c, b, loser, winner, 4)
		if n == 1 {
			b.put("winner", winner)
		}
		target, _ := e.generation(name, 300)
		if moved := migrate(t, b, e, winner, target, 2); moved != 9+n {
			t.Errorf("%s: %d moved", current, moved)
		}
	}
}

// TestDropTakesAllGenerations, and a queue of the same name begins anew.
func TestDropTakesAllGenerations(t *testing.T) {
	makers(t, func(t *testing.T, db kv.DB) {
		threeGenerations(t, db, 6)
		s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
		id, _ := s.open("s")
		s.Moving(id, 11, nil)
		fresh, st, err := s.OpenGeneration("s", 400, true)
		if err != nil || fresh == id || st.Total() != 0 || st.Generation != 400 || st.MovingFrom != 0 {
			t.Fatalf("queue %d %+v, %v", fresh, st, err)
		}
		eventually(t, "the old records are gone", func() bool { return keys(t, db, tableRecord) == 18 && keys(t, db, tableDropped) == 0 })
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		audit(t, db)
		if n, m := keys(t, db, tableCursor), keys(t, db, tableMoving); n != 2 || m != 0 {
			t.Errorf("%d cursors and %d moving marks are left", n, m)
		}
	})
}

// TestSessionThatHops moves a queue to and fro, each time before the last move
// has ended, and loses, repeats and reorders nothing.
func TestSessionThatHops(t *testing.T) {
	stores := []*running{start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})}
	var want, got []string
	epoch := uint64(100)
	at := 0
	id, st := stores[at].generation("s", epoch)
	for hop := range 40 {
		d := newDrinker(stores[at], id, st)
		d.q.SetMoving(hop > 0)
		d.online()
		stores[at].Moving(id, uint64(11+hop%2), nil)
		for i := range 5 {
			body := fmt.Sprint("hop ", hop, " message ", i)
			stores[at].put(body, id)
			want = append(want, body)
		}
		// Every third time the move goes to its end.
		whole := hop%3 == 2
		for i, other := range stores {
			if i == at {
				continue
			}
			source, st := other.open("s")
			if st.Total() == 0 {
				continue
			}
			if whole {
				migrate(t, other, stores[at], source, id, 3)
				continue
			}
			b := other.export(source, Place{}, 2, 1<<20)
			if stored, err := stores[at].bring(id, carried(t, b), nil); err != nil || len(stored) != len(b.Records) {
				t.Fatalf("hop %d: %d of %d are new, %v", hop, len(stored), len(b.Records), err)
			}
			if err := other.release(source, b); err != nil {
				t.Fatal(err)
			}
		}
		if whole {
			stores[at].sync()
			_, st = stores[at].open("s")
			st.MovingFrom = 0
			d = newDrinker(stores[at], id, st)
			d.online()
			got = append(got, d.drink(4)...)
			d.settle(4)
			stores[at].sync()
		}
		at = (at + 1 + hop%2) % len(stores)
		epoch += 10
		id, st = stores[at].generation("s", epoch)
	}
	for i, other := range stores {
		if source, _ := other.open("s"); i != at {
			migrate(t, other, stores[at], source, id, 7)
		}
	}
	_, st = stores[at].open("s")
	st.MovingFrom = 0
	if got = append(got, stores[at].told(id, st)...); !slices.Equal(got, want) {
		t.Errorf("delivered %d %q, want %d", len(got), got, len(want))
	}
}
