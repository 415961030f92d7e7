package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"tombolo/dvv"
)

// TestLive: what the oracle finds from the last operation back is what its definition
// says: the known puts that are in the past of no known operation; and an operation's
// past is the values that were read and all known deletes, each with its own past.
func TestLive(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		o := newOracle()
		clocks, counters := make([]dvv.Clock, 3), [3]uint64{}
		for range 60 {
			at := rng.IntN(3)
			if rng.IntN(3) == 0 { // a writer learns of some dots of another, with gaps
				for _, rec := range o.ops[1:] {
					if rng.IntN(3) == 0 {
						clocks[at] = clocks[at].Add(rec.dot)
					}
				}
			}
			var held []dvv.Sibling
			for _, id := range o.live("k", clocks[at]) {
				held = append(held, dvv.Sibling{Dot: o.ops[id].dot, Value: Value{Op: id}.Encode()})
			}
			rec := o.begin(at, Op{Key: "k", Delete: rng.IntN(4) == 0}, dvv.NewObject(dvv.VV{}, held...), clocks[at])
			if want := pastByDefinition(o, held, clocks[at]); !sameOps(rec.past, want) {
				t.Fatalf("seed %d: operation %d has %b in its past, and ought to have %b", seed, rec.ID, rec.past, want)
			}
			counters[at]++
			o.named(rec, dvv.Dot{Actor: dvv.Actor(1 + at), Counter: counters[at]})
			clocks[at] = clocks[at].Add(rec.dot)
			for _, c := range clocks {
				if got, want := o.live("k", c), liveByDefinition(o, c); !slices.Equal(got, want) {
					t.Fatalf("seed %d, clock %v: %v are live, and ought to be %v", seed, c, got, want)
				}
			}
		}
	}
}

func pastByDefinition(o *oracle, held []dvv.Sibling, c dvv.Clock) (past opSet) {
	for _, rec := range o.byKey["k"] {
		read := slices.ContainsFunc(held, func(s dvv.Sibling) bool { return s.Dot == rec.dot })
		if rec.there && (read || rec.Delete && rec.knownTo(c)) { // the one that begins is not there yet
			past.add(rec.ID)
			past.join(rec.past)
		}
	}
	return past
}

func sameOps(a, b opSet) bool {
	for id := range uint64(64 * max(len(a), len(b))) {
		if a.has(id) != b.has(id) {
			return false
		}
	}
	return true
}

func liveByDefinition(o *oracle, c dvv.Clock) (live []uint64) {
	for _, rec := range o.byKey["k"] {
		superseded := slices.ContainsFunc(o.byKey["k"], func(q *opRecord) bool { return q.knownTo(c) && q.past.has(rec.ID) })
		if rec.knownTo(c) && !rec.Delete && !superseded {
			live = append(live, rec.ID)
		}
	}
	return live
}
