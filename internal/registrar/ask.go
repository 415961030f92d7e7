package registrar

import (
	"fmt"
	"maps"
	"slices"

	"tombolo/internal/wire"
)

// asker is what this node asks of leaders. Owned by its Core.
type asker struct {
	asks  map[uint64]*ask   // by request number
	calls map[uint64]uint64 // request number by call
	last  uint64            // request number; never used twice by one process, rises over restarts
}

// ask is one registration under way. Owned by its Core.
type ask struct {
	call, number uint64
	q            Request
	leader       wire.NodeID // whom it was sent to last
	sentAt       int64
	retryAt      int64 // 0: it waits for the answer
	deadline     int64
	viewBy       int64 // when patience with a leader of another view ends; 0: there is none
	own          bool  // this node decides, since the leader sees others than we do
}

// Ask begins a registration; its Answer bears call.
func (c *Core) Ask(call uint64, q Request, at At, e *Effects) {
	if len(c.asker.asks) >= asksMax {
		e.Answers = append(e.Answers, Answer{Call: call, Client: q.Client, Denied: &Denied{Reason: wire.DenyBusy, Text: "too many clients connect at once"}})
		return
	}
	a := &ask{call: call, number: c.number(at), q: q, deadline: at.after(AnswerMax)}
	c.asker.asks[a.number], c.asker.calls[call] = a, a.number
	c.sendAsk(a, at, e)
}

// Cancel gives up a registration. A grant that comes all the same is given back.
func (c *Core) Cancel(call uint64, at At, e *Effects) {
	number, ok := c.asker.calls[call]
	if !ok {
		return
	}
	a := c.asker.asks[number]
	delete(c.asker.asks, number)
	delete(c.asker.calls, call)
	if a.leader == c.self {
		c.forgetJob(c.self, number, &a.q.Client, at, e)
	}
}

func (c *Core) sendAsk(a *ask, at At, e *Effects) {
	a.sentAt, a.retryAt, a.leader = at.Now, 0, c.view.leader(a.q.Client)
	if a.own {
		a.leader = c.self
	}
	m := &wire.Register{
		Request: a.number, View: c.hash, Client: a.q.Client, Seen: a.q.Seen, Home: a.q.Home,
		CleanStart: a.q.CleanStart, Bound: a.q.Bound, IfIdle: a.q.IfIdle,
	}
	if a.leader == c.self {
		c.takeRegister(c.self, m, at, e)
		return
	}
	e.send(a.leader, wire.TypeRegister, wire.AppendRegister(nil, m))
}

// askAgain sends what is under way to the leaders of a new view.
func (c *Core) askAgain(at At, e *Effects) {
	for _, n := range slices.Sorted(maps.Keys(c.asker.asks)) {
		if a := c.asker.asks[n]; a != nil {
			a.viewBy, a.own = 0, false
			c.sendAsk(a, at, e)
		}
	}
}

func (c *Core) endAsk(a *ask, ans Answer, e *Effects) {
	delete(c.asker.asks, a.number)
	delete(c.asker.calls, a.call)
	ans.Call, ans.Client = a.call, a.q.Client
	e.Answers = append(e.Answers, ans)
}

// takeGrant ends a registration, if the grant still holds: it is of this view,
// and the id was not given away under a higher epoch meanwhile.
func (c *Core) takeGrant(from wire.NodeID, m *wire.Grant, at At, e *Effects) {
	a := c.asker.asks[m.Request]
	if a == nil {
		return // the leader learns from the listing, or from Gone, that nobody came
	}
	if m.View != c.hash || from != a.leader {
		return // it is on its way to the new leader
	}
	if f := c.holder.fences[a.q.Client]; compare(m.Epoch, f.epoch) <= 0 && f.home != c.self {
		c.endAsk(a, Answer{Denied: &Denied{Reason: wire.DenyEpoch, Home: f.home, Text: "the client id connected elsewhere meanwhile"}}, e)
		c.tellGone(a.q.Client, m.Epoch, e)
		return
	}
	c.hold(a.q.Client, m.Epoch, a.q.Bound)
	c.endAsk(a, Answer{Grant: Grant{Epoch: m.Epoch, OldHome: m.OldHome, OldEpoch: m.OldEpoch, Closed: m.Closed}}, e)
}

// denyAsk takes the answer no to a registration.
func (c *Core) denyAsk(from wire.NodeID, m *wire.Deny, at At, e *Effects) {
	a := c.asker.asks[m.Request]
	if a == nil || from != a.leader {
		return
	}
	switch m.Reason {
	case wire.DenyView, wire.DenyLeader:
		if a.viewBy == 0 {
			a.viewBy = at.after(viewPatience)
			if at.Now-c.since >= viewLasts.Milliseconds() {
				a.viewBy = at.after(viewGivenUp)
			}
		}
		a.retryAt = at.after(viewRetry)
	default:
		text := denialText(m)
		if a.q.IfIdle && m.Reason == wire.DenyEpoch {
			text = fmt.Sprintf("the client is connected at node %016x", uint64(m.Home))
		}
		c.endAsk(a, Answer{Denied: &Denied{Reason: m.Reason, Home: m.Home, Text: text}}, e)
	}
}

func denialText(m *wire.Deny) string {
	switch m.Reason {
	case wire.DenyGate:
		return "netsplit: registering is closed (allow_register_during_netsplit)"
	case wire.DenyEpoch:
		return fmt.Sprintf("the client id is held by node %016x, which cannot be asked to close it", uint64(m.Home))
	case wire.DenyBusy:
		if m.Home != 0 {
			return fmt.Sprintf("node %016x did not close the client id in time", uint64(m.Home))
		}
	}
	return "the client id could not be registered in time"
}

// tickAsks sends again, and ends what has waited for too long.
func (c *Core) tickAsks(at At, e *Effects) {
	for _, n := range slices.Sorted(maps.Keys(c.asker.asks)) {
		a := c.asker.asks[n]
		switch {
		case a == nil:
		case at.Now >= a.deadline:
			text := fmt.Sprintf("node %016x, which decides on the client id, does not answer", uint64(a.leader))
			c.giveUp(a, Denied{Reason: wire.DenyBusy, Home: a.leader, Text: text}, at, e)
		case a.viewBy != 0 && at.Now >= a.viewBy && !a.own && c.mayDecide():
			// A cut that leaves each node a view of its own: we ask everybody whom
			// we reach ourselves.
			a.own, a.viewBy = true, 0
			c.sendAsk(a, at, e)
		case a.viewBy != 0 && at.Now >= a.viewBy:
			c.giveUp(a, Denied{Reason: wire.DenyView, Text: "the nodes do not agree yet on who can be reached"}, at, e)
		case a.retryAt != 0 && at.Now >= a.retryAt, a.retryAt == 0 && at.Now-a.sentAt >= resendAfter.Milliseconds():
			c.sendAsk(a, at, e)
		}
	}
}

// mayDecide reports whether this node may decide on ids of which it is not the
// leader: not while all members reach each other, since their views will agree then.
func (c *Core) mayDecide() bool {
	return c.view.Open && (c.view.Split || len(c.view.Reachable) < c.view.Members)
}

func (c *Core) giveUp(a *ask, d Denied, at At, e *Effects) {
	c.endAsk(a, Answer{Denied: &d}, e)
	if a.leader == c.self {
		c.forgetJob(c.self, a.number, &a.q.Client, at, e)
	}
}
