package kv

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync/atomic"
)

// leafMax bounds the items of a leaf: few enough that to copy one costs little.
const leafMax = 32

// item is a key and its value, one behind the other. What it holds is changed in place
// only while it is mine: put into this leaf since the leaf was copied last, so that
// nobody else has seen it who still may look.
type item struct {
	head uint64 // of the key: most comparisons end here
	data []byte
	keys int32 // bytes of the key
	mine bool
}

// headOf is the first eight bytes of key as a number, zeros behind a shorter one: of two
// keys whose heads differ the one with the smaller head comes first.
func headOf(key []byte) (h uint64) {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	for i, b := range key {
		h |= uint64(b) << (56 - 8*i)
	}
	return h
}

// compare is bytes.Compare of the item's key and key, whose head is head. Apart from
// the rare part it is small enough to stand where it is called.
func (i *item) compare(head uint64, key []byte) int {
	if i.head == head {
		return i.compareKey(key)
	}
	if i.head < head {
		return -1
	}
	return 1
}

//go:noinline
func (i *item) compareKey(key []byte) int { return bytes.Compare(i.data[:i.keys], key) }

// newItem copies key and value, with what an allocation of that size leaves over as room.
func newItem(key, value []byte) item {
	data := append(slices.Grow([]byte(nil), len(key)+len(value)), key...)
	return item{headOf(key), append(data, value...), int32(len(key)), true}
}

func (i *item) key() []byte   { return i.data[:i.keys:i.keys] }
func (i *item) value() []byte { return i.data[i.keys:] }

// leaf is a run of items. Owned by whoever holds the stamp that it bears; shared,
// and never changed again, by all others.
type leaf struct {
	by    *stamp
	items []item // ascending, never empty once it stands in leaves
}

// stamp says who may change a leaf. It is told apart by its address.
type stamp struct{ _ byte }

// leaves is a sorted map in runs: a small one is little more than a slice, and in one of
// a million keys the list of runs is a slice of thirty thousand pointers. Owned by a
// Memory as long as nobody reads it and it is not shared; never changed from then on:
// the Memory goes on with a copy of the list, and of each leaf that it changes.
type leaves struct {
	list    []*leaf
	by      *stamp
	count   int
	shared  bool         // two Memories begin with it
	readers atomic.Int32 // snapshots and iterators that are not done
}

func newLeaves() *leaves { return &leaves{by: &stamp{}} }

// writable is l, or a copy if somebody else may look at l.
func (l *leaves) writable() *leaves {
	if !l.shared && l.readers.Load() == 0 {
		return l
	}
	return &leaves{list: slices.Clone(l.list), by: &stamp{}, count: l.count}
}

// find is the place of key, or the one at which it would stand: the leaf may be one
// past the last, and the place in it past its end.
func (l *leaves) find(key []byte) (leaf, at int, ok bool) {
	head := headOf(key)
	low, high := 0, len(l.list) // by hand: it is in every path, and a closure costs half of it
	for low < high {
		if mid := int(uint(low+high) >> 1); l.list[mid].items[0].compare(head, key) <= 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == 0 {
		return 0, 0, false
	}
	leaf = low - 1
	items := l.list[leaf].items
	low, high = 0, len(items)
	for low < high {
		mid := int(uint(low+high) >> 1)
		switch c := items[mid].compare(head, key); {
		case c == 0:
			return leaf, mid, true
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return leaf, low, false
}

// get is the value of key; it is a part of l.
func (l *leaves) get(key []byte) (value []byte, ok bool) {
	leaf, at, ok := l.find(key)
	if !ok {
		return nil, false
	}
	return l.list[leaf].items[at].value(), true
}

// own is the leaf at i, to be changed.
func (l *leaves) own(i int) *leaf {
	f := l.list[i]
	if f.by != l.by {
		f = &leaf{by: l.by, items: append(make([]item, 0, len(f.items)+4), f.items...)}
		for k := range f.items {
			f.items[k].mine = false
		}
		l.list[i] = f
	}
	return f
}

// put sets key to value, copies of both, and returns by how many bytes l has grown.
func (l *leaves) put(key, value []byte) (grown int) {
	if len(l.list) == 0 {
		l.list, l.count = append(l.list, &leaf{by: l.by, items: []item{newItem(key, value)}}), 1
		return len(key) + len(value)
	}
	i, at, had := l.find(key)
	f := l.own(i)
	if had {
		it := &f.items[at]
		grown = len(key) + len(value) - len(it.data)
		if it.mine && len(key)+len(value) <= cap(it.data) {
			it.data = append(it.data[:it.keys], value...)
		} else {
			*it = newItem(key, value)
		}
		return grown
	}
	f.items = slices.Insert(f.items, at, newItem(key, value))
	l.count++
	if n := len(f.items); n > leafMax {
		half := n / 2
		if i == len(l.list)-1 && at == n-1 {
			half = n - 1 // keys that ascend fill their leaves
		}
		behind := &leaf{by: l.by, items: slices.Clone(f.items[half:])}
		clear(f.items[half:])
		f.items = f.items[:half]
		l.list = slices.Insert(l.list, i+1, behind)
	}
	return len(key) + len(value)
}

// remove takes key away and returns its item, if there is one.
func (l *leaves) remove(key []byte) (old item, had bool) {
	i, at, had := l.find(key)
	if !had {
		return item{}, false
	}
	f := l.own(i)
	old = f.items[at]
	f.items = slices.Delete(f.items, at, at+1)
	if l.count--; len(f.items) == 0 {
		l.list = slices.Delete(l.list, i, i+1)
	}
	return old, true
}
