package kv

import "bytes"

// place says where a cursor stands relative to its keys.
type place uint8

const (
	placeFresh  place = iota // before the first move
	placeOn                  // on a key
	placeBefore              // moved before the first key
	placeAfter               // moved past the last key
)

// memoryIterator is owned by the goroutine that made it. The leaves are shared
// and not written until it is closed.
type memoryIterator struct {
	l        *leaves
	r        Range
	upTo     uint64 // the head of the range's limit
	leaf, at int    // while placeOn
	place    place
	closed   bool
	failure  error
}

// newMemoryIterator walks r in l, which its owner leaves alone from now on.
func newMemoryIterator(l *leaves, r Range) *memoryIterator {
	l.readers.Add(1)
	return &memoryIterator{l: l, r: r, upTo: headOf(r.Limit)}
}

func (i *memoryIterator) First() bool {
	if i.dead() {
		return false
	}
	return i.ascend(i.r.Start)
}

func (i *memoryIterator) Last() bool {
	if i.dead() {
		return false
	}
	if i.r.Limit != nil {
		i.leaf, i.at, _ = i.l.find(i.r.Limit)
	} else {
		i.leaf, i.at = len(i.l.list), 0
	}
	return i.back()
}

func (i *memoryIterator) Seek(key []byte) bool {
	if i.dead() {
		return false
	}
	if bytes.Compare(key, i.r.Start) < 0 {
		key = i.r.Start
	}
	return i.ascend(key)
}

func (i *memoryIterator) Next() bool {
	if i.dead() {
		return false
	}
	switch i.place {
	case placeAfter:
		return false
	case placeFresh, placeBefore:
		return i.First()
	}
	i.at++
	return i.forth()
}

func (i *memoryIterator) Prev() bool {
	if i.dead() {
		return false
	}
	switch i.place {
	case placeBefore:
		return false
	case placeFresh, placeAfter:
		return i.Last()
	}
	return i.back()
}

// ascend goes to from, or to the first key behind it.
func (i *memoryIterator) ascend(from []byte) bool {
	i.leaf, i.at, _ = i.l.find(from)
	return i.forth()
}

// forth lands on the key at leaf and at, which may lie past the end of its leaf.
func (i *memoryIterator) forth() bool {
	if i.leaf < len(i.l.list) && i.at == len(i.l.list[i.leaf].items) {
		i.leaf, i.at = i.leaf+1, 0
	}
	i.place = placeAfter
	if i.leaf == len(i.l.list) || i.r.Limit != nil && i.item().compare(i.upTo, i.r.Limit) >= 0 {
		return false
	}
	i.place = placeOn
	return true
}

// back lands on the key before leaf and at.
func (i *memoryIterator) back() bool {
	i.place = placeBefore
	if i.at == 0 {
		if i.leaf == 0 {
			return false
		}
		i.leaf--
		i.at = len(i.l.list[i.leaf].items)
	}
	i.at--
	if bytes.Compare(i.item().key(), i.r.Start) < 0 {
		return false
	}
	i.place = placeOn
	return true
}

func (i *memoryIterator) item() *item { return &i.l.list[i.leaf].items[i.at] }

func (i *memoryIterator) dead() bool {
	if i.closed {
		i.failure = ErrClosed
	}
	return i.closed
}

func (i *memoryIterator) Key() []byte {
	if i.place != placeOn {
		return nil
	}
	return i.item().key()
}

func (i *memoryIterator) Value() []byte {
	if i.place != placeOn {
		return nil
	}
	return i.item().value()
}

func (i *memoryIterator) Err() error { return i.failure }

func (i *memoryIterator) Close() {
	if !i.closed {
		i.l.readers.Add(-1)
	}
	i.closed, i.l, i.place = true, nil, placeAfter
}
