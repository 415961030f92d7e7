package replica

import (
	"bytes"
	"errors"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// hasLasting says whether there are lasting contexts in a snapshot.
func hasLasting(at kv.Snapshot) bool {
	it := at.Iterator(inArea(areaLasting))
	defer it.Close()
	return it.First()
}

// walk goes through all keys of a snapshot that have an object or a lasting
// context, in order. Both have to come with their key: a join that is resumed goes
// on behind the last one in another snapshot, where a context may be gone. Owned by
// an outgoing transfer.
type walk struct {
	objects, contexts       kv.Iterator
	hasObject, hasContext   bool // the iterator stands on an entry
	takeObject, takeContext bool // it stands on the key in hand
}

// newWalk begins behind cursor.
func newWalk(at kv.Snapshot, cursor []byte) *walk {
	from := func(area byte) kv.Iterator {
		keys := allOf(area)
		if len(cursor) > 0 {
			keys.Start = append(withArea(area, cursor), 0)
		}
		return at.Iterator(keys)
	}
	return &walk{objects: from(AreaObject), contexts: from(areaLasting), takeObject: true, takeContext: true}
}

func (w *walk) close() {
	w.objects.Close()
	w.contexts.Close()
}

// next goes to the next key; false at the end.
func (w *walk) next() (bool, error) {
	if w.takeObject {
		w.hasObject = w.objects.Next()
	}
	if w.takeContext {
		w.hasContext = w.contexts.Next()
	}
	order := 0
	switch {
	case w.hasObject && w.hasContext:
		order = bytes.Compare(w.objects.Key()[1:], w.contexts.Key()[1:])
	case w.hasObject:
		order = -1
	case w.hasContext:
		order = 1
	default:
		return false, errors.Join(w.objects.Err(), w.contexts.Err())
	}
	w.takeObject, w.takeContext = order <= 0, order >= 0
	return true, nil
}

// record is the key in hand.
func (w *walk) record() (r wireRecord, err error) {
	if !w.takeContext {
		key, value := w.objects.Key()[1:], w.objects.Value()
		both := append(append(make([]byte, 0, len(key)+len(value)), key...), value...) // as they leave together
		r.key, r.raw = both[:len(key):len(key)], both[len(key):]
		return r, nil
	}
	r.key = append([]byte{}, w.contexts.Key()[1:]...)
	var raw []byte
	if w.takeObject {
		raw = append(raw, w.objects.Value()...)
	}
	r.raw, err = wholeOf(raw, w.contexts.Value())
	return r, err
}

// fillFull fills c with the next keys in order, then with the unstable deletes.
func (r *Replica) fillFull(o *outgoing, c *chunk) error {
	size := 0
	for ; o.keys != nil && size < r.config.ChunkBytes && len(c.list) < chunkKeysMax; size += c.list[len(c.list)-1].size() {
		more, err := o.keys.next()
		if err != nil {
			return err
		}
		if !more {
			o.keys.close()
			o.keys = nil
			o.it = o.snapshot.Iterator(inArea(areaGarbage))
			c.upTo = nil // this chunk speaks to the end of all keys
			return nil
		}
		w, err := o.keys.record()
		if err != nil {
			return err
		}
		c.list, c.upTo = append(c.list, w), w.key
	}
	for o.keys == nil && size < r.config.ChunkBytes && len(c.list) < chunkKeysMax {
		if !o.it.Next() {
			c.last = true
			return o.it.Err()
		}
		d, kind, name, err := parseGarbage(o.it.Key(), o.it.Value())
		if err != nil {
			return err
		}
		if kind == garbageDelete {
			w := wireRecord{key: append([]byte{}, name...), deletes: []dvv.Dot{d}, only: true}
			c.list, size = append(c.list, w), size+w.size()
		}
	}
	return nil
}
