package spool

import (
	"errors"
	"fmt"

	"tombolo/internal/kv"
	"tombolo/internal/link"
)

// checkFormat refuses a spool of a later version, and marks one that is new.
func (s *Spool) checkFormat() error {
	value, err := s.db.Get([]byte{areaFormat})
	switch {
	case errors.Is(err, kv.ErrNotFound):
		var b kv.Batch
		b.Put([]byte{areaFormat}, []byte{formatVersion})
		if err := s.db.Write(&b, true); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("spool: %w", err)
	case len(value) == 0 || value[0] > formatVersion:
		return fmt.Errorf("spool: it was written by a later version of this program (format %x): start that version, or let it drain the spool first", value)
	}
	return nil
}

// load makes the index. What cannot be read is set aside under a key of its own.
func (s *Spool) load() error {
	it := s.db.Iterator(kv.PrefixRange([]byte{areaChunk}))
	defer it.Close()
	var changes kv.Batch
	setAside := func(to link.NodeID, why string) {
		changes.Put(append([]byte{areaDamaged}, it.Key()[1:]...), it.Value())
		changes.Delete(it.Key())
		s.counters.damaged.Inc()
		s.config.Damaged(fmt.Sprintf("a chunk of %d bytes for node %v %s and is set aside", len(it.Value()), to, why))
	}
	for it.Next() {
		to, first, ok := parseChunkKey(it.Key())
		list, err := readChunk(it.Value(), first)
		if !ok || err != nil || first == 0 {
			setAside(to, "cannot be read")
			continue
		}
		switch s.tail(to).load(first, list) {
		case loadTwice:
			changes.Delete(it.Key())
		case loadTorn:
			setAside(to, "overlaps the one before")
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	if changes.Len() == 0 {
		return nil
	}
	return s.db.Write(&changes, true)
}

// What became of a chunk that was loaded.
const (
	loadTaken = iota
	loadTwice // all of it is in the one before, which it was merged into: a file that was set aside took its delete with it
	loadTorn
)

// load takes in a chunk; chunks come in order.
func (t *tail) load(first uint64, list []link.Spooled) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := describe(first, list)
	switch {
	case c.last < t.mu.next:
		return loadTwice
	case c.first < t.mu.next:
		return loadTorn
	}
	t.mu.chunks = append(t.mu.chunks, c)
	t.mu.count += uint64(c.live)
	t.mu.bytes += c.liveBytes()
	t.mu.next = c.last + 1
	t.tellLocked()
	return loadTaken
}
