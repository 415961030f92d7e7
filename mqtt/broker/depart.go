package broker

import (
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
)

// departed deals with a connection that has ended: its will, and the session's
// end or its time without a client. No lock is held.
func (b *Broker) departed(d departure, r *round) {
	c := d.client
	b.unused(c.key, d.granted)
	if w, left := b.dueWill(c, &d, r); w != nil && b.stillDue(c, left) {
		b.publishWill(c, w, left, r)
	}
	switch {
	case d.close.Reason == packet.SessionTakenOver:
		// Whoever took over holds the key and decides what becomes of it.
	case d.ended && d.close.Reason == packet.ServerShuttingDown && d.will:
		// The session's record brings its will to the next start.
	case d.ended && d.keep:
		b.spawn(func() { b.keepForWill(c) })
	case d.ended:
		b.endSession(c, r)
	case b.closing.Load():
		// Stopping is no reason to write every session again: at the next
		// start a session that reads "connected" counts as just left.
		b.noteOwed(c, nil)
	default:
		b.goOffline(c)
	}
}

// dueWill takes the will that is to be published now, with the epoch of the
// connection that left it. One that is delayed is armed, one that was called off is
// forgotten.
func (b *Broker) dueWill(c *client, d *departure, r *round) (*session.Will, metadata.Epoch) {
	none := metadata.Epoch{}
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.will
	switch {
	case w == nil:
		return nil, none
	case d.close.Clean:
		c.will = nil
		return nil, none
	case d.close.Reason == packet.ServerShuttingDown:
		d.will = true
		return nil, none
	case d.close.Reason == packet.SessionTakenOver && b.settings.Load().SuppressWillOnTakeover:
		c.will = nil
		return nil, none
	case d.close.Reason != packet.SessionTakenOver && c.record != nil && b.withholds():
		d.keep = d.ended
		c.willAt = r.now + max(b.settings.Load().WillGrace.Milliseconds(), int64(min(w.Delay, c.expiry))*1000)
		return nil, none
	case w.Delay == 0 && d.close.Reason != packet.ServerMoved || d.ended:
		c.will, c.willFired = nil, c.willEpoch
		return w, c.willEpoch
	}
	// The will is due after its delay or when the session ends, whichever
	// comes first (MQTT 5 §3.1.3.2.2).
	c.willAt = r.now + int64(min(w.Delay, c.expiry))*1000
	if d.close.Reason == packet.ServerMoved {
		c.willAt = max(c.willAt, r.now+b.settings.Load().WillGrace.Milliseconds())
	}
	return nil, none
}

// publishWill publishes w in the name of c. Its id derives from the client and the
// epoch of the connection that left it, whoever publishes it (R29).
func (b *Broker) publishWill(c *client, w *session.Will, left metadata.Epoch, r *round) {
	var p packet.Publish
	if err := session.DecodeProperties(w.Properties, &p); err != nil {
		b.cfg.Log.Error("will message is damaged", "client", c.key.ClientID, "error", err)
		return
	}
	p.Topic, p.Payload, p.QoS, p.Retain = []byte(w.Topic), w.Payload, w.QoS, w.Retain
	pub := publication{mount: c.mount, packet: &p}
	if !left.IsZero() {
		pub.id = willID(c.key, left)
	}
	if p.Properties.Has(packet.PropMessageExpiry) {
		pub.expiresAt = r.now + int64(p.Properties.MessageExpiry)*1000
	}
	b.count.wills.Inc()
	b.route(&pub, r)
}

// goOffline records when the session lost its client and sets the timers for
// its end and its will. A registration that is under way writes the record
// itself.
func (b *Broker) goOffline(c *client) {
	b.noteOwed(c, nil)
	if _, free := b.registry.tryHold(c.key); !free {
		return
	}
	defer b.registry.release(c.key)
	b.recordOffline(c)
}

// recordOffline is goOffline for who holds the key.
func (b *Broker) recordOffline(c *client) {
	c.mu.Lock()
	if c.conn != nil || c.ended || c.record == nil || c.leaving() {
		c.mu.Unlock()
		return
	}
	rec := *c.record
	c.mu.Unlock()
	c.mu.Lock()
	if rec.WillFired.Less(c.willFired) {
		rec.WillFired = c.willFired // the table keeps the highest
	}
	rec.DisconnectedAt, rec.Expiry = c.disconnectedAt, c.expiry
	rec.Will = storedWill(c.will, c.willAt, c.willEpoch)
	b.leaveBlock(c, &rec)
	c.record = &rec
	c.mu.Unlock()
	b.cfg.Metadata.PutSession(c.key.meta(), &rec, b.counted)
	b.arm(c)
}

// counted counts a write nobody waits for.
func (b *Broker) counted(err error) {
	if err != nil {
		b.count.commitFailed.Inc()
	}
}

// arm sets the timer of a session without a client, if none that is due early
// enough is set already.
func (b *Broker) arm(c *client) {
	now := b.cfg.Now().UnixMilli()
	c.mu.Lock()
	next := c.nextCheck(now)
	set := next > 0 && (c.armedAt == 0 || next < c.armedAt)
	if set {
		c.armedAt = next
	}
	c.mu.Unlock()
	if set {
		b.wheel.at(next, sessionCheck{c})
	}
}

// nextCheck is when the session's will or end is due, or when to look again;
// 0 if there is nothing to look for. The caller holds c.mu.
func (c *client) nextCheck(now int64) int64 {
	if c.conn != nil || c.ended || c.leaving() {
		return 0
	}
	next := int64(0)
	if c.expiry != session.ExpiryNever {
		next = c.expiresAt()
	}
	if c.willAt > 0 && (next == 0 || c.willAt < next) {
		next = c.willAt
	}
	if next == 0 {
		return 0
	}
	return min(next, now+recheckMax)
}

// expiresAt is when the session ends without its client. The caller holds c.mu.
func (c *client) expiresAt() int64 {
	if c.expiry == 0 && c.willAt > 0 {
		return c.willAt // kept for its will alone
	}
	return c.disconnectedAt + int64(c.expiry)*1000
}

// sessionCheck publishes a delayed will and ends a session whose client
// stayed away too long. The store is asked on a worker.
type sessionCheck struct{ c *client }

func (t sessionCheck) due(now int64) int64 {
	c := t.c
	b := c.mount.broker
	if b.evacuating.Load() > 0 {
		return now + 1000 // another node is about to see to it
	}
	if later := b.keepUntil(now); later > 0 {
		return later
	}
	c.mu.Lock()
	c.armedAt = 0
	away := c.conn == nil && !c.ended && !c.leaving()
	will := away && c.willAt > 0 && now >= c.willAt
	over := away && c.expiry != session.ExpiryNever && now >= c.expiresAt()
	since := c.disconnectedAt
	c.mu.Unlock()
	switch {
	case over:
		b.spawn(func() { b.expire(c, since) })
	case will:
		b.spawn(func() {
			r := b.begin()
			b.fireWill(c, r)
			b.end(r)
			b.goOffline(c)
		})
	case away:
		b.arm(c)
	}
	return 0
}

// expire ends a session, unless its client came back meanwhile.
func (b *Broker) expire(c *client, since int64) {
	if _, ok := b.registry.hold(c.key, b.stop); !ok {
		return
	}
	defer b.registry.release(c.key)
	c.mu.Lock()
	expired := c.conn == nil && !c.ended && !c.leaving() && c.disconnectedAt == since
	if expired {
		c.ended = true
	}
	c.mu.Unlock()
	if !expired {
		return
	}
	b.count.expired.Inc()
	r := b.begin()
	b.fireWill(c, r)
	b.erase(c, b.counted)
	b.end(r)
}

// fireWill publishes the will that c has armed.
func (b *Broker) fireWill(c *client, r *round) {
	c.mu.Lock()
	w, left := c.will, c.willEpoch
	armed := w != nil && c.willAt > 0
	if armed {
		c.will, c.willAt, c.willFired = nil, 0, left
	}
	c.mu.Unlock()
	if armed && b.stillDue(c, left) {
		b.publishWill(c, w, left, r)
	}
}

// endSession ends a session that does not outlive its connection.
func (b *Broker) endSession(c *client, _ *round) {
	if !c.kept() {
		b.forgetClient(c)
		return
	}
	b.spawn(func() {
		if _, ok := b.registry.hold(c.key, b.stop); !ok {
			return
		}
		defer b.registry.release(c.key)
		if b.registry.get(c.key) == c {
			b.erase(c, b.counted)
		}
	})
}

// discard ends a session that a clean start replaces. The caller holds the
// key; the record is overwritten by the new session's, or erased.
func (b *Broker) discard(c *client, r *round) {
	c.mu.Lock()
	c.ended = true
	if c.will != nil && c.will.Delay == 0 {
		c.will, c.willAt = nil, 0 // it was kept for a client that is back
	}
	c.mu.Unlock()
	b.fireWill(c, r)
	done := make(chan error, 1)
	if b.erase(c, func(err error) { done <- err }) {
		// The client may be told that its session is new only when the old one
		// cannot come back after a crash.
		if err := <-done; err != nil {
			b.count.commitFailed.Inc()
		}
	}
}

// erase removes everything of a session that has ended. The caller holds the
// key. done is called when the record is gone for good; false means that there
// was none.
func (b *Broker) erase(c *client, done func(error)) bool {
	filters := b.forgetClient(c)
	if c.durable {
		for _, f := range filters {
			b.cfg.Metadata.DeleteSubscription(c.key.meta(), f, b.counted)
		}
		b.cfg.Queue.Drop(c.qid, b.counted)
	}
	c.mu.Lock()
	stored := c.record != nil
	c.record = nil
	c.mu.Unlock()
	if stored {
		b.cfg.Metadata.DeleteSession(c.key.meta(), done)
	}
	return stored
}

// forgetClient takes a session that has ended out of the index and the
// registry, and returns the filters it had.
func (b *Broker) forgetClient(c *client) []string {
	c.mu.Lock()
	c.ended = true
	filters := make([]string, 0, len(c.subs))
	for f := range c.subs {
		b.unindex(c, f)
		filters = append(filters, f)
	}
	b.gauge.subscriptions.Add(-int64(len(c.subs)))
	c.subs = nil
	c.mu.Unlock()
	if b.registry.remove(c) {
		b.gauge.sessions.Add(-1)
	}
	return filters
}

// storedWill is the form of a will in the session's record.
func storedWill(w *session.Will, at int64, left metadata.Epoch) *metadata.Will {
	if w == nil {
		return nil
	}
	return &metadata.Will{
		Topic: w.Topic, Payload: w.Payload, Properties: w.Properties,
		QoS: w.QoS, Retain: w.Retain, DelaySeconds: w.Delay, At: at, Epoch: left,
	}
}

func loadedWill(w *metadata.Will) *session.Will {
	if w == nil {
		return nil
	}
	return &session.Will{
		Topic: w.Topic, Payload: w.Payload, Properties: w.Properties,
		QoS: w.QoS, Retain: w.Retain, Delay: w.DelaySeconds,
	}
}
