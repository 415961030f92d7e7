package replica

import (
	"time"

	"tombolo/dvv"
)

// A full join that was resumed has keys of several snapshots. Those behind a break
// show what was written between the snapshots, those before it do not, and the
// deletes of that time are not known here at all. To adopt the first snapshot's clock
// then would be true of every key, and wrong as an answer: a third store that pulls
// from here would take over that clock, and of a key whose value of that time was gone
// by the second snapshot the index has nothing to send (I14). So the join ends with one
// more pull from its donor, of all that was written since the first snapshot, and
// adopts the clock of that. Nothing is claimed before, as in any pull: if the donor is
// lost meanwhile, the join begins again with another one.

// finishKeys ends the part of a full join that goes through the keys.
func (r *Replica) finishKeys(now time.Time, p *peer) {
	j := r.join
	switch {
	case j == nil || j.donor != p.id:
	case j.clock.Descends(j.last):
		r.finishJoin(now, p, j.clock)
	default:
		p.incoming = &incoming{id: r.nextID(), catchUp: true, request: r.clock, progress: now}
		r.requestPull(now, p)
	}
}

// finishCatchUp adopts what is whole now.
func (r *Replica) finishCatchUp(now time.Time, p *peer, clock dvv.Clock) {
	j := r.join
	if j == nil || j.donor != p.id {
		return
	}
	if !clock.Descends(j.last) {
		r.event(Event{Kind: EventGaveUp, Peer: p.id, Text: "the donor went back; the join begins again"})
		r.join = nil
		r.startJoin(now, p, "the donor went back")
		return
	}
	r.finishJoin(now, p, j.clock.Join(clock))
}

// giveUpCatchUp is that p collected what the catching up would have needed: what was
// merged so far is of no use.
func (r *Replica) giveUpCatchUp(p *peer) {
	if in := p.incoming; in != nil && in.catchUp && r.join != nil {
		r.join, r.dirty.join = nil, true
	}
}
