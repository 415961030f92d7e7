package queue

import "slices"

// strand is one generation of a queue (R20): its records and its cursor. Guarded
// by Store.mu.
//
//  1. head ≤ committed ≤ tail ≤ lease; sequences from tail on were never given.
//  2. A record exists, here or in a group that waits, for each sequence of
//     [head, tail) that is not in forgotten, unless it is damaged.
//  3. What is in gone is in forgotten or below head, and its record and its
//     share of a segment are still there. Both go with the next cursor.
//  4. What is in absent is below head or in forgotten, and not because somebody
//     acknowledged it: it may come from another node.
//  5. What is in arriving is in absent; its records are in groups that wait.
type strand struct {
	lane       *lane
	generation uint64
	cursor
	committed uint64 // all below is in the database
	gone      []goneRange
	arriving  spans
	changed   bool // the cursor on disk is behind
}

// live is how many messages are committed and wanted.
func (st *strand) live() int {
	return int(st.committed - st.head - st.forgotten.size(st.head, st.committed))
}

// has says whether the record of a sequence is committed and wanted.
func (st *strand) has(seq uint64) bool {
	return seq >= st.head && seq < st.committed && !st.forgotten.has(seq)
}

// idle says that nothing but the memory of what was acknowledged is left.
func (st *strand) idle() bool {
	return st.head == st.tail && len(st.bound) == 0 && len(st.released) == 0 && len(st.gone) == 0 && len(st.arriving) == 0
}

// forget takes out what of [seq, seq+n) is still there and returns how much
// that was. Only committed records can be forgotten: nobody else knows them. What
// is away was not acknowledged, but went to another node.
func (st *strand) forget(seq, n, segment uint64, away bool) int {
	lo, hi := max(seq, st.head), min(seq+n, st.committed)
	if lo >= hi {
		return 0
	}
	if lo == st.head && len(st.forgotten) == 0 {
		st.head = hi
		st.drop(lo, hi, segment, away)
		return int(hi - lo)
	}
	var parts [4]span
	found := parts[:0]
	st.forgotten.missing(lo, hi, func(lo, hi uint64) { found = append(found, span{lo, hi}) })
	total := 0
	for _, s := range found {
		st.forgotten.add(s.lo, s.hi)
		st.drop(s.lo, s.hi, segment, away)
		total += int(s.hi - s.lo)
	}
	st.compact()
	return total
}

// compact raises head over what is forgotten.
func (st *strand) compact() {
	if len(st.forgotten) > 0 && st.forgotten[0].lo == st.head {
		st.head = st.forgotten[0].hi
		st.forgotten = st.forgotten[1:]
		if len(st.forgotten) == 0 {
			st.forgotten = nil
		}
	}
}

func (st *strand) drop(lo, hi, segment uint64, away bool) {
	if len(st.bound) > 0 {
		st.bound = slices.DeleteFunc(st.bound, func(b Binding) bool { return b.Seq >= lo && b.Seq < hi })
	}
	if away {
		st.absent.put(lo, hi)
	}
	if n := len(st.gone); n > 0 {
		if last := &st.gone[n-1]; last.segment == segment && last.seq+last.n == lo {
			last.n += hi - lo
			return
		}
	}
	st.gone = append(st.gone, goneRange{lo, hi - lo, segment})
}

func (st *strand) isBound(seq uint64) bool {
	_, found := slices.BinarySearchFunc(st.bound, seq, func(b Binding, seq uint64) int { return compare(b.Seq, seq) })
	return found
}

// bind notes the packet id of a live record.
func (st *strand) bind(seq uint64, packetID uint16) {
	if st.has(seq) {
		st.cursor.bind(seq, packetID)
	}
}

func (c *cursor) bind(seq uint64, packetID uint16) {
	i, found := slices.BinarySearchFunc(c.bound, seq, func(b Binding, seq uint64) int { return compare(b.Seq, seq) })
	if found {
		c.bound[i].PacketID = packetID
		return
	}
	c.bound = slices.Insert(c.bound, i, Binding{seq, packetID})
}

func (st *strand) release(packetID uint16) {
	if !slices.Contains(st.released, packetID) {
		st.released = append(st.released, packetID)
	}
}

// comeBack makes [lo, hi), of which nothing was there, wanted again.
func (c *cursor) comeBack(lo, hi uint64) {
	if lo < c.head {
		c.forgotten.put(lo, c.head)
		c.head = lo
	}
	c.forgotten.cut(lo, hi)
	c.absent.cut(lo, hi)
}

// stored is the cursor as it is once all groups that wait are committed.
func (st *strand) stored() *cursor {
	if len(st.arriving) == 0 {
		return &st.cursor
	}
	c := st.cursor
	c.forgotten, c.absent = slices.Clone(c.forgotten), slices.Clone(c.absent)
	for _, s := range st.arriving {
		c.comeBack(s.lo, s.hi)
	}
	return &c
}

// arrived makes records that were imported part of the queue: they are
// committed.
func (st *strand) arrived(lo, hi uint64) {
	st.arriving.cut(lo, hi)
	st.comeBack(lo, hi)
}
