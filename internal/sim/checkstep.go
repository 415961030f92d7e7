package sim

import (
	"maps"
	"slices"

	"tombolo/dvv"
)

// checkStep looks at a slot after each of its steps. cause is the event of a
// message, nil otherwise.
func (w *World) checkStep(s *slot, cause *event) {
	if s.core == nil {
		return
	}
	c := &s.checks
	if s.disk.written == c.written && s.core.Phase() == c.last.Phase {
		return // nothing of the store changed
	}
	view := s.core.View()
	v, before := &view, &c.last
	fail := func(checker, format string, args ...any) { w.fail(checker, s, format, args...) }
	if !v.Clock.Contiguous(v.Actor) {
		fail("I2", "own entry of %v has gaps: %v", v.Actor, v.Clock)
	}
	grown := v.Clock.Descends(before.Clock)
	for _, a := range c.retired {
		if !v.Retired[a] || !grown && v.Clock.Top(a) < before.Clock.Top(a) {
			fail("I27", "retired actor %v was forgotten", a)
		}
	}
	if !grown {
		fail("I3", "clock went back from %v to %v", before.Clock, v.Clock)
	}
	if v.HLC < before.HLC {
		fail("I33", "the hybrid clock went back from %d to %d", before.HLC, v.HLC)
	}
	if v.Actor != before.Actor {
		w.newActor(s, v.Actor)
	}
	if why := s.verify(); why != "" {
		id, text, _ := cutSentence(why)
		fail(id, "%s", text)
	}
	w.checkChanges(s, v)
	gained := w.markTruth(s, v.Clock, before.Clock, grown)
	w.checkJoined(s, v, before)
	if cause != nil && cause.kind == eventDeliver {
		w.checkReceived(s, v, before, cause.pkt.Trace, gained)
	}
	if w.violation == nil {
		w.remember(s, v)
	}
}

// verify holds a store against itself, but for a disk that changed by itself.
func (s *slot) verify() string {
	if s.rotten {
		return ""
	}
	return s.core.Verify(false)
}

func cutSentence(why string) (id, text string, ok bool) {
	for i := range why {
		if why[i] == ':' {
			return why[:i], why[i+2:], true
		}
	}
	return why, "", false
}

// checkChanges is I1 and I22 over what a step may have changed.
func (w *World) checkChanges(s *slot, v *View) {
	if c, ok := s.core.(changer); ok {
		keys, dropped := c.Changes()
		for _, key := range keys {
			w.checkValues(s, key, v.Objects[key])
			s.checks.truth.mark(key)
		}
		for _, d := range dropped {
			w.checkCollected(s, d.dot, d.key, v)
		}
		return
	}
	for key, o := range v.Objects {
		w.checkValues(s, key, o)
	}
	if len(s.checks.pending) == 0 {
		return
	}
	gone := maps.Clone(s.checks.pending)
	s.core.EachIndex(func(d dvv.Dot, _ string, _ bool) { delete(gone, d) })
	for d, key := range gone {
		w.checkCollected(s, d, key, v)
	}
}

// checkValues is I1 over everything that is live anywhere: no dot has two
// values, and no other operation's.
func (w *World) checkValues(s *slot, key string, o dvv.Object) {
	for _, sib := range o.Siblings() {
		op := DecodeValue(sib.Value).Op
		was, ok := w.checks.values[sib.Dot]
		if ok && was == op {
			continue
		}
		if ok {
			w.fail("I1", s, "dot %v of %s holds the values of operations %d and %d", sib.Dot, key, was, op)
		}
		w.checks.values[sib.Dot] = op
	}
}

// checkCollected is I22: a delete that leaves the index is known to every
// member, unless the cap put it into the horizon.
func (w *World) checkCollected(s *slot, d dvv.Dot, key string, v *View) {
	if v.Horizon.Has(d) {
		return
	}
	for _, m := range w.slots {
		if !m.up || m.copied || m.checks.lossy || !m.checks.started || m == s || !slices.Contains(v.Members.IDs, m.id) {
			continue
		}
		if !m.checks.last.Clock.Has(d) {
			w.fail("I22", s, "delete %v of %s was collected; member %d on slot %d has not seen it: %v", d, key, m.id, m.index, m.checks.last.Clock)
		}
	}
}

// checkJoined is I29: who serves after it was joining has made a full join, and when
// that ended it had seen all that its donor had seen when it began, the first time if
// it was resumed. Any member may be the donor, also one that is behind the others;
// but, of those that were members when an empty store was added, not behind all.
func (w *World) checkJoined(s *slot, v, before *View) {
	c := &s.checks
	if d := c.donor; d != nil && v.FullJoins != before.FullJoins {
		if !v.Clock.Descends(d.clock) {
			w.fail("I29", s, "has joined, and has %v; its donor %d had %v when the join began", v.Clock, d.donor, d.clock)
		}
		c.donor, c.joined = nil, true
	}
	if d := c.donor; v.JoinsMade != before.JoinsMade {
		if d == nil || d.donor != 0 && d.donor != v.Donor {
			c.donor = &donation{v.Donor, w.commonClock(v.Donor)}
		}
		c.donor.donor = v.Donor
	}
	if v.Phase == PhaseJoining && (before.Phase == PhaseReady || c.returned && v.Actor != before.Actor) {
		c.joined, c.returned = false, false // it owes another one; any other new actor takes nothing away
	}
	if v.Phase != PhaseReady {
		return
	}
	if before.Phase == PhaseJoining && v.Donor != 0 && !c.joined {
		w.fail("I29", s, "serves with %v before its join with %d has ended", v.Clock, v.Donor)
	}
	joins := c.joins
	c.joins = nil
	if len(joins) == 0 || slices.ContainsFunc(joins, func(c dvv.Clock) bool { return v.Clock.Descends(c) }) {
		return
	}
	w.fail("I29", s, "serves with %v, which is behind every member at the start of its join", v.Clock)
}

// commonClock is what all stores of a node id have seen.
func (w *World) commonClock(id NodeID) (c dvv.Clock) {
	first := true
	for _, o := range w.slots {
		switch {
		case o.id != id:
		case first:
			c, first = o.checks.last.Clock, false
		default:
			c = c.Meet(o.checks.last.Clock)
		}
	}
	return c
}

// traceSent looks at a message that leaves: what it claims, and what it costs.
func (w *World) traceSent(from *slot, p Packet) {
	t := p.Trace
	if t == nil {
		return
	}
	switch t.Kind {
	case KindReplicate:
		const recentMax = 16
		if len(w.checks.recent) == recentMax {
			w.checks.recent = append(w.checks.recent[:0], w.checks.recent[1:]...)
		}
		w.checks.recent = append(w.checks.recent, t.Items...)
		for _, it := range t.Items {
			for _, d := range it.Deletes {
				if rec := w.oracle.byDot[d]; rec != nil && rec.there && !rec.Delete {
					w.fail("I1", from, "dot %v names a delete and operation %d", d, rec.ID)
				}
			}
		}
	case KindRequest:
		w.checks.transfers[t.Transfer] = &transfer{clock: t.Clock, life: from.life}
	case KindChunk:
		w.checkChunkSent(from, t)
	}
}

// checkChunkSent is I19, I34 and R32 at the responder.
func (w *World) checkChunkSent(from *slot, t *Trace) {
	if !t.Clock.Descends(t.Snapshot) {
		w.fail("I19", from, "a transfer is filled with %v; its objects were stripped with %v", t.Clock, t.Snapshot)
	}
	tr := w.checks.transfers[t.Transfer]
	if tr == nil || t.Full {
		return
	}
	for _, it := range t.Items {
		fresh := slices.ContainsFunc(it.Deletes, func(d dvv.Dot) bool { return !tr.clock.Has(d) }) ||
			slices.ContainsFunc(it.Object.Siblings(), func(s dvv.Sibling) bool { return !tr.clock.Has(s.Dot) })
		if !fresh {
			w.fail("I34", from, "a transfer carries %s, of which the asker lacks nothing", it.Key)
		}
	}
	if !tr.clock.Descends(t.Horizon) {
		w.fail("R32", from, "an exchange without a full join for a clock %v that lacks the horizon %v", tr.clock, t.Horizon)
	}
}

// before keeps track of which chunks arrived.
func (w *World) before(s *slot, e *event) {
	t := e.pkt.Trace
	if t == nil || t.Kind != KindChunk {
		return
	}
	if tr := w.checks.transfers[t.Transfer]; tr != nil && tr.next == t.Seq && tr.life == s.life {
		tr.next++
	}
}

// checkReceived is I18, I20 and I21, and the local truth: a store holds exactly
// what the operations that its clock claims leave over. The clock changed if it gained.
func (w *World) checkReceived(s *slot, v, before *View, t *Trace, gained bool) {
	if t != nil && t.Kind == KindChunk && w.violation == nil {
		w.checkClaims(s, v, before, t)
	}
	if w.violation == nil && (t == nil || t.Kind == KindChunk || t.Kind == KindReplicate) && gained {
		w.checkTruth(s, v, t)
	}
}

// checkClaims looks at what a chunk added to the clock.
func (w *World) checkClaims(s *slot, v, before *View, t *Trace) {
	told := map[dvv.Dot]bool{}
	for _, it := range t.Items {
		for _, d := range it.Deletes {
			told[d] = true
		}
		for _, sib := range it.Object.Siblings() {
			told[sib.Dot] = true
		}
	}
	tr := w.checks.transfers[t.Transfer]
	whole := t.Last && tr != nil && tr.next == t.Seq+1
	for _, span := range v.Clock.Missing(before.Clock) {
		for n := span.First; n <= span.Last; n++ {
			d := dvv.Dot{Actor: span.Actor, Counter: n}
			if told[d] || whole && t.Clock.Has(d) || d.Actor == v.Actor {
				continue
			}
			if v.Clock.Descends(t.Clock) && !t.Last {
				w.fail("I20", s, "the whole clock %v was adopted with chunk %d, which is not the last", t.Clock, t.Seq)
			}
			w.fail("I18", s, "chunk %d made the clock claim %v, which it did not carry", t.Seq, d)
			return
		}
	}
}

// nameTruth chooses the invariant that a wrong key breaks.
func (w *World) nameTruth(key string, want, got []uint64, c dvv.Clock, t *Trace) string {
	for _, id := range want {
		if !slices.Contains(got, id) && w.oracle.ops[id].alone {
			return "I28"
		}
	}
	if t != nil && t.Kind == KindChunk {
		if t.Full {
			return "I21"
		}
		if !t.Last {
			return "I18"
		}
	}
	for _, id := range got {
		if !slices.Contains(want, id) {
			return "I14"
		}
	}
	for _, id := range want {
		if slices.Contains(got, id) {
			continue
		}
		for _, rec := range w.oracle.byKey[key] {
			if rec.Delete && rec.knownTo(c) && !rec.past.has(id) {
				return "I13"
			}
		}
	}
	return "I15"
}

// twice hands a doubled message over at once: nothing may change.
func (w *World) twice(s *slot, e *event, from NodeID) {
	if e.pkt.Trace == nil || e.pkt.Trace.Kind != KindReplicate {
		return
	}
	v := s.core.View()
	clock, digest := v.Clock, v.Digest
	w.step(s, e, func(out *Output) error { return s.core.Receive(w.clock(s), from, e.pkt.Body, out) })
	if !s.up || w.violation != nil && w.violation.Checker != "I32" {
		return
	}
	if n := s.core.View(); !n.Clock.Equal(clock) || n.Digest != digest {
		w.violation = nil
		w.fail("I12", s, "a doubled message changed the store")
	}
}
