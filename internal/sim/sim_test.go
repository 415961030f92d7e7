package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo/internal/kv"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "the first seed, with -seeds")
	seedsFlag = flag.Uint64("seeds", 0, "how many seeds instead of the fixed dose")
)

// TestMain lets the heap grow: runs are short and their memory small.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// dose runs the fixed number of seeds of a profile, in parallel pieces, from a first
// one of its own: long runs begin at 0.
func dose(t *testing.T, m Maker, core, profile string, first, seeds uint64) {
	const pieces = 8
	if *seedsFlag > 0 {
		first, seeds = *seedFlag, *seedsFlag
	}
	seeds = max(seeds/doseDivisor, 2)
	i := slices.IndexFunc(Profiles(m), func(p Profile) bool { return p.Name == profile })
	for piece := range uint64(pieces) {
		t.Run(fmt.Sprintf("%s/%d", profile, piece), func(t *testing.T) {
			t.Parallel()
			for seed := first + piece; seed < first+seeds; seed += pieces {
				if r := Run(seed, Profiles(m)[i]); r.Violation != nil {
					t.Fatalf("%v -core %s -profile %s", r, core, profile)
				}
			}
		})
	}
}

// TestReplica is the product's core under the fixed dose, in every profile. Longer
// runs are cmd/simlong's.
func TestReplica(t *testing.T) {
	dose(t, ReplicaMaker(), "replica", "network", 100_000, 960)
	dose(t, ReplicaMaker(), "replica", "crashes", 200_000, 480)
	dose(t, ReplicaMaker(), "replica", "losses", 300_000, 360)
	dose(t, ReplicaMaker(), "replica", "members", 400_000, 480)
	dose(t, ReplicaMaker(), "replica", "everything", 500_000, 420)
}

// TestOnceFailed is the seeds that found a fault in the product's core. They are the
// first to run after a change of the protocol, although a change of its messages makes
// other runs of them.
func TestOnceFailed(t *testing.T) {
	for _, c := range []struct {
		profile string
		seed    uint64
	}{
		{"everything", 40_070}, // a directory that came back twice went on under its actor: the proof of a later one had taken the place of its own (I1)
		{"members", 52_253},    // a late pull of a member that had been removed and taken back was answered a second time (I14)
		{"losses", 62_889},     // who was told of a peer's end of joining by a frame that was lost never asked it for its own join (I16)
		{"members", 110_908},   // in a resumed full join a key that only the later snapshot lacked was taken for gone as of the first one (I14)
		{"losses", 111_967},    // the delete of a copy that was taken out took effect at one store, and nobody else was told (I16)
		{"members", 21_049},    // a resumed full join was adopted before what lay between its snapshots (I14)
	} {
		list := Profiles(ReplicaMaker())
		i := slices.IndexFunc(list, func(p Profile) bool { return p.Name == c.profile })
		if r := Run(c.seed, list[i]); r.Violation != nil {
			t.Errorf("%v -profile %s", r, c.profile)
		}
	}
}

// TestTwin shows that the naive replica without a bug passes where the planted
// bugs are caught.
func TestTwin(t *testing.T) {
	dose(t, TwinMaker(0), "twin", "network", 0, 120)
	dose(t, TwinMaker(0), "twin", "crashes", 0, 120)
}

// TestSameSeedSameRun holds the simulator to its first promise.
func TestSameSeedSameRun(t *testing.T) {
	for core, m := range map[string]Maker{"replica": ReplicaMaker(), "twin": TwinMaker(0)} {
		for seed := range uint64(5) {
			a, b := Run(seed, ProfileOf(seed, m)), Run(seed, ProfileOf(seed, m))
			if a.Events != b.Events || a.Ops != b.Ops || a.Simulated != b.Simulated || fmt.Sprint(a.Trail) != fmt.Sprint(b.Trail) {
				t.Errorf("%s, seed %d: %v, and the second time %v", core, seed, a, b)
			}
		}
	}
}

// TestRunsDoSomething keeps the dose from becoming empty: writes, faults and
// exchanges take place in every profile.
func TestRunsDoSomething(t *testing.T) {
	for seed := range uint64(5) {
		r := Run(seed, ProfileOf(seed, TwinMaker(0)))
		if r.Ops < 80 || r.Events < 500 || len(r.Trail) < 5 || r.Simulated < 60*time.Second {
			t.Errorf("a thin run: %v, %d faults", r, len(r.Trail))
		}
	}
}

func TestAgendaOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var a agenda
	for made := range 500 {
		a.push(event{at: time.Duration(rng.IntN(50)), life: made})
	}
	last := event{at: -1}
	for range 500 {
		var e event
		if ok := a.pop(&e); !ok || e.at < last.at || e.at == last.at && e.life < last.life {
			t.Fatalf("event %d at %v came after %d at %v", e.life, e.at, last.life, last.at)
		}
		last = e
	}
	if a.pop(&last) {
		t.Fatal("more events came out than went in")
	}
}

func TestDiskForgetsWhatWasNotSynced(t *testing.T) {
	d := NewDisk()
	put := func(key string, sync bool) {
		var b kv.Batch
		b.Put([]byte(key), nil)
		if err := d.Write(&b, sync); err != nil {
			t.Fatal(err)
		}
	}
	put("a", true)
	put("b", false)
	d.lose()
	if _, err := d.Get([]byte("b")); err == nil {
		t.Fatal("an unsynced write survived")
	}
	if _, err := d.Get([]byte("a")); err != nil {
		t.Fatalf("a synced write is gone: %v", err)
	}
	for _, after := range []bool{false, true} {
		d.arm(1, after)
		lost := func() (lost bool) {
			defer func() { lost = recover() == any(powerLoss{}) }()
			put("c", true)
			return false
		}()
		d.lose()
		if _, err := d.Get([]byte("c")); !lost || (err == nil) != after {
			t.Fatalf("power lost %v (after the write: %v): %v", lost, after, err)
		}
	}
}

// TestTold: a reader is told the last faults, the oldest first.
func TestTold(t *testing.T) {
	for _, made := range []int{0, 1, trailMax, trailMax + 1, 3*trailMax + 7} {
		w := &World{}
		for n := range made {
			w.note("fault %d", n)
		}
		lines := w.told()
		if len(lines) != min(made, trailMax) {
			t.Fatalf("of %d faults %d are told", made, len(lines))
		}
		for i, line := range lines {
			if want := fmt.Sprintf("fault %d", made-len(lines)+i); !strings.HasSuffix(line, want) {
				t.Errorf("of %d faults, line %d is %q and ought to end with %q", made, i, line, want)
			}
		}
	}
}
