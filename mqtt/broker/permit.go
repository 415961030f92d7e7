package broker

import (
	"context"
	"errors"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
)

// permission is what a CONNECT may go on with. A value.
type permission struct {
	epoch  metadata.Epoch
	record *metadata.Session // what is stored, read after the grant; nil: no session
	asked  bool              // other nodes had their say
	away   bool              // record names another home
	closed bool              // which has confirmed that the client is closed there
}

// ours reports whether the client under the key is still the session: what is
// stored tells, since it may have been ended or moved at another node.
func (g *permission) ours(c *client) bool {
	if !g.asked {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record == nil || g.record != nil
}

// askMax is longer than the cluster takes to answer: a last resort.
const askMax = 6 * time.Second

// errOvertaken refuses a CONNECT whose client id went elsewhere meanwhile.
var errOvertaken = errors.New("the client id connected elsewhere meanwhile")

// permit asks the other nodes for the client id (R16). The caller holds the key,
// but holds up nobody to whom the id is given away meanwhile.
func (b *Broker) permit(p *peer) (permission, error) {
	params := p.hs.Params()
	if !b.clustered() && !b.isAway(p.key()) {
		return permission{epoch: metadata.Epoch{HLC: b.cfg.Metadata.Stamp(), Node: b.cfg.NodeID}}, nil
	}
	return b.permitKey(Registration{Key: p.key(), CleanStart: params.CleanStart, Bound: !params.Persistent()})
}

// permitKey is permit for who has a key and no connection. It fills in what is
// stored.
func (b *Broker) permitKey(q Registration) (permission, error) {
	k := q.Key
	seen, err := b.storedSession(k)
	if err != nil {
		return permission{}, err
	}
	if seen != nil {
		q.EpochSeen, q.HomeSeen = seen.Epoch, wire.NodeID(seen.Home)
	}
	ctx, cancel := context.WithTimeout(context.Background(), askMax)
	defer cancel()
	b.registry.ask(k)
	g, err := b.cfg.Cluster.Register(ctx, q)
	released := b.registry.asked(k)
	if err != nil {
		b.count.denied.Inc()
		var denied *RegistrationError
		if errors.As(err, &denied) {
			return permission{}, errors.New(denied.Text)
		}
		return permission{}, err
	}
	if g.Epoch.Less(released) {
		b.unused(k, g.Epoch)
		return permission{}, errOvertaken
	}
	out := permission{epoch: g.Epoch, asked: true, closed: g.Closed}
	if out.record, err = b.storedSession(k); err != nil {
		b.unused(k, g.Epoch)
		return permission{}, err
	}
	out.away = out.record != nil && out.record.Home != b.cfg.NodeID
	if out.away && !b.cfg.Cluster.Reachable(wire.NodeID(out.record.Home)) {
		// Who closed the client was granted it and has stored nothing, as an heir that
		// was overtaken: nothing comes from the home that the record names.
		out.closed = false
	}
	return out, nil
}

// storedSession reads the record of a session that has not ended; nil is none.
func (b *Broker) storedSession(k Key) (*metadata.Session, error) {
	v, ok, err := b.cfg.Metadata.GetSession(k.meta())
	if err != nil || !ok || v.Over() {
		return nil, err
	}
	return v, nil
}

// unused gives back a grant of which nothing came.
func (b *Broker) unused(k Key, epoch metadata.Epoch) {
	if b.cfg.Cluster != nil {
		b.cfg.Cluster.Gone(k, epoch)
	}
}

// putSession writes a record and waits until it is durable here.
func (b *Broker) putSession(k Key, rec *metadata.Session) error {
	done := make(chan error, 1)
	b.cfg.Metadata.PutSession(k.meta(), rec, func(err error) { done <- err })
	return <-done
}

// replicated waits until every reachable member holds what was written here.
func (b *Broker) replicated() error {
	if !b.clustered() {
		return nil
	}
	done := make(chan error, 1)
	b.cfg.Cluster.Replicated(func(err error) { done <- err })
	return <-done
}

// replicatedAll is replicated for what was written and not waited for as well.
func (b *Broker) replicatedAll() error {
	if !b.clustered() {
		return nil
	}
	done := make(chan error, 1)
	b.cfg.Metadata.Write(nil, func(err error) { done <- err })
	if err := <-done; err != nil {
		return err
	}
	return b.replicated()
}

// Release closes a client here because its id is granted to another node under
// an epoch. done is called once everything that was written of it has reached
// all reachable members, so that the new home finds it in its tables.
func (b *Broker) Release(k Key, epoch metadata.Epoch, newHome wire.NodeID, done func(old metadata.Epoch, existed bool, err error)) {
	started := b.spawned(func() {
		old, existed, err := b.releaseClient(k, epoch, newHome)
		if err != nil {
			b.cfg.Log.Warn("client could not be released", "client", k.ClientID, "to", uint64(newHome), "error", err)
		}
		done(old, existed, err)
	})
	if !started {
		done(metadata.Epoch{}, false, errStopped)
	}
}

var errStopped = errors.New("the broker has stopped")

func (b *Broker) releaseClient(k Key, epoch metadata.Epoch, newHome wire.NodeID) (old metadata.Epoch, existed bool, err error) {
	c, held, ok := b.registry.give(k, epoch, b.stop)
	if !ok {
		return old, false, errStopped
	}
	if held {
		defer b.registry.release(k)
	}
	if c == nil {
		return old, false, b.replicatedAll() // its session may have ended here a moment ago
	}
	c.mu.Lock()
	old, existed = c.granted, c.conn != nil
	kept := c.durable || c.record != nil
	c.mu.Unlock()
	if existed && !old.Less(epoch) {
		return old, true, nil // it was granted here again, under a higher epoch
	}
	r := b.begin()
	if b.kick(c, nil, packet.SessionTakenOver, "the client id connected at another node", r) {
		b.count.takeovers.Inc()
		b.bounced(k, newHome)
	}
	b.settle(r)
	b.end(r)
	if kept {
		// Also what its leave has yet to note: the new home is to go on from there.
		noted := make(chan struct{})
		b.noteOwed(c, func() { close(noted) })
		<-noted
	}
	if held {
		b.leaveBehind(c)
	}
	if kept {
		err = b.replicatedAll()
	}
	return old, existed, err
}

// leaveBehind records that a session has lost its client to another node; one
// that ends with its connection has ended. The caller holds the key.
func (b *Broker) leaveBehind(c *client) {
	c.mu.Lock()
	ended := c.ended || c.expiry == 0
	c.mu.Unlock()
	if !ended {
		b.recordOffline(c)
		return
	}
	b.erase(c, b.counted)
}

// sessionFromAway takes a session on whose home was another node, or begins a
// new one in its place.
func (b *Broker) sessionFromAway(p *peer, existing *client, g permission, r *round) (c *client, present bool, err error) {
	params := p.hs.Params()
	if !params.CleanStart && !lapsed(b.asLeft(g.record), r.now) {
		c, err = b.bringHome(p.key(), existing, g, func(c *client) error { return b.storeSession(c, params, g, false) })
		return c, err == nil, err
	}
	key := p.key()
	if w := g.record.Will; w != nil && w.At > 0 && w.DelaySeconds > 0 {
		// The end of the session is when a delayed will is due at the latest.
		b.publishStored(key, g.record, r)
	}
	if err := b.endAway(key, existing, g); err != nil {
		return nil, false, err
	}
	if c, err = b.newClient(p, params, g.epoch); err != nil {
		return nil, false, err
	}
	if err = b.storeSession(c, params, g, true); err == nil && !params.Persistent() && params.Will == nil {
		// Nothing was stored in its place, and the old home, to which the client may
		// turn next, does not ask this node.
		err = b.replicated()
	}
	return c, false, err
}

// endAway ends a session of another node, here and for good. The caller holds
// the key.
func (b *Broker) endAway(key Key, existing *client, g permission) error {
	b.stopSource(key)
	if existing != nil {
		b.forgetClient(existing)
	}
	if _, stored := b.cfg.Queue.Lookup(queueName(key)); stored {
		if id, _, err := b.cfg.Queue.Open(queueName(key), true); err == nil {
			b.cfg.Queue.Drop(id, b.counted)
		}
	}
	return b.clearAway(key, g)
}

// publishStored publishes the will of a record, unless it was published.
func (b *Broker) publishStored(k Key, rec *metadata.Session, r *round) {
	if rec.WillPending() {
		b.publishWill(&client{key: k, mount: b.mount(k.Mountpoint)}, loadedWill(rec.Will), rec.WillEpoch(), r)
	}
}

// lapsed reports whether a session ended without its home saying so: it was for
// the time of a connection, or its client stayed away for too long.
func lapsed(v *metadata.Session, now int64) bool {
	switch {
	case v.Expiry == 0:
		return true
	case v.Expiry == session.ExpiryNever || v.DisconnectedAt == 0:
		return false
	}
	return now >= v.DisconnectedAt+int64(v.Expiry)*1000
}

// clearAway ends a session of another node for good: its record is replaced
// above its epoch, so that nothing of that node brings it back, and removed.
func (b *Broker) clearAway(k Key, g permission) error {
	rec := &metadata.Session{Home: b.cfg.NodeID, Epoch: g.epoch, Floor: g.epoch, Ended: g.epoch}
	if err := b.putSession(k, rec); err != nil {
		return err
	}
	var filters []string
	err := b.cfg.Metadata.ClientSubscriptions(k.meta(), func(f string, _ *metadata.Subscription) bool {
		filters = append(filters, f)
		return true
	})
	if err != nil {
		return err
	}
	for _, f := range filters {
		b.cfg.Metadata.DeleteSubscription(k.meta(), f, b.counted)
	}
	done := make(chan error, 1)
	b.cfg.Metadata.DeleteSession(k.meta(), func(err error) { done <- err })
	return <-done
}
