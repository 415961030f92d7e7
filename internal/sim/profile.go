package sim

import (
	"fmt"
	"time"

	"tombolo/dvv"
)

// Fault is one way in which chaos acts.
type Fault uint8

// The faults.
const (
	FaultCut     Fault = iota // one direction between two nodes
	FaultIsolate              // one node from all others
	FaultHeal                 // a few links stand again
	FaultKill                 // a process dies between steps
	FaultCommit               // the power goes before or after the nth commit from now
	FaultReboot               // an orderly stop and start
	FaultJump                 // a wall clock jumps
	FaultFull                 // a disk takes no more writes for a while
	FaultBackup               // an image of a disk is taken
	FaultRestore              // a disk is replaced by an older image
	FaultWipe                 // a disk is lost
	FaultClone                // a copy of a running node is started
	FaultJoin                 // an empty node joins
	FaultRemove               // an operator removes a node, which goes on by itself
	FaultReturn               // a removed node is taken in again
	faultEnd
)

// Algebra is the operations of package dvv that the checkers hold to their
// laws; a test puts a wrong one in.
type Algebra struct {
	Sync  func(a, b dvv.Object) dvv.Object
	Fill  func(o dvv.Object, bases dvv.VV) dvv.Object
	Strip func(o dvv.Object, bases dvv.VV) dvv.Object
	// Encode is the bytes of a clock, which decoding must give back.
	Encode func(c dvv.Clock) []byte
}

// Sound is the algebra as it is.
func Sound() Algebra {
	return Algebra{Sync: dvv.Sync, Fill: dvv.Object.Fill, Strip: dvv.Object.Strip,
		Encode: func(c dvv.Clock) []byte { return c.Append(nil) }}
}

// Profile is everything about a run but its seed.
type Profile struct {
	Name                          string
	Make                          Maker
	Algebra                       Algebra
	NodesMin, NodesMax            int
	Keys                          int
	Chaos                         time.Duration
	HealMax                       time.Duration // convergence is demanded within
	OpEvery, FaultEvery, TickEach time.Duration
	LossPerMille, AgainPerMille   int
	DelayMax                      time.Duration
	Weights                       [faultEnd]int
	LyingDisks                    bool   // a planted bug: sync does not sync
	SplitDisks                    bool   // a planted bug: a crash leaves half a batch
	Late                          bool   // a planted bug: somebody writes after the heal
	Rot                           uint64 // at the end of each so manieth seed a disk changes a value; 0: never

	whole bool // a test's wish: what is checked by parts is checked as a whole besides
}

// weights of the profiles: what they do to a cluster, and how often.
var (
	networkOnly = [faultEnd]int{FaultCut: 6, FaultIsolate: 3, FaultHeal: 5, FaultJump: 1}
	crashes     = [faultEnd]int{FaultCut: 4, FaultIsolate: 2, FaultHeal: 5, FaultKill: 3, FaultCommit: 5, FaultReboot: 3, FaultJump: 1, FaultFull: 1}
	losses      = [faultEnd]int{FaultCut: 3, FaultIsolate: 2, FaultHeal: 5, FaultKill: 2, FaultCommit: 3, FaultReboot: 3, FaultBackup: 3, FaultRestore: 3, FaultWipe: 1, FaultClone: 1}
	members     = [faultEnd]int{FaultCut: 3, FaultIsolate: 2, FaultHeal: 5, FaultKill: 1, FaultCommit: 2, FaultReboot: 2, FaultJoin: 3, FaultRemove: 3, FaultReturn: 3}
	everything  = [faultEnd]int{FaultCut: 4, FaultIsolate: 2, FaultHeal: 6, FaultKill: 2, FaultCommit: 4, FaultReboot: 2, FaultJump: 1, FaultFull: 1, FaultBackup: 2, FaultRestore: 2, FaultWipe: 1, FaultClone: 1, FaultJoin: 1, FaultRemove: 1, FaultReturn: 2}
)

// Profiles is the standard set for cores made by m.
func Profiles(m Maker) []Profile {
	base := Profile{
		Make: m, Algebra: Sound(), NodesMin: 2, NodesMax: 5, Keys: 6,
		Chaos: 60 * time.Second, HealMax: 120 * time.Second,
		OpEvery: 400 * time.Millisecond, FaultEvery: 1500 * time.Millisecond, TickEach: 500 * time.Millisecond,
		LossPerMille: 100, AgainPerMille: 50, DelayMax: 300 * time.Millisecond, Rot: 4,
	}
	var list []Profile
	for _, v := range []struct {
		name    string
		weights [faultEnd]int
	}{
		{"network", networkOnly}, {"crashes", crashes}, {"losses", losses}, {"members", members}, {"everything", everything},
	} {
		p := base
		p.Name, p.Weights = v.name, v.weights
		list = append(list, p)
	}
	return list
}

// ProfileOf picks the profile of a seed: seeds go through all of them in turn.
func ProfileOf(seed uint64, m Maker) Profile {
	list := Profiles(m)
	return list[seed%uint64(len(list))]
}

// Violation is a broken invariant. Immutable.
type Violation struct {
	Checker string // I1 … I35, R18, R30, R32, or PANIC
	At      time.Duration
	Slot    int
	Text    string
}

// Result is how a run ended. Immutable.
type Result struct {
	Seed      uint64
	Profile   string
	Violation *Violation // nil: none
	Events    int
	Ops       int
	Simulated time.Duration
	Trail     []string // the last faults, for a reader
}

// String is the report of a failure, with the command that runs it again.
func (r Result) String() string {
	if r.Violation == nil {
		return fmt.Sprintf("seed %d (%s): %d events, %d operations, %v simulated, no violation", r.Seed, r.Profile, r.Events, r.Ops, r.Simulated)
	}
	return fmt.Sprintf("seed %d (%s): %s broken at %v on slot %d: %s\nrun again: go run ./internal/sim/cmd/simlong -seeds 1 -from %d -v",
		r.Seed, r.Profile, r.Violation.Checker, r.Violation.At, r.Violation.Slot, r.Violation.Text, r.Seed)
}
