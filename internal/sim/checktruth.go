package sim

import (
	"maps"
	"slices"

	"tombolo/dvv"
)

// truth is the keys of a store that may not be what the oracle makes of its clock:
// all others were, and neither the object, nor what the clock has of the key, nor what
// the oracle knows of it has changed since. Owned by a slot's checks.
type truth struct {
	all  bool // nothing is known yet
	keys map[string]bool
}

func (t *truth) init() { t.all, t.keys = true, map[string]bool{} }

func (t *truth) mark(key string) { t.keys[key] = true }

// markTruth marks the keys of the dots that a slot's clock gained; of one that lost
// some, all.
func (w *World) markTruth(s *slot, now, before dvv.Clock) {
	t := &s.checks.truth
	if t.all || now.Equal(before) {
		return
	}
	if !now.Descends(before) {
		t.all = true
		return
	}
	for _, span := range now.Missing(before) {
		for n := span.First; n <= span.Last; n++ {
			if rec := w.oracle.byDot[dvv.Dot{Actor: span.Actor, Counter: n}]; rec != nil {
				t.mark(rec.Key)
			}
		}
	}
}

// learned marks a key of which the oracle knows more now, on all slots.
func (w *World) learned(key string) {
	for _, s := range w.slots {
		s.checks.truth.mark(key)
	}
}

// checkTruth compares each key that may have changed with what the oracle derives from
// the clock. TestTruthIsWhole holds it to a look at all keys.
func (w *World) checkTruth(s *slot, v View, t *Trace) {
	known := &s.checks.truth
	if _, tells := s.core.(changer); !tells || known.all {
		w.checkKeys(s, v, t, w.sortedKeys())
	} else if len(known.keys) > 0 {
		w.checkKeys(s, v, t, slices.Sorted(maps.Keys(known.keys)))
	}
	if w.violation == nil {
		known.all = false
		clear(known.keys)
	}
	if w.p.whole && w.violation == nil {
		w.checkKeys(s, v, t, w.sortedKeys())
		if w.violation != nil {
			w.violation.Checker = "TRUTH " + w.violation.Checker
		}
	}
}

// checkKeys compares keys with what the oracle derives from the clock. A store may hold
// less: the effect of a write comes with every later object of the key, before the
// write's own dot, and I15 asks for a put that is in nobody's past. It never holds more:
// what the clock has seen replaced is not live (I14), whatever became of the gaps.
func (w *World) checkKeys(s *slot, v View, t *Trace, keys []string) {
	for _, key := range keys {
		want, got := w.oracle.live(key, v.Clock), liveOps(v.Objects[key])
		want = slices.DeleteFunc(want, func(id uint64) bool {
			return !slices.Contains(got, id) && w.oracle.superseded(key, id)
		})
		if slices.Equal(want, got) {
			continue
		}
		w.fail(w.nameTruth(key, want, got, v.Clock, t), s, "%s holds the values of operations %v; the clock %v makes it %v%s", key, got, v.Clock, want, w.oracle.story(key, got, want))
		return
	}
}
