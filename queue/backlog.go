package queue

import (
	"slices"
	"sort"

	"tombolo/internal/invariant"
)

// backlog is what a durable queue knows about its part in the store. Owned by
// its Queue. All stored entries that are not in memory have sequences in
// [from, through].
type backlog struct {
	ops        []Op
	generation uint64    // what the ops are about; 0 is the newest
	batch      uint64    // how often Ops gave something out
	instance   uint64    // State.instance
	bound      []Binding // ascending by sequence; bounded by the in-flight window
	stored     int       // waiting entries that are only in the store
	from       uint64    // where the next read begins
	through    uint64    // the highest sequence that is committed
	opened     uint64    // State.Tail: what is below was counted when the queue was opened

	bytes      int // bodies of what waits in memory
	entriesMax int
	bytesMax   int

	reading     bool   // an OpRead is not answered yet
	failed      bool   // the last read failed; none is made until the client comes back
	readTag     uint64 // its tag
	readThrough uint64 // what was committed when it was emitted
	readStored  int    // stored at that time
	evictDue    int    // evictions that wait for the answer
	need        int    // the body for which the last answer had no room

	sentDirty bool // sentThrough rose since the last Ops

	early  []ahead // handed out and not committed, ascending; bounded by the in-flight window
	landed uint64  // up to here entries came back from flight before they were committed

	// Of an older generation, since the last read was asked for: how many
	// records came from another node, and what was acknowledged that the read
	// may find again.
	fresh   int
	settled []uint64
}

func newBacklog(c Config, st State) *backlog {
	b := &backlog{
		stored: st.Count, from: st.Head, opened: st.Tail,
		bound: append([]Binding(nil), st.Bound...), readTag: ReadTag, instance: st.instance, generation: st.Generation,
	}
	if st.Tail > 0 {
		b.through = st.Tail - 1
	}
	b.setMemory(c)
	return b
}

func (b *backlog) setMemory(c Config) {
	b.entriesMax, b.bytesMax = c.MemoryEntries, c.MemoryBytes
	if b.entriesMax <= 0 {
		b.entriesMax = DefaultMemoryEntries
	}
	if b.bytesMax <= 0 {
		b.bytesMax = DefaultMemoryBytes
	}
}

// Ops appends what the store is to do, in order, and forgets it. Hand it to
// Store.Do after the session's lock was released, always, in one piece: what is
// taken out next waits in the store until this has come.
func (q *Queue) Ops(dst []Op) []Op {
	b := q.backlog
	if b == nil {
		return dst
	}
	if b.sentDirty {
		b.sentDirty = false
		b.ops = append(b.ops, Op{Kind: OpSent, Seq: q.sentThrough, generation: b.generation})
	}
	if q.elders != nil {
		q.olderOps()
	}
	if len(b.ops) == 0 {
		return dst
	}
	if b.instance != 0 {
		b.batch++
		for i := range b.ops {
			b.ops[i].instance, b.ops[i].batch = b.instance, b.batch
		}
	}
	dst = append(dst, b.ops...)
	if cap(b.ops) > opsKept {
		b.ops = nil
	}
	b.ops = b.ops[:0]
	return dst
}

// opsKept is how many slots for ops an idle queue keeps.
const opsKept = 16

// HasOps says whether Ops would return anything.
func (q *Queue) HasOps() bool {
	if q.backlog == nil {
		return false
	}
	has := len(q.backlog.ops) > 0 || q.backlog.sentDirty
	q.eachElder(func(el *elder) { has = has || el.HasOps() })
	return has
}

// commit takes a committed entry into memory if everything before it is there
// and there is room; otherwise it is only counted. It returns false for one
// that was counted when the queue was opened.
func (q *Queue) commit(e *Entry) bool {
	b := q.backlog
	if e.Seq < b.opened {
		return false
	}
	if e.Seq <= b.through {
		invariant.Fail("sequence %d after %d", e.Seq, b.through)
	}
	b.through = e.Seq
	q.seq = e.Seq
	if a, was := b.caughtUp(e.Seq); was {
		if a.acked {
			b.ack(e)
		}
		return true
	}
	if q.online && b.stored == 0 && q.room(len(e.Msg.Body)) {
		b.bytes += len(e.Msg.Body)
		q.waiting.push(e)
		return true
	}
	if b.stored == 0 {
		b.from = e.Seq
	}
	b.stored++
	q.read()
	return true
}

func (q *Queue) room(bodyBytes int) bool {
	b := q.backlog
	return q.waiting.n == 0 || int(q.waiting.n) < b.entriesMax && b.bytes+bodyBytes <= b.bytesMax
}

// read asks the store for more when what is in memory runs low.
func (q *Queue) read() {
	b := q.backlog
	if b == nil || b.stored == 0 || b.reading || b.failed || !q.online {
		return
	}
	if int(q.waiting.n) > b.entriesMax/2 || q.waiting.n > 0 && (b.bytes > b.bytesMax/2 || b.bytes+b.need > b.bytesMax) {
		return
	}
	b.need = 0
	b.reading = true
	b.readTag++
	b.readThrough, b.readStored = b.through, b.stored
	b.fresh, b.settled = 0, b.settled[:0]
	b.ops = append(b.ops, Op{Kind: OpRead, generation: b.generation, Seq: b.from, N: b.entriesMax - int(q.waiting.n), Tag: b.readTag})
}

// Loaded is the answer to the OpRead with this tag: entries in order, and
// whether there may be more behind them. An answer to a read from before the
// client went offline is ignored.
func (q *Queue) Loaded(tag uint64, es []Entry, more bool) {
	if el := q.byTag(tag); el != nil {
		el.loaded(tag, es, more)
		return
	}
	b := q.backlog
	if b == nil || !b.reading || tag != b.readTag {
		return
	}
	b.reading = false
	taken := 0
	for i := range es {
		e := es[i]
		if e.Seq < b.from {
			continue
		}
		// What was committed after the read was asked for is not counted yet,
		// or not as part of it; and memory has its bound.
		if e.Seq > b.readThrough || !q.room(len(e.Msg.Body)) {
			more, b.need = true, len(e.Msg.Body)
			break
		}
		e.PacketID = b.packetID(e.Seq)
		b.from = e.Seq + 1
		b.bytes += len(e.Msg.Body)
		q.waiting.push(&e)
		taken++
	}
	b.stored -= taken
	invariant.Check(b.stored >= 0 && taken <= b.readStored, "%d entries read, %d were stored", taken, b.readStored)
	switch {
	case more && len(es) == 0:
		// A store that makes no progress would be asked for ever.
		b.failed = true
	case !more:
		lost := b.readStored - taken
		b.stored -= lost
		b.from = b.readThrough + 1
		if lost > 0 {
			q.count().Lost += uint64(lost)
		}
	}
	q.settleEvictions()
	q.read()
}

// ReadFailed says that the OpRead with this tag ended in an error. Nothing is
// read until the client comes back.
func (q *Queue) ReadFailed(tag uint64) {
	if el := q.byTag(tag); el != nil {
		q = el.Queue
	}
	b := q.backlog
	if b == nil || !b.reading || tag != b.readTag {
		return
	}
	b.reading, b.failed = false, true
	q.settleEvictions()
}

// forget lets go of memory: what was in flight or waits is only counted.
func (q *Queue) forget() {
	b := q.backlog
	// First what is due: it was to hit what waits, not what comes back.
	b.reading = false
	q.settleEvictions()
	q.landEarly()
	first := b.from
	if q.waiting.n > 0 {
		first = min(first, q.waiting.front().Seq)
	}
	if q.flight.n > 0 {
		first = min(first, q.flight.front().Seq)
	}
	b.stored += q.flight.live() + int(q.waiting.n)
	b.from, b.bytes = first, 0
	q.waiting, q.flight = ring{}, flight{}
}

func (b *backlog) ack(e *Entry) {
	b.unbind(e.Seq)
	seg := e.Msg.segment
	if n := len(b.ops); n > 0 {
		last := &b.ops[n-1]
		if last.Kind == OpAck && last.segment == seg && last.Seq+uint64(last.N) == e.Seq {
			last.N++
			return
		}
	}
	b.ops = append(b.ops, Op{Kind: OpAck, generation: b.generation, Seq: e.Seq, N: 1, segment: seg})
}

func (b *backlog) bind(n Binding, tag uint64) {
	b.note(n)
	b.ops = append(b.ops, Op{Kind: OpBind, Seq: n.Seq, PacketID: n.PacketID, Tag: tag, generation: b.generation})
}

func (b *backlog) note(n Binding) {
	i := b.search(n.Seq)
	if i < len(b.bound) && b.bound[i].Seq == n.Seq {
		b.bound[i] = n
		return
	}
	b.bound = append(b.bound, Binding{})
	copy(b.bound[i+1:], b.bound[i:])
	b.bound[i] = n
}

func (b *backlog) release(e *Entry, packetID uint16, tag uint64) {
	b.unbind(e.Seq)
	b.ops = append(b.ops, Op{Kind: OpRelease, generation: b.generation, Seq: e.Seq, PacketID: packetID, Tag: tag, segment: e.Msg.segment})
}

func (b *backlog) search(seq uint64) int {
	return sort.Search(len(b.bound), func(i int) bool { return b.bound[i].Seq >= seq })
}

func (b *backlog) unbind(seq uint64) {
	if len(b.bound) == 0 {
		return
	}
	if i := b.search(seq); i < len(b.bound) && b.bound[i].Seq == seq {
		b.bound = append(b.bound[:i], b.bound[i+1:]...)
	}
}

func (b *backlog) packetID(seq uint64) uint16 {
	if i := b.search(seq); i < len(b.bound) && b.bound[i].Seq == seq {
		return b.bound[i].PacketID
	}
	return 0
}

// evictHeld drops an entry that is in memory.
func (b *backlog) evictHeld(e *Entry) {
	b.bytes -= len(e.Msg.Body)
	b.ops = append(b.ops, Op{Kind: OpEvict, generation: b.generation, Seq: e.Seq, segment: e.Msg.segment})
}

// evictStored drops the oldest entry that is only stored and not bound, or notes
// that this is due when the answer to a read came.
func (q *Queue) evictStored() bool {
	b := q.backlog
	if b.reading {
		b.evictDue++
		return false
	}
	if b.stored <= q.boundStored() {
		return false
	}
	b.stored--
	b.evict(b.from, 1)
	return true
}

// boundStored is how many of the stored entries are bound and stay.
func (q *Queue) boundStored() int { return len(q.backlog.bound) - q.backlog.search(q.backlog.from) }

func (b *backlog) evict(seq uint64, n int) {
	if last := len(b.ops) - 1; last >= 0 {
		if op := &b.ops[last]; op.Kind == OpEvict && op.Seq == seq && op.N > 0 && n > 0 {
			op.N += n
			return
		}
	}
	b.ops = append(b.ops, Op{Kind: OpEvict, generation: b.generation, Seq: seq, N: n, segment: refUnknown})
}

func (q *Queue) settleEvictions() {
	b := q.backlog
	due := b.evictDue
	b.evictDue = 0
	for range due {
		q.evictOldest()
	}
}

// excessDurable drops what is too much of all generations, as if they were one
// backlog.
func (q *Queue) excessDurable(excess int) {
	parts := []*Queue{q}
	q.eachElder(func(el *elder) { parts = append(parts, el.Queue) })
	// The newest is first, the others follow from the oldest on.
	if parts = append(parts[1:], parts[0]); !q.lifo {
		slices.Reverse(parts)
	}
	for _, p := range parts {
		n := p.excessStored(excess)
		q.count().DroppedExcess += uint64(n)
		excess -= n
	}
}

// excessStored runs when the client comes back: nothing is in memory yet.
func (q *Queue) excessStored(excess int) (dropped int) {
	b := q.backlog
	excess = min(excess, b.stored-q.boundStored())
	if excess <= 0 {
		return 0
	}
	b.stored -= excess
	if q.lifo {
		b.evict(b.from, excess)
	} else {
		b.evict(b.through, -excess)
	}
	return excess
}
