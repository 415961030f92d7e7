package metadata

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// watchKeysMax bounds what a watch remembers between two calls of Take.
const watchKeysMax = 4096

// Event is one changed key with the value that a reader sees now: several
// changes between two calls of Take are one event. Immutable.
type Event struct {
	Key     []byte
	Value   []byte
	Deleted bool
}

// Watch tells which keys of a table changed, by whichever node, once the change
// is durable here. It is bounded: when more than 4096 keys wait to be taken it
// forgets them and says so, and its reader ranges over the table again. Safe
// for use from any goroutine; Take is meant for one.
type Watch struct {
	store  *Store
	table  Table
	prefix []byte // with area and table
	code   int    // length of area and table
	ready  chan struct{}
	mu     struct {
		sync.Mutex
		keys   map[string]struct{} // with area and table
		resync bool
		closed bool
	}
}

// Watch begins to remember changes of the keys of t that begin with prefix. To
// miss nothing: make the watch, then Range, then Take again and again.
func (s *Store) Watch(t Table, prefix []byte) *Watch {
	code := appendTable([]byte{areaObject}, t)
	w := &Watch{store: s, table: t, code: len(code), prefix: append(slices.Clone(code), prefix...), ready: make(chan struct{}, 1)}
	w.mu.keys = map[string]struct{}{}
	s.watches.add(w)
	return w
}

// Ready receives a value when there may be something to take.
func (w *Watch) Ready() <-chan struct{} { return w.ready }

// Take returns what changed since the last call, sorted by key. resync says
// that changes were forgotten: the events are void and the reader ranges again.
func (w *Watch) Take() (events []Event, resync bool, err error) {
	w.mu.Lock()
	var keys map[string]struct{}
	resync = w.mu.resync
	if len(w.mu.keys) > 0 {
		keys, w.mu.keys = w.mu.keys, map[string]struct{}{}
	}
	w.mu.resync = false
	w.mu.Unlock()
	if resync {
		return nil, true, nil
	}
	sorted := make([]string, 0, len(keys))
	for k := range keys {
		sorted = append(sorted, k)
	}
	slices.SortFunc(sorted, strings.Compare)
	for _, k := range sorted {
		key := []byte(k[w.code:])
		value, ok, err := w.store.Get(w.table, key)
		if err != nil {
			return nil, true, err
		}
		events = append(events, Event{Key: key, Value: value, Deleted: !ok})
	}
	return events, false, nil
}

// Close ends the watch; Take returns nothing more.
func (w *Watch) Close() {
	w.store.watches.remove(w)
	w.mu.Lock()
	w.mu.closed = true
	w.mu.keys, w.mu.resync = nil, false
	w.mu.Unlock()
}

func (w *Watch) note(key []byte) {
	if !bytes.HasPrefix(key, w.prefix) {
		return
	}
	w.mu.Lock()
	switch {
	case w.mu.closed || w.mu.resync:
	case len(w.mu.keys) >= watchKeysMax:
		w.mu.keys, w.mu.resync = map[string]struct{}{}, true
		w.store.counters.watchResyncs.Inc()
	default:
		w.mu.keys[string(key)] = struct{}{}
	}
	closed := w.mu.closed
	w.mu.Unlock()
	if closed {
		return
	}
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// watches is the list of all of them. Guarded by mu; the list is replaced,
// never changed in place.
type watches struct {
	mu struct {
		sync.Mutex
		list []*Watch
	}
}

func (l *watches) add(w *Watch) {
	l.mu.Lock()
	l.mu.list = append(slices.Clone(l.mu.list), w)
	l.mu.Unlock()
}

func (l *watches) remove(w *Watch) {
	l.mu.Lock()
	l.mu.list = slices.DeleteFunc(slices.Clone(l.mu.list), func(o *Watch) bool { return o == w })
	l.mu.Unlock()
}

// note tells every watch of the keys that changed.
func (l *watches) note(keys [][]byte) {
	l.mu.Lock()
	list := l.mu.list
	l.mu.Unlock()
	for _, w := range list {
		for _, k := range keys {
			w.note(k)
		}
	}
}
