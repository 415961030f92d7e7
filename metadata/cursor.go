package metadata

import (
	"bytes"
	"slices"

	"tombolo/internal/kv"
)

// Cursor walks the keys of one table in order, as they were when it was made,
// with the values that a reader sees: conflicts resolved, deletes left out,
// this store's own writes included before they are durable. It belongs to one
// goroutine and holds back compaction: close it within about 30 s.
type Cursor struct {
	it      kv.Iterator
	table   Table
	code    []byte // area and table
	at      int    // length of code
	pending []pendingEntry
	next    int // index of the first pending entry at or after the cursor
	onDB    bool
	db      bool // it stands on a key that counts
	key     []byte
	value   []byte
	err     error
}

// pendingEntry is a write that is not durable yet. Immutable once built.
type pendingEntry struct {
	key     []byte // with area and table
	value   []byte
	deleted bool
}

// Cursor stands before the first key of t that begins with prefix and stays
// within those keys.
func (s *Store) Cursor(t Table, prefix []byte) (*Cursor, error) { return s.cursor(t, prefix) }

func (s *Store) cursor(t Table, prefix []byte) (*Cursor, error) {
	code := appendTable([]byte{areaObject}, t)
	r := kv.PrefixRange(append(slices.Clone(code), prefix...))
	// The overlay first: what leaves it between the two steps is in the
	// database already.
	pending := s.overlay.within(r)
	it := s.db.Iterator(r)
	if err := it.Err(); err != nil {
		it.Close()
		return nil, err
	}
	return &Cursor{it: it, table: t, code: code, at: len(code), pending: pending}, nil
}

// Seek goes to the first key at or after key and says whether there is one.
func (c *Cursor) Seek(key []byte) bool {
	full := append(slices.Clone(c.code), key...)
	c.next, _ = slices.BinarySearchFunc(c.pending, full, func(e pendingEntry, k []byte) int {
		return bytes.Compare(e.key, k)
	})
	c.db = c.it.Seek(full)
	return c.settle()
}

// First goes to the first key.
func (c *Cursor) First() bool {
	c.next = 0
	c.db = c.it.First()
	return c.settle()
}

// Next goes to the next key.
func (c *Cursor) Next() bool {
	if c.key == nil {
		return c.First()
	}
	if c.onDB {
		c.db = c.it.Next()
	} else {
		c.next++
	}
	return c.settle()
}

// settle finds the smaller of the two sides' keys that is live and makes it
// the cursor's.
func (c *Cursor) settle() bool {
	for {
		c.key, c.value = nil, nil
		order := 1
		switch {
		case c.next >= len(c.pending) && !c.db:
			if c.err == nil {
				c.err = c.it.Err()
			}
			return false
		case c.next >= len(c.pending):
			order = -1
		case c.db:
			order = bytes.Compare(c.it.Key(), c.pending[c.next].key)
		}
		if order < 0 {
			value, ok, err := resolve(c.it.Key()[1:], c.it.Value())
			if err != nil {
				c.err = damaged(c.table, c.it.Key(), err)
				return false
			}
			if ok {
				c.onDB, c.key, c.value = true, c.it.Key()[c.at:], value
				return true
			}
			c.db = c.it.Next()
			continue
		}
		if order == 0 {
			c.db = c.it.Next() // the pending write is the newer one
		}
		e := c.pending[c.next]
		if !e.deleted {
			c.onDB, c.key, c.value = false, e.key[c.at:], e.value
			return true
		}
		c.next++
	}
}

// Key is valid until the cursor moves; do not change it.
func (c *Cursor) Key() []byte { return c.key }

// Value is valid until the cursor moves; do not change it.
func (c *Cursor) Value() []byte { return c.value }

// Err is what ended the walk early, nil at an ordinary end.
func (c *Cursor) Err() error { return c.err }

// Close lets go of the instant that the cursor sees.
func (c *Cursor) Close() { c.it.Close() }

// Range calls fn for the keys of t that begin with prefix, from the first at or
// after from, in order, until fn returns false. Key and value are valid during
// the call.
func (s *Store) Range(t Table, prefix, from []byte, fn func(key, value []byte) bool) error {
	c, err := s.cursor(t, prefix)
	if err != nil {
		return err
	}
	defer c.Close()
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	for ok := c.Seek(from); ok && fn(c.Key(), c.Value()); ok = c.Next() {
	}
	return c.Err()
}

// Get returns the value of key as a reader sees it; the value is the caller's.
// It waits neither for commits nor for other nodes.
func (s *Store) Get(t Table, key []byte) (value []byte, ok bool, err error) {
	full := objectKey(t, key)
	if value, deleted, found := s.overlay.get(full); found {
		return clone(value), !deleted, nil
	}
	return stored(s.db, t, full)
}

func objectKey(t Table, key []byte) []byte {
	return append(appendTable(append(make([]byte, 0, len(key)+16), areaObject), t), key...)
}

// stored reads what the database has under a full key.
func stored(db kv.DB, t Table, full []byte) (value []byte, ok bool, err error) {
	raw, err := db.Get(full)
	if err != nil {
		if isNotFound(err) {
			return nil, false, nil
		}
		return nil, false, err
	}
	value, ok, err = resolve(full[1:], raw)
	if err != nil {
		return nil, false, damaged(t, full[1+len(appendTable(nil, t)):], err)
	}
	return value, ok, nil
}
