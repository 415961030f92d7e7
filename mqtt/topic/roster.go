package topic

import (
	"math/bits"
	"sync/atomic"
)

// chunkMax is how many values one chunk holds. A write copies one chunk, so
// it is the price of a subscribe on a crowded filter; a word of live bits
// fits it.
const chunkMax = 64

// scanMax is up to how many positions a writer searches one by one before it
// keeps a map beside the chunks.
const scanMax = 16

// keyed is a value that stands under a key of its own.
type keyed[K comparable] interface{ key() K }

// roster is an ordered set of values. Written by the one holding the Index's
// mutex, read by anyone without a lock.
//
// A filter may have a million subscribers, so one slice copied on each write
// is out of the question, and so is moving the last value into a hole: a
// reader that has passed the hole and not yet come to the end would miss a
// value that was there all the time. Here a value keeps its position for
// life; a write replaces the one chunk it touches; a hole is used again by
// the next newcomer; and when three quarters are holes everything moves to a
// new spine at once, while readers of the old one finish undisturbed.
type roster[K comparable, V keyed[K]] struct {
	spine   atomic.Pointer[[]atomic.Pointer[chunk[V]]]
	version atomic.Uint64 // moves after each change

	// What follows belongs to the writer.
	count int         // values
	used  int         // positions given out, holes included
	holes []int32     // positions free to be used again, last one first
	at    map[K]int32 // position by key, once used exceeds scanMax
}

// chunk is up to chunkMax values. Immutable.
type chunk[V any] struct {
	live uint64 // bit i: vals[i] counts
	vals []V
}

// all yields the values in order of position. A value that is neither added
// nor removed meanwhile is yielded exactly once.
func (r *roster[K, V]) all(yield func(V) bool) {
	spine := r.spine.Load()
	if spine == nil {
		return
	}
	for i := range *spine {
		c := (*spine)[i].Load()
		if c == nil {
			return
		}
		for live := c.live; live != 0; live &= live - 1 {
			if !yield(c.vals[bits.TrailingZeros64(live)]) {
				return
			}
		}
	}
}

// get returns the value under k. Writer only.
func (r *roster[K, V]) get(k K) (v V, ok bool) {
	if pos, ok := r.find(k); ok {
		return r.chunkOf(pos).vals[pos%chunkMax], true
	}
	return v, false
}

// put adds v or takes it in the place of the value under its key.
func (r *roster[K, V]) put(v V) {
	pos, found := r.find(v.key())
	switch {
	case found:
	case len(r.holes) > 0:
		pos = int(r.holes[len(r.holes)-1])
		r.holes = r.holes[:len(r.holes)-1]
	default:
		pos = r.used
		r.used++
	}
	if !found {
		r.count++
		r.note(v.key(), pos)
	}
	r.room(pos)
	old := r.chunkOf(pos)
	next := &chunk[V]{live: 1 << (pos % chunkMax)}
	if old != nil {
		next.live |= old.live
		next.vals = make([]V, max(len(old.vals), pos%chunkMax+1))
		copy(next.vals, old.vals)
	} else {
		next.vals = make([]V, pos%chunkMax+1)
	}
	next.vals[pos%chunkMax] = v
	(*r.spine.Load())[pos/chunkMax].Store(next)
	r.version.Add(1)
}

// remove takes the value under k out and reports whether there was one.
func (r *roster[K, V]) remove(k K) bool {
	pos, found := r.find(k)
	if !found {
		return false
	}
	var zero V // a hole holds nothing back from the collector
	old := r.chunkOf(pos)
	next := &chunk[V]{live: old.live &^ (1 << (pos % chunkMax)), vals: make([]V, len(old.vals))}
	copy(next.vals, old.vals)
	next.vals[pos%chunkMax] = zero
	(*r.spine.Load())[pos/chunkMax].Store(next)
	delete(r.at, k)
	r.count--
	r.holes = append(r.holes, int32(pos))
	if r.used > chunkMax && r.count < r.used/4 {
		r.compact()
	}
	r.version.Add(1)
	return true
}

// find returns the position of k.
func (r *roster[K, V]) find(k K) (pos int, ok bool) {
	if r.at != nil {
		p, ok := r.at[k]
		return int(p), ok
	}
	if r.used == 0 {
		return 0, false
	}
	c := r.chunkOf(0) // without a map everything is in the first chunk
	for live := c.live; live != 0; live &= live - 1 {
		if i := bits.TrailingZeros64(live); c.vals[i].key() == k {
			return i, true
		}
	}
	return 0, false
}

// note keeps the map from keys to positions, from the size on where it pays.
func (r *roster[K, V]) note(k K, pos int) {
	if r.at == nil {
		if r.used <= scanMax {
			return
		}
		r.at = make(map[K]int32, 2*scanMax)
		i := int32(0)
		c := r.chunkOf(0)
		for live := c.live; live != 0; live &= live - 1 {
			i = int32(bits.TrailingZeros64(live))
			r.at[c.vals[i].key()] = i
		}
	}
	r.at[k] = int32(pos)
}

// chunkOf returns the chunk that holds pos, nil if there is none yet.
func (r *roster[K, V]) chunkOf(pos int) *chunk[V] {
	spine := r.spine.Load()
	if spine == nil || pos/chunkMax >= len(*spine) {
		return nil
	}
	return (*spine)[pos/chunkMax].Load()
}

// room makes the spine long enough for pos. Readers of a shorter one go on
// with what it showed when they began.
func (r *roster[K, V]) room(pos int) {
	old := r.spine.Load()
	need := pos/chunkMax + 1
	if old != nil && len(*old) >= need {
		return
	}
	size := 1
	for size < need {
		size *= 2
	}
	next := make([]atomic.Pointer[chunk[V]], size)
	if old != nil {
		for i := range *old {
			next[i].Store((*old)[i].Load())
		}
	}
	r.spine.Store(&next)
}

// compact moves all values together on a new spine, in order.
func (r *roster[K, V]) compact() {
	size := (r.count + chunkMax - 1) / chunkMax
	next := make([]atomic.Pointer[chunk[V]], max(size, 1))
	vals := make([]V, 0, min(r.count, chunkMax))
	at := make(map[K]int32, r.count)
	pos := 0
	for v := range r.all {
		at[v.key()] = int32(pos)
		pos++
		vals = append(vals, v)
		if len(vals) == chunkMax || pos == r.count {
			next[(pos-1)/chunkMax].Store(&chunk[V]{live: ^uint64(0) >> (chunkMax - len(vals)), vals: vals})
			vals = make([]V, 0, min(r.count-pos, chunkMax))
		}
	}
	if pos == 0 {
		next[0].Store(&chunk[V]{})
	}
	r.used, r.holes, r.at = r.count, nil, at
	r.spine.Store(&next)
}
