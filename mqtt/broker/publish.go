package broker

import (
	"bytes"
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
	"tombolo/queue"
)

// publication is one message on its way through route. Its packet is a view
// that lives as long as the round.
type publication struct {
	from      *client // nil: the broker itself, or another node
	token     uint64
	mount     *mount
	packet    *packet.Publish
	expiresAt int64           // unix ms; 0 never
	id        queue.MessageID // zero: not given yet
	peer      wire.NodeID     // the node that took it in; 0: this one
	body      []byte          // as it came from there, valid for the round
	retained  bool            // its retained value is written
	stamp     int64           // of that value
	begins    bool            // its frames leave when its publisher's packet id is bound (R4)
	unspread  bool            // ... but it is not on every node in time: its publisher sends it again (R8)

	generation uint64        // of this node's routes, under which it was matched (R21)
	under      *atomic.Int64 // counts those that are under way in that generation
	unsettled  *atomic.Int64 // counts this one until it is confirmed everywhere (R3); nil: nobody remembers it
	targets    wire.Targets  // who of the nodes that it came to gets it

	// Of a message of another node at QoS > 0.
	instant bool // it is taken at once, or nothing happens
	applied queue.Applied
	missed  uint8 // a bit for each group it names of which nobody is here
	done    func(wire.Result, uint8)
	late    func(uint64, wire.Result, uint8) // for what is stored of one that is instant
	stores  bool                             // late will be called
}

// messageID is the identity of the message, given on first use (R1).
func (pub *publication) messageID(b *Broker) queue.MessageID {
	if pub.id == (queue.MessageID{}) {
		pub.id = b.cfg.Queue.NextID()
	}
	return pub.id
}

// publishFrom handles a client's PUBLISH: may it, and where to.
func (b *Broker) publishFrom(c *client, rules Rules, e *session.Effects, r *round) {
	p := &e.Publish
	b.count.publishIn[p.QoS].Inc()
	pub := publication{from: c, token: e.Token, mount: c.mount, packet: p}
	switch {
	case reserved(p.Topic):
		// Not for clients to use among themselves ([MQTT-4.7.2-1]).
		b.count.dropped[dropReserved].Inc()
		b.refusePublish(&pub, packet.NotAuthorized, "topics that begin with $ belong to the server", false, r)
		return
	case rules != nil && !rules.MayPublish(p.Topic, p.QoS, p.Retain):
		b.count.unauthorized["publish"].Inc()
		b.count.dropped[dropDenied].Inc()
		b.refusePublish(&pub, packet.NotAuthorized, "not authorized to publish to this topic", true, r)
		return
	}
	if p.Properties.Has(packet.PropMessageExpiry) {
		pub.expiresAt = r.now + int64(p.Properties.MessageExpiry)*1000
	}
	b.admitPublish(&pub, r)
}

// reserved reports whether a '$' topic is the server's. $SYS is ours and
// $share would be a subscription; any other is refused all the same, so that
// no application grows on what a later version takes.
func reserved(t []byte) bool { return bytes.HasPrefix(t, []byte("$")) }

// refusePublish answers a publish that is not made. closes says that a client
// whose version has no negative acknowledgement is disconnected.
func (b *Broker) refusePublish(pub *publication, reason packet.ReasonCode, detail string, closes bool, r *round) {
	b.count.publishError.Inc()
	c := pub.from
	r.lock(c)
	defer r.unlock(c)
	if c.conn == nil {
		return
	}
	r.other.Reset()
	if closes && c.core.ClosesOnRefusedPublish() {
		c.core.Disconnect(reason, detail, &r.other)
		b.emit(c, &r.other, r)
	}
	b.answer(c, pub.token, reason, detail, r)
}

// route brings a message to everyone who wants it. What need not be stored
// happens here and now; the publisher is answered when the rest is stored, here
// and on other nodes. False means that it would need room in a spool that has
// none (R11); then nothing has happened.
func (b *Broker) route(pub *publication, r *round) bool {
	done := b.spread(pub, r)
	if pub.under != nil {
		pub.under.Add(-1)
		pub.under = nil
	}
	if pub.unsettled != nil {
		pub.unsettled.Add(-1) // it went to no other node
		pub.unsettled = nil
	}
	return done
}

func (b *Broker) spread(pub *publication, r *round) bool {
	set := b.settings.Load()
	p := pub.packet
	r.message = nil
	r.outgoing.Set(p, pub.expiresAt)
	var wait *pending
	if p.QoS == 2 && pub.from != nil {
		pub.id = pub.from.begunID(p.ID)
	}
	if p.QoS == 2 && pub.id == (queue.MessageID{}) && b.clustered() {
		pub.unsettled = b.settling.enter()
	}
	if p.Retain && !pub.retained {
		wait = b.retain(pub, wait)
	}
	matched := b.match(pub, set, r)
	r.noteLive(pub)
	if pub.from != nil && p.QoS > 0 && !b.spoolsAdmit(r) {
		return false
	}
	if set.Queue.Refuse && !b.admitAll(r) {
		if wait != nil {
			wait.settle(b, r)
		}
		b.finish(pub.from, pub.token, packet.QuotaExceeded, "a subscriber's queue is full (queue_full = refuse)", r)
		return true
	}
	local := matched - len(r.away)
	wait = b.deliver(pub, set, wait, r)
	if len(r.away) > 0 && !pub.begins {
		wait = b.forward(pub, wait, r)
	}
	if matched == 0 {
		b.count.noMatch.Inc()
	}
	if pub.unspread {
		wait = wait.start(b, pub)
		wait.failed.Store(true)
	}
	if wait != nil {
		if local > 0 || p.Retain {
			wait.matched.Store(true)
		}
		wait.settle(b, r)
		return true
	}
	reason := packet.Success
	if matched == 0 && p.QoS > 0 {
		reason = packet.NoMatchingSubscribers
	}
	b.finish(pub.from, pub.token, reason, "", r)
	return true
}

// match chooses who gets the message: clients into r.receive, nodes into
// r.away. It returns how many that are. All of it is chosen under one
// generation of the routes, which the frames bear (R21).
func (b *Broker) match(pub *publication, set *Settings, r *round) (matched int) {
	if b.cfg.Cluster != nil {
		b.enter(pub)
	}
	return b.matchNow(pub, set, r)
}

func (b *Broker) matchNow(pub *publication, set *Settings, r *round) (matched int) {
	p := pub.packet
	r.receive, r.away, r.names = r.receive[:0], r.away[:0], r.names[:0]
	res := pub.mount.index.Match(p.Topic)
	others := pub.mount.broker.cfg.Cluster != nil && !reserved(p.Topic) // $SYS is each node's own
	for i := range res.Direct {
		h := &res.Direct[i]
		if h.Sub.remote != nil {
			if others {
				r.chooseNode(h.Sub.remote, p.QoS)
			}
			continue
		}
		if h.Sub.moving.Load() && p.QoS > 0 && !b.takesFrom(h.Sub, wire.NodeID(b.cfg.NodeID), pub.generation) {
			continue
		}
		matched++
		if h.Options.NoLocal && h.Sub == pub.from && pub.from != nil {
			continue
		}
		b.choose(h, p, set, r)
	}
	for i := range res.Shared {
		g := &res.Shared[i]
		c := b.pick(g, set.SharePolicy, others)
		if c.hit != nil {
			matched++
			b.choose(c.hit, p, set, r)
		} else if c.node != nil {
			r.chooseGroup(c, g)
		}
	}
	return matched + len(r.away)
}

// choose files a delivery to the subscriber of h.
func (b *Broker) choose(h *topic.Hit[*client], p *packet.Publish, set *Settings, r *round) {
	qos := min(p.QoS, h.Options.QoS)
	if set.Limits.UpgradeQoS {
		qos = h.Options.QoS
	}
	r.receive = append(r.receive, receiver{
		client: h.Sub, qos: qos, ids: h.IDs,
		retain: p.Retain && h.Options.RetainAsPublished,
	})
}

// deliver makes the deliveries that were chosen.
func (b *Broker) deliver(pub *publication, set *Settings, wait *pending, r *round) *pending {
	r.targets, r.durable = r.targets[:0], r.durable[:0]
	r.outgoing.Share(len(r.receive))
	for i := range r.receive {
		d := &r.receive[i]
		switch {
		case d.has:
		case d.qos == 0:
			b.deliverNow(d, set, r)
		case d.client.durable:
			if set.Queue.Refuse || b.admit(d, r) {
				r.targets = append(r.targets, queue.Target{Queue: d.client.qid, QoS: d.qos, Retain: d.retain, SubIDs: d.ids})
				r.durable = append(r.durable, d.client)
			}
		default:
			r.lock(d.client)
			b.enqueueLocked(d, pub, set.Queue.Refuse, set, r)
			r.unlock(d.client)
		}
	}
	inbound := queue.Inbound{}
	if c := pub.from; c != nil && c.durable && pub.packet.QoS == 2 {
		inbound = queue.Inbound{Queue: c.qid, PacketID: uint16(pub.packet.ID), Begun: len(r.away) > 0}
	}
	if len(r.targets) == 0 && inbound.Queue == 0 {
		return wait
	}
	return b.store(pub, inbound, wait, r)
}

// deliverNow writes a QoS 0 message to the connection, or counts why not.
func (b *Broker) deliverNow(d *receiver, set *Settings, r *round) {
	r.lock(d.client)
	defer r.unlock(d.client)
	b.deliverNowLocked(d, set, r)
}

func (b *Broker) deliverNowLocked(d *receiver, set *Settings, r *round) {
	c := d.client
	if c.has(r) {
		return
	}
	if c.conn == nil {
		b.count.dropped[dropOffline].Inc()
		return
	}
	if set.OutboxBytesMax > 0 && c.buffered() > set.OutboxBytesMax {
		b.overflow(c, set, r)
		return
	}
	r.other.Reset()
	c.core.Deliver0(&r.outgoing, d.retain, d.ids, r.now, &r.other)
	b.emit(c, &r.other, r)
}

// overflow gives up a QoS 0 delivery to a client that does not read, and the
// client as well if the operator wants that. The caller holds c.mu.
func (b *Broker) overflow(c *client, set *Settings, r *round) {
	b.count.dropped[dropOutbox].Inc()
	if !set.OutboxDisconnect {
		return
	}
	r.other.Reset()
	c.core.Disconnect(packet.QuotaExceeded, "client does not read what it is sent (max_outbox_bytes)", &r.other)
	b.emit(c, &r.other, r)
}

// enqueueLocked hands a QoS 1 or 2 message to a session that ends with its
// connection. admitted says that the queue has a place for it already.
func (b *Broker) enqueueLocked(d *receiver, pub *publication, admitted bool, set *Settings, r *round) {
	c := d.client
	m := r.msg(b, pub)
	if !admitted && c.has(r) {
		return
	}
	if !admitted && !b.admitted(c, c.queue.Admit(d.qos)) {
		return
	}
	c.queue.Committed(queue.Entry{Msg: m, QoS: d.qos, Retain: d.retain, SubIDs: d.ids})
	b.pump(c, set, r)
}

// pump sends what c's queue has ready, unless the client has stopped reading;
// OnWritable goes on then. The caller holds c.mu.
func (b *Broker) pump(c *client, set *Settings, r *round) {
	r.other.Reset()
	if c.conn != nil && (set.OutboxBytesMax <= 0 || c.buffered() <= set.OutboxBytesMax) {
		c.core.Pump(r.now, &r.other)
	}
	b.emit(c, &r.other, r)
}

// admitNow asks a queue for a place ahead of admit; false if admit would have to
// wait.
func (b *Broker) admitNow(d *receiver) bool {
	c := d.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused != nil {
		return false
	}
	d.asked, d.place = true, b.admitted(c, c.queue.Admit(d.qos))
	return true
}

// admit asks a queue for a place.
func (b *Broker) admit(d *receiver, r *round) bool {
	if d.asked {
		return d.place
	}
	c := d.client
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.paused != nil {
		open := c.paused
		c.mu.Unlock()
		b.flushLinks(r) // what was sent before does not wait for this
		<-open
		c.mu.Lock()
	}
	d.has = c.has(r)
	return !d.has && b.admitted(c, c.queue.Admit(d.qos))
}

func (b *Broker) admitted(c *client, a queue.Admission) bool {
	switch {
	case c.ended:
		if a == queue.Accept || a == queue.AcceptEvictOldest {
			c.queue.Abandoned()
		}
		return false
	case a == queue.AcceptEvictOldest:
		b.count.dropped[dropQueueFull].Inc() // the oldest goes
		return true
	case a == queue.DropNew:
		b.count.dropped[dropQueueFull].Inc()
		return false
	}
	return a == queue.Accept
}

// admitAll takes a place in every queue at QoS > 0 or in none, for
// queue_full = refuse: a publish is refused before it has any effect.
func (b *Broker) admitAll(r *round) bool {
	for i := range r.receive {
		d := &r.receive[i]
		if d.qos == 0 || b.admit(d, r) || d.has {
			continue
		}
		for j := range i {
			if u := &r.receive[j]; u.qos > 0 && !u.has {
				u.client.mu.Lock()
				u.client.queue.Abandoned()
				u.client.mu.Unlock()
			}
		}
		return false
	}
	return true
}
