package broker

import (
	"fmt"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/queue"
)

// The QoS 2 packet ids of a client whose session comes here are known here before
// anything that it sends is read: a PUBLISH that it sent to the old home and sends
// again would be a new one otherwise, and a PUBREL that of nothing (R4, R21). The
// old home sends them first, before the queue and without waiting for its turn, and
// says when these are all; CONNACK and deliveries do not wait.
//
// From a home that is lost they do not come before the client is read. What it sends
// again is a new message then, and it goes on to use its packet ids for others: when the
// home is back they are of the past. Taken in, each would have the next message under it
// taken for one that came again: answered, and given to nobody.

// idsMax is how long a connection is not read at most for want of the packet ids.
const idsMax = 5 * time.Second

// awaitIDs has the next connection of c not be read until its packet ids have come
// from a node that can be reached. The caller holds c.mu, or nobody knows c yet.
func (b *Broker) awaitIDs(c *client, from wire.NodeID) {
	if !b.cfg.Cluster.Reachable(from) {
		return
	}
	c.idsFrom, c.idsUntil = from, b.cfg.Now().Add(idsMax).UnixMilli()
	b.wheel.at(c.idsUntil, idsCheck{c})
}

// idsKnown goes on: a node has sent all packet ids that it knew. The caller holds
// c.mu.
func (c *client) idsKnown(from wire.NodeID) {
	if from == 0 || c.idsFrom != from {
		return
	}
	c.idsFrom = 0
	if c.peer != nil {
		c.goesOn()
		c.peer.release(holdIDs)
	}
}

// goesOn is for a client that is read from now on, with the packet ids that are here:
// those that still come are late. The caller holds c.mu.
func (c *client) goesOn() {
	if c.durable {
		c.mount.broker.cfg.Queue.NoInbound(c.qid)
	}
}

// outdated reports whether the packet ids that are here of an earlier stay may be of the
// past: the client of the session, whose record that is, was let in elsewhere since, and
// the home there did not get them in time (awaitLeftover). If it did not because a
// publish is with this node still, it waits for them, or did until now. The caller holds
// c.mu, or nobody knows c yet.
func (c *client) outdated(now *metadata.Session) bool {
	if c.core.Receiving() {
		return false
	}
	own := c.record
	return own == nil || own.Home != c.mount.broker.cfg.NodeID || own.Connects < now.Connects
}

// lastIDs is done of a frame with which a node has sent all packet ids.
func (b *Broker) lastIDs(c *client, from wire.NodeID, done func(wire.Result, uint8)) func(wire.Result, uint8) {
	return func(res wire.Result, reason uint8) {
		if res == wire.Stored {
			c.mu.Lock()
			c.idsKnown(from)
			c.mu.Unlock()
		}
		done(res, reason)
	}
}

// dropIDs forgets packet ids of a queue.
func (b *Broker) dropIDs(id queue.QueueID, list []queue.Received) {
	ops := make([]queue.Op, 0, len(list))
	for i := range list {
		ops = append(ops, queue.Op{Kind: queue.OpInboundDone, PacketID: list[i].PacketID})
	}
	if len(ops) > 0 {
		b.cfg.Queue.Do(id, ops, nil)
	}
}

// idsCheck goes on without packet ids that do not come. A value.
type idsCheck struct{ c *client }

func (t idsCheck) due(now int64) int64 {
	c, b := t.c, t.c.mount.broker
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.idsFrom == 0:
		return 0
	case now < c.idsUntil:
		return c.idsUntil // of a later move
	}
	b.count.idsMissed.Inc()
	b.cfg.Log.Warn("a session goes on without the QoS 2 packet ids of its old home", "client", c.key.ClientID, "from", fmt.Sprintf("%016x", uint64(c.idsFrom)))
	c.idsKnown(c.idsFrom)
	return 0
}

// whole reports whether all that is known of c's packet ids is in its queue: no
// publish of its client is on its way, nor are ids from an earlier home. The caller
// holds c.mu.
func (c *client) whole() bool { return c.idsFrom == 0 && !c.core.Receiving() }

// sendIDs sends the target what is known of the client's packet ids; false if it is
// not known yet, or not all of it has arrived.
func (j *source) sendIDs(to wire.NodeID, epoch metadata.Epoch) (sent bool, err error) {
	j.c.mu.Lock()
	whole := j.c.whole()
	j.c.mu.Unlock()
	if !whole && j.b.cfg.Now().UnixMilli()-j.since < awaitsMax.Milliseconds() {
		return false, nil
	}
	stored := make(chan error, 1)
	j.b.cfg.Queue.Barrier(func(err error) { stored <- err })
	if err := <-stored; err != nil {
		return false, err
	}
	for at := (queue.Place{}); ; {
		batch, err := j.b.cfg.Queue.ExportIDs(j.c.qid, at, j.b.drainStep())
		if err != nil {
			return false, err
		}
		if err := j.hand(to, epoch, batch); err != nil {
			return false, err
		}
		if at = batch.Next; batch.Last {
			break
		}
	}
	m := j.frame(epoch)
	m.Last = true
	for _, id := range j.owed {
		_ = j.b.cfg.Cluster.Send(id, wire.StreamMigration, wire.TypeMigration, wire.AppendMigration(nil, &m), noTicket{})
	}
	j.owed = nil
	return true, nil
}

// newTarget begins anew with the packet ids, since the session has another home. The
// home before, 0 for none, hears that none come to it if it waits for them.
func (j *source) newTarget(before wire.NodeID) {
	if before != 0 && !j.ids.Load() {
		j.owed = append(j.owed, before)
	}
	j.ids.Store(false)
}
