package broker

import (
	"hash/fnv"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/queue"
)

// willID is the identity of a will: whoever publishes it does so under this, so
// that a queue which has it takes no second copy (R29).
func willID(k Key, left metadata.Epoch) queue.MessageID {
	h := fnv.New64a()
	_, _ = h.Write([]byte(queueName(k)))
	return queue.MessageID{Ingress: mix(h.Sum64()+left.Node)&^1 | 2, N: left.HLC}
}

// mix spreads the bits of a hash: those of FNV over short names differ little.
func mix(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

// withholds reports whether this node keeps what is due of its sessions, wills
// and ends: it does not know yet what the others know, or it is cut off from more
// than half of the members, which may do it in its place (R23, R29).
func (b *Broker) withholds() bool {
	if !b.clustered() {
		return false
	}
	gate := b.cfg.Gate.Now()
	switch {
	case gate.Why != "":
		return true
	case !gate.Split || b.settings.Load().WillOnNodeLoss == WillAlways:
		return false
	}
	m, ok := b.cfg.Cluster.(Majority)
	return !ok || !m.Majority()
}

// keptCheck is how often a session whose will or end is kept looks again, in ms.
const keptCheck = 2000

// keepUntil is when a session may look again at what is due of it; 0: now.
func (b *Broker) keepUntil(now int64) int64 {
	if b.withholds() {
		b.withheld.Store(true)
		return now + keptCheck
	}
	if until := b.keptUntil.Load(); now < until {
		return until
	}
	return 0
}

// keepNoMore follows a change of the gate. When the node is whole again, its
// clients have a while to come back, here or elsewhere, before what was kept is
// done (R29); and it may have missed who was lost.
func (b *Broker) keepNoMore() {
	held := b.withholds()
	if !b.withheld.Swap(held) || held {
		return
	}
	b.keptUntil.Store(b.cfg.Now().UnixMilli() + b.settings.Load().WillGrace.Milliseconds())
	b.heirs.nudge()
	if b.cfg.Cluster == nil {
		return
	}
	for _, id := range b.others() {
		if !b.cfg.Cluster.Reachable(id) {
			b.spawn(func() { b.armLostWills(id) })
		}
	}
}

// stillDue reports whether the will of c is to be published here: nobody did so
// while this node was cut off, and the session is this node's still.
func (b *Broker) stillDue(c *client, left metadata.Epoch) bool {
	c.mu.Lock()
	rec := c.record
	c.mu.Unlock()
	if rec == nil || !b.clustered() {
		return true
	}
	stored, err := b.storedSession(c.key)
	return err != nil || stored != nil && wire.NodeID(stored.Home) == wire.NodeID(b.cfg.NodeID) && stored.WillFired.Less(left)
}

// keepForWill puts a client that has no more than a will in the place of one whose
// session has ended while this node keeps wills.
func (b *Broker) keepForWill(c *client) {
	if _, ok := b.registry.hold(c.key, b.stop); !ok {
		return
	}
	defer b.registry.release(c.key)
	if b.registry.get(c.key) != c {
		return // it came back, which calls the will off
	}
	filters := b.forgetClient(c)
	if c.durable {
		for _, f := range filters {
			b.cfg.Metadata.DeleteSubscription(c.key.meta(), f, b.counted)
		}
		b.cfg.Queue.Drop(c.qid, b.counted)
	}
	c.mu.Lock()
	rec := *c.record
	rec.Expiry, rec.DisconnectedAt, rec.Will = 0, c.disconnectedAt, storedWill(c.will, c.willAt, c.willEpoch)
	left := &client{key: c.key, mount: c.mount, record: &rec, will: c.will, willAt: c.willAt, willEpoch: c.willEpoch, disconnectedAt: c.disconnectedAt}
	c.mu.Unlock()
	left.mu = &left.own
	left.initBound(b.settings.Load())
	b.cfg.Metadata.PutSession(c.key.meta(), &rec, b.counted)
	b.registry.put(left)
	b.gauge.sessions.Add(1)
	b.arm(left)
}
