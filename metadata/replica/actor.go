package replica

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tombolo/dvv"
)

// mint takes a new actor and retires the one before. The counter is never made
// to jump instead: dots that do not exist would leave gaps in every clock.
func (r *Replica) mint(why string) {
	r.flushOwn()
	old := r.actor
	if r.clock.Top(old) > 0 || r.own > 0 {
		r.retire(old, r.config.Node)
	}
	r.actor, r.own = dvv.Actor(r.config.Rand()|1), 0
	r.dirty.identity = true
	for _, p := range r.peers {
		p.haveOwn = 0
		if p.established() {
			p.proved = false // it is told by the next hello
			p.helloAt = time.Time{}
		}
	}
	r.event(Event{Kind: EventMinted, Dot: dvv.Dot{Actor: r.actor}, Text: why})
}

// amnesia is that p knows dots of ours up to counter, and we do not: the disk
// went back, or a backup was restored. No more writes, a new actor, and a full
// join: others may have collected what they knew us to have.
func (r *Replica) amnesia(now time.Time, p *peer, counter uint64) {
	r.event(Event{Kind: EventAmnesia, Peer: p.id, Dot: dvv.Dot{Actor: r.actor, Counter: counter}, Text: fmt.Sprintf("own counter is %d", r.own)})
	r.mint("a member knows more of this actor than this directory")
	r.oweJoin()
	p.incoming = nil
	r.startJoin(now, p, "amnesia")
}

// oweJoin has the store make a full join before it serves again. One that is under
// way, or has just ended, does not count: it began before the reason.
func (r *Replica) oweJoin() {
	r.identity.joins, r.dirty.identity = true, true
	r.join, r.goals, r.dirty.join = nil, nil, true
	if r.phase == Serving {
		r.phase = Joining
	}
}

func (r *Replica) isRetired(a dvv.Actor) bool {
	return slices.ContainsFunc(r.retired, func(t Retired) bool { return t.Actor == a })
}

// retire notes that a, of node, writes no more. The list is kept for ever.
func (r *Replica) retire(a dvv.Actor, node uint64) {
	if a == 0 || r.isRetired(a) {
		return
	}
	r.retired = append(slices.Clone(r.retired), Retired{Actor: a, Node: node})
	r.sortRetired()
	for _, p := range r.peers {
		if n := len(p.proofs); n > 0 {
			p.proofs = slices.DeleteFunc(p.proofs, func(f proof) bool { return f.actor == a })
			r.dirty.peers = r.dirty.peers || len(p.proofs) < n
		}
	}
}

func (r *Replica) sortRetired() {
	slices.SortFunc(r.retired, func(a, b Retired) int { return cmp.Compare(a.Actor, b.Actor) })
	r.dirty.retired, r.known.retiredBytes = true, nil
}

// learnRetired takes in a peer's list.
func (r *Replica) learnRetired(list []Retired) {
	for _, t := range list {
		if r.isRetired(t.Actor) {
			continue
		}
		r.retire(t.Actor, t.Node)
		if t.Actor == r.actor {
			// It was taken out and comes back (§1.2 of the reference): much may have
			// been collected, and nobody that joins may begin from here.
			r.mint("the other members have retired this actor")
			r.oweJoin()
		}
	}
}

// SetMembers replaces the member set. A later version wins; an earlier one is
// ignored. A member that comes has to know of all that was collected before; one
// that goes has its actor retired and holds back nothing any more.
func (r *Replica) SetMembers(now time.Time, version uint64, members []Member) {
	r.flushOwn()
	if version < r.version {
		return
	}
	was := r.peers
	if len(was) == 0 {
		r.trimmed, r.dirty.state = r.clock, true // nobody lacked anything before
	}
	r.version, r.peers, r.dirty.peers, r.trimDone = version, nil, true, false
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	for _, m := range sorted {
		if m.ID == r.config.Node || len(r.peers) > 0 && r.peers[len(r.peers)-1].id == m.ID {
			continue
		}
		i := slices.IndexFunc(was, func(p *peer) bool { return p.id == m.ID })
		var p *peer
		if i >= 0 {
			p = was[i]
		} else {
			p = &peer{id: m.ID, need: r.state.collected, heard: now.UnixMilli(), helloAt: now, request: r.left[m.ID]}
		}
		p.absent = m.Absent
		r.peers = append(r.peers, p)
	}
	for _, p := range was {
		if r.peer(p.id) == nil {
			p.endTransfer()
			p.endRanges()
			r.left[p.id] = p.request
			r.retire(p.actor, p.id)
			for _, f := range p.proofs {
				r.retire(f.actor, p.id)
			}
			if r.join != nil && r.join.donor == p.id {
				r.join, r.dirty.join = nil, true
			}
		}
	}
}

// Members is the member set without this node.
func (r *Replica) Members() (version uint64, members []Member) {
	for _, p := range r.peers {
		members = append(members, Member{ID: p.id, Absent: p.absent})
	}
	return r.version, members
}

// ServeAnyway takes writes although a full join is owed and nobody is there to
// join from: the operator's decision.
func (r *Replica) ServeAnyway() {
	if r.phase == Joining && r.rebuild == nil {
		r.phase = Serving
		r.event(Event{Kind: EventServing, Text: "without the join that is owed"})
	}
}

// noteWall compares the wall clocks (R34).
func (r *Replica) noteWall(now time.Time, p *peer, wall int64) {
	p.offset, p.offsets = time.UnixMilli(wall).Sub(now), true
	var room [16]time.Duration
	list := room[:0]
	for _, q := range r.peers {
		if q.offsets {
			list = append(list, q.offset)
		}
	}
	if 2*len(list) <= len(r.peers) {
		return // most of them are not heard of yet
	}
	slices.Sort(list)
	median := list[len(list)/2]
	if low := list[(len(list)-1)/2]; low.Abs() < median.Abs() {
		median = low
	}
	drift := median.Abs() > r.config.DriftMax
	if drift != r.hlc.frozen.Load() {
		r.hlc.frozen.Store(drift)
		text := "the wall clock agrees with the other members again"
		if drift {
			text = fmt.Sprintf("the other members are %v off this wall clock", median)
		}
		r.event(Event{Kind: EventDrift, Peer: p.id, Text: text})
	}
}

// HasSeen is which members are known to have made d, a dot of this store,
// durable.
func (r *Replica) HasSeen(d dvv.Dot) (yes, no []uint64) {
	for _, p := range r.peers {
		if p.row.Has(d) || p.candidate.Has(d) || d.Actor == r.actor && d.Counter <= p.haveOwn {
			yes = append(yes, p.id)
		} else {
			no = append(no, p.id)
		}
	}
	return yes, no
}
