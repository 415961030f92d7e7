package replica

import (
	"tombolo/dvv"
	"tombolo/internal/pack"
)

// OwnActors is under which actors this node has written: the one it writes under
// now first, then the retired ones.
func (r *Replica) OwnActors() []dvv.Actor {
	list := []dvv.Actor{r.actor}
	for _, t := range r.retired {
		if t.Node == r.config.Node && t.Actor != r.actor {
			list = append(list, t.Actor)
		}
	}
	return list
}

// Holding is whether a peer has made something durable. It is known within a
// session: what the peer had in an earlier one it may have lost with its disk.
type Holding uint8

// The answers of Holds.
const (
	HoldsNot Holding = iota
	HoldsAll
	HoldsUnknown // there is no session with it
)

// Holds says whether the peer id is known to have made all of what durable. Who is
// no member, or owes a full join and serves nobody before it, lacks nothing.
func (r *Replica) Holds(id uint64, what dvv.VV) Holding {
	p := r.peer(id)
	switch {
	case p == nil:
		return HoldsAll
	case !p.established():
		return HoldsUnknown
	case p.joining:
		return HoldsAll
	}
	for _, d := range what.Entries() {
		if p.clock.Base(d.Actor) < d.Counter && (d.Actor != r.actor || p.haveOwn < d.Counter) {
			return HoldsNot
		}
	}
	return HoldsAll
}

// IsMember says whether id is a member, not this node.
func (r *Replica) IsMember(id uint64) bool { return r.peer(id) != nil }

// Nudge shows the peer id what there is to pull: what was pushed to it seems to
// be lost.
func (r *Replica) Nudge(id uint64) {
	r.flushOwn()
	if p := r.peer(id); r.rebuild == nil && p != nil && p.established() {
		r.sendClock(p, true)
	}
}

// sendHave tells p, with the batch that holds them, up to where its dots are
// durable here.
func (r *Replica) sendHave(p *peer) {
	frame := pack.AppendUint(p.header(r, frameHave), uint64(p.actor))
	r.send(p, pack.AppendUint(frame, r.clock.Base(p.actor)))
}
