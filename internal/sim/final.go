package sim

import (
	"fmt"
	"slices"
	"time"

	"tombolo/dvv"
)

// heal ends chaos, repairs everything, and demands convergence.
func (w *World) heal() {
	w.calm = true
	w.note("chaos is over")
	for _, s := range w.slots {
		s.disk.crashAt, s.disk.full = 0, false
		if s.copied {
			w.retire(s)
			continue
		}
		if s.up && s.core.View().Phase == PhaseRefused {
			w.crash(s, "was refused; its copy is gone now")
		}
		if !s.up {
			w.restartSoon(s, time.Second)
		}
	}
	for _, a := range w.slots {
		for _, b := range w.slots {
			w.setCut(a, b, false)
		}
	}
	w.loop(w.now + 15*time.Second)
	for _, s := range w.slots {
		if s.removed && w.violation == nil {
			if w.rng.IntN(2) == 0 && w.ready(s) != nil {
				w.takeBack(s)
			} else {
				w.retire(s)
			}
		}
	}
	w.capture()
	w.confirm()
	for end := w.now + w.p.HealMax; w.violation == nil; {
		w.loop(w.now + time.Second)
		if w.violation != nil {
			return
		}
		for _, s := range w.standing() {
			if s.up && s.core.View().Phase == PhaseRefused {
				w.crash(s, "was refused; its copy is gone now")
			}
		}
		checker, s, why := w.unfinished()
		if checker == "" {
			break
		}
		if w.now >= end {
			w.fail(checker, s, "after %v without faults: %s", w.p.HealMax, why)
		}
	}
	w.final()
}

// confirm has the operators tell the member set again if nobody is left that they
// told: a change takes effect when a majority has it (R24).
func (w *World) confirm() {
	for _, s := range w.standing() {
		if s.checks.last.Members.Version == w.members.Version {
			return
		}
	}
	if by := w.ready(nil); by != nil {
		w.changeMembers(by, w.members.IDs)
	}
}

// retire takes a process out for good; what only it held is stranded.
func (w *World) retire(s *slot) {
	w.note("slot %d is taken out", s.index)
	last := s.checks.last.Clock
	s.up, s.core, s.retired = false, nil, true
	w.linksDown(s)
	for _, rec := range w.oracle.ops[1:] {
		if rec.there && (rec.slot == s.index || last.Has(rec.dot)) && !w.heldElsewhere(s, rec) {
			rec.stranded = true
		}
	}
}

// standing is the members that should agree.
func (w *World) standing() []*slot {
	var list []*slot
	for _, s := range w.slots {
		if !s.retired {
			list = append(list, s)
		}
	}
	return list
}

// unfinished is what keeps the cluster from rest, and whose fault that is.
func (w *World) unfinished() (checker string, who *slot, why string) {
	list := w.standing()
	for _, s := range list {
		if !s.up {
			return "I16", s, "it does not start"
		}
		if v := s.core.View(); v.Phase != PhaseReady {
			return "I16", s, "it is not ready but " + [...]string{"starting", "joining", "", "refused", "removed"}[v.Phase]
		}
	}
	first := list[0].core.View()
	for _, s := range list[1:] {
		v := s.core.View()
		if !v.Clock.Equal(first.Clock) {
			return "I16", s, "clocks differ: " + first.Clock.String() + " and " + v.Clock.String()
		}
		if v.Digest != first.Digest {
			return "I16", s, "clocks are equal and digests differ"
		}
	}
	for _, s := range list {
		v := s.core.View()
		for _, o := range v.Objects {
			if o.Context().Len() > 0 {
				return "I24", s, "a context is not stripped: " + o.String() + " under " + v.Clock.String()
			}
		}
		if why := w.lasting(v); why != "" {
			return "I24", s, why
		}
		pending := ""
		s.core.EachIndex(func(d dvv.Dot, key string, del bool) {
			if del {
				pending = d.String() + " of " + key
			}
		})
		if pending != "" {
			return "I23", s, "a delete is not collected: " + pending
		}
	}
	return "", nil, ""
}

// lasting is the rest of I24: what lies apart from the objects for good is there
// for a dot that is missing, of an actor that no member writes under.
func (w *World) lasting(v View) string {
	for key, context := range v.Lasting {
		for _, d := range context.Entries() {
			if d.Counter <= v.Clock.Base(d.Actor) {
				return fmt.Sprintf("%s keeps %v, of which nothing is missing under %v", key, d, v.Clock)
			}
			for _, s := range w.standing() {
				if s.core.View().Actor == d.Actor {
					return fmt.Sprintf("%s keeps %v as lost; slot %d writes under that actor", key, d, s.index)
				}
			}
		}
	}
	return ""
}

// final is the checks of a cluster at rest.
func (w *World) final() {
	if w.violation != nil {
		return
	}
	list := w.standing()
	first := list[0]
	v := first.core.View()
	for _, key := range w.sortedKeys() {
		w.checkLattice(list, key)
		want := w.oracle.live(key, v.Clock)
		for _, s := range list {
			o := s.core.View().Objects[key]
			got := liveOps(o)
			want := slices.DeleteFunc(slices.Clone(want), func(id uint64) bool {
				return !slices.Contains(got, id) && w.excused(key, id)
			})
			if !slices.Equal(got, want) {
				w.fail(w.nameTruth(key, want, got, v.Clock, nil), s, "at rest %s holds the values of operations %v, not %v", key, got, want)
				return
			}
			if len(slices.Compact(slices.Clone(got))) != len(got) {
				w.fail("I28", s, "%s holds one value twice: %v", key, got)
			}
		}
		w.checkWinner(list, key)
	}
	for _, rec := range w.oracle.ops[1:] {
		if !rec.acked || !rec.there || rec.atRisk || rec.stranded || v.Clock.Has(rec.dot) {
			continue
		}
		checker := "I15"
		if rec.alone {
			checker = "I28"
		}
		w.fail(checker, first, "operation %d (%v on %s) was acknowledged and nobody has it", rec.ID, rec.dot, rec.Key)
	}
}

// excused says that a value may be gone although no surviving write had it before
// it: one that was lost with its disk did, and its effect had spread. I15 asks for
// a put that is not in the past of any other operation.
func (w *World) excused(key string, id uint64) bool {
	return slices.ContainsFunc(w.oracle.byKey[key], func(q *opRecord) bool { return q.there && (q.atRisk || q.stranded) && q.past.has(id) })
}

// capture keeps the plain join of all stores at the heal: no more is written.
func (w *World) capture() {
	w.checks.join = map[string]dvv.Object{}
	for _, key := range w.sortedKeys() {
		var join dvv.Object
		for _, s := range w.standing() {
			if !s.up {
				return // a store that is not up yet has its say as well: no capture
			}
			v := s.core.View()
			join = w.p.Algebra.Sync(join, w.p.Algebra.Fill(v.whole(key), v.Clock.Bases()))
		}
		w.checks.join[key] = join
	}
	w.checks.captured = true
	if s := w.ready(nil); w.p.Late && s != nil {
		w.write(s, Op{Key: w.sortedKeys()[0]})
	}
}

// checkLattice is I17: what every store holds at rest is the join of all stores
// at the heal.
func (w *World) checkLattice(list []*slot, key string) {
	if !w.checks.captured {
		return
	}
	join := liveOps(w.checks.join[key])
	for _, s := range list {
		v := s.core.View()
		got := liveOps(v.Objects[key])
		if !slices.Equal(got, join) {
			w.fail("I17", s, "%s holds the values of operations %v; the join of all stores at the heal is %v", key, got, join)
		}
	}
}

// checkWinner is the second half of I33, and R18: all nodes show the same
// winner, and the floor is the highest that any surviving write carried.
func (w *World) checkWinner(list []*slot, key string) {
	var floor uint64
	sure := true // every write is known with its stamp
	v := list[0].core.View()
	for _, rec := range w.oracle.byKey[key] {
		if rec.knownTo(v.Clock) {
			floor = max(floor, rec.floor)
			sure = sure && rec.acked
		}
	}
	first, ok := winner(v.Objects[key])
	for _, s := range list {
		if won, _ := winner(s.core.View().Objects[key]); won != first {
			w.fail("I33", s, "%s shows operation %d, elsewhere %d", key, won.Op, first.Op)
		}
		if got := s.core.Floor(key); ok && isSession(key) && (got < floor || sure && got != floor) {
			w.fail("R18", s, "%s has the floor %d, not %d", key, got, floor)
		}
	}
}

func isSession(key string) bool { return len(key) > 7 && key[:7] == "session" }

// winner is the sibling with the highest stamp, then actor.
func winner(o dvv.Object) (v Value, ok bool) {
	var actor dvv.Actor
	for _, s := range o.Siblings() {
		n := DecodeValue(s.Value)
		if !ok || n.HLC > v.HLC || n.HLC == v.HLC && s.Dot.Actor > actor {
			v, actor, ok = n, s.Dot.Actor, true
		}
	}
	return v, ok
}
