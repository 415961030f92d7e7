package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// slotsMax bounds the processes of a run: members, joiners, copies.
const slotsMax = 7

// eventsMax is many times what a run needs: above it messages beget messages.
const eventsMax = 100_000

// epoch is where the clocks of all nodes begin, so that a jump back does not
// pass zero.
const epoch = time.Hour

// slot is one machine: a disk, and the process on it. Owned by the World.
type slot struct {
	index  int
	id     NodeID
	disk   *Disk
	core   Core
	up     bool
	life   int           // processes started so far
	offset time.Duration // of its wall clock
	images []image

	member   bool   // an operator wants it in the cluster
	removed  bool   // was removed and not taken in again
	copied   bool   // a clone: it must never serve beside its original
	origin   writer // of a clone of a clean stop: the process that had ended
	retired  bool   // never starts again
	checks   slotChecks
	restartQ bool // a restart is on the agenda
	rotten   bool // its disk holds a value that was never written, and it cannot know yet
}

// image is a backup of a disk.
type image struct {
	content *kv.Memory
	actor   dvv.Actor
	top     uint64
	clock   dvv.Clock
}

// World is one run. It belongs to one goroutine.
type World struct {
	p      Profile
	seed   uint64
	rng    *rand.Rand
	now    time.Duration
	agenda agenda
	slots  []*slot
	cut    [slotsMax][slotsMax]bool
	routes [slotsMax][slotsMax + 1]int // by slot and node id: 1 + the slot it was heard from; 0: never
	oracle *oracle
	checks worldChecks
	calm   bool // chaos is over
	out    Output

	violation *Violation
	events    int
	trail     []note // the last trailMax, in turn, of
	noted     int
	members   Members // what operators decided last
	victim    NodeID  // whose stores may forget; 0: not chosen yet
	room      []string
	spans     []dvv.Span
	keys      []string // for sortedKeys
	records   *records // what stores have read of them
}

// Run runs one seed.
func Run(seed uint64, p Profile) Result {
	w := &World{p: p, seed: seed, rng: rand.New(rand.NewPCG(seed, 0x73696d)), oracle: newOracle(), records: newRecords()}
	w.checks.init()
	n := p.NodesMin + w.rng.IntN(p.NodesMax-p.NodesMin+1)
	for i := range n {
		w.members.IDs = append(w.members.IDs, NodeID(i+1))
	}
	w.members.Version = 1
	for i := range n {
		s := w.addSlot(NodeID(i + 1))
		s.member = true
		w.start(s, w.members)
	}
	w.chaos()
	if w.violation == nil {
		w.heal()
		w.rot()
	}
	return Result{Seed: seed, Profile: p.Name, Violation: w.violation, Events: w.events, Ops: len(w.oracle.ops) - 1,
		Simulated: w.now, Trail: w.told()}
}

func (w *World) addSlot(id NodeID) *slot {
	s := &slot{index: len(w.slots), id: id, disk: NewDisk()}
	s.disk.liar, s.disk.splits = w.p.LyingDisks, w.p.SplitDisks
	s.checks.init()
	w.slots = append(w.slots, s)
	return s
}

// chaos runs until its time is over.
func (w *World) chaos() {
	w.agenda.push(event{at: w.p.OpEvery, kind: eventOp})
	w.agenda.push(event{at: w.p.FaultEvery, kind: eventFault})
	w.agenda.push(event{at: time.Second, kind: eventSample})
	w.loop(w.p.Chaos)
}

// loop handles events up to a moment.
func (w *World) loop(until time.Duration) {
	var e event
	for w.violation == nil {
		if at, ok := w.agenda.next(); !ok || at > until {
			break
		}
		w.agenda.pop(&e)
		w.now = e.at
		if w.events++; w.events > eventsMax {
			w.fail("I34", w.slots[e.slot], "a storm: %d events", w.events)
		}
		w.handle(&e)
	}
	w.now = max(w.now, until)
}

func (w *World) handle(e *event) {
	switch e.kind {
	case eventTick:
		if s := w.slots[e.slot]; s.up && s.life == e.life {
			w.agenda.push(event{at: w.now + w.p.TickEach, kind: eventTick, slot: e.slot, life: e.life})
			w.step(s, nil, func(out *Output) error { return s.core.Tick(w.clock(s), out) })
		}
	case eventDeliver:
		w.deliver(e)
	case eventOp:
		if !w.calm {
			w.agenda.push(event{at: w.now + w.around(w.p.OpEvery), kind: eventOp})
			w.operate()
		}
	case eventFault:
		if !w.calm {
			w.agenda.push(event{at: w.now + w.around(w.p.FaultEvery), kind: eventFault})
			w.fault()
		}
	case eventRestart:
		if s := w.slots[e.slot]; !s.up && !s.retired {
			w.start(s, Members{})
		}
	case eventLink:
		w.link(e)
	case eventSample:
		w.agenda.push(event{at: w.now + 2*time.Second, kind: eventSample})
		w.sample()
	}
}

// around is d, give or take half of it.
func (w *World) around(d time.Duration) time.Duration {
	return d/2 + time.Duration(w.rng.Int64N(int64(d)))
}

// clock is the wall clock of a slot.
func (w *World) clock(s *slot) time.Duration { return epoch + w.now + s.offset }

// step runs one step of a slot's core: what it sends goes out, what it answers
// is booked, and the checkers look. The power may go inside it.
func (w *World) step(s *slot, cause *event, f func(out *Output) error) {
	w.out.Send, w.out.Acks = w.out.Send[:0], w.out.Acks[:0]
	lost, err := w.protect(s, f)
	for i := range w.out.Send {
		w.transmit(s, w.out.Send[i])
	}
	for _, a := range w.out.Acks {
		w.acknowledged(s, a)
	}
	switch {
	case lost:
		w.crash(s, "power lost in a commit")
	case err != nil:
		w.crash(s, err.Error())
	case w.violation == nil:
		w.checkStep(s, cause)
	}
}

// protect turns the panic of a disk into a fact, and any other into a violation:
// a core never panics, whatever peers, disks and clocks do.
func (w *World) protect(s *slot, f func(out *Output) error) (lost bool, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if _, power := p.(powerLoss); !power {
			w.fail("PANIC", s, "%v\n%s", p, debug.Stack())
		}
		lost = true
	}()
	return false, f(&w.out)
}

// start opens a core on the slot's disk.
func (w *World) start(s *slot, m Members) {
	s.restartQ = false
	s.life++
	s.disk.full = false
	var seeds []NodeID
	for _, o := range w.slots {
		if o.member && o.id != s.id {
			seeds = append(seeds, o.id)
		}
	}
	w.out.Send, w.out.Acks = w.out.Send[:0], w.out.Acks[:0]
	lost, err := w.protect(s, func(out *Output) (err error) {
		s.core, err = w.p.Make(s.disk, CoreConfig{Node: s.id, Members: w.members, Joins: m.Version == 0, Seeds: seeds, Rand: w.rng.Uint64, Records: w.records}, w.clock(s), out)
		return err
	})
	for i := range w.out.Send {
		w.transmit(s, w.out.Send[i])
	}
	if lost || err != nil {
		w.crash(s, fmt.Sprintf("while starting: %v", err))
		return
	}
	s.up = true
	w.agenda.push(event{at: w.now + w.around(w.p.TickEach), kind: eventTick, slot: s.index, life: s.life})
	w.checkStarted(s)
	for _, o := range w.slots {
		if o != s && o.id != s.id {
			w.linkSoon(s, o)
		}
	}
}

// crash ends a process; it starts again later.
func (w *World) crash(s *slot, why string) {
	w.note("slot %d dies: %s", s.index, why)
	s.up, s.core = false, nil
	s.disk.lose()
	w.restartSoon(s, w.around(4*time.Second))
	w.linksDown(s)
}

func (w *World) restartSoon(s *slot, in time.Duration) {
	if !s.restartQ && !s.retired {
		s.restartQ = true
		w.agenda.push(event{at: w.now + in, kind: eventRestart, slot: s.index})
	}
}

// trailMax is how many of the last faults are told.
const trailMax = 40

// note is a fault that is told only if a reader is there. Immutable.
type note struct {
	at     time.Duration
	format string
	args   []any // none of which changes
}

// note keeps the last faults for the reader of a failure.
func (w *World) note(format string, args ...any) {
	n := note{w.now, format, args}
	if len(w.trail) < trailMax {
		w.trail = append(w.trail, n)
	} else {
		w.trail[w.noted%trailMax] = n
	}
	w.noted++
}

// told is the last faults in words.
func (w *World) told() []string {
	var lines []string
	for i := range w.trail {
		n := w.trail[(w.noted+i)%len(w.trail)]
		lines = append(lines, fmt.Sprintf("%8v  ", n.at)+fmt.Sprintf(n.format, n.args...))
	}
	return lines
}

// fail records the first violation.
func (w *World) fail(checker string, s *slot, format string, args ...any) {
	if w.violation != nil {
		return
	}
	w.violation = &Violation{Checker: checker, At: w.now, Slot: s.index, Text: fmt.Sprintf(format, args...)}
}
