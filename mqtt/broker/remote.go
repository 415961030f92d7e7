package broker

import (
	"math"
	"sync"
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/mqtt/topic"
)

// remote says of a client that it stands for a node in the topic index: one
// client for the routes that the node announces, one for those that the tables
// imply (R5). Immutable.
type remote struct {
	node    *otherNode
	durable bool
}

// otherNode is another member. Guarded by remotes.mu, except for what is
// immutable or atomic.
type otherNode struct {
	id      wire.NodeID // immutable
	up      atomic.Bool // the detector's verdict
	member  atomic.Bool // what it announces counts
	met     bool        // it was a member, in this process, and was told again what an earlier one may have failed to (R21)
	downAt  int64       // unix ms of the verdict that it cannot be reached; 0: it can be, or none was heard
	mounts  map[string]*[2]*client
	soft    map[nodeRoute]*softRoute
	fresh   map[routeKey]struct{} // what the snapshot under way has named; nil: none is
	whole   bool                  // a snapshot has come
	durable map[nodeRoute]uint32  // persistent subscriptions, by the tables
	flights flights
}

// nodeRoute names a route of another node, whatever kind of client wants it.
type nodeRoute struct {
	mountpoint, group string
	filter            topic.Filter
}

// softRoute is what a node has announced of a route, by kind of client:
// connection-bound, persistent.
type softRoute [2]counts

func (s *softRoute) sum() counts {
	return counts{s[0].members + s[1].members, s[0].online + s[1].online}
}

// counts are the members of a group, or the subscribers of a filter.
type counts struct{ members, online uint32 }

// remotes are the other members. Safe for concurrent use. Locks: mu before
// that of a topic index.
type remotes struct {
	mu struct {
		sync.Mutex
		nodes map[wire.NodeID]*otherNode
		away  map[Key]*awaySession
	}
}

// node returns a member, made on first use.
func (b *Broker) nodeLocked(id wire.NodeID) *otherNode {
	n := b.remotes.mu.nodes[id]
	if n == nil {
		n = &otherNode{id: id, mounts: map[string]*[2]*client{}, soft: map[nodeRoute]*softRoute{}, durable: map[nodeRoute]uint32{}}
		n.up.Store(b.cfg.Cluster != nil && b.cfg.Cluster.Reachable(id))
		b.remotes.mu.nodes[id] = n
	}
	return n
}

// standIn is the client that stands for the node in the index of a mountpoint.
func (b *Broker) standInLocked(n *otherNode, mountpoint string, durable bool) *client {
	pair := n.mounts[mountpoint]
	if pair == nil {
		m := b.mount(mountpoint)
		pair = &[2]*client{
			{mount: m, remote: &remote{node: n}},
			{mount: m, remote: &remote{node: n, durable: true}},
		}
		n.mounts[mountpoint] = pair
	}
	if durable {
		return pair[1]
	}
	return pair[0]
}

// TakeRoutes takes a step of a peer's routes; from one goroutine per peer. A
// snapshot replaces all that was announced before.
func (b *Broker) TakeRoutes(from wire.NodeID, m *wire.Routes) {
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	n := b.nodeLocked(from)
	if m.Snapshot && m.First {
		n.fresh = map[routeKey]struct{}{}
	}
	for i := range m.List {
		r := &m.List[i]
		k := routeKey{r.Mountpoint, r.Group, topic.Filter(r.Filter), r.Flags&wire.RoutePersistent != 0}
		if n.fresh != nil {
			n.fresh[k] = struct{}{}
		}
		if r.Flags&wire.RouteGone != 0 {
			b.announcedLocked(n, k, counts{})
		} else {
			b.announcedLocked(n, k, counts{max(r.Members, 1), min(r.Online, max(r.Members, 1))})
		}
	}
	if m.Snapshot && m.Last {
		b.replaceLocked(n)
	}
}

// replaceLocked forgets what the snapshot that is complete now has not named.
func (b *Broker) replaceLocked(n *otherNode) {
	for at, s := range n.soft {
		for kind := range s {
			k := routeKey{at.mountpoint, at.group, at.filter, kind == 1}
			if _, named := n.fresh[k]; !named {
				b.announcedLocked(n, k, counts{})
			}
		}
	}
	n.fresh, n.whole = nil, true
}

// announcedLocked sets the counts of one route of a node; no members is the
// end of it.
func (b *Broker) announcedLocked(n *otherNode, k routeKey, c counts) {
	at := nodeRoute{k.mountpoint, k.group, k.filter}
	s := n.soft[at]
	if s == nil {
		if c.members == 0 {
			return
		}
		s = &softRoute{}
		n.soft[at] = s
	}
	kind := 0
	if k.persistent {
		kind = 1
	}
	s[kind] = c
	sum := s.sum()
	if n.member.Load() {
		b.enterLocked(b.standInLocked(n, at.mountpoint, false), at, sum)
	}
	if sum.members == 0 {
		delete(n.soft, at)
	}
}

// enterLocked puts a route of a node into the index, or takes it out, and reports
// whether it was there.
func (b *Broker) enterLocked(c *client, at nodeRoute, sum counts) (was bool) {
	o := topic.Options{QoS: 2, RetainAsPublished: true}
	switch {
	case sum.members == 0 && at.group == "":
		return c.mount.index.Unsubscribe(at.filter, c)
	case sum.members == 0:
		return c.mount.index.UnsubscribeShared(at.group, at.filter, c)
	case at.group == "":
		return c.mount.index.Subscribe(at.filter, c, o)
	default:
		o.ID = sum.pack()
		return c.mount.index.SubscribeShared(at.group, at.filter, c, o)
	}
}

// pack puts the counts of a group where a client's subscription identifier
// would stand, so that whoever matches sees them without another lock.
func (c counts) pack() uint32 {
	return min(c.members, math.MaxUint16)<<16 | min(c.online, math.MaxUint16)
}

func unpack(id uint32) counts { return counts{id >> 16, id & math.MaxUint16} }

// PeerReachable says that the verdict on a member has changed. What a node that
// is down has announced counts no more, and counts again when it is up: its
// next snapshot replaces it. What the tables imply always counts (R5).
func (b *Broker) PeerReachable(id wire.NodeID, up bool) {
	b.remotes.mu.Lock()
	n, now := b.nodeLocked(id), b.cfg.Now().UnixMilli()
	switch {
	case up:
		n.downAt = 0
	case n.downAt == 0:
		n.downAt = now
	}
	b.remotes.mu.Unlock()
	n.up.Store(up)
	b.strays.reached(id, up, now)
	b.heirs.nudge() // another may be the heir now
	if !up {
		b.moveFlights(n)
		b.redirectFrom(id)
		b.spawn(func() {
			b.homeLost(id)
			b.armLostWills(id)
		})
	}
}

// MembersChanged tells the durable members, this node included. Of a node that
// is none nothing counts: there may be a link to one, which is about to join, or
// was removed and has yet to hear of it.
func (b *Broker) MembersChanged(ids []wire.NodeID) {
	member := map[wire.NodeID]bool{}
	for _, id := range ids {
		member[id] = true
	}
	fresh := b.members(ids, member)
	for _, id := range fresh {
		b.fenceAgain(id)
	}
	if len(ids) > 0 {
		b.strays.keep(member)
		if member[wire.NodeID(b.cfg.NodeID)] && b.ready.Load() {
			b.spawn(func() { b.homesGone(member) })
		}
	}
	// The members are known before any of them is reached, so that nothing of what
	// an earlier process left has gone yet.
	if len(ids) > 0 && b.ready.Load() && !b.resumed.Swap(true) {
		b.spawn(b.redirectStored)
	}
}

// members is the part of MembersChanged that is done at once. It returns those of
// which this process hears for the first time.
func (b *Broker) members(ids []wire.NodeID, member map[wire.NodeID]bool) (fresh []wire.NodeID) {
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	for id, n := range b.remotes.mu.nodes {
		if member[id] || !n.member.Swap(false) {
			continue
		}
		n.up.Store(false)
		for at := range n.soft {
			b.enterLocked(b.standInLocked(n, at.mountpoint, false), at, counts{})
		}
		clear(n.soft)
		n.fresh, n.whole = nil, false
	}
	for _, id := range ids {
		if uint64(id) == b.cfg.NodeID {
			continue
		}
		n := b.nodeLocked(id)
		if !n.met {
			n.met, fresh = true, append(fresh, id)
		}
		if n.member.Swap(true) {
			continue
		}
		for at, s := range n.soft {
			b.enterLocked(b.standInLocked(n, at.mountpoint, false), at, s.sum())
		}
	}
	return fresh
}

// HasRoutesOf reports whether a member has told its routes, as it must have
// before this node admits anything (R7).
func (b *Broker) HasRoutesOf(id wire.NodeID) bool {
	return b.isNode(id, func(n *otherNode) bool { return n.whole })
}

// isNode reports whether another node is known, and is so. is holds remotes.mu.
func (b *Broker) isNode(id wire.NodeID, is func(n *otherNode) bool) bool {
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	n := b.remotes.mu.nodes[id]
	return n != nil && is(n)
}
