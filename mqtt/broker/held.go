package broker

import (
	"slices"
	"time"

	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/netsplit"
)

// line is what one client has published and what has had no effect yet, in
// order: because the gate is closed or a spool is full (R14), or because its
// retained value is on its way to the other nodes (R8). Guarded by client.mu.
// Bound: max_inflight_messages of what is held, and netsplit_hold_bytes for all
// lines of a node; at either the connection is closed. Of the rest, lineMax:
// there the connection is not read.
type line struct {
	list    []*queued
	held    int  // of list
	working bool // a goroutine works it off
	again   bool // and has to look again
	timed   bool // its timer is set
}

// queued is one publish in a line. Its token, packet and size are immutable,
// the rest is guarded by client.mu.
type queued struct {
	token     uint64
	packet    packet.Publish // views of a copy
	expiresAt int64
	size      int64
	deadline  int64 // unix ms; when a held one closes the connection; 0: it is not held
	retain    retainStep
	stamp     int64 // of the retained value
	going     bool  // being routed
}

// retainStep is how far the retained value of a publish is.
type retainStep uint8

const (
	retainDue    retainStep = iota + 1 // 0: it has none
	retainAsked                        // on its way to the other nodes
	retainReady                        // everywhere
	retainFailed                       // not everywhere in time
)

const (
	lineMax          = 1000 // not held ones, before reading stops
	holdTimeout      = 10 * time.Second
	holdBytesMax     = 64 << 20
	lineCheckEvery   = 500 // ms between two looks at whether a spool has room
	netsplitPublish  = "netsplit: publishing is closed (allow_publish_during_netsplit)"
	spoolFullPublish = "the spool for a node that is away is full (spool_limit)"
)

// admitPublish decides on a publish that its client may make (DESIGN §4): it
// takes place, is refused, or waits.
func (b *Broker) admitPublish(pub *publication, r *round) {
	p, c := pub.packet, pub.from
	open := b.cfg.Gate.Now().Allows(netsplit.Publish)
	if p.QoS == 0 {
		if open {
			b.route(pub, r)
			return
		}
		b.count.dropped[dropGate].Inc()
		b.refusePublish(pub, packet.ImplementationSpecificError, netsplitPublish, false, r)
		return
	}
	set := b.settings.Load()
	switch {
	case !open && set.RefuseWhenGated && c.core.Speaks5():
		b.count.dropped[dropGate].Inc()
		b.refusePublish(pub, packet.ImplementationSpecificError, netsplitPublish, false, r)
	case c.lined.Load() && b.lineUp(pub, !open, false, r):
	case open && p.Retain && b.clustered() && !b.spoolsAdmitTopic(pub):
		b.noRoom(pub, r)
	case !open || p.Retain && b.clustered():
		b.lineUp(pub, !open, true, r)
	case !b.route(pub, r):
		b.noRoom(pub, r)
	}
}

// noRoom answers a publish that would need room in a full spool (R11). It waits
// if it is only that the sessions of a removed member have no other home yet.
func (b *Broker) noRoom(pub *publication, r *round) {
	if pub.from.core.Speaks5() && everyNode(pub, func(n *otherNode) bool { return n.member.Load() }) {
		b.refusePublish(pub, packet.QuotaExceeded, spoolFullPublish, false, r)
		return
	}
	b.lineUp(pub, true, true, r)
}

// lineUp puts a copy of a publish at the end of its client's line. Unless begin
// is set it does so only if there is a line. held says that it is not admitted
// yet, and so is whatever comes behind one that is held.
func (b *Broker) lineUp(pub *publication, held, begin bool, r *round) bool {
	c, p := pub.from, pub.packet
	r.lock(c)
	defer r.unlock(c)
	if !begin && !c.lined.Load() {
		return false
	}
	if c.conn == nil {
		return true
	}
	if c.line == nil {
		c.line = &line{}
	}
	l := c.line
	body := session.EncodeBody(p)
	q := &queued{token: pub.token, expiresAt: pub.expiresAt, size: int64(len(body))}
	if session.DecodeBody(body, &q.packet) != nil {
		return true // what we wrote ourselves
	}
	q.packet.ID, q.packet.QoS, q.packet.Retain = p.ID, p.QoS, p.Retain
	if p.Retain && b.clustered() {
		q.retain = retainDue
	}
	c.lined.Store(true)
	l.list = append(l.list, q)
	b.held.Add(q.size)
	if held || l.held > 0 {
		b.holdLocked(c, q, r)
		return true
	}
	if len(l.list) > lineMax {
		c.peer.hold(holdLine)
	}
	switch {
	case q.retain == 0:
	case b.spoolsAdmitTopic(pub):
		b.spreadLocked(c, q)
	default:
		b.holdLocked(c, q, r)
	}
	return true
}

// holdLocked counts q among the held ones and closes the connection at a bound.
func (b *Broker) holdLocked(c *client, q *queued, r *round) {
	set, l := b.settings.Load(), c.line
	l.held++
	b.count.held.Inc()
	q.deadline = r.now + c.patience(set)
	switch {
	case set.Limits.InflightMax > 0 && l.held > set.Limits.InflightMax:
		b.closeHeld(c, heldClient, "more held publishes than max_inflight_messages", r)
	case b.held.Load() > positive(set.HoldBytesMax, holdBytesMax):
		b.closeHeld(c, heldNode, "held publishes reached netsplit_hold_bytes", r)
	case !l.timed:
		l.timed = true
		b.wheel.at(r.now+lineCheckEvery, lineCheck{c})
	}
}

// patience is how long a publish of c is held, in ms: netsplit_hold_timeout, but
// never more than half the keep alive.
func (c *client) patience(set *Settings) int64 {
	d := positive(set.HoldTimeout, holdTimeout).Milliseconds()
	if c.peer.keepAlive > 0 {
		d = min(d, c.peer.keepAlive/3) // keepAlive is one and a half times what was agreed
	}
	return d
}

func positive[T time.Duration | int64](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// closeHeld ends the connection of a client whose held publishes reached a
// bound: it sends them again on its next one. The caller holds c.mu.
func (b *Broker) closeHeld(c *client, bound, detail string, r *round) {
	b.count.heldClosed[bound].Inc()
	r.other.Reset()
	c.core.Disconnect(packet.QuotaExceeded, detail, &r.other)
	b.emit(c, &r.other, r)
}

// dropLine forgets what c has in line when its connection ends. What has had an
// effect already goes on. The caller holds c.mu; the session is detached.
func (b *Broker) dropLine(c *client) {
	if c.line == nil {
		return
	}
	l := c.line
	kept := l.list[:0]
	var e session.Effects
	for _, q := range l.list {
		if q.going || q.retain > retainDue {
			kept = append(kept, q)
			continue
		}
		b.held.Add(-q.size)
		c.core.PublishDone(q.token, packet.UnspecifiedError, "connection closed", &e)
	}
	clear(l.list[len(kept):])
	l.list, l.held = kept, 0
	if len(l.list) == 0 && !l.working {
		c.lined.Store(false)
	}
}

// workLine routes what has not to wait any more, in order. One goroutine does
// so at a time.
func (b *Broker) workLine(c *client, r *round) {
	c.mu.Lock()
	l := c.line
	if l == nil || l.working {
		if l != nil {
			l.again = true
		}
		c.mu.Unlock()
		return
	}
	l.working = true
	for {
		l.again = false
		if len(l.list) == 0 {
			c.lined.Store(false)
			break
		}
		q := l.list[0]
		c.mu.Unlock()
		gone := b.advance(c, q, r)
		c.mu.Lock()
		if gone {
			b.leaveLine(c, q)
		} else if !l.again {
			break
		}
	}
	l.working = false
	c.mu.Unlock()
}

// leaveLine takes q out. The caller holds c.mu.
func (b *Broker) leaveLine(c *client, q *queued) {
	l := c.line
	i := slices.Index(l.list, q)
	if i < 0 {
		return
	}
	l.list = slices.Delete(l.list, i, i+1)
	if len(l.list) == 0 {
		l.list = nil
	}
	if q.deadline != 0 && l.held > 0 {
		l.held--
	}
	b.held.Add(-q.size)
	if len(l.list) <= lineMax/2 && c.peer != nil {
		c.peer.release(holdLine)
	}
}

// advance brings the publish at the head of a line as far as it may; true when
// it is routed.
func (b *Broker) advance(c *client, q *queued, r *round) bool {
	pub := publication{from: c, token: q.token, mount: c.mount, packet: &q.packet, expiresAt: q.expiresAt}
	c.mu.Lock()
	step := q.retain
	wait := step == retainAsked || step <= retainDue && !b.cfg.Gate.Now().Allows(netsplit.Publish)
	switch {
	case slices.Index(c.line.list, q) < 0:
		c.mu.Unlock()
		return true // the connection ended
	case !wait && step == retainDue:
		if b.spoolsAdmitTopic(&pub) {
			b.spreadLocked(c, q)
		}
		wait = true
	}
	q.going = !wait
	c.mu.Unlock()
	if wait {
		return false
	}
	pub.retained, pub.stamp = step >= retainReady, q.stamp
	pub.unspread = step == retainFailed
	if b.route(&pub, r) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	q.going = false
	return false
}

// lineCheck looks at a line whose publishes are held: whether one was held for
// too long, or may go on.
type lineCheck struct{ c *client }

func (t lineCheck) due(now int64) int64 {
	c := t.c
	b := c.mount.broker
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.line
	if l.held == 0 {
		l.timed = false
		return 0
	}
	late := false
	for _, q := range l.list {
		if q.deadline != 0 {
			late = now >= q.deadline && !q.going
			break
		}
	}
	b.spawn(func() {
		r := b.begin()
		defer b.end(r)
		b.workLine(c, r)
		if late {
			b.expireLine(c, now, r)
		}
	})
	return now + lineCheckEvery
}

// expireLine closes the connection if what was held for too long still is.
func (b *Broker) expireLine(c *client, now int64, r *round) {
	r.lock(c)
	defer r.unlock(c)
	for _, q := range c.line.list {
		if q.deadline != 0 && now >= q.deadline && !q.going && c.conn != nil {
			b.closeHeld(c, heldTooLong, "a publish was held for netsplit_hold_timeout", r)
			return
		}
	}
}

// GateChanged says that the gate has another snapshot: publishes that were held
// are made, in the order of each client (R14).
func (b *Broker) GateChanged() {
	b.starts.turn()
	b.keepNoMore()
	b.heirs.nudge() // sessions of lost homes may be adopted now
	if !b.cfg.Gate.Now().Allows(netsplit.Publish) {
		return
	}
	b.spawn(func() {
		b.registry.each(func(c *client) bool {
			if c.lined.Load() {
				r := b.begin()
				b.workLine(c, r)
				b.end(r)
			}
			return true
		})
	})
}
