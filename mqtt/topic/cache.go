package topic

import "sync/atomic"

// ways is how many cells a topic may stand in.
const ways = 4

// cache remembers results by topic. Safe for concurrent use, without locks.
//
// Bound: a fixed number of cells, and a number of hits over all entries
// (a result may hold 100,000 of them). A newcomer takes the place of an entry
// that is over, or of one of those in its way by turns; when there are too
// many hits, entries go by turns until there are not. A result that would
// take more than half of the hits for itself is not kept.
type cache[S comparable] struct {
	cells   []atomic.Pointer[entry[S]] // a power of two, at least ways; nil: nothing is kept
	hitsMax int64
	held    atomic.Int64  // hits in the cells
	turn    atomic.Uint64 // whose turn it is to go
}

// entry is one result under its topic. Immutable.
type entry[S comparable] struct {
	name   string
	stamp  stamp
	weight int64
	result *Result[S]
}

// row returns the cells in which a topic may stand.
func (c *cache[S]) row(hash uint64) []atomic.Pointer[entry[S]] {
	at := int(hash & uint64(len(c.cells)-1) &^ (ways - 1))
	return c.cells[at : at+ways : at+ways]
}

// get returns the entry of a topic, which may be over, or nil.
func (c *cache[S]) get(hash uint64, name []byte) *entry[S] {
	if c.cells == nil {
		return nil
	}
	row := c.row(hash)
	for i := range row {
		if e := row[i].Load(); e != nil && e.name == string(name) {
			return e
		}
	}
	return nil
}

// put keeps a result if it fits.
func (c *cache[S]) put(w *watch, hash uint64, name []byte, s stamp, r *Result[S]) {
	if c.cells == nil {
		return
	}
	e := &entry[S]{name: string(name), stamp: s, weight: 1 + int64(len(r.Direct)), result: r}
	for i := range r.Shared {
		e.weight += int64(len(r.Shared[i].Members))
	}
	if e.weight > c.hitsMax/2 {
		return
	}
	row := c.row(hash)
	victim := -1
	for i := range row {
		old := row[i].Load()
		if old != nil && old.name == e.name {
			victim = i
			break
		}
		if victim < 0 && (old == nil || !w.current(&old.stamp)) {
			victim = i
		}
	}
	if victim < 0 {
		victim = int(c.turn.Add(1) % ways)
	}
	if !c.swap(&row[victim], row[victim].Load(), e) {
		return // someone else was quicker; the result is good all the same
	}
	for range c.cells {
		if c.held.Load() <= c.hitsMax {
			return
		}
		cell := c.next()
		if old := cell.Load(); old != nil && old != e {
			c.swap(cell, old, nil)
		}
	}
}

// sweep looks at the next n cells and drops what is over. Writers call it,
// so that results do not keep subscribers alive long after they have gone.
func (c *cache[S]) sweep(w *watch, n int) {
	if c.cells == nil {
		return
	}
	for range n {
		cell := c.next()
		if old := cell.Load(); old != nil && !w.current(&old.stamp) {
			c.swap(cell, old, nil)
		}
	}
}

// next returns the cells one after the other.
func (c *cache[S]) next() *atomic.Pointer[entry[S]] {
	return &c.cells[c.turn.Add(1)&uint64(len(c.cells)-1)]
}

// swap replaces old, if it is still there, and keeps the count of hits.
func (c *cache[S]) swap(cell *atomic.Pointer[entry[S]], old, e *entry[S]) bool {
	if !cell.CompareAndSwap(old, e) {
		return false
	}
	if old != nil {
		c.held.Add(-old.weight)
	}
	if e != nil {
		c.held.Add(e.weight)
	}
	return true
}
