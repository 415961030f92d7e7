package replica

import (
	"fmt"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// stage is how far a donor has come in a full join.
type stage uint8

// The stages, in their order.
const (
	stageObjects stage = iota // all keys that have an object
	stageLasting              // contexts that name lost dots, of keys that have none
	stageDeletes              // deletes that are not yet stable
)

// hasLasting says whether there are lasting contexts in a snapshot.
func hasLasting(at kv.Snapshot) bool {
	it := at.Iterator(kv.PrefixRange([]byte{areaLasting}))
	defer it.Close()
	return it.First()
}

// fillFull fills c with the next keys in order, then with the lasting contexts of
// keys that are not there, then with the unstable deletes.
func (r *Replica) fillFull(o *outgoing, c *chunk) error {
	for size := 0; size < r.config.ChunkBytes && len(c.list) < chunkKeysMax; {
		if !o.it.Next() {
			if err := o.it.Err(); err != nil || o.stage == stageDeletes {
				c.last = true
				return err
			}
			if o.nextStage() == stageLasting {
				c.upTo = nil // this chunk speaks to the end of all keys
				return nil
			}
			continue
		}
		w, ok, err := o.joinRecord()
		if err != nil {
			return err
		}
		if ok {
			c.list, size = append(c.list, w), size+w.size()
		}
		if o.stage == stageObjects {
			c.upTo = w.key
		}
	}
	return nil
}

func (o *outgoing) nextStage() stage {
	o.it.Close()
	o.stage++
	area := areaLasting
	if o.stage == stageDeletes {
		area = areaGarbage
	}
	o.it = o.snapshot.Iterator(kv.PrefixRange([]byte{area}))
	return o.stage
}

// joinRecord is the record behind the entry in hand; ok is false if there is
// nothing to tell.
func (o *outgoing) joinRecord() (w wireRecord, ok bool, err error) {
	switch o.stage {
	case stageObjects:
		w.key, w.raw = append([]byte{}, o.it.Key()[1:]...), append([]byte{}, o.it.Value()...)
		if o.lasting {
			w.raw, err = wholeIn(o.snapshot, w.key, w.raw)
		}
		return w, true, err
	case stageLasting:
		w.key = append([]byte{}, o.it.Key()[1:]...)
		if _, err := o.snapshot.Get(objectKey(w.key)); !isNotFound(err) {
			return w, false, err // it went with its object
		}
		w.raw, err = wholeIn(o.snapshot, w.key, nil)
		return w, true, err
	}
	d, good := parseDotKey(o.it.Key())
	kind, err := o.snapshot.Get(appendDotKey(nil, areaIndex, d))
	if err != nil || !good || len(kind) == 0 {
		return w, false, fmt.Errorf("garbage entry %x: %w", o.it.Key(), err)
	}
	w = wireRecord{key: append([]byte{}, o.it.Value()...), deletes: []dvv.Dot{d}, only: true}
	return w, kind[0] == indexDelete, nil
}
