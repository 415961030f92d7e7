package queue

import "tombolo/internal/invariant"

// Queue is the queue of one session: what waits for the client, what is in
// flight to it, and what the store is to do about either. Owned by whoever
// holds the lock of its session; it takes time as an argument, does no I/O and
// never blocks.
//
// A connection-bound (not durable) queue holds everything in memory, bounded by
// MaxOnline, and emits no Op. A durable one holds the head of what waits up to
// MemoryEntries and MemoryBytes and only counts the rest, which it reads when
// the head runs low.
//
//  1. Entries come out of Next in the order of their sequences, each once
//     between two times that the client goes offline.
//  2. An entry that came out is in flight until Ack or Release; SetOnline(false)
//     puts it back in its place.
//  3. Waiting and reserved entries never exceed the bound in force, except by
//     one for each reservation that will evict, by what came back from flight,
//     and by what OverrideMaxOnline keeps.
//  4. The memory of a durable queue does not depend on how much is stored.
type Queue struct {
	waiting     ring
	flight      flight
	released    []uint16 // PUBREL sent or to be sent, in the order of PUBREC
	seq         uint64   // the highest sequence seen
	sentThrough uint64   // entries up to here may have been handed out
	maxOnline   int32
	maxOffline  int32
	reserved    int32
	online      bool
	lifo        bool
	refuse      bool
	override    bool
	backlog     *backlog // nil: not durable
	elders      *elders  // nil: there never was an older generation
	counts      *tally   // nil until something was dropped
}

// New returns a queue that is offline. st is State{} for a fresh queue, or what
// Store.Open returned; it is not kept.
func New(c Config, durable bool, st State) *Queue {
	q := &Queue{
		maxOnline: bound(c.MaxOnline), maxOffline: bound(c.MaxOffline),
		lifo: c.LIFO, refuse: c.Refuse, override: c.OverrideMaxOnline,
		sentThrough: st.SentThrough,
		released:    append([]uint16(nil), st.Released...),
	}
	if st.Tail > 0 {
		q.seq = st.Tail - 1
	}
	if durable {
		q.backlog = newBacklog(c, st)
		q.openElders(&st)
	}
	return q
}

// Durable says whether the queue is in the store.
func (q *Queue) Durable() bool { return q.backlog != nil }

// SetLimits changes the limits; what waits above them stays.
func (q *Queue) SetLimits(c Config) {
	q.maxOnline, q.maxOffline = bound(c.MaxOnline), bound(c.MaxOffline)
	q.lifo, q.refuse, q.override = c.LIFO, c.Refuse, c.OverrideMaxOnline
	if q.backlog != nil {
		q.backlog.setMemory(c)
	}
	q.eachElder(func(el *elder) {
		el.lifo = q.lifo
		el.backlog.setMemory(c)
	})
}

// SetOnline says that the client came or went. When it goes, what was in flight
// waits again, in order, and a durable queue lets go of its memory. now is not
// read; it is there so that the rules of expiry can use it.
func (q *Queue) SetOnline(online bool, _ int64) {
	if q.online == online {
		return
	}
	q.online = online
	q.eachElder(func(el *elder) {
		el.online, el.backlog.failed = online, false
		if !online {
			el.land()
		}
	})
	if !online {
		q.land()
		return
	}
	if q.backlog != nil {
		q.backlog.failed = false
	}
	if excess := q.Len() - int(q.maxOnline); excess > 0 && !q.override {
		q.dropExcess(excess)
	}
	q.read()
}

// land puts what is in flight back where it came from.
func (q *Queue) land() {
	if q.backlog != nil {
		q.forget()
		return
	}
	q.flight.close()
	for q.flight.n > 0 {
		q.waiting.pushFront(q.flight.at(q.flight.n - 1))
		q.flight.dropBack()
	}
}

// Admit asks for a place for a message with this effective QoS. After Accept or
// AcceptEvictOldest exactly one Committed or Abandoned must follow. A durable
// queue takes no QoS 0: that goes to the connection or nowhere.
func (q *Queue) Admit(qos uint8) Admission {
	if qos == 0 && (q.backlog != nil || !q.online) {
		q.count().DroppedQoS0++
		return DropNew
	}
	limit := q.limit()
	if q.Len()+int(q.reserved) < limit {
		q.reserved++
		return Accept
	}
	switch {
	case q.refuse:
		q.count().Refused++
		return Refuse
	case !q.lifo || limit == 0:
		q.count().DroppedFull++
		return DropNew
	}
	q.reserved++
	return AcceptEvictOldest
}

func (q *Queue) limit() int {
	if q.online {
		return int(q.maxOnline)
	}
	return int(q.maxOffline)
}

// Committed settles a reservation: e is in the store, or simply taken if the
// queue is not durable. Sequences rise; one that is 0 is given by a queue that
// is not durable. An entry that Store.Open had counted already is only settled.
func (q *Queue) Committed(e Entry) {
	// Fail in a branch, here and below: Check would box its arguments each time.
	if q.reserved <= 0 {
		invariant.Fail("commit of %d without a reservation", e.Seq)
	}
	q.reserved--
	if q.backlog == nil {
		if e.Seq == 0 {
			e.Seq = q.seq + 1
		}
		if e.Seq <= q.seq {
			invariant.Fail("sequence %d after %d", e.Seq, q.seq)
		}
		q.seq = e.Seq
		q.waiting.push(&e)
	} else if !q.commit(&e) {
		return
	}
	if q.lifo && !q.refuse && q.Len()+int(q.reserved) > q.limit() {
		q.evictOldest()
	}
}

// Abandoned gives a reservation back: the append failed, or the message went
// to the connection without passing through the queue.
func (q *Queue) Abandoned() {
	invariant.Check(q.reserved > 0, "abandoned without a reservation")
	q.reserved--
	q.count().Failed++
}

// Next takes the next entry to send. QoS 1 and 2 are in flight from here on;
// QoS 0 is gone. Expired ones are acknowledged away and counted. It returns
// false when nothing is ready, which may only mean that a read is under way.
func (q *Queue) Next(now int64) (Entry, bool) {
	if q.elders != nil {
		if e, ok, served := q.nextOlder(now); served {
			return e, ok
		}
	}
	return q.next(now, ^uint64(0))
}

// next is Next for one generation, up to a sequence.
func (q *Queue) next(now int64, upTo uint64) (Entry, bool) {
	for q.online && q.waiting.n > 0 && q.waiting.front().Seq <= upTo {
		e := *q.waiting.front()
		q.waiting.drop()
		if q.backlog != nil {
			q.backlog.bytes -= len(e.Msg.Body)
		}
		// A bound message is never dropped: its packet id is in use.
		if e.PacketID == 0 && e.Msg.Expired(now) {
			q.count().Expired++
			q.forgotten(&e)
			continue
		}
		e.Dup = e.Seq <= q.sentThrough || e.PacketID != 0
		if e.QoS < 2 {
			q.sent(e.Seq)
		}
		if e.QoS > 0 {
			q.flight.enter(&e)
		}
		q.read()
		return e, true
	}
	q.read()
	return Entry{}, false
}

// Ready says whether Next would look at an entry.
func (q *Queue) Ready() bool {
	if q.elders != nil {
		el, upTo, ok := q.elders.turn()
		if !ok || el != nil {
			return ok && q.online && el.waiting.n > 0 && el.waiting.front().Seq <= upTo
		}
	}
	return q.online && q.waiting.n > 0
}

// Sent says that the PUBLISH of a QoS 2 entry went out, after its binding was
// durable.
func (q *Queue) Sent(seq uint64, id uint16) {
	if el, own := q.part(seq); el != nil {
		el.Sent(own, id)
		return
	}
	if q.flight.find(seq) != nil {
		q.sent(seq)
	}
}

func (q *Queue) sent(seq uint64) {
	if seq > q.sentThrough {
		q.sentThrough = seq
		if q.backlog != nil {
			q.backlog.sentDirty = true
		}
	}
}

// Ack forgets an entry in flight: PUBACK came, or a PUBREC that refuses. One
// that is not in flight is ignored, and false returned.
func (q *Queue) Ack(seq uint64) bool {
	if el, own := q.part(seq); el != nil {
		el.settle(own)
		return el.Ack(own)
	}
	e := q.flight.find(seq)
	if e == nil {
		return false
	}
	if q.backlog == nil || !q.backlog.ackedEarly(seq) {
		q.forgotten(e)
	}
	q.flight.forget(e)
	return true
}

// Bind gives a QoS 2 entry in flight its packet id. It returns true when the
// PUBLISH must wait until the store answers tag; tag is below ReadTag and not 0.
func (q *Queue) Bind(seq uint64, packetID uint16, tag uint64) (wait bool) {
	if el, own := q.part(seq); el != nil {
		return el.Bind(own, packetID, tag)
	}
	e := q.flight.find(seq)
	if e == nil {
		return false
	}
	e.PacketID = packetID
	if q.backlog == nil {
		return false
	}
	q.backlog.bind(Binding{seq, packetID}, tag)
	return true
}

// Release says that PUBREC came: the message is the client's, the packet id
// stays until Complete. It returns true when PUBREL must wait until the store
// answers tag.
func (q *Queue) Release(seq uint64, packetID uint16, tag uint64) (wait bool) {
	if el, own := q.part(seq); el != nil {
		el.settle(own)
		if wait = el.Release(own, packetID, tag); wait {
			q.released, el.released = append(q.released, packetID), nil
		}
		return wait
	}
	e := q.flight.find(seq)
	if e == nil {
		return false
	}
	q.released = append(q.released, packetID)
	if q.backlog != nil {
		q.backlog.release(e, packetID, tag)
	}
	q.flight.forget(e)
	return q.backlog != nil
}

// Complete forgets a released packet id: PUBCOMP came. One that is not released
// is ignored, and false returned.
func (q *Queue) Complete(packetID uint16) bool {
	for i, id := range q.released {
		if id != packetID {
			continue
		}
		if i == 0 {
			q.released = q.released[1:]
		} else {
			q.released = append(q.released[:i], q.released[i+1:]...)
		}
		if len(q.released) == 0 {
			q.released = nil
		}
		if q.backlog != nil {
			q.backlog.ops = append(q.backlog.ops, Op{Kind: OpComplete, PacketID: packetID})
		}
		return true
	}
	return false
}

// Restored returns the packet ids whose PUBREL is sent again first on a new
// connection, in order. Bound messages come out of Next in their place, with
// their PacketID: the standard wants resent PUBLISH packets in the order of
// their first sending [MQTT-4.6.0-1], whatever their QoS.
func (q *Queue) Restored() []Entry {
	es := make([]Entry, len(q.released))
	for i, id := range q.released {
		es[i] = Entry{QoS: 2, PacketID: id, Released: true}
	}
	return es
}

// Len is the number of entries that wait, in memory or stored.
func (q *Queue) Len() int {
	n := int(q.waiting.n)
	if q.backlog != nil {
		n += q.backlog.stored - q.backlog.evictDue
	}
	if q.elders != nil {
		for _, el := range q.elders.list {
			n += el.Len()
		}
	}
	return n
}

// Pending is the number of places that are reserved: appends that are under way.
func (q *Queue) Pending() int { return int(q.reserved) }

// InFlight is the number of entries that were handed out and not acknowledged,
// without released packet ids.
func (q *Queue) InFlight() int {
	n := q.flight.live()
	if q.elders != nil {
		for _, el := range q.elders.list {
			n += el.flight.live()
		}
	}
	return n
}

// Stats returns the numbers of this queue.
func (q *Queue) Stats() Stats {
	var s Stats
	if q.counts != nil {
		s = q.counts.Stats
	}
	s.Waiting, s.InFlight = q.Len(), q.InFlight()
	if q.backlog != nil {
		s.Stored, s.Bytes = q.backlog.stored, q.backlog.bytes
	}
	q.eachElder(func(el *elder) {
		s.Stored, s.Bytes = s.Stored+el.backlog.stored, s.Bytes+el.backlog.bytes
		if el.counts != nil {
			s.add(&el.counts.Stats)
		}
	})
	return s
}

// Trim gives back memory that a burst left behind; call it when the session has
// been idle for a while.
func (q *Queue) Trim() {
	q.waiting.trim()
	q.flight.close()
	q.flight.trim()
	q.eachElder(func(el *elder) { el.Trim() })
}

func (q *Queue) count() *Stats {
	if q.counts == nil {
		q.counts = new(tally)
	}
	return &q.counts.Stats
}

// forgotten tells the store that e is not needed any more.
func (q *Queue) forgotten(e *Entry) {
	if q.backlog != nil {
		q.backlog.ack(e)
	}
}

// evictOldest drops the first entry that waits and is not bound: in memory by
// name, in the store by place. While a read is under way nobody knows which one
// that is.
func (q *Queue) evictOldest() {
	if q.elders != nil && q.evictOlder() {
		return
	}
	for i := uint32(0); i < q.waiting.n; i++ {
		if e := q.waiting.at(i); e.PacketID == 0 {
			q.count().DroppedOldest++
			if q.backlog != nil {
				q.backlog.evictHeld(e)
			}
			q.waiting.remove(i)
			return
		}
	}
	if q.backlog != nil && q.evictStored() {
		q.count().DroppedOldest++
	}
}

// dropExcess drops what is above MaxOnline: the oldest under LIFO, the newest
// otherwise, as if the backlog were put into an online queue in order. Bound
// messages stay.
func (q *Queue) dropExcess(excess int) {
	if q.backlog != nil {
		q.excessDurable(excess)
		return
	}
	for i := uint32(0); i < q.waiting.n && excess > 0; {
		at := i
		if !q.lifo {
			at = q.waiting.n - 1 - i
		}
		if q.waiting.at(at).PacketID != 0 {
			i++
			continue
		}
		q.waiting.remove(at)
		q.count().DroppedExcess++
		excess--
	}
}
