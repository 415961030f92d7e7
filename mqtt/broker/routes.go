package broker

import (
	"sync"
	"unique"

	"tombolo/internal/wire"
	"tombolo/mqtt/topic"
)

// routeKey names a route of this node: what its clients of one kind want of
// one filter (R5).
type routeKey struct {
	mountpoint string
	group      string // "" for a plain filter
	filter     topic.Filter
	persistent bool
}

// routeKind is what a routeKey has beside the filter. Few differ, and a million
// routes are held by these 24 bytes each, instead of 56.
type routeKind struct {
	mountpoint, group string
	persistent        bool
}

// ownKey is a routeKey as the table holds it. A value.
type ownKey struct {
	kind   unique.Handle[routeKind]
	filter topic.Filter
}

func (k *routeKey) own() ownKey {
	return ownKey{unique.Make(routeKind{k.mountpoint, k.group, k.persistent}), k.filter}
}

func (o *ownKey) key() routeKey {
	kind := o.kind.Value()
	return routeKey{kind.mountpoint, kind.group, o.filter, kind.persistent}
}

// ownRoute counts the subscriptions behind a route. Guarded by routes.mu. It takes 16
// bytes: one field more would take 8 for each subscription.
type ownRoute struct {
	members, online uint32
	toldAt          uint32 // ms of the last announcement; it wraps, and only its age counts
	stale           bool   // it is in the list of those whose counts are to be told
	settled         bool   // every reachable member has it (R6)
}

// routes is what this node announces. Safe for concurrent use. Bound: one entry
// for each distinct filter of this node's subscriptions.
type routes struct {
	mu struct {
		sync.Mutex
		own    map[ownKey]*ownRoute
		digest RouteDigest // of the keys of own
		stale  []routeKey
	}
}

// countsEvery is how often the counts of one group are told at most, in ms
// (R13).
const countsEvery = 1000

// keyOf is the route that a filter of c belongs to.
func (c *client) keyOf(filter string) routeKey {
	group, f, _, _ := topic.SplitShare(filter)
	return routeKey{mountpoint: c.mount.name, group: group, filter: f, persistent: c.durable}
}

// joinRoute counts a new subscription of c. Called under c.mu, as are
// leaveRoute and setOnline, so that the count follows c.subs and c.online.
func (b *Broker) joinRoute(c *client, k routeKey) {
	if b.cfg.Cluster == nil {
		return
	}
	if k.group != "" {
		c.grouped++
	}
	b.countRoute(k, 1, onlineOf(c))
}

// leaveRoute takes a subscription of c out of the count.
func (b *Broker) leaveRoute(c *client, k routeKey) {
	if b.cfg.Cluster == nil {
		return
	}
	if k.group != "" {
		c.grouped--
	}
	b.countRoute(k, -1, -onlineOf(c))
}

func onlineOf(c *client) int {
	if c.online.Load() {
		return 1
	}
	return 0
}

// setOnline notes that c has a connection, or none, and counts it in its
// groups. The caller holds c.mu.
func (b *Broker) setOnline(c *client, on bool) {
	if c.online.Swap(on) == on || c.grouped == 0 {
		return
	}
	step := 1
	if !on {
		step = -1
	}
	for f := range c.subs {
		if k := c.keyOf(f); k.group != "" {
			b.countRoute(k, 0, step)
		}
	}
}

// countRoute changes the counts of a route and announces what others have to
// know: the first and the last at once, the counts of groups now and then.
func (b *Broker) countRoute(k routeKey, members, online int) {
	now, at := b.cfg.Now().UnixMilli(), k.own()
	t := &b.routes
	t.mu.Lock()
	e := t.mu.own[at]
	first := e == nil
	if first {
		e = &ownRoute{}
		t.mu.own[at] = e
		t.mu.digest.add(&k)
	}
	e.members = uint32(int(e.members) + members)
	e.online = uint32(int(e.online) + online)
	arm := false
	switch {
	case e.members == 0:
		delete(t.mu.own, at)
		t.mu.digest.remove(&k)
		b.cfg.Cluster.Announce(k.route(e))
	case first || k.group != "" && uint32(now)-e.toldAt >= countsEvery:
		e.toldAt = uint32(now)
		b.cfg.Cluster.Announce(k.route(e))
	case k.group != "" && !e.stale:
		e.stale = true
		arm = len(t.mu.stale) == 0
		t.mu.stale = append(t.mu.stale, k)
	}
	t.mu.Unlock()
	if arm {
		b.wheel.at(now+countsEvery, staleCounts{b})
	}
}

// staleCounts tells the counts of groups that changed within a second.
type staleCounts struct{ b *Broker }

func (s staleCounts) due(now int64) int64 {
	t := &s.b.routes
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.mu.stale {
		if e := t.mu.own[k.own()]; e != nil && e.stale {
			e.stale, e.toldAt = false, uint32(now)
			s.b.cfg.Cluster.Announce(k.route(e))
		}
	}
	t.mu.stale = t.mu.stale[:0]
	return 0
}

// route is the announcement of e; one without members is withdrawn.
func (k *routeKey) route(e *ownRoute) wire.Route {
	r := wire.Route{Mountpoint: k.mountpoint, Filter: string(k.filter), Group: k.group, Members: e.members, Online: e.online}
	if k.persistent {
		r.Flags |= wire.RoutePersistent
	}
	if e.members == 0 {
		r.Flags |= wire.RouteGone
	}
	return r
}

// RouteSnapshot calls fn with the routes of this node, under the lock of the
// routes, so that each Announce falls before or after it.
func (b *Broker) RouteSnapshot(fn func(list []wire.Route)) {
	t := &b.routes
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]wire.Route, 0, len(t.mu.own))
	for at, e := range t.mu.own {
		k := at.key()
		list = append(list, k.route(e))
	}
	fn(list)
}

// unsettled returns those of the routes behind the wishes that some member may
// not have yet. A filter that is not new on this node may be on its way still.
func (b *Broker) unsettled(c *client, wishes []wish) (list []*ownRoute) {
	t := &b.routes
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range wishes {
		if wishes[i].reason.Failed() {
			continue
		}
		k := c.keyOf(wishes[i].filter)
		if e := t.mu.own[k.own()]; e != nil && !e.settled {
			list = append(list, e)
		}
	}
	return list
}

// settled notes that every reachable member has these routes.
func (b *Broker) settled(list []*ownRoute) {
	t := &b.routes
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range list {
		e.settled = true
	}
}
