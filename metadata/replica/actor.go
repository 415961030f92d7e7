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
	r.identity.joins = true
	if r.phase == Serving {
		r.phase = Joining
	}
	p.incoming = nil
	r.join, r.goals = nil, nil
	r.startJoin(now, p, "amnesia")
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
}

func (r *Replica) sortRetired() {
	slices.SortFunc(r.retired, func(a, b Retired) int { return cmp.Compare(a.Actor, b.Actor) })
	r.dirty.retired = true
}

// learnRetired takes in a peer's list. Values of ours under a dot that the others
// have sealed as never written are written again under our own actor, before
// anything else of that peer is merged: it would count them as deleted.
func (r *Replica) learnRetired(list []Retired) {
	for _, t := range list {
		i := slices.IndexFunc(r.retired, func(o Retired) bool { return o.Actor == t.Actor })
		if i < 0 {
			r.retired = append(slices.Clone(r.retired), t)
		} else {
			was := r.retired[i]
			t.Node, t.Sealed, t.Gaps = was.Node, t.Sealed || was.Sealed, joinRuns(was.Gaps, t.Gaps)
			if t.Sealed == was.Sealed && slices.Equal(t.Gaps, was.Gaps) {
				continue
			}
			r.retired = slices.Clone(r.retired)
			r.retired[i] = t
		}
		r.sortRetired()
		if t.Actor == r.actor {
			// It was taken out and comes back (§1.2 of the reference): much may have
			// been collected, and nobody that joins may begin from here.
			r.mint("the other members have retired this actor")
			r.identity.joins = true
			if r.phase == Serving {
				r.phase = Joining
			}
		}
		for _, gap := range t.Gaps {
			r.reissue(t.Actor, gap)
		}
	}
}

// reissue writes what we have in a sealed gap anew: live values, and deletes that
// somebody may not have.
func (r *Replica) reissue(a dvv.Actor, gap dvv.Run) {
	it := r.view.Iterator(spanRange(areaIndex, dvv.Span{Actor: a, First: gap.First, Last: gap.Last}))
	defer it.Close()
	for it.Next() {
		d, ok := parseDotKey(it.Key())
		if !ok || len(it.Value()) < 2 {
			continue
		}
		key := objectKey(it.Value()[1:])
		old, err := r.get(key)
		isDelete := it.Value()[0] == indexDelete
		if err != nil || !isDelete && !old.Live(d) {
			continue
		}
		r.own++
		fresh := dvv.Dot{Actor: r.actor, Counter: r.own}
		r.setClock(r.clock.Add(fresh))
		if isDelete {
			r.store(key, old, old) // what is pushed with it
			r.noteDelete(key[1:], fresh)
			r.touch(key, fresh, true)
			continue
		}
		siblings := slices.Clone(old.Siblings())
		for i := range siblings {
			if siblings[i].Dot == d {
				siblings[i].Dot = fresh
			}
		}
		context := old.Context().With(d).With(fresh)
		r.store(key, old, dvv.NewObject(context, siblings...).Strip(r.bases))
		r.touch(key, fresh, false)
	}
}

// sealRetired closes the gaps of retired actors that no member can fill: all
// know that the actor is retired, and all have the same of it. It closes up to
// the highest counter that a context here names, too: a write that got lost may
// be known by nothing but what came after it. A list that was sealed is widened
// when another gap shows.
func (r *Replica) sealRetired() {
	sum := retiredSum(r.retired)
	for i, t := range r.retired {
		top := max(r.clock.Top(t.Actor), r.named.Get(t.Actor))
		gaps := r.clock.Gaps(t.Actor)
		if last := r.clock.Top(t.Actor); last < top {
			gaps = append(gaps, dvv.Run{First: last + 1, Last: top})
		}
		if t.Sealed && len(gaps) == 0 || !r.allMembers(func(p *peer) bool {
			return p.retiredSum == sum && sameEntry(p.clock, r.clock, t.Actor)
		}) {
			continue
		}
		r.retired = slices.Clone(r.retired)
		r.retired[i].Sealed = true
		r.retired[i].Gaps = joinRuns(t.Gaps, gaps)
		r.dirty.retired = true
		r.setClock(r.clock.AddSpan(dvv.Span{Actor: t.Actor, First: 1, Last: top}))
		r.event(Event{Kind: EventSealed, Dot: dvv.Dot{Actor: t.Actor, Counter: top}})
	}
}

// joinRuns is what lies in either list.
func joinRuns(a, b []dvv.Run) []dvv.Run {
	var c dvv.Clock
	for _, list := range [][]dvv.Run{a, b} {
		for _, g := range list {
			c = c.AddSpan(dvv.Span{Actor: 1, First: g.First, Last: g.Last})
		}
	}
	var runs []dvv.Run
	for _, s := range c.Missing(dvv.Clock{}) {
		runs = append(runs, dvv.Run{First: s.First, Last: s.Last})
	}
	return runs
}

func sameEntry(c, d dvv.Clock, a dvv.Actor) bool {
	return c.Base(a) == d.Base(a) && c.Top(a) == d.Top(a) && slices.Equal(c.Gaps(a), d.Gaps(a))
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
	r.version, r.peers, r.dirty.peers = version, nil, true
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
			p = &peer{id: m.ID, need: r.state.collected, heard: now.UnixMilli(), helloAt: now}
		}
		p.absent = m.Absent
		r.peers = append(r.peers, p)
	}
	for _, p := range was {
		if r.peer(p.id) == nil {
			p.endTransfer()
			r.retire(p.actor, p.id)
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
	var list []time.Duration
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
		if p.row.Covers(d) || p.candidate.Covers(d) || d.Actor == r.actor && d.Counter <= p.haveOwn {
			yes = append(yes, p.id)
		} else {
			no = append(no, p.id)
		}
	}
	return yes, no
}
