package sim

import (
	"slices"
	"strconv"
	"time"

	"tombolo/dvv"
)

// pick is a random slot that fits, nil if none does.
func (w *World) pick(fits func(s *slot) bool) *slot {
	list := make([]*slot, 0, slotsMax)
	for _, s := range w.slots {
		if fits(s) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[w.rng.IntN(len(list))]
}

func isUp(s *slot) bool { return s.up }

// fault lets chaos act once.
func (w *World) fault() {
	total := 0
	for _, n := range w.p.Weights {
		total += n
	}
	roll := w.rng.IntN(total)
	for f, n := range w.p.Weights {
		if roll -= n; roll < 0 {
			w.act(Fault(f))
			return
		}
	}
}

func (w *World) act(f Fault) {
	switch f {
	case FaultCut:
		a, b := w.pick(isUp), w.pick(isUp)
		if a != nil && a != b {
			w.note("cut %d→%d", a.index, b.index)
			w.setCut(a, b, true)
		}
	case FaultIsolate:
		w.isolate()
	case FaultHeal:
		w.note("heal some links")
		for _, a := range w.slots {
			for _, b := range w.slots {
				if w.rng.IntN(3) > 0 {
					w.setCut(a, b, false)
				}
			}
		}
	case FaultKill:
		if s := w.pick(isUp); s != nil {
			w.crash(s, "killed")
		}
	case FaultCommit:
		if s := w.pick(isUp); s != nil {
			s.disk.arm(1+w.rng.IntN(6), w.rng.IntN(2) == 0)
		}
	case FaultReboot:
		if s := w.pick(isUp); s != nil {
			w.reboot(s)
		}
	case FaultJump:
		if s := w.pick(isUp); s != nil {
			s.offset += time.Duration(w.rng.Int64N(int64(20*time.Second))) - 10*time.Second
			w.note("slot %d: its clock is off by %v", s.index, s.offset)
		}
	case FaultFull:
		if s := w.pick(isUp); s != nil {
			w.note("slot %d: disk full", s.index)
			s.disk.full = true
		}
	default:
		w.actOnStores(f)
	}
}

func (w *World) isolate() {
	s := w.pick(isUp)
	if s == nil {
		return
	}
	w.note("isolate %d", s.index)
	for _, o := range w.slots {
		if o != s {
			w.setCut(s, o, true)
			w.setCut(o, s, true)
		}
	}
}

// reboot is an orderly stop; the next start is soon.
func (w *World) reboot(s *slot) {
	w.note("slot %d stops in order", s.index)
	w.step(s, nil, func(out *Output) error { return s.core.Stop(w.clock(s), out) })
	if s.up {
		s.up, s.core = false, nil
		w.linksDown(s)
		w.restartSoon(s, w.around(2*time.Second))
	}
}

// mayLose says whether a store may forget: one node id in a run, since the
// promises hold unless the only holders of a write lose their disks.
func (w *World) mayLose(s *slot) bool { return w.victim == 0 || w.victim == s.id }

func (w *World) actOnStores(f Fault) {
	switch f {
	case FaultBackup:
		if s := w.pick(func(s *slot) bool { return !s.copied && s.checks.started }); s != nil {
			v := s.checks.last
			s.images = append(s.images, image{s.disk.image(), v.Actor, v.Clock.Top(v.Actor), v.Clock})
		}
	case FaultRestore:
		if s := w.pick(func(s *slot) bool { return len(s.images) > 0 && !s.copied && w.mayLose(s) }); s != nil {
			w.victim = s.id
			w.restore(s, s.images[w.rng.IntN(len(s.images))])
		}
	case FaultWipe:
		if s := w.pick(func(s *slot) bool { return s.up && s.member && w.mayLose(s) && w.othersReady(s) }); s != nil {
			w.victim = s.id
			w.wipe(s)
		}
	case FaultClone:
		if s := w.pick(func(s *slot) bool { return s.up && s.member && !s.copied && w.mayLose(s) && len(w.slots) < slotsMax }); s != nil {
			w.victim = s.id
			w.clone(s)
		}
	case FaultJoin:
		if len(w.slots) < slotsMax {
			w.join()
		}
	case FaultRemove:
		if s := w.pick(func(s *slot) bool { return s.member && s.up && len(w.members.IDs) > 2 && w.othersReady(s) }); s != nil {
			w.remove(s)
		}
	case FaultReturn:
		if s := w.pick(func(s *slot) bool { return s.removed }); s != nil {
			w.takeBack(s)
		}
	}
}

// othersReady says that somebody else serves who can hear of a change.
func (w *World) othersReady(s *slot) bool { return w.ready(s) != nil }

// ready is a member other than s that serves.
func (w *World) ready(s *slot) *slot {
	return w.pick(func(o *slot) bool {
		return o != s && o.up && o.member && !o.copied && o.core.View().Phase == PhaseReady
	})
}

// stopFor ends a process before its disk is exchanged.
func (w *World) stopFor(s *slot, why string) {
	if s.up {
		w.crash(s, why)
	}
	s.restartQ = false
	w.restartSoon(s, w.around(2*time.Second))
}

// restore replaces a disk by an older image of itself: amnesia.
func (w *World) restore(s *slot, im image) {
	before := s.checks.last
	w.stopFor(s, "its directory is replaced by an older one")
	s.disk.restore(im.content)
	s.checks.rolledBack(im.actor, im.top, before.Clock.Top(im.actor))
	for _, o := range w.slots {
		if o.checks.joins != nil { // as a donor it can give what it has left (I29)
			o.checks.joins = append(o.checks.joins, im.clock)
		}
		if d := o.checks.donor; d != nil && d.donor == s.id {
			d.clock = d.clock.Meet(im.clock)
		}
	}
	w.risk(s, im.clock)
}

// wipe loses a disk for good: the node starts empty under its id.
func (w *World) wipe(s *slot) {
	w.stopFor(s, "its disk is lost")
	s.disk = NewDisk()
	s.disk.liar, s.disk.splits = w.p.LyingDisks, w.p.SplitDisks
	s.images = nil
	s.checks.wiped()
	for _, o := range w.slots {
		if d := o.checks.donor; d != nil && d.donor == s.id {
			d.clock = dvv.Clock{} // it has nothing left to give
		}
	}
	w.risk(s, dvv.Clock{})
}

// risk marks the operations that only this store held.
func (w *World) risk(s *slot, left dvv.Clock) {
	for _, rec := range w.oracle.ops[1:] {
		if rec.there && !left.Has(rec.dot) && !w.heldElsewhere(s, rec) {
			rec.atRisk = true
		}
	}
}

// heldElsewhere says whether another store has an operation. A copy does not count,
// which must never serve beside its original (R30), nor does a store that was taken
// out for good: with it the last holder may be lost (I15).
func (w *World) heldElsewhere(s *slot, rec *opRecord) bool {
	return slices.ContainsFunc(w.slots, func(o *slot) bool {
		return o != s && !o.copied && !o.retired && o.checks.last.Clock.Has(rec.dot)
	})
}

// clone starts a copy of a node's disk on another machine: of a running one, or
// of one that had just been stopped in order, so that both start alike.
func (w *World) clone(s *slot) {
	if w.rng.IntN(2) == 0 {
		w.reboot(s)
	}
	c := w.addSlot(s.id)
	c.copied, c.origin, c.checks.donor = true, writer{-1, 0}, &donation{}
	if !s.up {
		c.origin = writer{s.index, s.life}
	}
	s.checks.lossy = true // from here on two stores speak for one id
	c.disk.restore(s.disk.image())
	w.note("slot %d is a copy of %d", c.index, s.index)
	w.start(c, Members{})
}

// join adds an empty node: first to the member set, then it starts.
func (w *World) join() {
	id := NodeID(len(w.slots) + 1)
	donor := w.ready(nil)
	if donor == nil {
		return
	}
	s := w.addSlot(id)
	w.note("slot %d joins by %d", s.index, donor.index)
	w.changeMembers(donor, append(slices.Clone(w.members.IDs), id))
	if w.violation != nil {
		return
	}
	s.member = true
	s.checks.joins = w.clocksNow()
	w.start(s, Members{})
}

// remove takes a node out of the member set; it may go on by itself until it
// hears of it.
func (w *World) remove(s *slot) {
	by := w.ready(s)
	if by == nil {
		return
	}
	w.note("slot %d is removed by %d", s.index, by.index)
	s.member, s.removed = false, true
	w.changeMembers(by, slices.DeleteFunc(slices.Clone(w.members.IDs), func(id NodeID) bool { return id == s.id }))
}

// takeBack puts a removed node into the member set again.
func (w *World) takeBack(s *slot) {
	by := w.ready(s)
	if by == nil {
		return
	}
	w.note("slot %d is taken back by %d", s.index, by.index)
	s.member, s.removed = true, false
	s.checks.lossy, s.checks.returned = true, true // deletes were collected without it
	for _, o := range w.slots {
		if o.checks.joins != nil { // a member again, and so perhaps the donor (I29)
			o.checks.joins = append(o.checks.joins, s.checks.last.Clock)
		}
	}
	ids := append(slices.Clone(w.members.IDs), s.id)
	slices.Sort(ids)
	w.changeMembers(by, ids)
}

func (w *World) changeMembers(by *slot, ids []NodeID) {
	w.members = Members{Version: w.members.Version + 1, IDs: ids}
	m := w.members
	w.step(by, nil, func(out *Output) error { return by.core.SetMembers(w.clock(by), m, out) })
}

// clocksNow is what the members have seen. A copy may have taken the place of its
// original.
func (w *World) clocksNow() []dvv.Clock {
	var list []dvv.Clock
	for _, s := range w.slots {
		if slices.Contains(w.members.IDs, s.id) && s.checks.started {
			list = append(list, s.checks.last.Clock)
		}
	}
	return list
}

// operate lets a client ask something of a random node.
func (w *World) operate() {
	s := w.pick(isUp)
	if s == nil {
		return
	}
	w.write(s, w.anyOp())
}

// anyOp is what a client may ask.
func (w *World) anyOp() Op {
	op := Op{Key: "k" + strconv.Itoa(w.rng.IntN(w.p.Keys)), Delete: w.rng.IntN(3) == 0}
	if w.rng.IntN(5) == 0 {
		op = Op{Key: "session" + strconv.Itoa(w.rng.IntN(2)), Clean: w.rng.IntN(2) == 0}
	}
	return op
}
