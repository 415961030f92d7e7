package topic

import (
	"hash/maphash"
	"sync/atomic"
)

// labelled is what a table holds: a pointer to something with a fixed label.
type labelled[T any] interface {
	*T
	label() string
}

// kind is what all tables of one type in an Index share. Immutable.
//
// The seed is drawn once per Index: clients choose the topics, and with a
// known hash they could choose them to collide. Nothing that a caller can
// see depends on it (guarantee 6).
type kind[T any] struct {
	seed maphash.Seed
	dead *T // stands where something was removed
}

// table is a hash table of labelled things with open addressing. Written by
// the one holding the Index's mutex, read by anyone without a lock.
//
// It is what stands in place of copy-on-write for a level of the trie: a
// level may have 100,000 children, and copying them (or the path through a
// persistent map) for each new one costs far more than the one pointer that
// is stored here. A reader probes until the first empty cell. A writer fills
// an empty or dead cell, or marks one dead; things never move between cells,
// except that a full table is rebuilt aside and published whole, and readers
// of the old cells finish there.
type table[T any, P labelled[T]] struct {
	cells atomic.Pointer[cells[T]]
}

// cells is one size of a table. The counters belong to the writer.
type cells[T any] struct {
	slots []atomic.Pointer[T] // a power of two of them
	live  int                 // things
	used  int                 // things and dead cells
}

// walkMax is up to which size a table is searched from end to end, which is
// cheaper than hashing and lets it be full.
const walkMax = 8

// get returns what has the label key, nil if nothing has. hash is asked for
// only if it is needed.
func (t *table[T, P]) get(k *kind[T], key []byte) P {
	c := t.cells.Load()
	if c == nil {
		return nil
	}
	if len(c.slots) <= walkMax {
		return t.walk(k, c, key)
	}
	return t.probe(k, c, maphash.Bytes(k.seed, key), key)
}

// getHashed is get for a caller that has the hash of key already.
func (t *table[T, P]) getHashed(k *kind[T], hash uint64, key []byte) P {
	c := t.cells.Load()
	if c == nil {
		return nil
	}
	if len(c.slots) <= walkMax {
		return t.walk(k, c, key)
	}
	return t.probe(k, c, hash, key)
}

func (t *table[T, P]) walk(k *kind[T], c *cells[T], key []byte) P {
	for i := range c.slots {
		if e := c.slots[i].Load(); e != nil && e != k.dead && P(e).label() == string(key) {
			return e
		}
	}
	return nil
}

func (t *table[T, P]) probe(k *kind[T], c *cells[T], hash uint64, key []byte) P {
	mask := uint64(len(c.slots) - 1)
	for i := range c.slots { // bounded, though there is always an empty cell
		e := c.slots[(hash+uint64(i))&mask].Load()
		if e == nil {
			return nil
		}
		if e != k.dead && P(e).label() == string(key) {
			return e
		}
	}
	return nil
}

// add puts e in; nothing with its label may be there.
func (t *table[T, P]) add(k *kind[T], e P) {
	c := t.cells.Load()
	if c == nil || c.full() {
		c = t.rebuild(k, c)
	}
	c.add(k, maphash.String(k.seed, e.label()), e)
}

// remove takes e out, which must be in.
func (t *table[T, P]) remove(k *kind[T], e P) {
	c := t.cells.Load()
	mask := uint64(len(c.slots) - 1)
	hash := uint64(0)
	if len(c.slots) > walkMax {
		hash = maphash.String(k.seed, e.label())
	}
	for i := range c.slots {
		slot := &c.slots[(hash+uint64(i))&mask]
		if slot.Load() == (*T)(e) {
			slot.Store(k.dead)
			c.live--
			break
		}
	}
	switch {
	case c.live == 0:
		t.cells.Store(nil)
	case len(c.slots) > walkMax && c.live < len(c.slots)/8:
		t.rebuild(k, c)
	}
}

// size returns the number of things in the table. Writer only.
func (t *table[T, P]) size() int {
	if c := t.cells.Load(); c != nil {
		return c.live
	}
	return 0
}

// all yields what is in the table, in no order.
func (t *table[T, P]) all(k *kind[T], yield func(P) bool) {
	c := t.cells.Load()
	if c == nil {
		return
	}
	for i := range c.slots {
		if e := c.slots[i].Load(); e != nil && e != k.dead && !yield(e) {
			return
		}
	}
}

// rebuild publishes a table with the same things and room for more.
func (t *table[T, P]) rebuild(k *kind[T], old *cells[T]) *cells[T] {
	size := 2
	if old != nil {
		for size < 2*old.live {
			size *= 2
		}
	}
	next := &cells[T]{slots: make([]atomic.Pointer[T], size)}
	if old != nil {
		for i := range old.slots {
			if e := old.slots[i].Load(); e != nil && e != k.dead {
				next.add(k, maphash.String(k.seed, P(e).label()), e)
			}
		}
	}
	t.cells.Store(next)
	return next
}

// full reports whether one more could leave a search without an end. Small
// tables are searched from end to end and may fill up.
func (c *cells[T]) full() bool {
	if len(c.slots) <= walkMax {
		return c.live == len(c.slots)
	}
	return (c.used+1)*4 > len(c.slots)*3
}

// add puts e in the first cell of its row that holds nothing.
func (c *cells[T]) add(k *kind[T], hash uint64, e *T) {
	mask := uint64(len(c.slots) - 1)
	for i := range c.slots {
		slot := &c.slots[(hash+uint64(i))&mask]
		was := slot.Load()
		if was != nil && was != k.dead {
			continue
		}
		slot.Store(e)
		c.live++
		if was == nil {
			c.used++
		}
		return
	}
}
