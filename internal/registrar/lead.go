package registrar

import (
	"maps"
	"slices"

	"tombolo/internal/wire"
)

// seat is what a leader knows of one id. Owned by its Core.
type seat struct {
	homes []home // where it is connected, as far as is known; of a node once
	job   *job   // what is being decided
	line  []*job // what waits for that
	last  answered
}

// home is a node that holds an id.
type home struct {
	node  wire.NodeID
	epoch wire.Epoch
}

// answered is the last grant, for who did not hear it.
type answered struct {
	from  wire.NodeID
	grant wire.Grant
}

// leader is what this node decides for others. Owned by its Core.
type leader struct {
	seats    map[wire.Client]*seat
	jobs     map[uint64]*job // under way, by number
	resolves map[uint64]resolve
	doubles  map[wire.Client]bool // ids with two homes
	members  []wire.NodeID        // of the view
	listing  map[wire.NodeID]bool // true: the whole listing is here; false: a part
	pullAt   int64
	solveAt  int64
}

// resolve is a node that was asked to close its part of a double.
type resolve struct {
	client wire.Client
	home   home
}

func (l *leader) reset(v *View, pullAt int64) {
	*l = leader{
		seats: make(map[wire.Client]*seat), jobs: make(map[uint64]*job), resolves: make(map[uint64]resolve),
		doubles: make(map[wire.Client]bool), listing: make(map[wire.NodeID]bool),
		members: v.Reachable, pullAt: pullAt,
	}
	if len(v.Reachable) == 1 {
		l.listing[v.Reachable[0]] = true
	}
}

// complete reports whether the listing of every member is here.
func (l *leader) complete() bool {
	for _, id := range l.members {
		if !l.listing[id] {
			return false
		}
	}
	return true
}

func (l *leader) seat(k wire.Client) *seat {
	s := l.seats[k]
	if s == nil {
		s = &seat{}
		l.seats[k] = s
	}
	return s
}

// tidy forgets a seat that says nothing.
func (l *leader) tidy(k wire.Client) {
	if s := l.seats[k]; s != nil && len(s.homes) == 0 && s.job == nil && len(s.line) == 0 {
		delete(l.seats, k)
	}
}

func (s *seat) home(node wire.NodeID) *home {
	for i := range s.homes {
		if s.homes[i].node == node {
			return &s.homes[i]
		}
	}
	return nil
}

// leaves takes a node out, if what it held is not above epoch.
func (s *seat) leaves(node wire.NodeID, epoch wire.Epoch) {
	s.homes = slices.DeleteFunc(s.homes, func(h home) bool { return h.node == node && compare(h.epoch, epoch) <= 0 })
}

// takeClients takes a part of a listing, or a change.
func (c *Core) takeClients(from wire.NodeID, m *wire.Clients, at At, e *Effects) {
	c.sameView(from, m.View)
	if m.View == meetingView {
		c.takeMeeting(from, m, at, e)
		return
	}
	if m.View != c.hash || !c.view.has(from) {
		return // it lists again in its next view, or is asked to
	}
	if m.First {
		c.leader.listing[from] = false
	}
	for i := range m.List {
		if c.view.leader(m.List[i].Client) == c.self {
			c.seatChange(from, &m.List[i], at, e)
		}
	}
	if _, begun := c.leader.listing[from]; begun && m.Last {
		c.leader.listing[from] = true
	}
}

// sameView notes the view of a member. What it listed is void once it has been
// in another view, where it may have let clients in without asking here; that
// we stayed in ours does not matter.
func (c *Core) sameView(from wire.NodeID, view uint64) {
	if view != c.hash {
		delete(c.leader.listing, from)
	}
}

// seatChange enters where a client is. Two nodes with one id are no accident
// of a registration that is under way: of those, one is asked to close it.
func (c *Core) seatChange(node wire.NodeID, m *wire.Connected, at At, e *Effects) {
	if m.Gone {
		if s := c.leader.seats[m.Client]; s != nil {
			s.leaves(node, m.Epoch)
			c.leader.tidy(m.Client)
		}
		return
	}
	s := c.leader.seat(m.Client)
	if h := s.home(node); h == nil {
		s.homes = append(s.homes, home{node, m.Epoch})
	} else {
		h.epoch = later(h.epoch, m.Epoch)
	}
	if s.job != nil {
		c.alsoAsk(s.job, node, at, e)
		return
	}
	c.resolve(m.Client, s, at, e)
}

// resolve has all homes of an id but the one with the highest epoch close it.
func (c *Core) resolve(k wire.Client, s *seat, at At, e *Effects) {
	if len(s.homes) < 2 || s.job != nil {
		delete(c.leader.doubles, k)
		return
	}
	c.leader.doubles[k] = true
	best := slices.MaxFunc(s.homes, func(a, b home) int { return compare(a.epoch, b.epoch) })
	for _, h := range slices.Clone(s.homes) {
		if h.node == best.node {
			continue
		}
		n := c.number(at)
		c.leader.resolves[n] = resolve{k, h}
		if h.node == c.self {
			c.release(k, best.epoch, best.node, asked{c.self, n}, at, e)
			c.stats.Duplicates++
			continue
		}
		e.send(h.node, wire.TypeRelease, wire.AppendRelease(nil, &wire.Release{Request: n, Client: k, Epoch: best.epoch, NewHome: best.node}))
	}
}

// resolved takes the answer of a node that was asked to close its part.
func (c *Core) resolved(from wire.NodeID, n uint64, no *wire.Deny, at At, e *Effects) bool {
	r, ok := c.leader.resolves[n]
	if !ok || r.home.node != from {
		return false
	}
	delete(c.leader.resolves, n)
	s := c.leader.seats[r.client]
	if s == nil {
		return true
	}
	switch {
	case no == nil:
		s.leaves(from, r.home.epoch)
	case no.Reason == wire.DenyEpoch && no.Home == from:
		if h := s.home(from); h != nil {
			h.epoch = later(h.epoch, no.Epoch) // it was granted again
		}
	}
	if no == nil || no.Reason == wire.DenyEpoch {
		c.resolve(r.client, s, at, e)
	}
	c.leader.tidy(r.client)
	return true
}

// tickLeader asks for listings that did not come, and for doubles to be closed.
func (c *Core) tickLeader(at At, e *Effects) {
	if at.Now >= c.leader.pullAt && !c.leader.complete() {
		c.leader.pullAt = at.after(pullAfter)
		for _, id := range c.leader.members {
			if !c.leader.listing[id] && id != c.self {
				e.send(id, wire.TypeDeny, wire.AppendDeny(nil, &wire.Deny{View: c.hash, Reason: wire.DenyView}))
			}
		}
	}
	if at.Now < c.leader.solveAt || len(c.leader.doubles) == 0 {
		return
	}
	c.leader.solveAt = at.after(resendAfter)
	clear(c.leader.resolves)
	list := slices.SortedFunc(maps.Keys(c.leader.doubles), compareClients)
	for _, k := range list {
		if s := c.leader.seats[k]; s != nil {
			c.resolve(k, s, at, e)
		} else {
			delete(c.leader.doubles, k)
		}
	}
}
