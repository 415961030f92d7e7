package sim

import (
	"slices"

	"tombolo/dvv"
)

// truth is the keys of a store that may not be what the oracle makes of its clock:
// all others were, and neither the object, nor what the clock has of the key, nor what
// the oracle knows of it has changed since. Owned by a slot's checks.
type truth struct {
	all  bool     // nothing is known yet
	keys []string // each once; they are few
}

func (t *truth) init() { t.all, t.keys = true, nil }

func (t *truth) mark(key string) {
	if !slices.Contains(t.keys, key) {
		t.keys = append(t.keys, key)
	}
}

// markTruth marks the keys of the dots that a slot's clock gained, and says whether it
// changed; of one that has lost some, as grown says, all keys.
func (w *World) markTruth(s *slot, now, before dvv.Clock, grown bool) (changed bool) {
	t := &s.checks.truth
	if !grown {
		t.all = true
		return true
	}
	w.spans = now.AppendMissing(w.spans[:0], before)
	for _, span := range w.spans {
		for n := span.First; n <= span.Last; n++ {
			if rec := w.oracle.byDot[dvv.Dot{Actor: span.Actor, Counter: n}]; rec != nil {
				t.mark(rec.Key)
			}
		}
	}
	return len(w.spans) > 0
}

// learned marks a key of which the oracle knows more now, on all slots.
func (w *World) learned(key string) {
	for _, s := range w.slots {
		s.checks.truth.mark(key)
	}
}

// checkTruth compares each key that may have changed with what the oracle derives from
// the clock. TestTruthIsWhole holds it to a look at all keys.
func (w *World) checkTruth(s *slot, v *View, t *Trace) {
	known := &s.checks.truth
	if _, tells := s.core.(changer); !tells || known.all {
		w.checkKeys(s, v, t, w.sortedKeys())
	} else if len(known.keys) > 0 {
		slices.Sort(known.keys)
		w.checkKeys(s, v, t, known.keys)
	}
	if w.violation == nil {
		known.all, known.keys = false, known.keys[:0]
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
func (w *World) checkKeys(s *slot, v *View, t *Trace, keys []string) {
	for _, key := range keys {
		want, got := w.oracle.live(key, v.Clock), w.oracle.held(v.Objects[key])
		if slices.Equal(want, got) {
			continue
		}
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
