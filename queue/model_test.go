package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// twin is the naive queue that Queue is compared with: plain slices, every
// rule written out once more. Owned by one test.
type twin struct {
	c        Config
	online   bool
	waiting  []twinEntry
	flight   []twinEntry
	released []uint16
	reserved int
	dropped  map[string]uint64
	sent     uint64
}

type twinEntry struct {
	seq      uint64
	qos      uint8
	expires  int64
	packetID uint16
}

func (w *twin) limit() int {
	l := w.c.MaxOffline
	if w.online {
		l = w.c.MaxOnline
	}
	if l < 0 {
		return 1 << 30
	}
	return l
}

func (w *twin) admit() Admission {
	full := len(w.waiting)+w.reserved >= w.limit()
	switch {
	case full && w.c.Refuse:
		w.dropped["refused"]++
		return Refuse
	case full && (!w.c.LIFO || w.limit() == 0):
		w.dropped["full"]++
		return DropNew
	}
	w.reserved++
	if full {
		return AcceptEvictOldest
	}
	return Accept
}

func (w *twin) evict(i int, why string) {
	w.waiting = slices.Delete(w.waiting, i, i+1)
	w.dropped[why]++
}

func (w *twin) firstUnbound() int {
	return slices.IndexFunc(w.waiting, func(e twinEntry) bool { return e.packetID == 0 })
}

func (w *twin) commit(e twinEntry) {
	w.reserved--
	w.waiting = append(w.waiting, e)
	if w.c.LIFO && !w.c.Refuse && len(w.waiting)+w.reserved > w.limit() {
		if i := w.firstUnbound(); i >= 0 {
			w.evict(i, "oldest")
		}
	}
}

func (w *twin) setOnline(online bool) {
	if w.online == online {
		return
	}
	w.online = online
	if !online {
		w.waiting = append(slices.Clone(w.flight), w.waiting...)
		w.flight = nil
		return
	}
	if w.c.OverrideMaxOnline {
		return
	}
	for n := len(w.waiting) - w.limit(); n > 0; n-- {
		i := w.firstUnbound()
		if !w.c.LIFO {
			i = len(w.waiting) - 1
			for i >= 0 && w.waiting[i].packetID != 0 {
				i--
			}
		}
		if i >= 0 {
			w.evict(i, "excess")
		}
	}
}

func (w *twin) next(now int64) (twinEntry, bool, bool) {
	for len(w.waiting) > 0 {
		e := w.waiting[0]
		w.waiting = w.waiting[1:]
		if e.packetID == 0 && e.expires != 0 && e.expires <= now {
			w.dropped["expired"]++
			continue
		}
		dup := e.seq <= w.sent || e.packetID != 0
		if e.qos < 2 {
			w.sent = max(w.sent, e.seq)
		}
		if e.qos > 0 {
			w.flight = append(w.flight, e)
		}
		return e, dup, true
	}
	return twinEntry{}, false, false
}

// shelf is a store in a map that answers reads when it is told to.
type shelf struct {
	live     map[uint64]Entry
	bound    map[uint64]uint16
	released []uint16
	sent     uint64
	tail     uint64
	reads    []Op
}

func (s *shelf) seqs() []uint64 {
	var all []uint64
	for seq := range s.live {
		all = append(all, seq)
	}
	slices.Sort(all)
	return all
}

func (s *shelf) apply(t *testing.T, ops []Op) {
	for _, op := range ops {
		switch op.Kind {
		case OpAck:
			for i := range uint64(op.N) {
				s.forget(t, op, op.Seq+i)
			}
		case OpBind:
			s.bound[op.Seq] = op.PacketID
		case OpRelease:
			s.forget(t, op, op.Seq)
			s.released = append(s.released, op.PacketID)
		case OpComplete:
			i := slices.Index(s.released, op.PacketID)
			if i < 0 {
				t.Fatalf("completed %d, which is not released", op.PacketID)
			}
			s.released = slices.Delete(s.released, i, i+1)
		case OpSent:
			s.sent = max(s.sent, op.Seq)
		case OpRead:
			s.reads = append(s.reads, op)
		case OpEvict:
			s.evict(t, op)
		}
	}
}

func (s *shelf) forget(t *testing.T, op Op, seq uint64) {
	if _, ok := s.live[seq]; !ok {
		t.Fatalf("%v of %d, which is not stored", op.Kind, seq)
	}
	delete(s.live, seq)
	delete(s.bound, seq)
}

func (s *shelf) evict(t *testing.T, op Op) {
	all := s.seqs()
	n := op.N
	switch {
	case n == 0:
		s.forget(t, op, op.Seq)
		return
	case n < 0:
		slices.Reverse(all)
		n = -n
	}
	for _, seq := range all {
		beyond := op.N > 0 && seq < op.Seq || op.N < 0 && seq > op.Seq
		if _, bound := s.bound[seq]; n > 0 && !bound && !beyond {
			s.forget(t, op, seq)
			n--
		}
	}
	if n > 0 {
		t.Fatalf("evict %d from %d: %d missing", op.N, op.Seq, n)
	}
}

// read answers the oldest read with at most perRead entries.
func (s *shelf) read(q *Queue, perRead int) bool {
	answer := s.look(perRead)
	if answer == nil {
		return false
	}
	answer(q)
	return true
}

// look reads, and returns how to give the answer.
func (s *shelf) look(perRead int) func(q *Queue) {
	if len(s.reads) == 0 {
		return nil
	}
	op := s.reads[0]
	s.reads = s.reads[1:]
	var es []Entry
	more := false
	for _, seq := range s.seqs() {
		if seq < op.Seq {
			continue
		}
		if len(es) == min(op.N, perRead) {
			more = true
			break
		}
		es = append(es, s.live[seq])
	}
	return func(q *Queue) { q.Loaded(op.Tag, es, more) }
}

func (s *shelf) state() State {
	st := State{Tail: s.tail + 1, Head: s.tail + 1, Count: len(s.live), SentThrough: s.sent, Released: slices.Clone(s.released)}
	for i, seq := range s.seqs() {
		if i == 0 {
			st.Head = seq
		}
		if id, ok := s.bound[seq]; ok {
			st.Bound = append(st.Bound, Binding{seq, id})
		}
	}
	return st
}

// rig drives a queue, its twin and a shelf through one random history. Owned
// by one test.
type rig struct {
	t       *testing.T
	rnd     *rand.Rand
	c       Config
	q       *Queue
	twin    *twin
	shelf   *shelf
	durable bool
	due     []Entry // appended, not committed
	seq     uint64
	now     int64
	nextID  uint16
	log     []string
}

func newRig(t *testing.T, seed uint64) *rig {
	r := &rig{t: t, rnd: rand.New(rand.NewPCG(seed, 5)), now: 1000}
	limits := []int{-1, 0, 1, 3, 10, 40}
	r.c = Config{
		MaxOnline: limits[r.rnd.IntN(6)], MaxOffline: limits[r.rnd.IntN(6)],
		LIFO: r.rnd.IntN(2) == 0, Refuse: r.rnd.IntN(4) == 0, OverrideMaxOnline: r.rnd.IntN(2) == 0,
		MemoryEntries: 1 + r.rnd.IntN(8), MemoryBytes: 1 + r.rnd.IntN(200),
	}
	r.durable = r.rnd.IntN(4) > 0
	r.twin = &twin{c: r.c, dropped: map[string]uint64{}}
	r.shelf = &shelf{live: map[uint64]Entry{}, bound: map[uint64]uint16{}}
	r.q = New(r.c, r.durable, State{})
	return r
}

func (r *rig) fail(format string, args ...any) {
	r.t.Helper()
	from := max(0, len(r.log)-25)
	r.t.Fatalf("%+v durable=%v\n%v\n%s", r.c, r.durable, r.log[from:], fmt.Sprintf(format, args...))
}

func (r *rig) step() {
	k := r.rnd.IntN(100)
	switch {
	case k < 35:
		r.publish()
	case k < 50:
		r.commit()
	case k < 72:
		r.next()
	case k < 86:
		r.settle()
	case k < 90:
		r.log = append(r.log, "online")
		r.q.SetOnline(true, r.now)
		r.twin.setOnline(true)
	case k < 92:
		r.log = append(r.log, "offline")
		r.q.SetOnline(false, r.now)
		r.twin.setOnline(false)
	case k < 94:
		r.now += int64(r.rnd.IntN(30))
	case k < 95:
		r.crash()
	case k < 96:
		r.q.Trim()
	}
	r.take()
	if r.rnd.IntN(2) == 0 && r.shelf.read(r.q, 1+r.rnd.IntN(5)) {
		r.log = append(r.log, "read")
		r.take()
	}
	r.check()
}

func (r *rig) take() { r.shelf.apply(r.t, r.q.Ops(nil)) }

func (r *rig) publish() {
	got, want := r.q.Admit(1), r.twin.admit()
	r.log = append(r.log, "admit "+want.String())
	if got != want {
		r.fail("admitted %v, want %v", got, want)
	}
	if want > AcceptEvictOldest {
		return
	}
	if r.rnd.IntN(20) == 0 {
		r.q.Abandoned()
		r.twin.reserved--
		return
	}
	r.seq++
	m := &Message{Body: make([]byte, r.rnd.IntN(80))}
	if r.rnd.IntN(4) == 0 {
		m.ExpiresAt = r.now + int64(r.rnd.IntN(40))
	}
	r.due = append(r.due, Entry{Seq: r.seq, Msg: m, QoS: uint8(1 + r.rnd.IntN(2))})
}

func (r *rig) commit() {
	if len(r.due) == 0 {
		return
	}
	e := r.due[0]
	r.due = r.due[1:]
	if r.durable {
		r.shelf.live[e.Seq] = e
		r.shelf.tail = e.Seq
	}
	r.log = append(r.log, fmt.Sprint("commit ", e.Seq))
	r.q.Committed(e)
	r.twin.commit(twinEntry{seq: e.Seq, qos: e.QoS, expires: e.Msg.ExpiresAt})
}

func (r *rig) next() {
	if !r.twin.online {
		if _, ok := r.q.Next(r.now); ok {
			r.fail("an entry for a client that is not there")
		}
		return
	}
	got, ok := r.q.Next(r.now)
	r.take()
	for !ok && r.shelf.read(r.q, 1+r.rnd.IntN(5)) {
		r.take()
		got, ok = r.q.Next(r.now)
		r.take()
	}
	want, dup, wantOK := r.twin.next(r.now)
	r.log = append(r.log, fmt.Sprint("next ", want.seq, wantOK))
	if ok != wantOK || got.Seq != want.seq || got.QoS != want.qos || got.PacketID != want.packetID || got.Dup != dup {
		r.fail("next %+v %v, want %+v dup %v %v", got, ok, want, dup, wantOK)
	}
	if ok && got.QoS == 2 && got.PacketID == 0 && r.rnd.IntN(4) > 0 {
		r.bind(got.Seq)
	}
}

func (r *rig) bind(seq uint64) {
	r.nextID++
	if r.q.Bind(seq, r.nextID, 7) != r.durable {
		r.fail("bind of %d waits wrongly", seq)
	}
	r.twin.flight[len(r.twin.flight)-1].packetID = r.nextID
	if r.rnd.IntN(3) > 0 {
		r.q.Sent(seq, r.nextID)
		r.twin.sent = max(r.twin.sent, seq)
	}
}

// settle acknowledges something in flight, mostly the oldest, or completes.
func (r *rig) settle() {
	w := r.twin
	if len(w.released) > 0 && r.rnd.IntN(2) == 0 {
		i := r.rnd.IntN(len(w.released))
		if !r.q.Complete(w.released[i]) {
			r.fail("packet id %d was not released", w.released[i])
		}
		w.released = slices.Delete(w.released, i, i+1)
		return
	}
	if len(w.flight) == 0 {
		if r.q.Ack(r.seq+10) || r.q.Complete(65000) {
			r.fail("acknowledged what is not in flight")
		}
		return
	}
	i := 0
	if r.rnd.IntN(3) == 0 {
		i = r.rnd.IntN(len(w.flight))
	}
	e := w.flight[i]
	w.flight = slices.Delete(w.flight, i, i+1)
	r.log = append(r.log, fmt.Sprint("settle ", e.seq, " ", e.packetID))
	if e.packetID != 0 && r.rnd.IntN(4) > 0 {
		r.q.Release(e.seq, e.packetID, 9)
		w.released = append(w.released, e.packetID)
		return
	}
	if !r.q.Ack(e.seq) || r.q.Ack(e.seq) {
		r.fail("ack of %d, once and again", e.seq)
	}
}

// crash builds the queue anew from what is stored. Ops were all applied, so
// that the twin only goes offline and loses its reservations.
func (r *rig) crash() {
	if !r.durable {
		return
	}
	r.log = append(r.log, "crash")
	r.take()
	// An eviction that waits for a read is lost by a crash; here it is not.
	for r.evictDue() > 0 && r.shelf.read(r.q, 5) {
		r.take()
	}
	r.q = New(r.c, true, r.shelf.state())
	r.shelf.reads, r.due = nil, nil
	r.seq = r.shelf.tail
	r.twin.setOnline(false)
	r.twin.reserved = 0
	r.twin.dropped = map[string]uint64{}
}

func (r *rig) check() {
	w := r.twin
	var ids []uint16
	for _, e := range r.q.Restored() {
		ids = append(ids, e.PacketID)
	}
	if !slices.Equal(ids, w.released) {
		r.fail("released %v, want %v", ids, w.released)
	}
	if r.q.Len() != len(w.waiting) || r.q.InFlight() != len(w.flight) {
		r.fail("waiting %d in flight %d, want %d and %d", r.q.Len(), r.q.InFlight(), len(w.waiting), len(w.flight))
	}
	s := r.q.Stats()
	got := []uint64{s.Refused, s.DroppedFull, s.DroppedOldest + uint64(r.evictDue()), s.DroppedExcess, s.Expired, s.Lost}
	want := []uint64{w.dropped["refused"], w.dropped["full"], w.dropped["oldest"], w.dropped["excess"], w.dropped["expired"], 0}
	if !slices.Equal(got, want) {
		r.fail("counts %v, want %v", got, want)
	}
	if r.durable {
		if held := int(r.q.waiting.n); held > r.c.MemoryEntries || held > 1 && s.Bytes > r.c.MemoryBytes {
			r.fail("%d entries and %d bytes in memory", held, s.Bytes)
		}
		if live := len(w.waiting) + len(w.flight); len(r.shelf.live) != live && r.evictDue() == 0 {
			r.fail("%d stored, want %d", len(r.shelf.live), live)
		}
	}
}

func (r *rig) evictDue() int {
	if r.q.backlog == nil {
		return 0
	}
	return r.q.backlog.evictDue
}

func TestQueueBehavesAsItsTwin(t *testing.T) {
	for seed := range uint64(3000) {
		r := newRig(t, seed)
		for range 250 {
			r.step()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}
