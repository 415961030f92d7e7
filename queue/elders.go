package queue

import (
	"slices"
	"sort"

	"tombolo/internal/invariant"
)

// elders are the older generations of a durable queue (R20). Owned by its Queue.
// Memory: no more of them is read ahead than of a queue without, since one after
// the other is served.
type elders struct {
	list     []*elder // ascending by generation
	ordinal  uint64   // the last that was given
	moving   bool     // another node may still hold a part
	frontier Place    // while moving: up to here everything has come
}

// elder is one older generation: a queue of its own that nobody appends to. What
// it counts as stored is not exact: an import may be read before the queue is
// told of it. Each read that comes to the end puts that right.
type elder struct {
	*Queue
	generation uint64
	ordinal    uint64
}

// The entries of an elder go to the session with its ordinal above the
// sequence, so that sequences stay unique; the newest generation has ordinal 0.
// A thousand years of microseconds have room below.
const (
	ordinalShift = 52
	ordinalMax   = 1<<11 - 1
	ordinalTag   = 48 // in the tags of OpRead
)

// openElders makes the parts that a state tells of.
func (q *Queue) openElders(st *State) {
	if len(st.Older) == 0 && st.MovingFrom == 0 {
		return
	}
	q.elders = &elders{moving: st.MovingFrom != 0}
	for i, p := range st.Older {
		q.addElder(i, p)
	}
}

// SetMoving says whether a part of this queue may still come from another node
// (R20, R22). While it is on, older generations come out of Next as far as they
// are known to be complete, and nothing of the newest.
func (q *Queue) SetMoving(on bool) {
	if q.elders == nil {
		if !on {
			return
		}
		q.elders = &elders{}
	}
	q.elders.moving, q.elders.frontier = on, Place{}
	q.read()
}

// Moving tells what SetMoving said, or the State.
func (q *Queue) Moving() bool { return q.elders != nil && q.elders.moving }

// Imported takes in what Store.Import stored of a batch, which may be nothing.
func (q *Queue) Imported(b *Batch, stored []Record) {
	if q.backlog == nil {
		return
	}
	if q.elders == nil {
		q.elders = &elders{}
	}
	if end := b.end(); q.elders.moving && !b.Partial && end.after(q.elders.frontier) {
		q.elders.frontier = end
	}
	if b.Generation == 0 {
		for i := range stored {
			if r := &stored[i]; r.Released && !slices.Contains(q.released, r.PacketID) {
				q.released = append(q.released, r.PacketID)
			}
		}
		return
	}
	for i := range b.kept {
		k := &b.kept[i]
		if k.generation == q.backlog.generation {
			q.learn(&k.Record)
		} else {
			q.elder(k.generation).learn(&k.Record)
		}
	}
	if len(stored) > 0 {
		q.elder(b.Generation).imported(stored)
	}
}

// learn takes over what the client was told at another home of a record that is
// here: one that was handed out there is a duplicate, and a packet id stays.
func (q *Queue) learn(r *Record) {
	b := q.backlog
	if r.Dup {
		q.sentThrough = max(q.sentThrough, r.Seq)
	}
	if r.PacketID == 0 || b.packetID(r.Seq) != 0 || q.flight.find(r.Seq) != nil {
		return
	}
	waits := r.Seq >= b.from && r.Seq <= b.through // on the disk
	for j := range q.waiting.n {
		if e := q.waiting.at(j); e.Seq == r.Seq {
			e.PacketID, waits = r.PacketID, true
			break
		}
	}
	if waits { // else it was acknowledged meanwhile
		b.note(Binding{r.Seq, r.PacketID})
	}
}

func (p Place) after(o Place) bool {
	return p.Generation > o.Generation || p.Generation == o.Generation && p.Seq > o.Seq
}

// elder returns the part for a generation.
func (q *Queue) elder(generation uint64) *elder {
	es := q.elders
	i := sort.Search(len(es.list), func(i int) bool { return es.list[i].generation >= generation })
	if i < len(es.list) && es.list[i].generation == generation {
		return es.list[i]
	}
	return q.addElder(i, Part{Generation: generation, Head: 1, Tail: 1})
}

func (q *Queue) addElder(i int, p Part) *elder {
	es := q.elders
	invariant.Check(len(es.list) < ordinalMax, "%d generations", len(es.list))
	for used := true; used; {
		es.ordinal = es.ordinal%ordinalMax + 1
		used = slices.ContainsFunc(es.list, func(o *elder) bool { return o.ordinal == es.ordinal })
	}
	el := &elder{generation: p.Generation, ordinal: es.ordinal}
	el.Queue = New(Config{MaxOnline: -1, MaxOffline: -1, LIFO: q.lifo, MemoryEntries: q.backlog.entriesMax, MemoryBytes: q.backlog.bytesMax}, true,
		State{Generation: p.Generation, Head: p.Head, Tail: p.Tail, Count: p.Count, SentThrough: p.SentThrough, Bound: p.Bound})
	el.online = q.online
	el.backlog.readTag |= el.ordinal << ordinalTag
	es.list = slices.Insert(es.list, i, el)
	return el
}

// imported counts records that are in the store. What is between others that
// are here makes the next read begin there again.
func (el *elder) imported(stored []Record) {
	b := el.backlog
	between := stored[0].Seq <= b.through
	for i := range stored {
		r := &stored[i]
		b.through = max(b.through, r.Seq)
		if r.Dup {
			el.sentThrough = max(el.sentThrough, r.Seq)
		}
		if r.PacketID != 0 {
			b.note(Binding{r.Seq, r.PacketID})
		}
	}
	b.failed = false
	if !between {
		// They follow on what was here: what is below from was read already.
		stored = stored[sort.Search(len(stored), func(i int) bool { return stored[i].Seq >= b.from }):]
	} else {
		if b.reading {
			b.reading = false // the answer that is under way may have passed over them
			el.settleEvictions()
		}
		el.rewind(stored[0].Seq)
	}
	b.stored += len(stored)
	b.fresh += len(stored)
}

// rewind makes the next read begin at a sequence, if that is before what is in
// memory.
func (el *elder) rewind(first uint64) {
	b := el.backlog
	if first >= b.from {
		return
	}
	if el.waiting.n > 0 {
		first = min(first, el.waiting.front().Seq)
	}
	b.stored += int(el.waiting.n)
	b.from, b.bytes, el.waiting = first, 0, ring{}
}

// loaded is Queue.Loaded for an elder.
func (el *elder) loaded(tag uint64, es []Entry, more bool) {
	b := el.backlog
	if !b.reading || tag != b.readTag {
		return
	}
	b.reading = false
	for i := range es {
		e := es[i]
		if e.Seq < b.from {
			continue
		}
		if el.flight.find(e.Seq) != nil || slices.Contains(b.settled, e.Seq) {
			b.from = e.Seq + 1
			continue
		}
		if !el.room(len(e.Msg.Body)) {
			more, b.need = true, len(e.Msg.Body)
			break
		}
		e.PacketID = b.packetID(e.Seq)
		b.from = e.Seq + 1
		b.bytes += len(e.Msg.Body)
		el.waiting.push(&e)
		b.stored--
	}
	b.stored = max(b.stored, 0)
	switch {
	case more && len(es) == 0:
		b.failed = true // a store that makes no progress would be asked for ever
	case more || b.fresh > 0:
		b.stored = max(b.stored, 1)
	default:
		b.stored = 0
	}
	el.settleEvictions()
}

// settle notes that an entry in flight goes, before it does.
func (el *elder) settle(seq uint64) {
	if b := el.backlog; b.reading && seq >= b.from {
		b.settled = append(b.settled, seq)
	}
}

// turn returns the elder that is to be served, and up to which sequence; nil and
// true when it is the newest generation's turn.
func (es *elders) turn() (el *elder, upTo uint64, ok bool) {
	for _, el := range es.list {
		switch {
		case el.Len() == 0:
		case !es.moving || es.frontier.Generation > el.generation:
			return el, ^uint64(0), true
		case es.frontier.Generation == el.generation:
			return el, es.frontier.Seq, true
		default:
			return nil, 0, false
		}
	}
	return nil, 0, !es.moving
}

// nextOlder is Next as long as older generations have anything; served is false
// when it is the newest one's turn.
func (q *Queue) nextOlder(now int64) (e Entry, ok, served bool) {
	for q.online {
		el, upTo, ok := q.elders.turn()
		if !ok || el == nil {
			return Entry{}, false, !ok
		}
		if e, ok := el.next(now, upTo); ok {
			el.read()
			e.Seq |= el.ordinal << ordinalShift
			return e, true, true
		}
		el.read()
		if el.Len() > 0 {
			return Entry{}, false, true // a read is under way, or the rest has not come
		}
	}
	return Entry{}, false, true
}

// part returns the queue that a sequence of an entry belongs to, and what it is
// there.
func (q *Queue) part(seq uint64) (*elder, uint64) {
	if ordinal := seq >> ordinalShift; ordinal != 0 && q.elders != nil {
		for _, el := range q.elders.list {
			if el.ordinal == ordinal {
				return el, seq & (1<<ordinalShift - 1)
			}
		}
	}
	return nil, seq
}

// byTag returns the elder that asked for a read.
func (q *Queue) byTag(tag uint64) *elder {
	if ordinal := tag >> ordinalTag & ordinalMax; ordinal != 0 && q.elders != nil {
		for _, el := range q.elders.list {
			if el.ordinal == ordinal {
				return el
			}
		}
	}
	return nil
}

// olderOps moves what elders want done to the ops of their queue, and lets go of
// those that are empty. Theirs go before those of the queue itself, as their
// messages do: bindings are answered in this order, and QoS 2 messages go out with
// the answer.
func (q *Queue) olderOps() {
	es := q.elders
	kept := es.list[:0]
	var older []Op
	for _, el := range es.list {
		b := el.backlog
		if b.sentDirty {
			b.sentDirty = false
			b.ops = append(b.ops, Op{Kind: OpSent, Seq: el.sentThrough, generation: el.generation})
		}
		older = append(older, b.ops...)
		b.ops = b.ops[:0]
		if el.Len() == 0 && el.flight.live() == 0 && !b.reading && !es.moving {
			q.absorbCounts(el)
			continue
		}
		kept = append(kept, el)
	}
	q.backlog.ops = slices.Insert(q.backlog.ops, 0, older...)
	clear(es.list[len(kept):])
	es.list = kept
}

func (q *Queue) absorbCounts(el *elder) {
	if el.counts != nil {
		q.count().add(&el.counts.Stats)
		q.counts.excessTold += el.counts.excessTold
		q.counts.expiredTold += el.counts.expiredTold
	}
}

// add adds what was let go.
func (s *Stats) add(o *Stats) {
	s.DroppedFull += o.DroppedFull
	s.DroppedOldest += o.DroppedOldest
	s.DroppedExcess += o.DroppedExcess
	s.DroppedQoS0 += o.DroppedQoS0
	s.Refused += o.Refused
	s.Expired += o.Expired
	s.Failed += o.Failed
	s.Lost += o.Lost
}

// evictOlder drops the oldest message of the older generations; false if there
// is none that may go.
func (q *Queue) evictOlder() bool {
	for _, el := range q.elders.list {
		before := el.Len()
		if el.evictOldest(); el.Len() < before {
			return true
		}
	}
	return false
}

// each calls fn for each older generation, oldest first.
func (q *Queue) eachElder(fn func(el *elder)) {
	if q.elders != nil {
		for _, el := range q.elders.list {
			fn(el)
		}
	}
}
