package registrar

import (
	"cmp"
	"maps"
	"slices"

	"tombolo/internal/wire"
)

// held is a client that is here, or that was granted to this node and is about
// to be.
type held struct {
	epoch wire.Epoch
	bound bool
}

// fence is up to which epoch an id was given away. Effects of a lower one are
// refused.
type fence struct {
	epoch wire.Epoch
	home  wire.NodeID // whom the epoch is for
	until int64
}

// releasing is a client that the broker here is closing. Owned by its Core.
type releasing struct {
	client  wire.Client
	epoch   wire.Epoch // that it makes room for
	askers  []asked    // who waits for it
	forPeer wire.NodeID
}

// asked is who asked for a release, and under which number.
type asked struct {
	node    wire.NodeID
	request uint64
}

// holder is what this node knows of the clients that it has. Owned by its Core.
type holder struct {
	mine     map[wire.Client]held
	fences   map[wire.Client]fence
	order    []wire.Client // of fences, oldest first
	releases map[uint64]*releasing
	token    uint64
}

func (c *Core) hold(k wire.Client, epoch wire.Epoch, bound bool) {
	if h, ok := c.holder.mine[k]; ok && compare(epoch, h.epoch) < 0 {
		return
	}
	c.holder.mine[k] = held{epoch, bound}
}

// Connected tells that a client which was granted is connected here.
func (c *Core) Connected(k wire.Client, epoch wire.Epoch, bound bool, at At, e *Effects) {
	if f := c.holder.fences[k]; f.home != c.self && compare(epoch, f.epoch) <= 0 {
		c.stats.Strange++ // the broker was told to close it, and does
		return
	}
	c.hold(k, epoch, bound)
	c.tell(wire.Connected{Client: k, Epoch: epoch, Bound: bound}, at, e)
}

// Gone tells that a client is not here any more, or that a grant was not used.
func (c *Core) Gone(k wire.Client, epoch wire.Epoch, at At, e *Effects) {
	h, ok := c.holder.mine[k]
	if ok && compare(h.epoch, epoch) > 0 {
		return
	}
	delete(c.holder.mine, k)
	c.tell(wire.Connected{Client: k, Epoch: epoch, Gone: true}, at, e)
}

func (c *Core) tellGone(k wire.Client, epoch wire.Epoch, e *Effects) {
	c.tell(wire.Connected{Client: k, Epoch: epoch, Gone: true}, At{}, e)
}

// tell tells a change to the leader, and to those that are about to come into
// the view.
func (c *Core) tell(m wire.Connected, at At, e *Effects) {
	list := []wire.Connected{m}
	if to := c.view.leader(m.Client); to == c.self {
		c.seatChange(c.self, &m, at, e)
	} else {
		e.send(to, wire.TypeClients, wire.AppendClients(nil, &wire.Clients{View: c.hash, List: list}))
	}
	c.tellMeetings(list, e)
}

// takeRelease closes a client here for a leader, and remembers to whom the id
// went: also if nobody is here, since a grant may be on its way.
func (c *Core) takeRelease(from wire.NodeID, m *wire.Release, at At, e *Effects) {
	deny := func(epoch wire.Epoch, home wire.NodeID) {
		c.answerRelease(asked{from, m.Request}, nil, &wire.Deny{Request: m.Request, View: c.hash, Reason: wire.DenyEpoch, Epoch: epoch, Home: home}, at, e)
	}
	if m.NewHome == c.self {
		// What is here is for the registration itself to close.
		c.answerRelease(asked{from, m.Request}, &wire.Released{Request: m.Request}, nil, at, e)
		return
	}
	if h, ok := c.holder.mine[m.Client]; ok && (m.IfIdle || compare(h.epoch, m.Epoch) >= 0) {
		deny(h.epoch, c.self)
		return
	}
	if f := c.holder.fences[m.Client]; compare(f.epoch, m.Epoch) > 0 {
		deny(f.epoch, 0) // where it went is the leader's to know
		return
	}
	if home := c.liveHome(m); home != 0 && from != c.self {
		deny(m.Epoch, home)
		return
	}
	c.release(m.Client, m.Epoch, m.NewHome, asked{from, m.Request}, at, e)
}

// liveHome is where the client of a release is connected as far as this node,
// a leader in another view, can tell: a node that the asking leader does not
// reach. Only the policy majority lets it be asked then (R25).
func (c *Core) liveHome(m *wire.Release) wire.NodeID {
	s := c.leader.seats[m.Client]
	if s == nil || !c.view.Quorum {
		return 0
	}
	for _, h := range s.homes {
		if h.node != m.NewHome && h.node != c.self && c.view.has(h.node) && compare(h.epoch, m.Epoch) < 0 {
			return h.node
		}
	}
	return 0
}

// release has the broker close a client; by is who waits for it, or nobody.
func (c *Core) release(k wire.Client, epoch wire.Epoch, newHome wire.NodeID, by asked, at At, e *Effects) {
	c.putFence(k, fence{epoch: epoch, home: newHome, until: at.after(fenceKept)})
	c.holder.token++
	r := &releasing{client: k, epoch: epoch}
	if by.node != 0 {
		r.askers = append(r.askers, by)
	}
	if _, ok := c.holder.mine[k]; ok {
		c.stats.Released++
		if by.node == 0 {
			c.stats.Duplicates++
		}
	}
	c.holder.releases[c.holder.token] = r
	e.Release = append(e.Release, Releasing{Token: c.holder.token, Client: k, Epoch: epoch, NewHome: newHome})
}

func (c *Core) putFence(k wire.Client, f fence) {
	if _, known := c.holder.fences[k]; !known {
		for len(c.holder.order) >= fencesMax {
			delete(c.holder.fences, c.holder.order[0])
			c.holder.order = c.holder.order[1:]
		}
		c.holder.order = append(c.holder.order, k)
	}
	c.holder.fences[k] = f
}

// ReleaseDone takes the broker's answer to a Releasing.
func (c *Core) ReleaseDone(token uint64, old wire.Epoch, existed, ok bool, at At, e *Effects) {
	r := c.holder.releases[token]
	if r == nil {
		return
	}
	delete(c.holder.releases, token)
	h, here := c.holder.mine[r.client]
	again := here && compare(h.epoch, r.epoch) > 0 // granted meanwhile, above what was to be made room for
	if here && ok && !again {
		delete(c.holder.mine, r.client)
		c.tell(wire.Connected{Client: r.client, Epoch: h.epoch, Gone: true}, at, e)
	}
	for _, a := range r.askers {
		if again {
			c.answerRelease(a, nil, &wire.Deny{Request: a.request, View: c.hash, Reason: wire.DenyEpoch, Epoch: h.epoch, Home: c.self}, at, e)
		} else if ok {
			c.answerRelease(a, &wire.Released{Request: a.request, OldEpoch: old, Existed: existed}, nil, at, e)
		} else {
			c.answerRelease(a, nil, &wire.Deny{Request: a.request, View: c.hash, Reason: wire.DenyBusy, Home: c.self}, at, e)
		}
	}
	c.releasedForPeer(r.forPeer, at, e)
}

func (c *Core) answerRelease(to asked, yes *wire.Released, no *wire.Deny, at At, e *Effects) {
	switch {
	case to.node == c.self && yes != nil:
		c.takeReleased(c.self, yes, at, e)
	case to.node == c.self:
		c.takeDeny(c.self, no, at, e)
	case yes != nil:
		e.send(to.node, wire.TypeReleased, wire.AppendReleased(nil, yes))
	default:
		e.send(to.node, wire.TypeDeny, wire.AppendDeny(nil, no))
	}
}

// tickHolder forgets fences that nobody can run into any more.
func (c *Core) tickHolder(at At) {
	for len(c.holder.order) > 0 {
		k := c.holder.order[0]
		f := c.holder.fences[k]
		if at.Now < f.until {
			return
		}
		delete(c.holder.fences, k)
		c.holder.order = c.holder.order[1:]
	}
}

func compareClients(a, b wire.Client) int {
	return cmp.Or(cmp.Compare(a.Mountpoint, b.Mountpoint), cmp.Compare(a.ID, b.ID))
}

// sorted lists the clients here that keep says yes to, by name.
func (c *Core) sorted(keep func(wire.Client) bool) []wire.Connected {
	var out []wire.Connected
	for k, h := range c.holder.mine {
		if keep(k) {
			out = append(out, wire.Connected{Client: k, Epoch: h.epoch, Bound: h.bound})
		}
	}
	slices.SortFunc(out, func(a, b wire.Connected) int { return compareClients(a.Client, b.Client) })
	return out
}

// listAll tells every leader of the view which of its clients are here.
func (c *Core) listAll(at At, e *Effects) {
	lists := make(map[wire.NodeID][]wire.Connected)
	for _, m := range c.sorted(func(wire.Client) bool { return true }) {
		to := c.view.leader(m.Client)
		lists[to] = append(lists[to], m)
	}
	for _, to := range c.view.Reachable {
		if to == c.self {
			c.takeClients(c.self, &wire.Clients{View: c.hash, First: true, Last: true, List: lists[to]}, at, e)
		} else {
			sendListing(to, c.hash, lists[to], e)
		}
	}
}

// listFor tells one leader again.
func (c *Core) listFor(to wire.NodeID, e *Effects) {
	sendListing(to, c.hash, c.sorted(func(k wire.Client) bool { return c.view.leader(k) == to }), e)
}

// sendListing sends a whole listing in parts; an empty one is a part as well.
func sendListing(to wire.NodeID, view uint64, list []wire.Connected, e *Effects) {
	for first := true; first || len(list) > 0; first = false {
		n := min(len(list), chunkMax)
		m := &wire.Clients{View: view, First: first, Last: n == len(list), List: list[:n]}
		list = list[n:]
		e.send(to, wire.TypeClients, wire.AppendClients(nil, m))
	}
}

// sortedPeers is a map's keys in order.
func sortedPeers[V any](m map[wire.NodeID]V) []wire.NodeID { return slices.Sorted(maps.Keys(m)) }
