package metadata

import (
	"bytes"
	"slices"
	"sync"

	"tombolo/internal/kv"
)

// overlay holds the writes that are not durable yet, so that a writer reads its
// own. Guarded by mu. Its size is bounded by that of the write queue and of the
// batches on their way to disk.
type overlay struct {
	mu struct {
		sync.RWMutex
		entries map[string]overlayEntry
	}
}

type overlayEntry struct {
	value   []byte
	deleted bool
	ticket  uint64 // the write it belongs to; a later write of the key has a higher one
}

func newOverlay() *overlay {
	o := &overlay{}
	o.mu.entries = map[string]overlayEntry{}
	return o
}

func (o *overlay) get(key []byte) (value []byte, deleted, found bool) {
	o.mu.RLock()
	e, found := o.mu.entries[string(key)]
	o.mu.RUnlock()
	return e.value, e.deleted, found
}

// put shows ws under ticket.
func (o *overlay) put(ws []op, ticket uint64) {
	o.mu.Lock()
	for i := range ws {
		o.mu.entries[string(ws[i].Key)] = overlayEntry{value: ws[i].Value, deleted: ws[i].Delete, ticket: ticket}
	}
	o.mu.Unlock()
}

// settle drops what the writes showed, except where a later write showed
// something else since.
func (o *overlay) settle(writes []write) {
	o.mu.Lock()
	for _, w := range writes {
		for i := range w.ops {
			if e, ok := o.mu.entries[string(w.ops[i].Key)]; ok && e.ticket == w.ticket {
				delete(o.mu.entries, string(w.ops[i].Key))
			}
		}
	}
	o.mu.Unlock()
}

// within is the entries in r, sorted.
func (o *overlay) within(r kv.Range) []pendingEntry {
	var list []pendingEntry
	o.mu.RLock()
	for k, e := range o.mu.entries {
		if k >= string(r.Start) && (r.Limit == nil || k < string(r.Limit)) {
			list = append(list, pendingEntry{key: []byte(k), value: e.value, deleted: e.deleted})
		}
	}
	o.mu.RUnlock()
	slices.SortFunc(list, func(a, b pendingEntry) int { return bytes.Compare(a.key, b.key) })
	return list
}
