package broker

import (
	"sync"
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
	"tombolo/queue"
)

// TakePublish takes a publish at QoS 1 or 2 from a peer and hands it to clients
// of this node; it is never passed on. done is called once, when the message is
// stored for those that outlive their connection. p is read until then, by the
// caller's goroutine only; what is kept of it is copied.
func (b *Broker) TakePublish(from wire.NodeID, inc wire.Incarnation, seq uint64, p *wire.Publish, done func(wire.Result, uint8)) {
	r := b.arrivals.begin()
	defer b.arrivals.end()
	pub := publication{peer: from, id: queue.MessageID{Ingress: p.ID.Ingress, N: p.ID.N}, done: done}
	pub.applied = queue.Applied{Peer: uint64(from), Incarnation: uint64(inc), Stream: uint32(wire.StreamPublish), Sequence: seq}
	b.arrive(&pub, p, r)
}

// TakeInstant is TakePublish for a message for which nobody is waited for: what
// has to be stored for it, for one session at most, is on its way when this
// returns. The result is how it ended, or wire.Later: then late is called once,
// when that is stored. If it is not ok nothing has happened, and TakePublish is to
// take it. What it wrote leaves with Drained, or before; p is valid during the call.
func (b *Broker) TakeInstant(from wire.NodeID, inc wire.Incarnation, seq uint64, p *wire.Publish, late func(uint64, wire.Result, uint8)) (wire.Result, uint8, bool) {
	if p.Targets != wire.ToMatching || len(p.Groups) > 0 || b.strays.has(from) {
		return 0, 0, false
	}
	f := b.fast.get(from)
	r := f.begin(b)
	defer f.end()
	pub := publication{peer: from, id: queue.MessageID{Ingress: p.ID.Ingress, N: p.ID.N}, done: nobodyWaits, instant: true}
	pub.applied = queue.Applied{Peer: uint64(from), Incarnation: uint64(inc), Stream: uint32(wire.StreamPublish), Sequence: seq}
	pub.late = late
	ok := b.arrive(&pub, p, r)
	if pub.stores {
		return wire.Later, 0, ok
	}
	return pub.applied.Result, pub.applied.Reason, ok
}

// TakeFast takes a publish at QoS 0 from a peer, a wire.Publish; it does not block,
// and the frame is valid during the call. What it wrote leaves with Drained, or before.
func (b *Broker) TakeFast(from wire.NodeID, frame []byte) error {
	f := b.fast.get(from)
	r := f.begin(b)
	defer f.end()
	p, err := f.in.Read(frame)
	if err != nil {
		return err
	}
	pub := publication{peer: from, done: nobodyWaits}
	b.arrive(&pub, p, r)
	return nil
}

func nobodyWaits(wire.Result, uint8) {}

// flushHereMax is how many connections are written to by whoever reads a link. A
// worker writes to more, since heartbeats come on the link as well.
const flushHereMax = 256

// Drained follows the last of some calls of TakeFast, TakeInstant, and of
// tickets that ended, that a peer has caused together: each client is written to
// once for all of them.
func (b *Broker) Drained(from wire.NodeID) {
	f := b.fast.get(from)
	f.mu.Lock()
	r := f.r
	f.r = nil
	f.mu.Unlock()
	switch {
	case r == nil:
	case len(r.touched) > flushHereMax || len(r.after) > 0:
		b.spawn(func() { b.end(r) })
	default:
		b.end(r)
	}
}

// fast is the round of what a peer has caused and is not written yet. Guarded by
// mu, which is taken before any client's lock; mostly one goroutine uses it, the
// reader of the bulk connection.
type fast struct {
	mu sync.Mutex
	r  *round // nil: nothing came since the last Drained
	in wire.PublishReader
}

// begin takes the round; end must follow.
func (f *fast) begin(b *Broker) *round {
	f.mu.Lock()
	if f.r == nil {
		f.r = b.begin()
	}
	return f.r
}

func (f *fast) end() { f.mu.Unlock() }

// fasts are the rounds of all peers. Safe for concurrent use. The list is replaced
// as a whole, under mu: each message looks there, and peers are few.
type fasts struct {
	of atomic.Pointer[[]fastOf]
	mu sync.Mutex
}

// fastOf is the round of one peer. Immutable.
type fastOf struct {
	peer wire.NodeID
	fast *fast
}

func (l *fasts) find(from wire.NodeID) *fast {
	if list := l.of.Load(); list != nil {
		for i := range *list {
			if (*list)[i].peer == from {
				return (*list)[i].fast
			}
		}
	}
	return nil
}

func (l *fasts) get(from wire.NodeID) *fast {
	if f := l.find(from); f != nil {
		return f
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.find(from)
	if f == nil {
		f = &fast{}
		next := []fastOf{{from, f}}
		if old := l.of.Load(); old != nil {
			next = append(next, *old...)
		}
		l.of.Store(&next)
	}
	return f
}

// arrive delivers what a peer has sent. False says of one that is to be taken in
// an instant that it cannot be, and that nothing has happened.
func (b *Broker) arrive(pub *publication, p *wire.Publish, r *round) bool {
	if err := session.DecodeBody(p.Body, &r.arrived); err != nil {
		// A frame that cannot be read is not worth sending again.
		b.count.arrivedBad.Inc()
		b.cfg.Log.Error("message of another node cannot be read", "node", pub.peer, "error", err)
		b.applied(pub, wire.NoMatch, 0)
		return true
	}
	set := b.settings.Load()
	pub.targets = p.Targets
	r.arrived.QoS, r.arrived.Retain = p.QoS(), p.Flags&wire.PublishRetain != 0
	pub.mount, pub.packet, pub.body, pub.expiresAt = b.mountOf(p.Mountpoint, r), &r.arrived, p.Body, p.ExpiresAt
	pub.missed = b.matchHere(pub, p, set, r)
	if pub.instant && !b.isInstant(pub, set, r) {
		return false
	}
	if pub.applied.Sequence != 0 && b.strays.has(pub.peer) {
		b.sendStrays(pub, p, r.now)
	}
	b.count.arrived.Inc()
	r.message = nil
	r.outgoing.Set(pub.packet, pub.expiresAt)
	pub.stamp = int64(p.Retained.Counter)
	r.noteLive(pub)
	if set.Queue.Refuse && !b.admitAll(r) {
		b.applied(pub, wire.Refused, uint8(packet.QuotaExceeded))
		return true
	}
	result := wire.Stored
	if len(r.receive) == 0 || pub.missed != 0 {
		result = wire.NoMatch
	}
	pub.applied.Result, pub.applied.Reason = result, pub.missed
	if w := b.deliver(pub, set, nil, r); w != nil {
		w.settle(b, r)
		return true
	}
	b.applied(pub, result, pub.missed)
	return true
}

// isInstant says that nobody in r.receive may have to be waited for: nobody needs
// the disk, or there is one receiver, whose queue has been asked for a place then.
func (b *Broker) isInstant(pub *publication, set *Settings, r *round) bool {
	if set.Queue.Refuse {
		return false
	}
	for i := range r.receive {
		d := &r.receive[i]
		if d.qos == 0 || !d.client.durable {
			continue
		}
		if len(r.receive) > 1 || pub.packet.QoS != 1 || pub.packet.Retain || !b.sendsEarly(1) || !b.admitNow(d) {
			return false
		}
		seq, late := pub.applied.Sequence, pub.late
		pub.stores = true
		pub.done = func(res wire.Result, reason uint8) { late(seq, res, reason) }
	}
	return true
}

// applied ends a frame of which nothing has to be stored.
func (b *Broker) applied(pub *publication, result wire.Result, reason uint8) {
	pub.applied.Result, pub.applied.Reason = result, reason
	if pub.applied.Sequence != 0 {
		b.cfg.Queue.Apply(pub.applied, nil)
	}
	pub.done(result, reason)
}

// mountOf is mount for a name in a frame: mostly that of the frame before.
func (b *Broker) mountOf(name []byte, r *round) *mount {
	if m := r.mount; m != nil && m.name == string(name) {
		return m
	}
	b.mu.RLock()
	m := b.mu.mounts[string(name)]
	b.mu.RUnlock()
	if m == nil {
		m = b.mount(string(name))
	}
	r.mount = m
	return m
}

// matchHere chooses the clients of this node that get a message of a peer into
// r.receive. missed has a bit for each of its first eight groups of which
// nobody is here; the last bit stands for the rest as well.
func (b *Broker) matchHere(pub *publication, p *wire.Publish, set *Settings, r *round) (missed uint8) {
	r.receive, r.away = r.receive[:0], r.away[:0]
	res := pub.mount.index.Match(pub.packet.Topic)
	for i := range res.Direct {
		h := &res.Direct[i]
		if p.Targets == wire.ToGroups || h.Sub.remote != nil || p.Targets == wire.ToSessions && !named(p, h.Sub.key.ClientID) {
			continue
		}
		if h.Sub.moving.Load() && p.Targets == wire.ToMatching && pub.packet.QoS > 0 && !b.takesFrom(h.Sub, pub.peer, p.Generation) {
			continue
		}
		b.choose(h, pub.packet, set, r)
	}
	for i := range p.Groups {
		g := groupOf(res, &p.Groups[i])
		if g != nil && b.cancelled.has(pub.id, g.Name, g.Filter) {
			continue
		}
		h := b.pickHere(g, pub.peer)
		if h == nil {
			missed |= 1 << min(i, 7)
			continue
		}
		b.choose(h, pub.packet, set, r)
	}
	return missed
}

// named reports whether the frame names a session.
func named(p *wire.Publish, clientID string) bool {
	for _, id := range p.Sessions {
		if string(id) == clientID {
			return true
		}
	}
	return false
}

// groupOf finds a group that a frame names among those that match.
func groupOf(res *topic.Result[*client], g *wire.Group) *topic.Group[*client] {
	for i := range res.Shared {
		if s := &res.Shared[i]; s.Name == string(g.Name) && string(s.Filter) == string(g.Filter) {
			return s
		}
	}
	return nil
}

// pickHere chooses a member of this node, one that is online first.
func (b *Broker) pickHere(g *topic.Group[*client], peer wire.NodeID) (found *topic.Hit[*client]) {
	if g == nil {
		return nil
	}
	n := len(g.Members)
	start := startAt(g, g.Turn())
	for i := range n {
		h := &g.Members[(start+i)%n]
		if h.Sub.remote != nil {
			continue
		}
		if h.Sub.online.Load() {
			return h
		}
		if found == nil {
			found = h
		}
	}
	return found
}

// cancelledMax bounds the messages that are remembered as cancelled. The one
// that was cancelled first is forgotten first, and comes twice if it comes.
const cancelledMax = 1 << 16

// cancelKey is a message for one group.
type cancelKey struct {
	id            queue.MessageID
	group, filter string
}

// cancelled remembers which messages went to another member of their group
// before they came here (R13). Safe for concurrent use.
type cancelled struct {
	mu struct {
		sync.Mutex
		set   map[cancelKey]struct{}
		order []cancelKey
	}
}

func (l *cancelled) has(id queue.MessageID, group string, filter topic.Filter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.set) == 0 {
		return false
	}
	_, ok := l.mu.set[cancelKey{id, group, string(filter)}]
	return ok
}

func (l *cancelled) add(k cancelKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.set[k]; ok {
		return
	}
	if l.mu.set == nil {
		l.mu.set = map[cancelKey]struct{}{}
	}
	if len(l.mu.order) >= cancelledMax {
		delete(l.mu.set, l.mu.order[0])
		l.mu.order = l.mu.order[1:]
	}
	l.mu.set[k] = struct{}{}
	l.mu.order = append(l.mu.order, k)
}

// TakeCancel takes back messages that went to another member of their group: it
// is not delivered to the group here when it comes (R13).
func (b *Broker) TakeCancel(_ wire.NodeID, c *wire.Cancel) {
	for i := range c.Messages {
		m := &c.Messages[i]
		b.cancelled.add(cancelKey{queue.MessageID{Ingress: m.ID.Ingress, N: m.ID.N}, m.Group, m.Filter})
	}
}
