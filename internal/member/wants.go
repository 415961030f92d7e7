package member

import (
	"fmt"
	"slices"

	"tombolo/internal/wire"
)

// view is what the detector says, and since when members are missing from it.
// Owned by the core.
type view struct {
	reachable []wire.NodeID
	group     []wire.NodeID         // the primary group
	whole     int64                 // since when it holds this node and all members that are not away; 0: it does not
	gone      map[wire.NodeID]int64 // members that are not reachable, since when
	exchanged map[wire.NodeID]bool  // members whose metadata this process has exchanged
}

// sees takes a new verdict.
func (c *core) sees(reachable, group []wire.NodeID) {
	c.view.reachable, c.view.group = reachable, group
}

func (c *core) primary() bool { return slices.Contains(c.view.group, c.self.ID) }

// away says that a member is not to be waited for.
func away(m *wire.Member) bool { return m.State == wire.MemberStopped || m.State == wire.MemberAbsent }

// keepOwn brings our own entry in the record up to date: name and addresses may
// have changed with a start, and the mark of a stop or an absence goes once we
// have exchanged with everybody who is not away as well (R27), and each of them
// has said for a second that its link to us is up: who hears earlier that we are
// back finds us missing, and closes its gate.
func (c *core) keepOwn() {
	i := c.kept.record.find(c.self.ID)
	if !c.formed() || i < 0 {
		return
	}
	entry := c.kept.record.Members[i]
	want := entry
	want.Name, want.Link, want.Gossip = c.self.Name, c.self.Link, c.self.Gossip
	if away(&entry) && !c.stopping && c.caughtUp() {
		want.State = wire.MemberJoined
	}
	if err := nameTaken(&c.kept.record, want); err != nil {
		c.complain(err.Error())
		want.Name = entry.Name // the rest does not wait for it
	}
	if want == entry {
		return
	}
	ch := change{kind: changeUpdate, member: want}
	if !c.pending(func(r *request) bool { return r.change.member.ID == c.self.ID }) {
		c.request(&request{change: ch, deadline: c.now + c.settings.requestTimeout})
	}
}

// caughtUp says that metadata was exchanged with every member that is not away,
// and that all of them have been in one group with us for a while.
func (c *core) caughtUp() bool {
	whole := c.primary()
	for i := range c.kept.record.Members {
		m := &c.kept.record.Members[i]
		if m.ID != c.self.ID && !away(m) {
			whole = whole && c.view.exchanged[m.ID] && slices.Contains(c.view.group, m.ID)
		}
	}
	switch {
	case !whole:
		c.view.whole = 0
	case c.view.whole == 0:
		c.view.whole = c.now
	}
	return whole && c.now-c.view.whole >= 4*c.settings.interval
}

func (c *core) pending(match func(*request) bool) bool { return slices.ContainsFunc(c.requests, match) }

// mayMark says whether a member may be marked absent: by the primary side, while
// it is not reachable (R24).
func (c *core) mayMark(r *request) error {
	if !r.absent {
		return nil
	}
	i := c.kept.record.find(r.change.member.ID)
	switch {
	case i < 0:
		return nil
	case !c.primary():
		return fmt.Errorf("%s is not marked absent: this node is not on the primary side", c.kept.record.Members[i].Name)
	case slices.Contains(c.view.reachable, r.change.member.ID):
		return fmt.Errorf("%s is not marked absent: it is reachable", c.kept.record.Members[i].Name)
	}
	return nil
}

// markDead marks members that are missing for too long; the smallest node of the
// side does it, so that not all propose at once.
func (c *core) markDead() {
	if c.settings.deadAfter == 0 || !c.member() {
		return
	}
	first := len(c.view.reachable) > 0 && slices.Min(c.view.reachable) == c.self.ID
	for id := range c.view.gone {
		if !c.kept.record.has(id) || slices.Contains(c.view.reachable, id) {
			delete(c.view.gone, id)
		}
	}
	for _, m := range c.kept.record.Members {
		if m.ID == c.self.ID || slices.Contains(c.view.reachable, m.ID) || c.view.reachable == nil {
			continue
		}
		since, known := c.view.gone[m.ID]
		switch {
		case !known:
			c.view.gone[m.ID] = c.now
		case c.now-since < c.settings.deadAfter || !first || !c.primary() || m.State != wire.MemberJoined && m.State != wire.MemberLeaving:
		case c.pending(func(r *request) bool { return r.absent && r.change.member.ID == m.ID }):
		default:
			c.log(warningLine, "%s was not reachable for cluster.dead_member_timeout: it is to be marked absent", m.Name)
			c.request(c.absence(m.ID, 0))
		}
	}
}

// absence is a request to mark a member absent.
func (c *core) absence(id wire.NodeID, caller uint64) *request {
	r := &request{id: caller, absent: true, change: change{kind: changeState, member: wire.Member{ID: id, State: wire.MemberAbsent}}}
	if caller == 0 {
		r.deadline = c.now + c.settings.requestTimeout
	}
	return r
}

// remove is a request to take a member out.
func (c *core) remove(id uint64, m wire.Member, force bool) {
	r := &request{id: id, change: change{kind: changeRemove, member: m}}
	now := c.kept.record.find(m.ID)
	switch {
	case force:
		c.force(r)
	case now >= 0 && (m.ID == c.self.ID || c.peer(m.ID) != nil) && c.kept.record.Members[now].State == wire.MemberJoined:
		c.end(r, fmt.Errorf("%s is up: let it leave, which moves its queues away, or stop it first", m.Name))
	default:
		c.request(r)
	}
}

// force makes a change effective here and now, whatever the majority says.
func (c *core) force(r *request) {
	if !c.member() {
		c.end(r, fmt.Errorf("this node is no member of a cluster"))
		return
	}
	list, changed, err := r.change.apply(&c.kept.record, c.wall)
	if err == nil && changed {
		c.log(warningLine, "an operator forces the member set: it changes without a majority")
		c.adopt(&Record{Version: c.kept.record.Version + 1, Nonce: c.settings.rand(), Origin: c.kept.record.Origin, Forced: true, Members: list})
	}
	c.end(r, err)
}
