package queue

import (
	"fmt"
	"testing"

	"tombolo/internal/wire"
)

// generation opens a queue under an epoch.
func (r *running) generation(name string, generation uint64) (QueueID, State) {
	r.t.Helper()
	id, st, err := r.OpenGeneration(name, generation, false)
	if err != nil {
		r.t.Fatalf("open %q, generation %d: %v", name, generation, err)
	}
	return id, st
}

// export waits for a batch, and sends it through the frame that carries it.
func (r *running) export(id QueueID, after Place, countMax, bytesMax int) *Batch {
	r.t.Helper()
	b, err := r.exported(id, after, countMax, bytesMax)
	if err != nil {
		r.t.Fatalf("export after %+v: %v", after, err)
	}
	return b
}

func (r *running) exported(id QueueID, after Place, countMax, bytesMax int) (*Batch, error) {
	type result struct {
		b   *Batch
		err error
	}
	got := make(chan result, 1)
	r.Export(id, after, countMax, bytesMax, func(b *Batch, err error) { got <- result{b, err} })
	g := <-got
	return g.b, g.err
}

// carried is a batch as it comes out of its frame.
func carried(t testing.TB, b *Batch) *Batch {
	t.Helper()
	m := wire.Migration{Client: wire.Client{ID: "c"}, Epoch: wire.Epoch{HLC: 9}}
	b.Frame(&m)
	var again wire.Migration
	if err := wire.ParseMigration(wire.AppendMigration(nil, &m), &again); err != nil {
		t.Fatalf("frame: %v", err)
	}
	return BatchOf(&again)
}

// bring imports a batch and waits until it is durable.
func (r *running) bring(id QueueID, b *Batch, ap *Applied) ([]Record, error) {
	type result struct {
		stored []Record
		err    error
	}
	got := make(chan result, 1)
	r.Import(id, b, ap, func(stored []Record, err error) { got <- result{stored, err} })
	g := <-got
	return g.stored, g.err
}

// release tells the source that a batch is safe.
func (r *running) release(id QueueID, b *Batch) error {
	got := make(chan error, 1)
	r.Exported(id, b.Receipt, func(err error) { got <- err })
	return <-got
}

func (b *Batch) empty() bool { return len(b.Records) == 0 && len(b.Acknowledged) == 0 }

// migrate moves all of a queue to another store, so many records at a time.
func migrate(t testing.TB, from, to *running, source, target QueueID, countMax int) (moved int) {
	t.Helper()
	at := Place{}
	for range 100_000 {
		b := from.export(source, at, countMax, 1<<20)
		if b.empty() {
			return moved
		}
		stored, err := to.bring(target, carried(t, b), nil)
		if err != nil {
			t.Fatalf("import of %+v: %v", b, err)
		}
		if err := from.release(source, b); err != nil {
			t.Fatalf("release: %v", err)
		}
		moved += len(stored)
		if at = b.Next; !b.More {
			return moved
		}
	}
	t.Fatal("the migration does not end")
	return moved
}

// told reads all messages of a queue as a client gets them, newest generation
// and all, without acknowledging them.
func (r *running) told(id QueueID, st State) []string {
	r.t.Helper()
	got := newDrinker(r, id, st)
	got.online()
	return got.drink(1 << 20)
}

// drinker is a client of a queue. Owned by one test.
type drinker struct {
	r      *running
	id     QueueID
	q      *Queue
	flight []Entry
	mayDie bool // reads may fail, and somebody else finds out
}

func newDrinker(r *running, id QueueID, st State) *drinker {
	return &drinker{r: r, id: id, q: New(Config{MaxOnline: -1, MaxOffline: -1, MemoryEntries: 7}, true, st)}
}

func (d *drinker) online() { d.q.SetOnline(true, 0) }

// work hands on what the queue wants done until it wants no more.
func (d *drinker) work() {
	for d.q.HasOps() {
		for _, op := range d.q.Ops(nil) {
			if op.Tag == 0 {
				d.r.Do(d.id, []Op{op}, nil)
				continue
			}
			a := d.r.do(d.id, op)
			if a.err != nil && d.mayDie && op.Kind == OpRead {
				d.q.ReadFailed(op.Tag)
				continue
			}
			if a.err != nil {
				d.r.t.Fatalf("%v: %v", op.Kind, a.err)
			}
			if op.Kind == OpRead {
				d.q.Loaded(op.Tag, a.es, a.more)
			}
		}
	}
}

// drink takes up to n messages.
func (d *drinker) drink(n int) []string {
	var all []string
	for len(all) < n {
		e, ok := d.q.Next(0)
		if !ok {
			if !d.q.HasOps() {
				return all
			}
			d.work()
			continue
		}
		d.work()
		d.flight = append(d.flight, e)
		all = append(all, string(e.Msg.Body))
	}
	return all
}

// settle acknowledges the first n in flight.
func (d *drinker) settle(n int) {
	for _, e := range d.flight[:n] {
		if !d.q.Ack(e.Seq) {
			d.r.t.Fatalf("%d is not in flight", e.Seq)
		}
	}
	d.flight = d.flight[n:]
	d.work()
}

// drinkFrom moves a queue here from another node and takes what comes out
// meanwhile.
func (d *drinker) drinkFrom(from *running, source QueueID, countMax int) (all []string) {
	d.r.t.Helper()
	at := Place{}
	for {
		b := from.export(source, at, countMax, 1<<20)
		if b.empty() {
			return all
		}
		got := carried(d.r.t, b)
		stored, err := d.r.bring(d.id, got, nil)
		if err != nil {
			d.r.t.Fatal(err)
		}
		d.q.Imported(got, stored)
		if err := from.release(source, b); err != nil {
			d.r.t.Fatal(err)
		}
		all = append(all, d.drink(100)...)
		if at = b.Next; !b.More {
			return all
		}
	}
}

func some(what string, from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(what, " ", i))
	}
	return all
}
