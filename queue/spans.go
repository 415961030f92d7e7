package queue

import (
	"slices"
	"sort"
)

// span is the numbers lo ≤ n < hi.
type span struct{ lo, hi uint64 }

// spans is a set of numbers as spans: ascending, none empty, none touching the
// next. Owned by its lane.
type spans []span

// from returns the place of the first span that ends after n.
func (s spans) from(n uint64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].hi > n })
}

func (s spans) has(n uint64) bool {
	i := s.from(n)
	return i < len(s) && s[i].lo <= n
}

// add puts in [lo, hi), none of which is in the set.
func (s *spans) add(lo, hi uint64) {
	all := *s
	i := all.from(lo)
	before := i > 0 && all[i-1].hi == lo
	after := i < len(all) && all[i].lo == hi
	switch {
	case before && after:
		all[i-1].hi = all[i].hi
		*s = append(all[:i], all[i+1:]...)
	case before:
		all[i-1].hi = hi
	case after:
		all[i].lo = lo
	default:
		all = append(all, span{})
		copy(all[i+1:], all[i:])
		all[i] = span{lo, hi}
		*s = all
	}
}

// put puts in [lo, hi), parts of which may be in the set.
func (s *spans) put(lo, hi uint64) {
	var parts [4]span
	found := parts[:0]
	s.missing(lo, hi, func(lo, hi uint64) { found = append(found, span{lo, hi}) })
	for _, m := range found {
		s.add(m.lo, m.hi)
	}
}

// cut takes out what of [lo, hi) is in the set.
func (s *spans) cut(lo, hi uint64) {
	all := *s
	i := all.from(lo)
	if lo >= hi || i == len(all) || all[i].lo >= hi {
		return
	}
	j := i
	for j < len(all) && all[j].lo < hi {
		j++
	}
	var kept [2]span
	rest := kept[:0]
	if first := all[i]; first.lo < lo {
		rest = append(rest, span{first.lo, lo})
	}
	if last := all[j-1]; last.hi > hi {
		rest = append(rest, span{hi, last.hi})
	}
	*s = slices.Replace(all, i, j, rest...)
	if len(*s) == 0 {
		*s = nil
	}
}

// missing calls fn for each part of [lo, hi) that is not in the set. fn may not
// change the set.
func (s spans) missing(lo, hi uint64, fn func(lo, hi uint64)) {
	for i := s.from(lo); i < len(s) && s[i].lo < hi; i++ {
		if s[i].lo > lo {
			fn(lo, s[i].lo)
		}
		lo = s[i].hi
	}
	if lo < hi {
		fn(lo, hi)
	}
}

// size is how many numbers of [lo, hi) are in the set.
func (s spans) size(lo, hi uint64) uint64 {
	var n uint64
	for i := s.from(lo); i < len(s) && s[i].lo < hi; i++ {
		n += min(s[i].hi, hi) - max(s[i].lo, lo)
	}
	return n
}
