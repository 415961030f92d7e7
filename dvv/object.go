package dvv

import (
	"bytes"
	"slices"
	"strings"
)

// Sibling is one live value of a key with the dot of the write that made it.
type Sibling struct {
	Dot   Dot
	Value []byte // opaque; never changed once it stands in an Object
}

// Object is what a replica knows of one key: the live values, and a context
// that says for which dots that is the whole truth. A dot that the context
// covers and that is not among the siblings was overwritten or deleted.
// Immutable; the zero value is a key that was never written.
type Object struct {
	siblings []Sibling // ascending dots
	context  VV
}

// NewObject is the object of these siblings and this context. Of two siblings
// with one dot the greater value is kept. The slice is the object's from now on.
func NewObject(context VV, siblings ...Sibling) Object {
	ascend := func(i int) bool { return siblings[i-1].Dot.Compare(siblings[i].Dot) < 0 }
	for i := 1; ; i++ {
		if i >= len(siblings) {
			return Object{siblings: siblings, context: context}
		}
		if !ascend(i) {
			break
		}
	}
	sorted := slices.Clone(siblings)
	slices.SortFunc(sorted, func(a, b Sibling) int {
		if c := a.Dot.Compare(b.Dot); c != 0 {
			return c
		}
		return bytes.Compare(b.Value, a.Value)
	})
	sorted = slices.CompactFunc(sorted, func(a, b Sibling) bool { return a.Dot == b.Dot })
	return Object{siblings: sorted, context: context}
}

// Siblings is the live values in order of their dots. Do not change it.
func (o Object) Siblings() []Sibling { return o.siblings }

// Context is the vector of dots that o accounts for.
func (o Object) Context() VV { return o.context }

// IsEmpty says whether o is worth no storage: no value, no context.
func (o Object) IsEmpty() bool { return len(o.siblings) == 0 && o.context.Len() == 0 }

// Live says whether d is the dot of a sibling.
func (o Object) Live(d Dot) bool {
	for i := range o.siblings { // they are few
		if o.siblings[i].Dot == d {
			return true
		}
	}
	return false
}

// Fill gives o the context that stripping took: everything of every actor up to
// the bases of the clock of the store that o lies in.
func (o Object) Fill(bases VV) Object {
	return Object{siblings: o.siblings, context: o.context.Join(bases)}
}

// Strip drops what the bases of the store's clock say already. In a store whose
// clock has no gaps the whole context goes, and a deleted key leaves nothing.
func (o Object) Strip(bases VV) Object {
	if bases.Descends(o.context) { // as mostly
		return Object{siblings: o.siblings}
	}
	kept := 0
	for i := range o.context.entries {
		if !bases.Covers(o.context.entries[i]) {
			kept++
		}
	}
	if kept == len(o.context.entries) {
		return o
	}
	context := make([]Dot, 0, kept)
	for _, d := range o.context.entries {
		if !bases.Covers(d) {
			context = append(context, d)
		}
	}
	return Object{siblings: o.siblings, context: VV{context}}
}

// Put is o after the write d of value by a writer that had read seen: what it
// had read is overwritten, what it had not seen stays beside the new value.
func (o Object) Put(seen VV, d Dot, value []byte) Object {
	n := o.Delete(seen, d)
	return NewObject(n.context, append(slices.Clone(n.siblings), Sibling{d, value})...)
}

// Delete is o after the delete d by a writer that had read seen.
func (o Object) Delete(seen VV, d Dot) Object {
	kept := make([]Sibling, 0, len(o.siblings)+1)
	for _, s := range o.siblings {
		if !seen.Covers(s.Dot) {
			kept = append(kept, s)
		}
	}
	return Object{siblings: kept, context: o.context.Join(seen).With(d)}
}

// Drop is o without the siblings that gone tells; the context stays, so that
// they are known to be gone. For values that a replica may forget because all
// of them agree.
func (o Object) Drop(gone func(Sibling) bool) Object {
	kept := slices.DeleteFunc(slices.Clone(o.siblings), gone)
	return Object{siblings: kept, context: o.context}
}

// Sync merges what two replicas know of one key. Both must be filled: a context
// that was stripped does not say what was deleted. A value survives if both
// have it, or if one has it and the other has not heard of it. Commutative,
// associative and idempotent.
//
// Two values under one dot are somebody's mistake (see Conflicts). All replicas
// then choose the greater, so that they agree.
func Sync(a, b Object) Object {
	context := a.context.Join(b.context)
	ofA, ofB := survive(a.siblings, b), survive(b.siblings, a)
	switch { // mostly one of the two takes the other's place
	case ofA == len(a.siblings) && ofB == 0:
		return Object{siblings: a.siblings, context: context}
	case ofA == 0 && ofB == len(b.siblings):
		return Object{siblings: b.siblings, context: context}
	}
	out := make([]Sibling, 0, len(a.siblings)+len(b.siblings))
	x, y := a.siblings, b.siblings
	for len(x) > 0 || len(y) > 0 {
		switch {
		case len(y) == 0 || len(x) > 0 && x[0].Dot.Compare(y[0].Dot) < 0:
			if !b.context.Covers(x[0].Dot) {
				out = append(out, x[0])
			}
			x = x[1:]
		case len(x) == 0 || y[0].Dot.Compare(x[0].Dot) < 0:
			if !a.context.Covers(y[0].Dot) {
				out = append(out, y[0])
			}
			y = y[1:]
		default:
			s := x[0]
			if bytes.Compare(s.Value, y[0].Value) < 0 {
				s = y[0]
			}
			out = append(out, s)
			x, y = x[1:], y[1:]
		}
	}
	return Object{siblings: out, context: context}
}

// survive is how many of list, which no sibling of o shares a dot with, o has not heard
// of; -1 if one does.
func survive(list []Sibling, o Object) (n int) {
	for i := range list {
		if o.Live(list[i].Dot) {
			return -1
		}
		if !o.context.Covers(list[i].Dot) {
			n++
		}
	}
	return n
}

// Conflicts is the dots under which a and b hold different values: never, unless
// a dot was issued twice.
func Conflicts(a, b Object) []Dot {
	var dots []Dot
	for _, s := range a.siblings {
		i, ok := slices.BinarySearchFunc(b.siblings, s.Dot, func(t Sibling, d Dot) int { return t.Dot.Compare(d) })
		if ok && !bytes.Equal(s.Value, b.siblings[i].Value) {
			dots = append(dots, s.Dot)
		}
	}
	return dots
}

// Equal says whether both hold the same values and contexts.
func (o Object) Equal(p Object) bool {
	if len(o.siblings) != len(p.siblings) || !o.context.Equal(p.context) {
		return false
	}
	for i := range o.siblings { // by hand: a closure costs more than most comparisons
		if a, b := &o.siblings[i], &p.siblings[i]; a.Dot != b.Dot || !bytes.Equal(a.Value, b.Value) {
			return false
		}
	}
	return true
}

// String lists dots and context: "(3f01:7 | [a200:2])".
func (o Object) String() string {
	var b strings.Builder
	b.WriteString("(")
	for _, s := range o.siblings {
		b.WriteString(s.Dot.String() + " ")
	}
	return b.String() + "| " + o.context.String() + ")"
}
