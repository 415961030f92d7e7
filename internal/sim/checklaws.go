package sim

import (
	"bytes"
	"maps"
	"slices"

	"tombolo/dvv"
)

// sortedKeys is all keys that were written, in order.
func (w *World) sortedKeys() []string {
	if len(w.keys) != len(w.oracle.byKey) { // none ever goes
		w.keys = slices.Sorted(maps.Keys(w.oracle.byKey))
	}
	return w.keys
}

// sample is the slower look: the laws of the algebra on the objects and clocks
// that the run made.
func (w *World) sample() {
	s := w.pick(isUp)
	if s == nil {
		return
	}
	v := s.core.View()
	w.checkClockForm(s, v)
	w.checkObjects(s, v)
	other := w.pick(isUp)
	third := w.pick(isUp)
	if key := w.sortedKeys(); len(key) > 0 {
		w.checkSync(s, key[w.rng.IntN(len(key))], v, other.core.View(), third.core.View())
	}
}

// checkClockForm is I4: the form of a clock is normal, and its bytes say the
// same.
func (w *World) checkClockForm(s *slot, v View) {
	raw := w.p.Algebra.Encode(v.Clock)
	c, rest, err := dvv.DecodeClock(raw)
	if err != nil || len(rest) > 0 || !c.Equal(v.Clock) || !bytes.Equal(raw, v.Clock.Append(nil)) {
		w.fail("I4", s, "clock %v comes back from its bytes as %v, %v", v.Clock, c, err)
		return
	}
	for _, a := range v.Clock.Actors() {
		base := v.Clock.Base(a)
		if v.Clock.Has(dvv.Dot{Actor: a, Counter: base + 1}) {
			w.fail("I4", s, "base %d of %v could be higher in %v", base, a, v.Clock)
		}
		for n := uint64(1); n <= base; n++ {
			if !v.Clock.Has(dvv.Dot{Actor: a, Counter: n}) {
				w.fail("I4", s, "%v is below its base and not seen in %v", dvv.Dot{Actor: a, Counter: n}, v.Clock)
			}
		}
	}
}

// checkObjects is I8 and I9 on every object of a store.
func (w *World) checkObjects(s *slot, v View) {
	alg, bases := w.p.Algebra, v.Clock.Bases()
	w.room = slices.AppendSeq(w.room[:0], maps.Keys(v.Objects))
	slices.Sort(w.room)
	for _, key := range w.room {
		o := v.whole(key)
		filled, stripped := alg.Fill(o, bases), alg.Strip(o, bases)
		again := alg.Fill(alg.Strip(filled, bases), bases)
		if !again.Context().Descends(filled.Context()) || !again.Equal(filled) || !alg.Strip(stripped, bases).Equal(stripped) {
			w.fail("I8", s, "%s: %v filled is %v, and after stripping %v", key, o, filled, again)
		}
		for _, sib := range o.Siblings() {
			if !filled.Context().Covers(sib.Dot) && v.Clock.Base(sib.Dot.Actor) >= sib.Dot.Counter {
				w.fail("I9", s, "%s: %v is not covered by %v", key, sib.Dot, filled.Context())
			}
		}
	}
}

// checkSync is I10 and I11 on three stores' objects of a key, and I12 on the
// writes that were pushed last, in two orders and with doubles.
func (w *World) checkSync(s *slot, key string, x, y, z View) {
	alg := w.p.Algebra
	a, b, c := alg.Fill(x.whole(key), x.Clock.Bases()), alg.Fill(y.whole(key), y.Clock.Bases()), alg.Fill(z.whole(key), z.Clock.Bases())
	ab := alg.Sync(a, b)
	for _, sib := range ab.Siblings() {
		if !a.Live(sib.Dot) && !b.Live(sib.Dot) {
			w.fail("I11", s, "%s: sync invented %v", key, sib.Dot)
		}
	}
	for _, sib := range a.Siblings() {
		if b.Live(sib.Dot) && !ab.Live(sib.Dot) {
			w.fail("I11", s, "%s: sync dropped %v, which both hold", key, sib.Dot)
		}
	}
	switch {
	case !ab.Equal(alg.Sync(b, a)):
		w.fail("I10", s, "%s: sync of %v and %v depends on their order", key, a, b)
	case !alg.Sync(ab, c).Equal(alg.Sync(a, alg.Sync(b, c))):
		w.fail("I10", s, "%s: sync of %v, %v and %v depends on the brackets", key, a, b, c)
	case !alg.Sync(a, a).Equal(a):
		w.fail("I10", s, "%s: sync of %v with itself is %v", key, a, alg.Sync(a, a))
	}
	forth, back := a, a
	var items []TraceItem
	for _, it := range w.checks.recent {
		if it.Key == key {
			items = append(items, it)
		}
	}
	for i, it := range items {
		forth = alg.Sync(alg.Sync(forth, it.Object), items[i/2].Object)
		back = alg.Sync(back, items[len(items)-1-i].Object)
	}
	if !forth.Equal(back) {
		w.fail("I12", s, "%s: the pushed writes leave %v in one order and %v in another", key, forth, back)
	}
}
