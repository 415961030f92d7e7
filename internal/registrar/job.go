package registrar

import (
	"maps"
	"slices"

	"tombolo/internal/wire"
)

// triesMax is how often a job begins again with a higher epoch.
const triesMax = 5

// job is one registration at its leader. Owned by its Core.
type job struct {
	from     wire.NodeID
	q        wire.Register
	number   uint64 // under which nodes are asked; 0: it waits in line
	epoch    wire.Epoch
	known    wire.Epoch // the highest that was heard of
	old      home       // what the asker takes over
	waiting  []waited
	accepted int // the weight of the members that take the epoch, the asker among them
	tries    int
	sentAt   int64
	deadline int64
}

// waited is a node whose answer is outstanding. What it may hold must be
// closed; others only count for the majority.
type waited struct {
	node wire.NodeID
	must bool
}

// number makes a number for a request of ours; asks and jobs share the series,
// since a Deny answers either.
func (c *Core) number(at At) uint64 {
	c.asker.last = max(c.asker.last+1, at.Stamp)
	return c.asker.last
}

// takeRegister begins to decide, or puts the request into the line of its id.
func (c *Core) takeRegister(from wire.NodeID, m *wire.Register, at At, e *Effects) {
	c.sameView(from, m.View)
	reason := wire.DenyReason(0)
	switch {
	case m.View != c.hash || !c.view.has(from):
		reason = wire.DenyView
	case c.view.leader(m.Client) != c.self && !(from == c.self && c.mayDecide()):
		reason = wire.DenyLeader
	case !c.view.Open, c.view.Quorum && !c.view.enough(c.view.reaches()):
		reason = wire.DenyGate
	}
	if reason != 0 {
		c.deny(from, &wire.Deny{Request: m.Request, View: c.hash, Reason: reason}, at, e)
		return
	}
	s := c.leader.seat(m.Client)
	same := func(j *job) bool { return j.from == from && j.q.Request == m.Request }
	switch {
	case s.last.from == from && s.last.grant.Request == m.Request && s.home(from) != nil:
		c.grant(from, &s.last.grant, at, e)
	case s.job != nil && same(s.job), slices.ContainsFunc(s.line, same):
	case len(s.line) >= lineMax:
		c.deny(from, &wire.Deny{Request: m.Request, View: c.hash, Reason: wire.DenyBusy}, at, e)
	default:
		s.line = append(s.line, &job{from: from, q: *m, deadline: at.after(decideMax)})
		c.next(m.Client, s, at, e)
	}
}

// next begins with the next in line, if nothing is under way.
func (c *Core) next(k wire.Client, s *seat, at At, e *Effects) {
	for s.job == nil && len(s.line) > 0 {
		j := s.line[0]
		s.line = s.line[1:]
		s.job = j
		c.begin(s, j, at, e)
	}
	if s.job == nil {
		c.resolve(k, s, at, e)
		c.leader.tidy(k)
	}
}

// begin asks whoever may hold the id to close it.
func (c *Core) begin(s *seat, j *job, at At, e *Effects) {
	j.known = later(j.known, j.q.Seen)
	if j.tries == 0 {
		j.old = home{j.q.Home, j.q.Seen}
	}
	for _, h := range s.homes {
		j.known = later(j.known, h.epoch)
		if j.old.node == 0 || compare(h.epoch, j.old.epoch) > 0 {
			j.old = h
		}
	}
	j.number, j.epoch, j.sentAt, j.accepted = c.number(at), c.epochAbove(j.known, at), at.Now, c.view.weighs(j.from)
	c.leader.jobs[j.number] = j
	all := !c.leader.complete() || c.view.leader(j.q.Client) != c.self
	j.waiting = j.waiting[:0]
	for _, id := range c.view.Reachable {
		must := all || s.home(id) != nil || id == j.q.Home
		if id != j.from && (must || c.view.Quorum) {
			j.waiting = append(j.waiting, waited{id, must})
		}
	}
	c.askHolders(j, at, e)
	c.decide(j, at, e)
}

// release is what the job asks of who holds the id.
func (j *job) release() *wire.Release {
	return &wire.Release{Request: j.number, Client: j.q.Client, Epoch: j.epoch, NewHome: j.from, IfIdle: j.q.IfIdle}
}

// askHolders sends to whom the job waits for; this node comes last, since it may
// answer at once.
func (c *Core) askHolders(j *job, at At, e *Effects) {
	m := j.release()
	own := false
	for _, w := range j.waiting {
		if w.node == c.self {
			own = true
			continue
		}
		e.send(w.node, wire.TypeRelease, wire.AppendRelease(nil, m))
	}
	if own {
		c.takeRelease(c.self, m, at, e)
	}
}

// alsoAsk asks a node of which the job did not know that it holds the id.
func (c *Core) alsoAsk(j *job, node wire.NodeID, at At, e *Effects) {
	if node == j.from || slices.ContainsFunc(j.waiting, func(w waited) bool { return w.node == node }) {
		return
	}
	j.waiting = append(j.waiting, waited{node, true})
	m := j.release()
	if node == c.self {
		c.takeRelease(c.self, m, at, e)
		return
	}
	e.send(node, wire.TypeRelease, wire.AppendRelease(nil, m))
}

// takeReleased notes that a node holds the id no more.
func (c *Core) takeReleased(from wire.NodeID, m *wire.Released, at At, e *Effects) {
	j := c.leader.jobs[m.Request]
	if j == nil {
		c.resolved(from, m.Request, nil, at, e)
		return
	}
	i := slices.IndexFunc(j.waiting, func(w waited) bool { return w.node == from })
	if i < 0 {
		return
	}
	j.waiting = slices.Delete(j.waiting, i, i+1)
	j.accepted += c.view.weighs(from)
	c.leader.seat(j.q.Client).leaves(from, j.epoch)
	if m.Existed && compare(m.OldEpoch, j.old.epoch) > 0 {
		j.old = home{from, m.OldEpoch}
	}
	c.decide(j, at, e)
}

// takeDeny takes a no: to a release of ours, to a registration of ours, or, when
// it names no request, from a leader that lacks our listing.
func (c *Core) takeDeny(from wire.NodeID, m *wire.Deny, at At, e *Effects) {
	c.sameView(from, m.View)
	if m.Request == 0 {
		if m.Reason == wire.DenyView && m.View == c.hash && c.view.has(from) {
			c.listFor(from, e)
		}
		return
	}
	j := c.leader.jobs[m.Request]
	switch {
	case j == nil:
		if !c.resolved(from, m.Request, m, at, e) {
			c.denyAsk(from, m, at, e)
		}
	case !slices.ContainsFunc(j.waiting, func(w waited) bool { return w.node == from }):
	case m.Reason != wire.DenyEpoch:
		c.fail(j, &wire.Deny{Reason: wire.DenyBusy, Home: from}, at, e)
	case m.Home != 0 && (j.q.IfIdle || !c.view.has(m.Home)):
		c.fail(j, &wire.Deny{Reason: wire.DenyEpoch, Epoch: m.Epoch, Home: m.Home}, at, e)
	case j.tries >= triesMax:
		c.fail(j, &wire.Deny{Reason: wire.DenyBusy, Epoch: m.Epoch, Home: m.Home}, at, e)
	default:
		c.again(j, m, at, e)
	}
}

// again begins a job anew above an epoch that it did not know.
func (c *Core) again(j *job, m *wire.Deny, at At, e *Effects) {
	j.tries++
	j.known = later(j.known, m.Epoch)
	delete(c.leader.jobs, j.number)
	s := c.leader.seat(j.q.Client)
	if m.Home != 0 && m.Home != j.from && s.home(m.Home) == nil {
		s.homes = append(s.homes, home{m.Home, m.Epoch})
	}
	c.begin(s, j, at, e)
}

// decide grants once nobody holds the id, and enough accept.
func (c *Core) decide(j *job, at At, e *Effects) {
	if c.leader.jobs[j.number] != j || slices.ContainsFunc(j.waiting, func(w waited) bool { return w.must }) {
		return
	}
	if c.view.Quorum && !c.view.enough(j.accepted) {
		return
	}
	k := j.q.Client
	s := c.leader.seat(k)
	if i := slices.IndexFunc(s.homes, func(h home) bool { return h.node != j.from }); i >= 0 && j.tries < triesMax {
		// It was granted there in another view, above our epoch.
		c.again(j, &wire.Deny{Epoch: s.homes[i].epoch, Home: s.homes[i].node}, at, e)
		return
	}
	delete(c.leader.jobs, j.number)
	s.job = nil
	s.leaves(j.from, j.epoch)
	if c.view.leader(k) == c.self {
		s.homes = append(s.homes, home{j.from, j.epoch})
	}
	s.last = answered{j.from, wire.Grant{
		Request: j.q.Request, View: c.hash, Epoch: j.epoch, OldHome: j.old.node, OldEpoch: j.old.epoch,
		Closed: j.old.node != 0 && c.view.has(j.old.node),
	}}
	c.stats.Granted++
	g := s.last.grant
	c.grant(j.from, &g, at, e)
	c.next(k, s, at, e)
}

func (c *Core) grant(to wire.NodeID, m *wire.Grant, at At, e *Effects) {
	if to == c.self {
		c.takeGrant(c.self, m, at, e)
		return
	}
	e.send(to, wire.TypeGrant, wire.AppendGrant(nil, m))
}

func (c *Core) deny(to wire.NodeID, m *wire.Deny, at At, e *Effects) {
	c.stats.Denied++
	if to == c.self {
		c.denyAsk(c.self, m, at, e)
		return
	}
	e.send(to, wire.TypeDeny, wire.AppendDeny(nil, m))
}

// fail ends a job with a no, and goes on with the next in line.
func (c *Core) fail(j *job, m *wire.Deny, at At, e *Effects) {
	k := j.q.Client
	s := c.leader.seat(k)
	c.drop(s, j)
	m.Request, m.View = j.q.Request, c.hash
	c.deny(j.from, m, at, e)
	c.next(k, s, at, e)
}

// drop takes a job out, wherever it stands.
func (c *Core) drop(s *seat, j *job) {
	delete(c.leader.jobs, j.number)
	if s.job == j {
		s.job = nil
	}
	s.line = slices.DeleteFunc(s.line, func(o *job) bool { return o == j })
}

// forgetJob drops a registration whose asker, this node, has given up.
func (c *Core) forgetJob(from wire.NodeID, request uint64, k *wire.Client, at At, e *Effects) {
	s := c.leader.seats[*k]
	if s == nil {
		return
	}
	is := func(j *job) bool { return j != nil && j.from == from && j.q.Request == request }
	if is(s.job) {
		c.drop(s, s.job)
	}
	s.line = slices.DeleteFunc(s.line, is)
	c.next(*k, s, at, e)
}

// abandonJobs tells the askers of the last view to look for another leader.
func (c *Core) abandonJobs(at At, e *Effects) {
	for _, k := range slices.SortedFunc(maps.Keys(c.leader.seats), compareClients) {
		s := c.leader.seats[k]
		if s.job != nil {
			s.line = slices.Insert(s.line, 0, s.job)
		}
		for _, j := range s.line {
			if j.from != c.self {
				c.deny(j.from, &wire.Deny{Request: j.q.Request, View: c.hash, Reason: wire.DenyView}, at, e)
			}
		}
	}
}

// tickJobs asks again, and ends what takes too long.
func (c *Core) tickJobs(at At, e *Effects) {
	for _, n := range slices.Sorted(maps.Keys(c.leader.jobs)) {
		j := c.leader.jobs[n]
		switch {
		case j == nil:
		case at.Now >= j.deadline:
			m := &wire.Deny{Reason: wire.DenyBusy}
			if len(j.waiting) > 0 {
				m.Home = j.waiting[0].node
			}
			c.fail(j, m, at, e)
		case at.Now-j.sentAt >= resendAfter.Milliseconds():
			j.sentAt = at.Now
			c.askHolders(j, at, e)
		}
	}
	c.tickLeader(at, e)
}
