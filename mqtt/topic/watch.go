package topic

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"
)

// prefixMax is how many leading levels of a topic are watched one by one.
const prefixMax = 6

// watchMax is how many counters one topic depends on: the empty prefix,
// prefixMax prefixes, and the whole topic.
const watchMax = prefixMax + 2

// watch tells cached results when they are over. Safe for concurrent use;
// each counter only ever grows.
//
// One generation for the whole table would be simpler, but then a storm of
// subscribes makes every match a slow one. So there are many counters, chosen
// by hash. A filter moves one of them: the one of its literal levels before
// the first wildcard (at most prefixMax), or of all of it if it has no
// wildcard. Every topic that the filter matches begins with those levels, so
// a result that depends on the counters of all leading parts of its topic
// cannot miss a change; and a change elsewhere passes it by, unless the
// hashes meet. With a subscribe to a filter of its own between any two matches of
// 1,000 topics, 10 % of the matches have to search instead of all of them
// (BenchmarkStorm, 65,536 counters).
type watch struct {
	seed  maphash.Seed
	moves []atomic.Uint64
}

// stamp is the counters a result depends on and their sum when it was made.
// Since counters only grow, an equal sum means equal counters. Immutable.
type stamp struct {
	sum  uint64
	on   [watchMax]uint32
	used uint8
}

func newWatch(seed maphash.Seed, counters int) watch {
	return watch{seed: seed, moves: make([]atomic.Uint64, counters)}
}

func (w *watch) slot(hash uint64) uint32 { return uint32(hash & uint64(len(w.moves)-1)) }

// stampOf notes what the topic depends on, as of now; whole is its hash.
func (w *watch) stampOf(name []byte, whole uint64) stamp {
	s := stamp{used: 2}
	s.on[0] = 0 // the empty prefix: filters that begin with a wildcard
	s.on[1] = w.slot(whole)
	end := 0
	for range prefixMax {
		i := bytes.IndexByte(name[end:], '/')
		if i < 0 {
			break // the whole topic is watched already
		}
		end += i
		s.on[s.used] = w.slot(maphash.Bytes(w.seed, name[:end]))
		s.used++
		end++
	}
	s.sum = w.sum(&s)
	return s
}

func (w *watch) sum(s *stamp) uint64 {
	sum := uint64(0)
	for _, i := range s.on[:s.used] {
		sum += w.moves[i].Load()
	}
	return sum
}

// current reports whether nothing that s depends on has moved.
func (w *watch) current(s *stamp) bool { return w.sum(s) == s.sum }

// moved is called after each change to a filter, before the writer returns.
func (w *watch) moved(f []byte, wild bool) {
	if !wild {
		w.moves[w.slot(maphash.Bytes(w.seed, f))].Add(1)
		return
	}
	end, levels := 0, 0
	for rest := f; levels < prefixMax; levels++ {
		level, after, _ := cutLevel(rest)
		if string(level) == "+" || string(level) == "#" {
			break
		}
		end += len(level) + 1
		rest = after
	}
	if levels == 0 {
		w.moves[0].Add(1)
		return
	}
	w.moves[w.slot(maphash.Bytes(w.seed, f[:end-1]))].Add(1)
}
