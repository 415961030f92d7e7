package broker

import (
	"sync"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
	"tombolo/queue"
)

// groupFrame is a frame that asks a node to serve groups, which another member
// can do if that node does not (R13). Its state is guarded by the node's
// flights; the rest is immutable.
type groupFrame struct {
	w      *pending
	mount  *mount
	node   *otherNode
	frame  []byte
	groups []nodeRoute
	tried  []*otherNode // this node as well
	told   bool         // its publisher has been told
	over   bool         // it ended, or is being moved to other members
	moved  bool         // its groups were
	late   Result       // how it ended while it was being moved; 0: it has not
	at     int64        // unix ms when it was sent
}

// flights are the groupFrames that one node has not confirmed. Safe for
// concurrent use. Bound: the link's window and what waits for it, and of those
// in the spool flightsSpooledMax; of more the first are left to the spool, and
// stay with the node if it goes down.
type flights struct {
	mu struct {
		sync.Mutex
		open    map[*groupFrame]struct{}
		spooled []*groupFrame
	}
}

const (
	flightsSpooledMax = 4096
	// spooledFor is how long before a verdict a frame may have gone to the spool
	// and still not be at the node: a verdict comes well within it. What went
	// there earlier may have been sent on.
	spooledFor = 5000 // ms
)

// groupFrame makes a frame that names groups.
func (b *Broker) groupFrame(pub *publication, f *frameTo, w *pending, r *round) *groupFrame {
	g := &groupFrame{w: w, mount: pub.mount, node: f.node, tried: []*otherNode{f.node}, at: r.now}
	g.frame = b.appendFrame(nil, pub, f, r)
	for i := range f.groups {
		g.groups = append(g.groups, nodeRoute{pub.mount.name, string(f.groups[i].Name), topic.Filter(f.groups[i].Filter)})
	}
	return g
}

// launch hands a frame to the link.
func (b *Broker) launch(g *groupFrame, r *round) {
	l := &g.node.flights
	l.mu.Lock()
	if l.mu.open == nil {
		l.mu.open = map[*groupFrame]struct{}{}
	}
	l.mu.open[g] = struct{}{}
	l.mu.Unlock()
	r.link(g.node.id)
	if b.cfg.Cluster.SendPublish(g.node.id, g.frame, g) == nil {
		return
	}
	if l.end(g, Lost) {
		b.count.unsent.Inc()
		g.w.failed.Store(true)
		g.w.settle(b, r)
	}
}

// end takes a frame out; false if it is over already.
func (l *flights) end(g *groupFrame, res Result) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.over {
		g.late = res
		return false
	}
	g.over = true
	delete(l.mu.open, g)
	return true
}

// restore leaves a frame with its node after all; the result is how it ended
// meanwhile, 0 if it has not.
func (l *flights) restore(g *groupFrame) Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.late == 0 {
		g.over = false
		l.mu.open[g] = struct{}{}
	}
	return g.late
}

// spool notes that a frame waits in our own spool: its publisher is answered,
// and until the node's fate is known it may still go to another member.
func (l *flights) spool(g *groupFrame) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.over {
		g.late = InSpool
		return false
	}
	g.told = true
	delete(l.mu.open, g)
	if len(l.mu.spooled) >= flightsSpooledMax {
		l.mu.spooled[0].over = true
		l.mu.spooled = l.mu.spooled[1:]
	}
	l.mu.spooled = append(l.mu.spooled, g)
	return true
}

// takeAll takes out what has not ended as far as is known.
func (l *flights) takeAll(now int64) (list []*groupFrame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for g := range l.mu.open {
		g.over = true
		list = append(list, g)
	}
	clear(l.mu.open)
	for _, g := range l.mu.spooled {
		g.over = true
		if now-g.at <= spooledFor {
			list = append(list, g)
		}
	}
	l.mu.spooled = nil
	return list
}

// Ended is told how the frame ended. What the node did not take for a group
// goes to another of its members.
func (g *groupFrame) Ended(from wire.NodeID, res Result, reason uint8) {
	b := g.w.b
	f := b.fast.get(from)
	r := f.begin(b)
	defer f.end()
	if res == InSpool {
		if g.node.flights.spool(g) {
			g.w.note(res)
			g.w.settle(b, r)
		}
		return
	}
	if !g.node.flights.end(g, res) {
		return
	}
	switch {
	case res == Stored:
		g.w.note(res)
	case res == NoMatch && g.moved:
		g.w.note(res)
	case res == NoMatch:
		b.elsewhere(g, reason, g.w, r)
		if reason == 0 || len(g.groups) < 8 && reason != 1<<len(g.groups)-1 {
			g.w.note(Stored)
		}
	case b.plain(g):
		g.w.note(res) // others than the group were to get it there
	default:
		b.elsewhere(g, 0xff, g.w, r)
	}
	g.w.settle(b, r)
}

// plain reports whether the frame is for more than its groups.
func (b *Broker) plain(g *groupFrame) bool {
	var p wire.Publish
	return wire.ParsePublish(g.frame, &p) == nil && p.Targets != wire.ToGroups
}

// moveFlights has other members take what a node that is down now was to take
// for groups. The node is told first of all when it is back (R13).
func (b *Broker) moveFlights(n *otherNode) {
	list := n.flights.takeAll(b.cfg.Now().UnixMilli())
	if len(list) == 0 {
		return
	}
	r := b.arrivals.begin()
	defer b.arrivals.end()
	var c wire.Cancel
	for _, g := range list {
		c.Messages = append(c.Messages, b.moveFlight(g, r)...)
	}
	if len(c.Messages) > 0 {
		_ = b.cfg.Cluster.Send(n.id, wire.StreamHead, wire.TypeCancel, wire.AppendCancel(nil, &c), noTicket{})
	}
}

// moveFlight has other members take the groups of one frame; the result is what
// the node is to drop.
func (b *Broker) moveFlight(g *groupFrame, r *round) (drop []wire.Cancelled) {
	w := g.w
	if g.told {
		w = &pending{b: b}
		w.left.Add(1)
	}
	moved := b.elsewhere(g, 0xff, w, r)
	if len(moved) > 0 {
		g.moved = true
		var p wire.Publish
		_ = wire.ParsePublish(g.frame, &p) // what we wrote
		for _, at := range moved {
			drop = append(drop, wire.Cancelled{ID: p.ID, Mountpoint: at.mountpoint, Group: at.group, Filter: string(at.filter)})
		}
	}
	if !g.told && (len(moved) < len(g.groups) || b.plain(g)) {
		// Somebody else at the node is to get it, or nobody else is in a group:
		// the publisher waits for the node, or for our spool.
		late := g.node.flights.restore(g)
		if late == 0 {
			return drop
		}
		w.note(late)
	}
	w.settle(b, r)
	return drop
}

// noTicket is for what nobody waits for.
type noTicket struct{}

func (noTicket) Ended(wire.NodeID, Result, uint8) {}

// elsewhere has other members take the groups of a frame whose bits are set in
// missed, under the same message id. Parts that this begins are added to w. It
// returns the groups for which somebody was found.
func (b *Broker) elsewhere(g *groupFrame, missed uint8, w *pending, r *round) (moved []nodeRoute) {
	if missed == 0 {
		return nil
	}
	var f wire.Publish
	var p packet.Publish
	if wire.ParsePublish(g.frame, &f) != nil || session.DecodeBody(f.Body, &p) != nil {
		return nil // what we wrote ourselves
	}
	p.QoS, p.Retain = f.QoS(), f.Flags&wire.PublishRetain != 0
	pub := publication{
		mount: g.mount, packet: &p, expiresAt: f.ExpiresAt, body: f.Body, id: queue.MessageID{Ingress: f.ID.Ingress, N: f.ID.N},
	}
	set := b.settings.Load()
	r.message = nil
	r.outgoing.Set(&p, pub.expiresAt)
	pub.stamp = int64(f.Retained.Counter)
	r.noteLive(&pub)
	r.receive = r.receive[:0]
	res := g.mount.index.Match(p.Topic)
	for i, at := range g.groups {
		if missed&(1<<min(i, 7)) == 0 {
			continue
		}
		sub := groupOf(res, &wire.Group{Name: []byte(at.group), Filter: []byte(at.filter)})
		if sub == nil || set.SharePolicy == LocalOnly {
			continue
		}
		switch c := b.pickAmongAll(sub, set.SharePolicy, g.tried, sub.Turn()); {
		case c.hit != nil:
			b.choose(c.hit, &p, set, r)
		case c.node != nil:
			b.redirect(g, c.node, &pub, at, w, r)
		default:
			continue
		}
		b.count.moved.Inc()
		moved = append(moved, at)
	}
	if len(r.receive) > 0 {
		w.matched.Store(true)
		part := &pending{b: b, parent: w}
		part.left.Add(1)
		w.left.Add(1)
		b.deliver(&pub, set, part, r).settle(b, r)
	}
	return moved
}

// redirect sends the message of a frame to another node, for one group.
func (b *Broker) redirect(g *groupFrame, to *otherNode, pub *publication, at nodeRoute, w *pending, r *round) {
	f := frameTo{node: to, groups: []wire.Group{{Name: []byte(at.group), Filter: []byte(at.filter)}}}
	next := &groupFrame{
		w: w, mount: g.mount, node: to, groups: []nodeRoute{at}, at: r.now,
		tried: append(append([]*otherNode(nil), g.tried...), to),
	}
	next.frame = b.appendFrame(nil, pub, &f, r)
	w.left.Add(1)
	b.launch(next, r)
}
