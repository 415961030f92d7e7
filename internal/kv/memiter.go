package kv

import (
	"bytes"

	"github.com/google/btree"
)

// The tree has no cursor, only walks with a callback. So the iterator fetches
// a run of keys at a time: a short one first, since most cursors take few
// steps, then longer ones.
const (
	runFirst = 4
	runMax   = 64
)

// place says where a cursor stands relative to its keys.
type place uint8

const (
	placeFresh  place = iota // before the first move
	placeOn                  // on run[at]
	placeBefore              // moved before the first key
	placeAfter               // moved past the last key
)

// memoryIterator is owned by the goroutine that made it. The tree is shared
// and never written.
type memoryIterator struct {
	tree    *btree.BTreeG[item]
	r       Range
	run     []item // consecutive keys, ascending
	at      int
	length  int // of the next run
	place   place
	closed  bool
	failure error
}

func (i *memoryIterator) First() bool {
	if i.dead() {
		return false
	}
	i.length = runFirst
	return i.ascend(i.r.Start, false)
}

func (i *memoryIterator) Last() bool {
	if i.dead() {
		return false
	}
	i.length = runFirst
	return i.descend(i.r.Limit, i.r.Limit == nil)
}

func (i *memoryIterator) Seek(key []byte) bool {
	if i.dead() {
		return false
	}
	i.length = runFirst
	if bytes.Compare(key, i.r.Start) < 0 {
		key = i.r.Start
	}
	return i.ascend(key, false)
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
	if i.at+1 < len(i.run) {
		i.at++
		return true
	}
	return i.ascend(i.run[i.at].key, true)
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
	if i.at > 0 {
		i.at--
		return true
	}
	return i.descend(i.run[0].key, false)
}

// ascend fetches the run that begins at from, or behind it.
func (i *memoryIterator) ascend(from []byte, behind bool) bool {
	var next []item
	i.tree.AscendGreaterOrEqual(item{key: from}, func(it item) bool {
		if i.r.Limit != nil && bytes.Compare(it.key, i.r.Limit) >= 0 {
			return false
		}
		if !behind || !bytes.Equal(it.key, from) {
			if next == nil {
				next = make([]item, 0, i.length)
			}
			next = append(next, it)
		}
		return len(next) < i.length
	})
	return i.landed(next, 0, placeAfter)
}

// descend fetches the run that ends before limit, or at the very last key.
func (i *memoryIterator) descend(limit []byte, last bool) bool {
	var back []item
	visit := func(it item) bool {
		if bytes.Compare(it.key, i.r.Start) < 0 {
			return false
		}
		if last || bytes.Compare(it.key, limit) < 0 {
			back = append(back, it)
		}
		return len(back) < i.length
	}
	if last {
		i.tree.Descend(visit)
	} else {
		i.tree.DescendLessOrEqual(item{key: limit}, visit)
	}
	for a, b := 0, len(back)-1; a < b; a, b = a+1, b-1 {
		back[a], back[b] = back[b], back[a]
	}
	return i.landed(back, len(back)-1, placeBefore)
}

func (i *memoryIterator) landed(run []item, at int, end place) bool {
	i.length = min(2*i.length, runMax)
	if len(run) == 0 {
		i.run, i.place = nil, end
		return false
	}
	i.run, i.at, i.place = run, at, placeOn
	return true
}

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
	return i.run[i.at].key
}

func (i *memoryIterator) Value() []byte {
	if i.place != placeOn {
		return nil
	}
	return i.run[i.at].value
}

func (i *memoryIterator) Err() error { return i.failure }

func (i *memoryIterator) Close() {
	i.closed = true
	i.run, i.tree, i.place = nil, nil, placeAfter
}
