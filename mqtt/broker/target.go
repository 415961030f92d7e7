package broker

import (
	"fmt"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/queue"
)

// bringHome makes this node the home of a session of another one: its
// subscriptions come from the tables, its queue begins a new generation here, and
// the older ones follow when the record is stored, which store does (R20, R21). The
// caller holds the key.
func (b *Broker) bringHome(key Key, existing *client, g permission, store func(c *client) error) (*client, error) {
	from := wire.NodeID(g.record.Home)
	until := b.cfg.Now().Add(ownMax)
	b.awaitOwn(existing, g.record.Epoch, until)
	b.awaitLeftover(existing, g.record, until)
	b.stopSource(key)
	c, err := b.openAway(key, existing, from, g)
	if err != nil {
		return nil, err
	}
	if err := b.alignAll(c); err != nil {
		b.backOut(c, existing)
		return nil, err
	}
	b.registry.put(c)
	failed := store(c)
	if failed != nil && !b.written(key, g.epoch) {
		b.backOut(c, existing)
		return nil, failed
	}
	b.tellFinal(key, g.epoch, 0) // what is here stays
	b.wheel.at(b.cfg.Now().Add(cutsMax).UnixMilli(), shiftCheck{c, g.epoch})
	b.watchStuck(c, g.epoch)
	if failed != nil {
		// All others send to here from now on, so the session stays, for a client
		// that is not let in.
		c.mu.Lock()
		c.disconnectedAt = b.cfg.Now().UnixMilli()
		c.mu.Unlock()
		b.recordOffline(c)
		return nil, failed
	}
	return c, nil
}

// ownMax is how long a session that comes back waits at most for what was published
// for its last stay, and for what is left of it here to be at the home between.
const ownMax = time.Second

// awaitOwn waits until all that is published for c's last stay here is in its queue,
// if it has left only lately, by a record of an epoch (R21). Taken in after that it
// would be of the stay that begins now, behind what its publisher sent later to the
// home between. The record is all that is known of the move where nobody here has
// followed it yet: what comes for the last stay is this node's all the same. A node that
// does not say in time that it publishes for the other home is not waited for.
func (b *Broker) awaitOwn(c *client, left metadata.Epoch, until time.Time) {
	if c == nil || !c.durable {
		return
	}
	c.mu.Lock()
	b.hasLeft(c, left)
	c.mu.Unlock()
	for !b.sureEverywhere(c.shift.Load()) {
		if !b.cfg.Now().Before(until) {
			b.count.orderBroken.Inc()
			return
		}
		if !b.pause(time.Millisecond) {
			return
		}
	}
}

// written reports whether this node is the home of a session at an epoch by the
// record, be it only here that it is known yet.
func (b *Broker) written(k Key, epoch metadata.Epoch) bool {
	rec, err := b.storedSession(k)
	return err == nil && rec != nil && rec.Home == b.cfg.NodeID && rec.Epoch == epoch
}

// backOut leaves things to the home that the record names.
func (b *Broker) backOut(c, existing *client) {
	if existing == nil {
		b.forgetClient(c)
	}
	b.spawn(func() { b.letGo(c.key) })
}

// openAway opens the queue of a session that comes here. What is here of it from
// an earlier stay is one of its older generations; its client object goes on.
func (b *Broker) openAway(k Key, existing *client, from wire.NodeID, g permission) (*client, error) {
	c := existing
	if c == nil || !c.durable {
		c = &client{key: k, mount: b.mount(k.Mountpoint), durable: true}
		c.mu = &c.own
		b.gauge.sessions.Add(1)
	}
	open := b.pauseQueue(c)
	defer open()
	id, st, err := b.cfg.Queue.OpenGeneration(queueName(k), g.epoch.HLC, false)
	if err != nil {
		return nil, err
	}
	noted := make(chan error, 1)
	b.cfg.Queue.Moving(id, uint64(from), func(err error) { noted <- err })
	if err := <-noted; err != nil {
		return nil, err
	}
	st.MovingFrom = uint64(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outdated(g.record) {
		b.dropIDs(id, st.Received)
		st.Received = nil
	}
	rec := *g.record
	c.record, c.expiry, c.ended = &rec, rec.Expiry, false
	c.will, c.willAt = nil, 0
	c.owed = nil // as the tables have it
	b.makeDurable(c, id, st, b.settings.Load())
	if c.awaits == nil {
		c.awaits = map[wire.NodeID]metadata.Epoch{}
	}
	c.awaits[from] = g.epoch
	b.awaitIDs(c, from)
	s := c.shift.Load()
	if s == nil {
		s = b.strays.share(k, append(b.others(), wire.NodeID(b.cfg.NodeID)))
	}
	s = s.begun(g.epoch, true)
	for _, id := range b.others() {
		if !b.cfg.Cluster.Reachable(id) {
			s = s.with(id, 0) // what it has for the old home comes a second way, if at all
		}
	}
	c.setShift(s)
	if !g.closed {
		b.goOnWithout(c)
	}
	return c, nil
}

// pauseQueue has whoever wants to append to c's queue wait until the function
// that it returns is called, and returns once nothing is on its way into it.
func (b *Broker) pauseQueue(c *client) (open func()) {
	ch := make(chan struct{})
	c.mu.Lock()
	c.paused = ch
	c.mu.Unlock()
	for c.queue != nil {
		c.mu.Lock()
		n := c.queue.Pending() + c.importing
		c.mu.Unlock()
		if n == 0 || !b.pause(time.Millisecond) {
			break
		}
	}
	return func() {
		c.mu.Lock()
		c.paused = nil
		c.mu.Unlock()
		close(ch)
	}
}

// goOnWithout delivers what is new before what the old home still has, since
// that cannot be reached (R22). The caller holds c.mu.
func (b *Broker) goOnWithout(c *client) {
	c.idsKnown(c.idsFrom)
	if !c.queue.Moving() {
		return
	}
	c.queue.SetMoving(false)
	c.blocks.gaveUp = true
	b.count.orderBroken.Inc()
}

// TakeMigration takes a part of a session's queue from a node that was its home
// (R22). done says whether it is stored here: a node that is not the home, or not
// yet, refuses it, and it comes again.
func (b *Broker) TakeMigration(from wire.NodeID, inc wire.Incarnation, seq uint64, m *wire.Migration, done func(wire.Result, uint8)) {
	c := b.registry.get(Key{m.Client.Mountpoint, m.Client.ID})
	if c == nil || !c.durable {
		if m.Final && len(m.Records) == 0 {
			done(wire.Stored, 0) // there is nothing that it could end
			return
		}
		done(wire.Refused, uint8(packet.ServerBusy))
		return
	}
	if m.Final && len(m.Records) == 0 {
		b.arrived(c, from, epochOf(m), done)
		return
	}
	if m.Generation == 0 && m.Last {
		if done = b.lastIDs(c, from, done); len(m.Records) == 0 {
			done(wire.Stored, 0)
			return
		}
	}
	b.takePart(c, from, m, &queue.Applied{Peer: uint64(from), Incarnation: uint64(inc), Stream: uint32(wire.StreamMigration), Sequence: seq, Result: wire.Stored}, done)
}

// takePart stores a part of the queue of a session whose home this node is, with
// ap in the same commit. from is the node that had it, 0 if it is no member.
func (b *Broker) takePart(c *client, from wire.NodeID, m *wire.Migration, ap *queue.Applied, done func(wire.Result, uint8)) {
	c.mu.Lock()
	s, rec := c.shift.Load(), c.record
	mine := !c.ended && rec != nil && (s == nil || s.target) && c.paused == nil
	dead := mine && m.Generation > 1 && m.Generation < rec.Floor.HLC
	if mine && !dead {
		c.importing++
	}
	_, awaited := c.awaits[from]
	partial := !awaited || len(c.awaits) > 1
	c.mu.Unlock()
	switch {
	case !mine:
		done(wire.Refused, uint8(packet.ServerBusy))
		return
	case dead:
		done(wire.Stored, 0) // a clean start discarded it (R18)
		return
	}
	batch := queue.BatchOf(m)
	batch.Partial = partial
	b.count.migratedIn.Add(uint64(len(batch.Records)))
	b.cfg.Queue.Import(c.qid, batch, ap, func(stored []queue.Record, err error) {
		if err != nil {
			c.mu.Lock()
			c.importing--
			c.mu.Unlock()
			b.cfg.Log.Warn("part of a session's queue could not be stored", "client", c.key.ClientID, "from", uint64(from), "error", err)
			done(wire.Refused, uint8(packet.ServerBusy))
			return
		}
		b.imported(c, batch, stored)
		done(wire.Stored, 0)
	})
}

// imported hands on to the session what came. It is called by the queue store's
// completion goroutine.
func (b *Broker) imported(c *client, batch *queue.Batch, stored []queue.Record) {
	r := b.completionRound()
	r.lock(c)
	defer r.unlock(c)
	c.importing--
	if c.ended {
		return
	}
	c.queue.Imported(batch, stored)
	for i := range stored {
		if stored[i].Received {
			b.receivedOf(c, &queue.Received{PacketID: stored[i].PacketID, ID: stored[i].Msg.ID, Begun: stored[i].Begun})
		}
	}
	b.pump(c, b.settings.Load(), r)
}

func epochOf(m *wire.Migration) metadata.Epoch {
	return metadata.Epoch{HLC: m.Epoch.HLC, Node: uint64(m.Epoch.Node)}
}

// arrived notes that a node which was home has sent all it had. done is called
// when that is durable: the node does not say it again.
func (b *Broker) arrived(c *client, from wire.NodeID, epoch metadata.Epoch, done func(wire.Result, uint8)) {
	r := b.arrivals.begin()
	whole := b.arrivedIn(c, from, epoch, done, r)
	b.arrivals.end()
	if !whole {
		done(wire.Stored, 0)
	}
}

// arrivedIn is arrived; true says that nothing of the queue is elsewhere any more, and
// that done is called later. What it finds and what follows from it are under one lock:
// in between the session might come back from the next home, with a queue that waits for
// that one. While it does (paused), the queue of before is as good as gone.
func (b *Broker) arrivedIn(c *client, from wire.NodeID, epoch metadata.Epoch, done func(wire.Result, uint8), r *round) (whole bool) {
	r.lock(c)
	defer r.unlock(c)
	since, awaited := c.awaits[from]
	if epoch.Less(since) {
		return false // of an earlier move
	}
	c.idsKnown(from)
	delete(c.awaits, from)
	if !awaited || len(c.awaits) > 0 || c.ended || c.paused != nil {
		return false
	}
	c.blocks.complete()
	b.cfg.Queue.Moving(c.qid, 0, func(err error) {
		b.counted(err)
		done(wire.Stored, 0)
	})
	c.queue.SetMoving(false)
	b.settledLocked(c)
	b.pump(c, b.settings.Load(), r)
	return true
}

// homeLost goes on without the parts of queues that a node has which is down now
// (R22), and without its fences: if it has forgotten them when it is back, it
// publishes by what its tables say.
func (b *Broker) homeLost(id wire.NodeID) {
	r := b.begin()
	defer b.end(r)
	set := b.settings.Load()
	lost := 0
	b.registry.each(func(c *client) bool {
		r.lock(c)
		defer r.unlock(c)
		if s := c.shift.Load(); s != nil && s.target {
			if _, cut := s.cuts[id]; !cut {
				c.setShift(s.with(id, 0))
				b.settledLocked(c)
			}
		}
		c.idsKnown(id)
		if _, awaited := c.awaits[id]; awaited && c.durable && c.queue.Moving() {
			b.goOnWithout(c)
			b.pump(c, set, r)
			lost++
		}
		return true
	})
	if lost > 0 {
		b.cfg.Log.Warn("sessions go on without what their old home has not sent yet", "node", fmt.Sprintf("%016x", uint64(id)), "sessions", lost)
	}
}

// homesGone goes on without the parts of queues that nodes have which are no members
// any more. What they still have an operator hands over (HandOver); that the store
// remembers the move helps to know it then.
func (b *Broker) homesGone(member map[wire.NodeID]bool) {
	r := b.begin()
	defer b.end(r)
	set := b.settings.Load()
	b.registry.each(func(c *client) bool {
		r.lock(c)
		defer r.unlock(c)
		waited := len(c.awaits)
		for id := range c.awaits {
			if !member[id] {
				delete(c.awaits, id)
				c.idsKnown(id)
			}
		}
		if len(c.awaits) == waited || c.ended {
			return true
		}
		if len(c.awaits) == 0 {
			b.goOnWithout(c)
			c.blocks.lost = 0 // it does not come by itself any more
		}
		b.settledLocked(c)
		b.pump(c, set, r)
		return true
	})
}
