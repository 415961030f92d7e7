package queue

import (
	"slices"
	"time"
)

// lane is the store's side of one queue that was opened. Guarded by Store.mu.
//
//  1. head ≤ committed ≤ tail ≤ lease; sequences from tail on were never given.
//  2. A record exists, here or in a group that waits, for each sequence of
//     [head, tail) that is not in forgotten, unless it is damaged.
//  3. What is in gone is in forgotten or below head, and its record and its
//     share of a segment are still there. Both go with the next cursor.
type lane struct {
	id         QueueID
	name       string
	generation uint64
	cursor
	committed uint64 // all below is in the database
	received  map[uint16]MessageID
	gone      []goneRange
	dirty     bool // in Store.dirty: the cursor on disk is behind
	urgent    bool // in Store.urgent: it is to be written with the next commit
	count     int  // acknowledgements since the cursor was written
	dueAt     time.Time
	tags      []ticket // answers that wait for the cursor
	turns     turns
	dropped   bool
}

// goneRange is n records in a row whose bodies are in the same segment.
type goneRange struct {
	seq     uint64
	n       uint64
	segment uint64
}

func newLane(id QueueID, name string) *lane {
	return &lane{id: id, name: name, generation: firstGeneration, cursor: cursor{head: 1, tail: 1, lease: 1}, committed: 1}
}

// state is what New wants to know. What is not committed yet comes with
// Committed.
func (l *lane) state() State {
	st := State{
		Generation: l.generation, Head: l.head, Tail: l.committed, SentThrough: l.sent,
		Count:    int(l.committed - l.head - l.forgotten.size(l.head, l.committed)),
		Bound:    slices.Clone(l.bound),
		Released: slices.Clone(l.released),
	}
	for id, msg := range l.received {
		st.Received = append(st.Received, Received{id, msg})
	}
	slices.SortFunc(st.Received, func(a, b Received) int { return int(a.PacketID) - int(b.PacketID) })
	return st
}

// forget takes out what of [seq, seq+n) is still there and returns how much
// that was. Only committed records can be forgotten: nobody else knows them.
func (l *lane) forget(seq, n, segment uint64) int {
	lo, hi := max(seq, l.head), min(seq+n, l.committed)
	if lo >= hi {
		return 0
	}
	if lo == l.head && len(l.forgotten) == 0 {
		l.head = hi
		l.drop(lo, hi, segment)
		return int(hi - lo)
	}
	var parts [4]span
	found := parts[:0]
	l.forgotten.missing(lo, hi, func(lo, hi uint64) { found = append(found, span{lo, hi}) })
	total := 0
	for _, s := range found {
		l.forgotten.add(s.lo, s.hi)
		l.drop(s.lo, s.hi, segment)
		total += int(s.hi - s.lo)
	}
	if len(l.forgotten) > 0 && l.forgotten[0].lo == l.head {
		l.head = l.forgotten[0].hi
		l.forgotten = l.forgotten[1:]
		if len(l.forgotten) == 0 {
			l.forgotten = nil
		}
	}
	return total
}

func (l *lane) drop(lo, hi, segment uint64) {
	if len(l.bound) > 0 {
		l.bound = slices.DeleteFunc(l.bound, func(b Binding) bool { return b.Seq >= lo && b.Seq < hi })
	}
	if n := len(l.gone); n > 0 {
		if last := &l.gone[n-1]; last.segment == segment && last.seq+last.n == lo {
			last.n += hi - lo
			return
		}
	}
	l.gone = append(l.gone, goneRange{lo, hi - lo, segment})
}

// live says whether the record of a sequence is committed and wanted.
func (l *lane) live(seq uint64) bool {
	return seq >= l.head && seq < l.committed && !l.forgotten.has(seq)
}

func (l *lane) isBound(seq uint64) bool {
	_, found := slices.BinarySearchFunc(l.bound, seq, func(b Binding, seq uint64) int { return compare(b.Seq, seq) })
	return found
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// bind notes the packet id of a live record.
func (l *lane) bind(seq uint64, packetID uint16) {
	if !l.live(seq) {
		return
	}
	i, found := slices.BinarySearchFunc(l.bound, seq, func(b Binding, seq uint64) int { return compare(b.Seq, seq) })
	if found {
		l.bound[i].PacketID = packetID
		return
	}
	l.bound = slices.Insert(l.bound, i, Binding{seq, packetID})
}

func (l *lane) release(packetID uint16) {
	if !slices.Contains(l.released, packetID) {
		l.released = append(l.released, packetID)
	}
}

func (l *lane) complete(packetID uint16) {
	if i := slices.Index(l.released, packetID); i >= 0 {
		l.released = slices.Delete(l.released, i, i+1)
	}
}
