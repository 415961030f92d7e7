package sim

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// both verifies a store in two ways after each step, and counts how often they said
// what.
type both struct {
	*replicaCore
	t     *testing.T
	tally *[2]int
}

func (b both) Verify(bool) string {
	fast, full := b.mirror.verify(b.r.Clock()), b.verifyAll()
	if (fast == "") != (full == "") {
		b.t.Errorf("batch by batch: %q; all of it: %q", fast, full)
	}
	if full == "" {
		b.tally[0]++
	} else {
		b.tally[1]++
	}
	return full
}

// spoil leaves out one change of the nth batch, of one of the areas.
func spoil(rng *rand.Rand, n int, areas string) func(b *kv.Batch) *kv.Batch {
	area := areas[rng.IntN(len(areas))]
	return func(b *kv.Batch) *kv.Batch {
		var kept kv.Batch
		n--
		b.Each(func(key, value []byte, deleted bool) {
			switch {
			case n <= 0 && key[0] == area && !(area == 'm' && key[1] != 's'):
				n = 1 << 30
			case deleted:
				kept.Delete(key)
			default:
				kept.Put(key, value)
			}
		})
		return &kept
	}
}

// quiet is a store that does not verify itself.
type quiet struct{ *replicaCore }

func (quiet) Verify(bool) string { return "" }

// TestTruthIsWhole: to compare the keys that may have changed finds what comparing all
// of them finds, at the same step, in sound stores and in such as lack an object.
func TestTruthIsWhole(t *testing.T) {
	found := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		p := ProfileOf(seed, func(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error) {
			core, err := openReplica(db, c, now, out)
			if err == nil && seed%2 > 0 {
				r := core.(*replicaCore)
				r.tamper = spoil(rng, 1+rng.IntN(40), "o")
				core = quiet{r}
			}
			return core, err
		})
		p.whole = true
		r := Run(seed, p)
		if r.Violation != nil && (seed%2 == 0 || strings.HasPrefix(r.Violation.Checker, "TRUTH")) {
			t.Fatal(r)
		}
		if r.Violation != nil {
			found++
		}
	}
	if found < 10 {
		t.Errorf("%d of 30 stores that lack an object were found", found)
	}
}

// TestLedgerAgrees: what is verified batch by batch is verified as if the whole store
// had been read, in all profiles, of sound stores and of such as lack a record.
func TestLedgerAgrees(t *testing.T) {
	var tally [2]int
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := func(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error) {
			core, err := openReplica(db, c, now, out)
			if err != nil {
				return nil, err
			}
			r := core.(*replicaCore)
			if seed%3 > 0 {
				r.tamper = spoil(rng, 1+rng.IntN(60), "oigrlm")
			}
			return both{r, t, &tally}, nil
		}
		p := ProfileOf(seed, m)
		if r := Run(seed, p); t.Failed() {
			t.Fatal(r)
		}
	}
	if tally[0] < 5_000 || tally[1] < 10 {
		t.Errorf("%d sound stores and %d others were looked at", tally[0], tally[1])
	}
	t.Logf("%d sound, %d not", tally[0], tally[1])
}
