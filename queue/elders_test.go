package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

const ownGeneration = 100

// shelves is a store in maps with several generations of one queue.
type shelves map[uint64]*shelf

func (s shelves) of(generation uint64) *shelf {
	if s[generation] == nil {
		s[generation] = &shelf{live: map[uint64]Entry{}, bound: map[uint64]uint16{}}
	}
	return s[generation]
}

func (s shelves) apply(t *testing.T, ops []Op) {
	for _, op := range ops {
		if op.Kind != OpComplete {
			s.of(op.generation).apply(t, []Op{op})
			continue
		}
		for _, sh := range s {
			if slices.Contains(sh.released, op.PacketID) {
				sh.apply(t, []Op{op})
			}
		}
	}
}

// read answers one read of some generation.
func (s shelves) read(q *Queue, perRead int) bool {
	for _, generation := range s.generations() {
		if s[generation].read(q, perRead) {
			return true
		}
	}
	return false
}

func (s shelves) generations() []uint64 {
	var all []uint64
	for g := range s {
		all = append(all, g)
	}
	slices.Sort(all)
	return all
}

func (s shelves) state(moving bool) State {
	st := s.of(ownGeneration).state()
	st.Generation, st.Released = ownGeneration, nil
	if moving {
		st.MovingFrom = 11
	}
	for _, g := range s.generations() {
		o := s[g].state()
		st.Released = append(st.Released, o.Released...)
		if g != ownGeneration && o.Count > 0 {
			st.Older = append(st.Older, Part{g, o.Head, o.Tail, o.Count, o.SentThrough, o.Bound})
		}
	}
	return st
}

// heir drives a queue whose older generations come from other nodes, and holds
// what comes out against what is stored. Owned by one test.
type heir struct {
	t       *testing.T
	rnd     *rand.Rand
	c       Config
	q       *Queue
	s       shelves
	away    map[uint64][]uint64 // at other nodes: sequences by generation, ascending
	untold  []*Batch            // stored, but the queue does not know yet
	answers []func(*Queue)      // of reads that were made, and did not come yet
	told    map[Place]bool      // what the queue knows of and the client has not acknowledged
	flight  map[Place]Entry
	sent    map[Place]bool
	mark    map[uint64]uint64 // the highest that was sent, by generation
	due     []Entry
	seq     uint64
	nextID  uint16
	now     int64
	moving  bool
	upTo    Place // of what was told while moving
	wild    bool  // several nodes send, in any order
	log     []string
}

func newHeir(t *testing.T, seed uint64) *heir {
	h := &heir{t: t, rnd: rand.New(rand.NewPCG(seed, 6)), s: shelves{}, now: 1000}
	h.away, h.told, h.flight, h.sent = map[uint64][]uint64{}, map[Place]bool{}, map[Place]Entry{}, map[Place]bool{}
	h.mark = map[uint64]uint64{}
	h.wild = h.rnd.IntN(2) == 0
	h.moving = !h.wild
	for g := uint64(10); g <= 10+uint64(h.rnd.IntN(3))*10; g += 10 {
		for seq := range uint64(h.rnd.IntN(30)) {
			switch at := (Place{g, seq + 1}); {
			case h.rnd.IntN(5) == 0: // acknowledged long ago
			case h.rnd.IntN(3) == 0: // never left
				h.s.of(g).live[at.Seq] = h.message(at.Seq)
				h.s.of(g).tail = at.Seq
				h.told[at] = true
			default:
				h.away[g] = append(h.away[g], at.Seq)
			}
		}
	}
	h.c = Config{MaxOnline: -1, MaxOffline: -1, MemoryEntries: 1 + h.rnd.IntN(8), MemoryBytes: 1 + h.rnd.IntN(200)}
	h.q = New(h.c, true, h.s.state(h.moving))
	return h
}

func (h *heir) message(seq uint64) Entry {
	m := &Message{Body: make([]byte, h.rnd.IntN(60))}
	if h.rnd.IntN(5) == 0 {
		m.ExpiresAt = h.now + int64(h.rnd.IntN(60))
	}
	return Entry{Seq: seq, Msg: m, QoS: uint8(1 + h.rnd.IntN(2))}
}

func (h *heir) fail(format string, args ...any) {
	h.t.Helper()
	h.q.eachElder(func(el *elder) {
		b := el.backlog
		h.t.Logf("%d: stored %d, from %d, through %d, waiting %d, flight %d, reading %v, failed %v, fresh %d, need %d, bytes %d, stored %v",
			el.generation, b.stored, b.from, b.through, el.waiting.n, el.flight.n, b.reading, b.failed, b.fresh, b.need, b.bytes, h.s.of(el.generation).seqs())
	})
	h.t.Fatalf("moving=%v wild=%v %+v\n%v\n%s", h.moving, h.wild, h.c, h.log[max(0, len(h.log)-30):], fmt.Sprintf(format, args...))
}

func (h *heir) say(format string, args ...any) { h.log = append(h.log, fmt.Sprintf(format, args...)) }

func (h *heir) take() { h.s.apply(h.t, h.q.Ops(nil)) }

func (h *heir) step() {
	switch k := h.rnd.IntN(100); {
	case k < 12:
		h.publish()
	case k < 20:
		h.commit()
	case k < 34:
		h.importSome()
	case k < 46:
		h.tell()
	case k < 70:
		h.next()
	case k < 86:
		h.settle()
	case k < 90:
		h.say("online")
		h.q.SetOnline(true, h.now)
	case k < 92:
		h.say("offline")
		h.q.SetOnline(false, h.now)
		clear(h.flight)
	case k < 94:
		h.now += int64(h.rnd.IntN(30))
	case k < 95:
		h.crash()
	case k < 96:
		h.q.Trim()
	}
	h.take()
	switch h.rnd.IntN(6) {
	case 0, 1:
		if h.s.read(h.q, 1+h.rnd.IntN(5)) {
			h.say("read")
		}
	case 2:
		for _, g := range h.s.generations() {
			if answer := h.s[g].look(1 + h.rnd.IntN(5)); answer != nil {
				h.say("look %d", g)
				h.answers = append(h.answers, answer)
			}
		}
	case 3:
		h.answer()
	}
	h.take()
}

// answer passes on what was read some time ago.
func (h *heir) answer() bool {
	if len(h.answers) == 0 {
		return false
	}
	h.say("answer")
	h.answers[0](h.q)
	h.answers = h.answers[1:]
	return true
}

func (h *heir) publish() {
	h.q.Admit(1)
	h.seq++
	h.due = append(h.due, h.message(h.seq))
}

func (h *heir) commit() {
	if len(h.due) == 0 {
		return
	}
	e := h.due[0]
	h.due = h.due[1:]
	own := h.s.of(ownGeneration)
	own.live[e.Seq], own.tail = e, e.Seq
	h.say("commit %d", e.Seq)
	h.q.Committed(e)
	h.told[Place{ownGeneration, e.Seq}] = true
}

// importSome stores a batch of what is away: the first that is left, or of any
// generation and from any place if several nodes send.
func (h *heir) importSome() {
	for _, g := range []uint64{10, 20, 30} {
		if len(h.away[g]) == 0 || h.wild && h.rnd.IntN(3) == 0 {
			continue
		}
		from := 0
		if h.wild {
			from = h.rnd.IntN(len(h.away[g]))
		}
		n := 1 + h.rnd.IntN(min(6, len(h.away[g])-from))
		b := &Batch{Generation: g, Last: n == len(h.away[g])}
		for _, seq := range h.away[g][from : from+n] {
			e := h.message(seq)
			h.s.of(g).live[seq] = e
			h.s.of(g).tail = max(h.s.of(g).tail, seq)
			b.Records = append(b.Records, Record{Seq: seq, Msg: e.Msg, QoS: e.QoS})
		}
		h.away[g] = slices.Delete(h.away[g], from, from+n)
		h.untold = append(h.untold, b)
		h.say("import %d of %d from %d", n, g, b.Records[0].Seq)
		return
	}
}

// tell has the queue learn of a batch that is stored; the last one ends the move.
func (h *heir) tell() {
	if len(h.untold) > 0 {
		b := h.untold[0]
		h.untold = h.untold[1:]
		h.say("tell %d of %d from %d", len(b.Records), b.Generation, b.Records[0].Seq)
		h.q.Imported(b, b.Records)
		for _, r := range b.Records {
			if _, ok := h.s.of(b.Generation).live[r.Seq]; ok {
				h.told[Place{b.Generation, r.Seq}] = true
			}
		}
		if end := b.end(); end.after(h.upTo) {
			h.upTo = end
		}
	}
	if h.moving && len(h.untold) == 0 && len(h.away[10])+len(h.away[20])+len(h.away[30]) == 0 {
		h.say("final")
		h.moving = false
		h.q.SetMoving(false)
	}
}

// allowed says whether something may come out now.
func (h *heir) allowed(at Place) bool {
	return !h.moving || at.Generation != ownGeneration && !at.after(h.upTo)
}

// first is what must come out, if the queue knows all that is there.
func (h *heir) first() (first Place, found bool) {
	for at := range h.told {
		e, live := h.s.of(at.Generation).live[at.Seq]
		_, inFlight := h.flight[at]
		if !live || inFlight || !h.allowed(at) || e.Msg.Expired(h.now) && h.s.of(at.Generation).bound[at.Seq] == 0 {
			continue
		}
		if !found || first.after(at) {
			first, found = at, true
		}
	}
	return first, found
}

func (h *heir) placeOf(e Entry) Place {
	if el, own := h.q.part(e.Seq); el != nil {
		return Place{el.generation, own}
	}
	return Place{ownGeneration, e.Seq}
}

func (h *heir) next() {
	if !h.q.online {
		if _, ok := h.q.Next(h.now); ok {
			h.fail("an entry for a client that is not there")
		}
		return
	}
	want, expect := h.first()
	e, ok := h.q.Next(h.now)
	h.take()
	for !ok && (h.answer() || h.s.read(h.q, 1+h.rnd.IntN(5))) {
		h.take()
		e, ok = h.q.Next(h.now)
		h.take()
	}
	if !ok {
		if expect {
			h.fail("nothing comes, %+v is there", want)
		}
		return
	}
	at := h.placeOf(e)
	h.say("next %v", at)
	stored, live := h.s.of(at.Generation).live[at.Seq]
	if _, twice := h.flight[at]; twice || !live || !h.allowed(at) {
		h.fail("%v comes; in flight %v, stored %v, allowed %v", at, twice, live, h.allowed(at))
	}
	dup := h.sent[at] == e.Dup || e.Dup && at.Seq <= h.mark[at.Generation]
	if expect && at.after(want) || e.Msg != stored.Msg || !dup || e.PacketID != h.s.of(at.Generation).bound[at.Seq] {
		h.fail("%v %+v comes before %v; sent before %v", at, e, want, h.sent[at])
	}
	if e.QoS == 2 && e.PacketID == 0 && h.rnd.IntN(4) > 0 {
		h.nextID++
		h.q.Bind(e.Seq, h.nextID, 7)
		e.PacketID = h.nextID
	}
	if e.QoS == 1 || e.PacketID != 0 {
		h.q.Sent(e.Seq, e.PacketID)
		h.sent[at], h.mark[at.Generation] = true, max(h.mark[at.Generation], at.Seq)
	}
	h.flight[at] = e
}

func (h *heir) settle() {
	if len(h.flight) == 0 {
		return
	}
	var all []Place
	for at := range h.flight {
		all = append(all, at)
	}
	slices.SortFunc(all, func(a, b Place) int {
		if a.after(b) {
			return 1
		}
		return -1
	})
	at := all[0]
	if h.rnd.IntN(3) == 0 {
		at = all[h.rnd.IntN(len(all))]
	}
	e := h.flight[at]
	delete(h.flight, at)
	delete(h.told, at)
	h.say("settle %v", at)
	if e.PacketID != 0 {
		h.q.Release(e.Seq, e.PacketID, 9)
		if h.rnd.IntN(2) == 0 {
			h.q.Complete(e.PacketID)
		}
		return
	}
	if !h.q.Ack(e.Seq) || h.q.Ack(e.Seq) {
		h.fail("ack of %v, once and again", at)
	}
}

// crash builds the queue anew: it knows all that is stored. If the store lives on
// it is told some of that once more.
func (h *heir) crash() {
	h.say("crash")
	h.take()
	for _, b := range h.untold {
		for _, r := range b.Records {
			if _, ok := h.s.of(b.Generation).live[r.Seq]; ok {
				h.told[Place{b.Generation, r.Seq}] = true
			}
		}
	}
	if h.rnd.IntN(2) == 0 {
		h.untold = nil
	}
	h.due, h.answers, h.upTo = nil, nil, Place{}
	h.seq = h.s.of(ownGeneration).tail
	clear(h.flight)
	for _, sh := range h.s {
		sh.reads = nil
	}
	h.q = New(h.c, true, h.s.state(h.moving))
}

// finish brings everything here and out.
func (h *heir) finish() {
	for len(h.due)+len(h.untold)+len(h.away[10])+len(h.away[20])+len(h.away[30]) > 0 || h.moving {
		h.commit()
		h.importSome()
		h.tell()
	}
	h.q.SetOnline(true, h.now)
	for range 10_000 {
		h.next()
		h.settle()
		h.take()
		for h.answer() || h.s.read(h.q, 5) {
			h.take()
		}
		if h.q.Len()+h.q.InFlight() == 0 {
			break
		}
	}
	h.take()
	for g, sh := range h.s {
		if len(sh.live) > 0 {
			h.fail("generation %d still holds %v", g, sh.seqs())
		}
	}
	if st := h.q.Stats(); h.q.Len() != 0 || h.q.InFlight() != 0 || st.Lost != 0 || st.Bytes != 0 {
		h.fail("%+v", st)
	}
}

// TestOlderGenerationsComeFirst (R20–R22) holds a queue of several generations
// against what is stored, while batches come, readers find them before the queue
// is told, and clients come and go.
func TestOlderGenerationsComeFirst(t *testing.T) {
	for seed := range uint64(800) {
		h := newHeir(t, seed)
		h.say("seed %d", seed)
		for range 150 {
			h.step()
		}
		h.finish()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestImportWhileAReadIsUnderWay: an answer that comes to the end does not speak
// for what came after it was read.
func TestImportWhileAReadIsUnderWay(t *testing.T) {
	q := New(unlimited(), true, State{Generation: ownGeneration, Older: []Part{{Generation: 10, Head: 1, Tail: 2, Count: 1}}})
	e := func(seq uint64) Entry { return Entry{Seq: seq, Msg: &Message{}, QoS: 1} }
	q.SetOnline(true, 0)
	q.Next(0)
	read := q.Ops(nil)[0]
	q.Imported(&Batch{Generation: 10, Records: []Record{{Seq: 2, Msg: &Message{}, QoS: 1}}}, []Record{{Seq: 2, Msg: &Message{}, QoS: 1}})
	q.Loaded(read.Tag, []Entry{e(1)}, false)
	for seq := uint64(1); seq <= 2; seq++ {
		got, ok := q.Next(0)
		for _, op := range q.Ops(nil) {
			if op.Kind == OpRead && op.generation == 10 {
				q.Loaded(op.Tag, []Entry{e(2)}, false)
			}
		}
		if !ok {
			got, ok = q.Next(0)
		}
		if !ok || got.Seq&(1<<ordinalShift-1) != seq {
			t.Fatalf("%d: %+v %v", seq, got, ok)
		}
	}
	if _, ok := q.Next(0); ok || q.Len() != 0 || q.InFlight() != 2 {
		t.Errorf("%d wait, %d in flight", q.Len(), q.InFlight())
	}
}
