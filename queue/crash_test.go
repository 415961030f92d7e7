package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
)

// fate is what the test knows about one message in one queue.
type fate struct {
	body     string
	seq      uint64
	segment  uint64
	stored   bool // Done got nil
	acked    bool // handed in
	gone     bool // and durable
	packetID uint16
	bound    bool // answered
	released bool // handed in
	relDone  bool // answered
	complete bool // handed in
}

// book is what the test knows about one queue over all crashes. Guarded by the
// mutex of its life.
type book struct {
	name    string
	id      QueueID
	fates   map[uint64]*fate // by sequence
	seqMax  uint64           // the highest that is stored
	inbound map[uint16]*receipt
}

type receipt struct {
	id        MessageID
	stored    bool
	forgotten bool // handed in
	gone      bool // answered
}

// lives is one store through many crashes. mu guards the books against the
// completion goroutine.
type lives struct {
	t      *testing.T
	rng    *rand.Rand
	where  string
	disk   *faulty.Disk
	db     kv.DB
	s      *running
	mu     sync.Mutex
	books  []*book
	serial int
	nextID uint16
	lastID MessageID
}

func newLives(t *testing.T, seed uint64) *lives {
	l := &lives{t: t, rng: rand.New(rand.NewPCG(seed, 9)), disk: faulty.New(seed), where: fmt.Sprint("seed ", seed)}
	for _, name := range []string{"a", "b", "c"} {
		l.books = append(l.books, &book{name: name, fates: map[uint64]*fate{}, inbound: map[uint16]*receipt{}})
	}
	return l
}

func (l *lives) fail(format string, args ...any) {
	l.t.Helper()
	l.t.Fatalf("%s: %s", l.where, fmt.Sprintf(format, args...))
}

// begin opens what a crash left, audits it, and compares it with the books.
func (l *lives) begin() {
	for try := 0; ; try++ {
		db, _, err := kv.OpenLevelOn(l.disk, kv.Options{MemoryBudget: 1 << 20})
		if err == nil {
			l.db = db
			break
		}
		if !l.disk.Dead() || try > 50 {
			l.fail("open: %v", err)
		}
		l.disk.PowerLoss()
	}
	l.disk.Arm(faulty.Faults{})
	audit(l.t, l.db)
	l.s = start(l.t, l.db, StoreConfig{TidyEvery: 1 << 40})
	for _, b := range l.books {
		id, st, err := l.s.Open(b.name, false)
		if err != nil {
			l.fail("open %q: %v", b.name, err)
		}
		b.id = id
		l.compare(b, st)
	}
	if l.t.Failed() {
		l.fail("see above")
	}
}

func (l *lives) compare(b *book, st State) {
	es := l.s.all(b.id, st)
	if len(es) != st.Count {
		l.fail("queue %s: %d messages, the state counts %d", b.name, len(es), st.Count)
	}
	if st.Tail <= b.seqMax {
		l.fail("queue %s goes on at %d, %d was given", b.name, st.Tail, b.seqMax)
	}
	there := map[uint64]Entry{}
	for _, e := range es {
		f := b.fates[e.Seq]
		if f == nil || f.body != string(e.Msg.Body) {
			l.fail("queue %s holds %q at %d, which nobody put there", b.name, e.Msg.Body, e.Seq)
		}
		if f.gone || f.relDone {
			l.fail("queue %s holds %d again", b.name, e.Seq)
		}
		f.segment = e.Msg.segment
		there[e.Seq] = e
	}
	for seq, f := range b.fates {
		_, kept := there[seq]
		l.compareFate(b, st, f, kept)
		if !kept {
			f.gone = true
			if !f.released {
				delete(b.fates, seq)
			}
		}
	}
	l.compareInbound(b, st)
}

func (l *lives) compareFate(b *book, st State, f *fate, kept bool) {
	bound := slices.Contains(st.Bound, Binding{f.seq, f.packetID}) && f.packetID != 0
	released := f.packetID != 0 && slices.Contains(st.Released, f.packetID)
	switch {
	case f.stored && !f.acked && !f.released && !kept:
		l.fail("queue %s lost %d", b.name, f.seq)
	case f.bound && !f.released && !f.acked && !bound:
		l.fail("queue %s lost the binding of %d to %d: %+v", b.name, f.seq, f.packetID, st)
	case f.relDone && !f.complete && !released:
		l.fail("queue %s lost the release of %d: %+v", b.name, f.packetID, st)
	case bound && (!kept || released):
		l.fail("queue %s: %d is bound; there %v, released %v", b.name, f.seq, kept, released)
	case released && kept:
		l.fail("queue %s: %d is released and there", b.name, f.seq)
	case f.bound && f.released && !f.complete && !bound && !released:
		l.fail("queue %s: %d is neither bound nor released", b.name, f.seq)
	}
	f.stored = kept
	f.bound, f.released, f.relDone, f.acked = bound, released, released, false
	if !bound && !released {
		f.packetID, f.complete = 0, false
	}
	if released {
		f.complete = false
	}
}

func (l *lives) compareInbound(b *book, st State) {
	for id, r := range b.inbound {
		kept := slices.Contains(st.Received, Received{id, r.id, false})
		if r.stored && !r.forgotten && !kept || r.gone && kept {
			l.fail("queue %s: inbound %d %+v, there %v", b.name, id, r, kept)
		}
		if !kept {
			delete(b.inbound, id)
			continue
		}
		r.stored, r.forgotten = true, false
	}
}

func (l *lives) step() {
	switch k := l.rng.IntN(100); {
	case k < 45:
		l.publish()
	case k < 65:
		l.settle()
	case k < 75:
		l.qos2()
	case k < 80:
		l.receive()
	case k < 85:
		l.barrier()
	case k < 87 && l.rng.IntN(4) == 0:
		l.clean()
	case k < 88:
		_ = l.s.rewriteSparse(l.t.Context())
	}
}

func (l *lives) publish() {
	l.serial++
	size := []int{5, 100, 200, 2000}[l.rng.IntN(4)]
	ev := &Event{Msg: &Message{ID: l.s.NextID(), QoS: 1, Body: []byte(numbered(l.serial, size))}}
	if id := ev.Msg.ID; id.N <= l.lastID.N && id.Ingress == l.lastID.Ingress {
		l.fail("id %v after %v", id, l.lastID)
	}
	l.lastID = ev.Msg.ID
	l.mu.Lock()
	defer l.mu.Unlock()
	var books []*book
	for _, b := range l.books {
		if l.rng.IntN(2) == 0 {
			books = append(books, b)
			ev.Targets = append(ev.Targets, Target{Queue: b.id, QoS: 1})
		}
	}
	var fates []*fate
	l.s.Append(ev, func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, f := range fates {
			f.stored = err == nil
			if b := books[i]; f.stored {
				b.seqMax = max(b.seqMax, f.seq)
			}
		}
	})
	given := books
	books = nil
	for i, b := range given {
		f := &fate{body: string(ev.Msg.Body), seq: ev.Targets[i].Seq, segment: ev.Msg.segment}
		if f.seq == 0 {
			continue // the store has failed
		}
		fates, books = append(fates, f), append(books, b)
		b.fates[f.seq] = f
	}
}

// pick returns something that is stored and not on its way out.
func (l *lives) pick(want func(*fate) bool) (*book, *fate) {
	b := l.books[l.rng.IntN(len(l.books))]
	var seqs []uint64
	for seq, f := range b.fates {
		if f.stored && want(f) {
			seqs = append(seqs, seq)
		}
	}
	if len(seqs) == 0 {
		return b, nil
	}
	slices.Sort(seqs)
	if l.rng.IntN(3) > 0 {
		return b, b.fates[seqs[0]]
	}
	return b, b.fates[seqs[l.rng.IntN(len(seqs))]]
}

func (l *lives) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range 1 + l.rng.IntN(8) {
		b, f := l.pick(func(f *fate) bool { return !f.acked && !f.released })
		if f == nil {
			return
		}
		f.acked = true
		l.s.Do(b.id, []Op{{Kind: OpAck, Seq: f.seq, N: 1, segment: f.segment}}, nil)
	}
}

func (l *lives) qos2() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nextID = l.nextID%60000 + 1
	switch l.rng.IntN(3) {
	case 0:
		if b, f := l.pick(func(f *fate) bool { return f.packetID == 0 && !f.acked }); f != nil {
			f.packetID = l.nextID
			l.do(b, Op{Kind: OpBind, Seq: f.seq, PacketID: f.packetID}, func() { f.bound = true })
		}
	case 1:
		if b, f := l.pick(func(f *fate) bool { return f.bound && !f.released && !f.acked }); f != nil {
			f.released = true
			l.do(b, Op{Kind: OpRelease, Seq: f.seq, PacketID: f.packetID, segment: f.segment}, func() { f.relDone = true })
		}
	default:
		if b, f := l.pick(func(f *fate) bool { return f.relDone && !f.complete }); f != nil {
			f.complete = true
			l.s.Do(b.id, []Op{{Kind: OpComplete, PacketID: f.packetID}}, nil)
		}
	}
}

func (l *lives) do(b *book, op Op, then func()) {
	op.Tag = 1
	l.s.Do(b.id, []Op{op}, func(_ uint64, _ []Entry, _ bool, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == nil {
			then()
		}
	})
}

func (l *lives) receive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[l.rng.IntN(len(l.books))]
	for id, r := range b.inbound {
		if r.stored && !r.forgotten && l.rng.IntN(2) == 0 {
			r.forgotten = true
			l.do(b, Op{Kind: OpInboundDone, PacketID: id}, func() { r.gone = true })
			return
		}
	}
	l.nextID = l.nextID%60000 + 1
	r := &receipt{id: MessageID{3, uint64(l.serial)}}
	b.inbound[l.nextID] = r
	l.s.InboundOnly(Inbound{b.id, l.nextID, false}, r.id, func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		r.stored = err == nil
	})
}

// barrier makes what was acknowledged before durable.
func (l *lives) barrier() {
	l.mu.Lock()
	var acked []*fate
	for _, b := range l.books {
		for _, f := range b.fates {
			if f.acked {
				acked = append(acked, f)
			}
		}
	}
	l.mu.Unlock()
	if l.s.Sync() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range acked {
		f.gone = true
	}
}

// clean starts a queue anew, durably.
func (l *lives) clean() {
	b := l.books[l.rng.IntN(len(l.books))]
	id, _, err := l.s.Open(b.name, true)
	if err != nil || l.s.Sync() != nil {
		l.disk.Arm(faulty.Faults{CrashAfterOps: 1}) // it may or may not be clean
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, f := range b.fates {
			f.stored, f.bound, f.released, f.relDone = false, false, false, false
		}
		for _, r := range b.inbound {
			r.stored = false
		}
		b.seqMax = 0
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	*b = book{name: b.name, id: id, fates: map[uint64]*fate{}, inbound: map[uint16]*receipt{}}
}

func (l *lives) crash() {
	if l.rng.IntN(3) == 0 && !l.disk.Dead() {
		l.disk.Kill()
	} else {
		l.disk.PowerLoss()
	}
	_ = l.s.end() // the dead process's goroutines; its handles are void
	_ = l.db.Close()
}

func TestCrashLosesNothingThatWasAcknowledged(t *testing.T) {
	for seed := range uint64(25) {
		l := newLives(t, seed)
		for life := range 6 {
			l.where = fmt.Sprintf("seed %d life %d (go test ./queue -run %s)", seed, life, t.Name())
			l.begin()
			switch l.rng.IntN(3) {
			case 0:
				l.disk.Arm(faulty.Faults{CrashAfterOps: 1 + l.rng.Int64N(150)})
			case 1:
				l.disk.Arm(faulty.Faults{CrashAfterBytes: 1 + l.rng.Int64N(60_000)})
			}
			for range l.rng.IntN(400) {
				l.step()
			}
			l.crash()
		}
	}
}
