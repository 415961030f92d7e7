package sim

import (
	"fmt"
	"testing"

	"tombolo/dvv"
	"tombolo/internal/sim/twin"
)

// planted is a mistake and the checker that must catch it. The seed is the
// first at which it does; after a change of the simulator it may be a later one.
type planted struct {
	name    string
	bug     twin.Bug
	change  func(p *Profile) // of the algebra, the disks or the run
	checker string
	seed    uint64
}

func withAlgebra(f func(a *Algebra)) func(p *Profile) { return func(p *Profile) { f(&p.Algebra) } }

// half is a clock that lost a part of what it had seen.
func half(c dvv.Clock) dvv.Clock {
	var limit []dvv.Dot
	for _, d := range c.Tops().Entries() {
		limit = append(limit, dvv.Dot{Actor: d.Actor, Counter: d.Counter / 2})
	}
	return c.Clip(dvv.NewVV(limit...))
}

var plantedBugs = []planted{
	// The wrong variants of reference §1.7.
	{"adopt only the responder's entry", twin.BugAdoptOwnEntryOnly, nil, "I16", 1},
	{"clock captured before the objects", twin.BugClockBeforeObjects, nil, "I19", 0},
	{"collection ignores who cannot be reached", twin.BugCollectEarly, nil, "I22", 0},
	{"actor and counter reused after a rollback", twin.BugReuseActor, nil, "I1", 7},
	{"one shared context instead of residual ones", twin.BugSharedContext, nil, "I15", 0},
	// The bugs of §1.4 and slips against single invariants.
	{"whole clock adopted early", twin.BugAdoptEarly, nil, "I20", 0},
	{"acknowledged before the commit", twin.BugAckBeforeCommit, nil, "I31", 4},
	{"sent before the commit", twin.BugSendBeforeCommit, nil, "I24", 7},
	{"objects and clock in two batches", twin.BugSplitBatch, nil, "I30", 6},
	{"live dots not in the index", twin.BugIndexLosesLive, nil, "I7", 0},
	{"overwritten dots in the index", twin.BugIndexKeepsDead, nil, "I6", 0},
	{"digest drifts", twin.BugDigestDrifts, nil, "I32", 0},
	{"counter jumps ahead", twin.BugJumpCounter, nil, "I2", 1},
	{"retired actor forgotten", twin.BugForgetRetired, nil, "I27", 1},
	{"actor minted twice", twin.BugMintTwice, nil, "I25", 1},
	{"no new actor after a rollback", twin.BugReuseActor, nil, "I26", 2},
	{"serves before it has joined", twin.BugReadyEarly, nil, "I29", 3},
	{"contexts never stripped", twin.BugNoStrip, nil, "I24", 0},
	{"wall clock decides", twin.BugWallClockWins, nil, "I15", 1},
	{"a delete without context", twin.BugDeleteForgets, nil, "I14", 0},
	{"a delete wins over what it had not seen", twin.BugDeleteWins, nil, "I13", 0},
	{"full join revives", twin.BugFullJoinRevives, nil, "I21", 8},
	{"full join drops what is new", twin.BugFullJoinDrops, nil, "I21", 1},
	{"hybrid clock not kept", twin.BugForgetHLC, nil, "I33", 1},
	{"everything in every exchange", twin.BugSendEverything, nil, "I34", 0},
	{"a dead peer blocks", twin.BugOneExchange, nil, "I35", 0},
	{"floor from the winner", twin.BugFloorFromWinner, nil, "R18", 1},
	{"a copy is served", twin.BugAcceptClone, nil, "R30", 19},
	{"an older clock after a restart", twin.BugClockForgets, nil, "I3", 1},
	{"a doubled message counts twice", twin.BugReceiveTwice, nil, "I12", 6},
	{"siblings not in the clock", twin.BugClockLosesSibling, nil, "I5", 0},
	{"plain exchange after a return", twin.BugReturnAsBefore, nil, "R32", 3},
	{"a chunk claims what was asked for", twin.BugClaimSpans, nil, "I18", 1},
	{"deletes not in the index", twin.BugNoDeleteDots, nil, "I14", 0},
	{"the cap without a full join", twin.BugCapWithoutJoin, nil, "R32", 3},
	{"deletes never collected", twin.BugNeverCollect, nil, "I23", 0},
	{"a returning node forgets", twin.BugReturnForgets, nil, "I28", 3},
	// Wrappers around the algebra, the disks and the run.
	{"a clock's bytes lose a part", 0, withAlgebra(func(a *Algebra) { a.Encode = func(c dvv.Clock) []byte { return half(c).Append(nil) } }), "I4", 0},
	{"strip takes too much", 0, withAlgebra(func(a *Algebra) {
		a.Strip = func(o dvv.Object, _ dvv.VV) dvv.Object { return dvv.NewObject(dvv.VV{}, o.Siblings()...) }
	}), "I8", 0},
	{"fill does nothing", 0, withAlgebra(func(a *Algebra) { a.Fill = func(o dvv.Object, _ dvv.VV) dvv.Object { return o } }), "I9", 0},
	{"sync keeps one side's context", 0, withAlgebra(func(a *Algebra) {
		a.Sync = func(x, y dvv.Object) dvv.Object { return dvv.NewObject(x.Context(), dvv.Sync(x, y).Siblings()...) }
	}), "I10", 0},
	{"sync drops what both hold", 0, withAlgebra(func(a *Algebra) {
		a.Sync = func(x, y dvv.Object) dvv.Object { return dvv.NewObject(dvv.Sync(x, y).Context()) }
	}), "I11", 0},
	{"disks lie about a sync", 0, func(p *Profile) { p.LyingDisks = true }, "I3", 1},
	{"a write that no heal explains", 0, func(p *Profile) { p.Late = true }, "I17", 0},
}

// plantedWindow is how many seeds a bug may take to be caught.
const plantedWindow = 60

func TestEveryPlantedBugIsCaughtByItsChecker(t *testing.T) {
	for _, b := range plantedBugs {
		t.Run(b.checker+" "+b.name, func(t *testing.T) {
			t.Parallel()
			others := ""
			for seed := b.seed; seed < b.seed+plantedWindow; seed++ {
				p := ProfileOf(seed, TwinMaker(b.bug))
				if b.change != nil {
					b.change(&p)
				}
				r := Run(seed, p)
				if r.Violation == nil {
					continue
				}
				if r.Violation.Checker != b.checker {
					others += fmt.Sprintf(" %s@%d", r.Violation.Checker, seed)
					continue
				}
				if clean := Run(seed, ProfileOf(seed, TwinMaker(0))); clean.Violation != nil {
					others += fmt.Sprintf(" noise@%d", seed)
					continue // the naive twin fails here without a bug
				}
				if seed != b.seed {
					t.Logf("caught at seed %d; others before:%s", seed, others)
				}
				return
			}
			t.Fatalf("not caught by %s in seeds %d to %d; others:%s", b.checker, b.seed, b.seed+plantedWindow-1, others)
		})
	}
}

// TestEveryCheckerIsShownToWork holds the list above to be complete.
func TestEveryCheckerIsShownToWork(t *testing.T) {
	caught := map[string]bool{}
	for _, b := range plantedBugs {
		caught[b.checker] = true
	}
	want := []string{"R18", "R30", "R32"}
	for i := 1; i <= 35; i++ {
		want = append(want, fmt.Sprintf("I%d", i))
	}
	for _, c := range want {
		if !caught[c] {
			t.Errorf("no planted bug for %s", c)
		}
	}
}
