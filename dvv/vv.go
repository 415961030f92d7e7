package dvv

import (
	"slices"
	"strings"
)

// VV is a version vector: for every actor a number n, "everything of this actor
// up to n is accounted for". Actors at zero are left out. Immutable; the zero
// value is the empty vector.
type VV struct {
	entries []Dot // ascending actors, counters above zero
}

// NewVV is the smallest vector that covers every one of dots.
func NewVV(dots ...Dot) VV {
	sorted := slices.Clone(dots)
	slices.SortFunc(sorted, Dot.Compare)
	var v VV
	for _, d := range sorted {
		n := len(v.entries)
		switch {
		case d.Counter == 0:
		case n > 0 && v.entries[n-1].Actor == d.Actor:
			v.entries[n-1] = d
		default:
			v.entries = append(v.entries, d)
		}
	}
	return v
}

func (v VV) find(a Actor) (int, bool) {
	low, high := 0, len(v.entries) // by hand, as Clock.find
	for low < high {
		if mid := int(uint(low+high) >> 1); v.entries[mid].Actor < a {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(v.entries) && v.entries[low].Actor == a
}

// Get is the number of a, zero if a is unknown.
func (v VV) Get(a Actor) uint64 {
	if i, ok := v.find(a); ok {
		return v.entries[i].Counter
	}
	return 0
}

// Covers says whether d is accounted for.
func (v VV) Covers(d Dot) bool { return d.Counter <= v.Get(d.Actor) }

// Len is the number of actors.
func (v VV) Len() int { return len(v.entries) }

// At is the ith actor in ascending order, with its number.
func (v VV) At(i int) Dot { return v.entries[i] }

// Entries is the actors with their numbers, ascending; it is the caller's.
func (v VV) Entries() []Dot { return slices.Clone(v.entries) }

// With is v raised to cover d.
func (v VV) With(d Dot) VV {
	i, ok := v.find(d.Actor)
	switch {
	case d.Counter == 0 || ok && v.entries[i].Counter >= d.Counter:
		return v
	case ok:
		w := VV{slices.Clone(v.entries)}
		w.entries[i].Counter = d.Counter
		return w
	}
	w := make([]Dot, 0, len(v.entries)+1)
	w = append(append(append(w, v.entries[:i]...), d), v.entries[i:]...)
	return VV{w}
}

// Join is the pointwise maximum.
func (v VV) Join(o VV) VV {
	if v.Descends(o) {
		return v
	}
	if o.Descends(v) {
		return o
	}
	out := make([]Dot, 0, max(len(v.entries), len(o.entries))+1) // most actors are in both
	a, b := v.entries, o.entries
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].Actor < b[0].Actor:
			out, a = append(out, a[0]), a[1:]
		case b[0].Actor < a[0].Actor:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, Dot{a[0].Actor, max(a[0].Counter, b[0].Counter)})
			a, b = a[1:], b[1:]
		}
	}
	return VV{append(append(out, a...), b...)}
}

// Meet is the pointwise minimum.
func (v VV) Meet(o VV) VV {
	var out []Dot
	a, b := v.entries, o.entries
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].Actor < b[0].Actor:
			a = a[1:]
		case b[0].Actor < a[0].Actor:
			b = b[1:]
		default:
			out = append(out, Dot{a[0].Actor, min(a[0].Counter, b[0].Counter)})
			a, b = a[1:], b[1:]
		}
	}
	return VV{out}
}

// Clock is the clock that has seen exactly what v covers.
func (v VV) Clock() Clock {
	c := Clock{entries: make([]entry, 0, len(v.entries))}
	for _, d := range v.entries {
		c.entries = append(c.entries, entry{actor: d.Actor, base: d.Counter})
	}
	return c
}

// Descends says whether v covers all that o covers.
func (v VV) Descends(o VV) bool {
	i := 0
	for _, d := range o.entries {
		for i < len(v.entries) && v.entries[i].Actor < d.Actor {
			i++
		}
		if i == len(v.entries) || v.entries[i].Actor != d.Actor || v.entries[i].Counter < d.Counter {
			return false
		}
	}
	return true
}

// Equal says whether both cover the same dots.
func (v VV) Equal(o VV) bool { return slices.Equal(v.entries, o.entries) }

// Stable is what every one of rows covers: with one row for each replica, the
// events that all of them are known to have seen. No rows, nothing is stable.
func Stable(rows ...VV) VV {
	if len(rows) == 0 {
		return VV{}
	}
	v := rows[0]
	for _, r := range rows[1:] {
		v = v.Meet(r)
	}
	return v
}

// String lists the entries: "[3f01:7 a200:2]".
func (v VV) String() string {
	parts := make([]string, len(v.entries))
	for i, d := range v.entries {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, " ") + "]"
}
