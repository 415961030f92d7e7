package twin

import (
	"slices"

	"tombolo/dvv"
)

// collect forgets deletes that every member is known to have seen. A member
// that stays away is waited for until there are too many of them, or it is away
// for too long; what is collected without it is the horizon, and whoever's clock
// does not contain that does a full join.
func (r *Replica) collect() {
	r.seal()
	if r.phase != PhaseReady || r.bug(BugNeverCollect) || !r.members.Has(r.cfg.Node) {
		return
	}
	var pending []dvv.Dot
	for d, e := range r.index {
		if e.del {
			pending = append(pending, d)
		}
	}
	slices.SortFunc(pending, dvv.Dot.Compare)
	over := len(pending) - r.cfg.DeletesMax
	for _, d := range pending {
		stable, waived := true, true
		for _, m := range r.peers() {
			w := r.row(m)
			if w.clock.Has(d) {
				continue
			}
			away := r.now-w.heard > aliveFor
			if away && r.bug(BugCollectEarly) {
				continue
			}
			stable = false
			if !away || over <= 0 && r.now-w.heard < r.cfg.AbsentMax {
				waived = false
			}
		}
		if !stable && !waived {
			continue
		}
		over--
		delete(r.index, d)
		r.dirtyDots[d] = true
		r.counts.Collected++
		if !stable {
			r.counts.Capped++
		}
		// A node that was removed may come back without hearing that it was.
		if (!stable || r.members.Gone) && !r.bug(BugForgetHorizon) {
			r.horizon = r.horizon.Add(d)
		}
	}
}

// noteAfter keeps the clocks that a member shows once it knows that an actor is
// retired: from then on it takes nothing new of that actor but by exchanges.
func (w *row) noteAfter(retired map[dvv.Actor]Seal, c dvv.Clock) {
	if w.after == nil {
		w.after = map[dvv.Actor]dvv.Clock{}
	}
	for a := range retired {
		w.after[a] = c
	}
}

// seal closes the gaps of retired actors that no member can fill.
func (r *Replica) seal() {
	if r.phase != PhaseReady || !r.members.Has(r.cfg.Node) {
		return
	}
	named := dvv.VV{} // what contexts speak of: also what nobody has any more
	for k := range r.residual {
		named = named.Join(r.objects[k].Context())
	}
	for _, a := range sortedKeys(r.retired) {
		gaps, top := r.clock.Gaps(a), r.clock.Top(a)
		if n := named.Get(a); n > top {
			gaps, top = append(gaps, dvv.Run{First: top + 1, Last: n}), n
		}
		if len(gaps) == 0 || !r.nobodyHas(a, gaps) {
			continue
		}
		r.setRetired(a, Seal{Done: true, Gaps: append(slices.Clone(r.retired[a].Gaps), gaps...)})
		r.clock = r.clock.AddSpan(dvv.Span{Actor: a, First: 1, Last: top})
		r.grown()
	}
}

func (r *Replica) nobodyHas(a dvv.Actor, gaps []dvv.Run) bool {
	for _, p := range r.peers() {
		c, ok := r.row(p).after[a]
		if !ok {
			return false
		}
		for _, g := range gaps {
			for n := g.First; n <= g.Last; n++ {
				if c.Has(dvv.Dot{Actor: a, Counter: n}) {
					return false
				}
			}
		}
	}
	return true
}

// learnRetired takes in what a peer knows of retired actors. A value of ours
// that lies in a gap which the others closed is written again under our own
// actor: they could not know of it.
func (r *Replica) learnRetired(theirs map[dvv.Actor]Seal) {
	for _, a := range sortedKeys(theirs) {
		if a == r.actor {
			continue
		}
		r.retire(a)
		mine, news := r.retired[a], []dvv.Run(nil)
		for _, g := range theirs[a].Gaps {
			if !slices.Contains(mine.Gaps, g) {
				news = append(news, g)
			}
		}
		if len(news) == 0 {
			continue
		}
		r.setRetired(a, Seal{Done: true, Gaps: append(slices.Clone(mine.Gaps), news...)})
		for _, key := range sortedKeys(r.objects) {
			r.rescue(key, a, news)
		}
	}
}

func (r *Replica) rescue(key string, a dvv.Actor, gaps []dvv.Run) {
	for _, s := range r.objects[key].Siblings() {
		closed := s.Dot.Actor == a && slices.ContainsFunc(gaps, func(g dvv.Run) bool {
			return g.First <= s.Dot.Counter && s.Dot.Counter <= g.Last
		})
		if !closed {
			continue
		}
		d := dvv.Dot{Actor: r.actor, Counter: r.clock.Base(r.actor) + 1}
		o := r.objects[key].Fill(r.clock.Bases())
		o = o.Put(dvv.NewVV(s.Dot), d, s.Value)
		r.clock = r.clock.Add(d)
		r.set(key, o)
	}
}
