package broker

import (
	"context"
	"errors"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// errUnknown is what a node says that has not heard of a session yet.
var errUnknown = errors.New("the session is not known here")

// Adopt makes this node the home of a session whose home was another node, and
// whose client is connected nowhere (R23). Its queue begins a new generation
// here; what the old home has follows, now or when it can be reached again. From
// then on this node sees to its end and its will. Nothing is done if the session
// has gone elsewhere meanwhile, and none is adopted whose client is connecting
// elsewhere: its connection stays. It blocks until the record with the new home is
// durable here; the caller is a worker.
func (b *Broker) Adopt(ctx context.Context, k Key, from wire.NodeID) error {
	if b.cfg.Cluster == nil {
		return errors.New("this node is by itself")
	}
	existing, ok := b.registry.hold(k, b.stop)
	if !ok {
		return errStopped
	}
	defer b.registry.release(k)
	rec, err := b.storedSession(k)
	switch {
	case err != nil:
		return err
	case rec == nil:
		return errUnknown
	case wire.NodeID(rec.Home) != from:
		return nil
	case existing != nil && existing.connected():
		return errors.New("the client is connected here")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	g, err := b.permitKey(Registration{Key: k, IfIdle: true})
	if err != nil {
		return err
	}
	defer b.unused(k, g.epoch) // nobody is connected
	if g.record == nil || wire.NodeID(g.record.Home) != from {
		return nil // it ended, or moved, before the grant
	}
	g.record = b.asLeft(g.record)
	if lapsed(g.record, b.cfg.Now().UnixMilli()) {
		return b.endAdopted(k, existing, g)
	}
	c, err := b.bringHome(k, existing, g, func(c *client) error { return b.storeAdopted(c, g) })
	if err != nil {
		return err
	}
	b.count.adopted.Inc()
	b.arm(c)
	return nil
}

// endAdopted ends a session that is over but for its home, which did not see to
// it: its will is published, unless it was.
func (b *Broker) endAdopted(k Key, existing *client, g permission) error {
	if existing != nil && !existing.kept() {
		return errors.New("the client is connected here")
	}
	r := b.begin()
	defer b.end(r)
	b.publishStored(k, g.record, r)
	b.count.adopted.Inc()
	b.count.expired.Inc()
	return b.endAway(k, existing, g)
}

// storeAdopted writes the record of a session that came here without its client,
// and takes over what is due for it. Called with the key held.
func (b *Broker) storeAdopted(c *client, g permission) error {
	rec := *g.record
	pending, left := rec.WillPending(), rec.WillEpoch()
	b.comesHere(&rec, g.epoch)
	if rec.DisconnectedAt == 0 {
		rec.DisconnectedAt = b.cfg.Now().UnixMilli() // its old home is gone, and its connection with it
	}
	if w := rec.Will; pending {
		armed := *w
		armed.Epoch = left // the session's own rises
		if w.At == 0 {
			armed.At = rec.DisconnectedAt + max(b.settings.Load().WillGrace.Milliseconds(), int64(w.DelaySeconds)*1000)
		}
		rec.Will = &armed
	} else {
		rec.Will = nil
	}
	c.mu.Lock()
	c.blocks.give(&rec)
	c.mu.Unlock()
	if err := b.putSession(c.key, &rec); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record, c.granted = &rec, g.epoch
	c.disconnectedAt = rec.DisconnectedAt
	if c.will = loadedWill(rec.Will); c.will != nil {
		c.willAt, c.willEpoch = rec.Will.At, left
	}
	return nil
}

// eachHomed calls yield for the sessions in the tables that have not ended and
// whose home is a node, until it returns false.
func (b *Broker) eachHomed(home wire.NodeID, yield func(k Key) bool) error {
	return b.cfg.Metadata.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		if v.Over() || wire.NodeID(v.Home) != home {
			return true
		}
		return yield(Key{k.Mountpoint, k.ClientID})
	})
}
