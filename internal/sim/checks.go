package sim

import (
	"slices"

	"tombolo/dvv"
)

// slotChecks is what the checkers remember of a slot. Owned by the World.
type slotChecks struct {
	started  bool
	last     View // after the last step; its maps are not kept
	retired  []dvv.Actor
	pending  map[dvv.Dot]string // delete dots in the index
	lossy    bool               // its store forgot what it once had
	rolled   *rollback
	joins    []dvv.Clock // what the members had seen when it joined; nil once checked
	donor    *donation   // the full join that it began last; nil once it ended
	joined   bool        // a full join has ended since it was last found joining
	returned bool        // it was taken back, and has not heard that its actor is retired
	hlc      uint64
	acked    []*opRecord // by this store, since it last lost anything
	written  uint64      // batches of its disk when it was last looked at
	truth    truth
}

// donation is a full join that was begun, and what the donor had then. Of a node id
// that several stores speak for it is what all of them had. Without a donor it is that
// of a directory that was put here: it may go on with a join that began elsewhere.
type donation struct {
	donor NodeID
	clock dvv.Clock
}

// rollback is a store that was replaced by an older image and may not go on with
// the actor of that image.
type rollback struct{ actor dvv.Actor }

func (c *slotChecks) init() {
	c.pending = map[dvv.Dot]string{}
	c.truth.init()
}

// rolledBack forgets what the store forgot. Only if dots were issued after the
// image is going on with its actor a fault.
func (c *slotChecks) rolledBack(actor dvv.Actor, top, issued uint64) {
	c.lossy = true
	c.last, c.acked = View{}, nil
	c.donor = &donation{} // the directory may be in the middle of one
	c.retired = nil
	clear(c.pending)
	if issued > top {
		c.rolled = &rollback{actor}
	}
	c.hlc = 0
}

func (c *slotChecks) wiped() {
	c.rolledBack(0, 0, 0)
	c.joins, c.donor = nil, nil
}

// worldChecks is what the checkers remember of the whole run.
type worldChecks struct {
	values    map[dvv.Dot]uint64    // the operation whose value was seen under a dot (I1)
	actors    map[dvv.Actor]int     // who minted an actor (I25)
	writes    map[dvv.Actor]writer  // who acknowledged under it last (R30)
	transfers map[uint64]*transfer  // by the core's number
	recent    []TraceItem           // pushed writes, for the laws
	join      map[string]dvv.Object // of all stores at the heal (I17)
	captured  bool
}

// writer is a process that wrote under an actor. Of the original of a clean stop
// and its copy, which begin alike, one may go on with the actor, and nothing
// tells the members which of them is the original: the actor may pass to the copy
// from a process that had ended when the copy was made, and from no later one.
// It may not pass back: what the original writes then is told by R30. "From none
// later" is the rule's "every member shows no other nonce": a later start of the
// original that was allowed to go on has shown its own, and an earlier one had
// stopped cleanly, or the actor would not have lived to be copied.
type writer struct{ slot, life int }

// transfer is an exchange as the network saw it.
type transfer struct {
	clock dvv.Clock // of the request
	next  int       // chunks that arrived in order
	life  int
}

func (c *worldChecks) init() {
	c.values, c.actors, c.writes = map[dvv.Dot]uint64{}, map[dvv.Actor]int{}, map[dvv.Actor]writer{}
	c.transfers = map[uint64]*transfer{}
}

// write lets a client write, with the oracle looking on.
func (w *World) write(s *slot, op Op) {
	v := s.core.View()
	rec := w.oracle.begin(s.index, op, v.Objects[op.Key], v.Clock)
	w.learned(op.Key)
	rec.alone = s.removed || v.Phase == PhaseRemoved
	op.ID = rec.ID
	expected := dvv.Dot{Actor: v.Actor, Counter: v.Clock.Base(v.Actor) + 1}
	commits := s.disk.commits
	disk, core := s.disk, s.core
	w.step(s, nil, func(out *Output) error { return core.Write(w.clock(s), op, out) })
	if w.violation != nil || rec.acked {
		return
	}
	sent := slices.ContainsFunc(w.out.Send, func(p Packet) bool { return p.Trace != nil && p.Trace.Kind == KindReplicate })
	committed := !s.up && disk.commits > commits && disk.lastApplied
	if sent || committed {
		w.name(s, rec, expected)
		return
	}
	if s.up && v.Phase == PhaseReady {
		w.fail("I35", s, "operation %d on %s was refused by a node that serves", rec.ID, op.Key)
	}
}

// name gives an operation its dot and looks whether another has it.
func (w *World) name(s *slot, rec *opRecord, d dvv.Dot) {
	w.learned(rec.Key)
	if clash := w.oracle.named(rec, d); clash != nil {
		w.fail("I1", s, "dot %v names operation %d and operation %d", d, clash.ID, rec.ID)
	}
}

// acknowledged books an answer.
func (w *World) acknowledged(s *slot, a Ack) {
	rec := w.oracle.ops[a.Op]
	if a.Refused {
		return
	}
	rec.acked, rec.hlc = true, a.HLC
	if rec.Clean {
		rec.floor = a.HLC
	}
	if r := s.checks.rolled; r != nil && a.Dot.Actor == r.actor {
		w.fail("I26", s, "operation %d was acknowledged under %v after the store was rolled back", rec.ID, a.Dot)
	}
	if last, ok := w.checks.writes[a.Dot.Actor]; ok && last.slot != s.index && (last.slot != s.origin.slot || last.life > s.origin.life) {
		w.fail("R30", s, "actor %v writes on slots %d and %d", a.Dot.Actor, last.slot, s.index)
	}
	if a.Dot.Counter == 0 {
		return // it changed nothing
	}
	w.checks.writes[a.Dot.Actor] = writer{s.index, s.life}
	if a.HLC <= s.checks.hlc {
		w.fail("I33", s, "operation %d is stamped %d, an earlier one %d", rec.ID, a.HLC, s.checks.hlc)
	}
	s.checks.hlc = a.HLC
	w.name(s, rec, a.Dot)
	s.checks.acked = append(s.checks.acked, rec)
}

// checkStarted looks at a store that was opened: nothing that it had made
// durable is gone, and what is there fits together.
func (w *World) checkStarted(s *slot) {
	v := s.core.View()
	c := &s.checks
	fail := func(checker, format string, args ...any) { w.fail(checker, s, format, args...) }
	for _, a := range c.last.Clock.Actors() {
		if (slices.Contains(c.retired, a) || v.Retired[a]) && (!v.Retired[a] || c.last.Clock.Top(a) > v.Clock.Top(a)) {
			fail("I27", "retired actor %v was forgotten over a restart", a)
		}
	}
	if c.started && !v.Clock.Descends(c.last.Clock) && !c.lossy {
		fail("I3", "clock went back over a restart from %v to %v", c.last.Clock, v.Clock)
	}
	for _, rec := range c.acked {
		if !v.Clock.Has(rec.dot) {
			fail("I31", "operation %d (%v) was acknowledged and is gone after a restart", rec.ID, rec.dot)
		}
	}
	if why := s.core.Verify(true); why != "" {
		fail("I30", "after a restart: %s", why)
	}
	if v.HLC != 0 && v.HLC < c.hlc && !c.lossy {
		fail("I33", "the hybrid clock went back over a restart from %d to %d", c.hlc, v.HLC)
	}
	if !c.started || c.last.Actor != v.Actor {
		w.newActor(s, v.Actor)
	}
	c.started, c.joined, c.truth.all = true, false, true
	w.remember(s, &v)
}

// newActor looks at an actor that a store begins to use.
func (w *World) newActor(s *slot, a dvv.Actor) {
	if was, ok := w.checks.actors[a]; ok && !(s.copied || s.checks.lossy) {
		w.fail("I25", s, "actor %v was minted again; slot %d had it before", a, was)
	} else if ok && s.checks.rolled == nil && s.checks.last.Actor != 0 {
		w.fail("I25", s, "actor %v was minted again; slot %d had it before", a, was)
	}
	w.checks.actors[a] = s.index
}

// remember keeps what the next look is compared with.
func (w *World) remember(s *slot, v *View) {
	c := &s.checks
	c.last, c.written = *v, s.disk.written
	c.last.Objects, c.last.Retired = nil, nil
	if len(c.retired) < len(v.Retired) {
		for a := range v.Retired {
			if !slices.Contains(c.retired, a) {
				c.retired = append(c.retired, a)
			}
		}
	}
	if c.rolled != nil && v.Actor != c.rolled.actor {
		c.rolled = nil
	}
	if _, tells := s.core.(changer); tells {
		return
	}
	clear(c.pending)
	s.core.EachIndex(func(d dvv.Dot, key string, del bool) {
		if del {
			c.pending[d] = key
		}
	})
}
