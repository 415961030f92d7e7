package broker

import (
	"fmt"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// Load reads the sessions and subscriptions that are stored; the broker is
// Ready when it returns. What it costs follows the number of sessions and
// subscriptions, not of messages. Call it before clients are accepted.
func (b *Broker) Load() error {
	r := b.begin()
	defer b.end(r)
	b.beginWatch() // so that nothing is missed of what changes meanwhile
	var failed error
	err := b.cfg.Metadata.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		failed = b.loadSession(Key{k.Mountpoint, k.ClientID}, v, r.now)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("loading sessions: %w", err)
	}
	err = b.cfg.Metadata.EachSubscription(func(k metadata.ClientKey, filter string, v *metadata.Subscription) bool {
		b.loadSubscription(Key{k.Mountpoint, k.ClientID}, filter, v)
		return true
	})
	if err != nil {
		return fmt.Errorf("loading subscriptions: %w", err)
	}
	if err := b.deriveAll(); err != nil {
		return fmt.Errorf("deriving routes: %w", err)
	}
	if err := b.loadStrays(); err != nil {
		return fmt.Errorf("reading who may still publish for sessions that have left: %w", err)
	}
	if err := b.findOrphans(r.now); err != nil {
		return fmt.Errorf("looking for queues without a session: %w", err)
	}
	b.withheld.Store(b.withholds())
	b.ready.Store(true)
	return nil
}

// loadSession makes the client of one record. A session that reads
// "connected" lost its client with the process: it counts as just left, and
// its will waits for the client for a while.
func (b *Broker) loadSession(k Key, v *metadata.Session, now int64) error {
	if v.Over() {
		return nil
	}
	set := b.settings.Load()
	// A session that was resumed for the time of one connection has a queue, and
	// ends now, as it would have with that connection.
	_, stored := b.cfg.Queue.Lookup(queueName(k))
	if v.Home != b.cfg.NodeID {
		if !stored {
			return nil
		}
		return b.loadLeaving(k, v)
	}
	c := &client{key: k, mount: b.mount(k.Mountpoint), durable: v.Expiry > 0 || stored, record: v, expiry: v.Expiry}
	c.mu = &c.own
	c.disconnectedAt = v.DisconnectedAt
	if v.WillPending() {
		c.will, c.willAt, c.willEpoch = loadedWill(v.Will), v.Will.At, v.WillEpoch()
	}
	if c.disconnectedAt == 0 {
		c.disconnectedAt = now
		if c.will != nil {
			delay := max(set.WillGrace.Milliseconds(), int64(c.will.Delay)*1000)
			c.willAt = now + delay
			if v.Expiry > 0 {
				c.willAt = min(c.willAt, now+int64(v.Expiry)*1000)
			}
		}
	}
	fences, err := b.openQueue(c, set)
	if err != nil {
		return fmt.Errorf("session %q: %w", k.ClientID, err)
	}
	if c.durable {
		b.loadArriving(c, fences, len(c.awaits) > 0)
	}
	b.registry.put(c)
	b.gauge.sessions.Add(1)
	b.arm(c)
	return nil
}

// openQueue opens the queue of a session that is loaded; fences is what is known of
// its moves.
func (b *Broker) openQueue(c *client, set *Settings) (fences []byte, err error) {
	if !c.durable {
		c.initBound(set)
		return nil, nil
	}
	id, st, err := b.cfg.Queue.Open(queueName(c.key), false)
	if err != nil {
		return nil, err
	}
	b.makeDurable(c, id, st, set)
	if st.MovingFrom != 0 {
		c.awaits = map[wire.NodeID]metadata.Epoch{wire.NodeID(st.MovingFrom): {}}
		b.awaitIDs(c, wire.NodeID(st.MovingFrom))
	}
	return st.Fences, nil
}

// loadLeaving goes on sending the queue of a session that has another home, and
// taking what is still published for this one.
func (b *Broker) loadLeaving(k Key, v *metadata.Session) error {
	c := &client{key: k, mount: b.mount(k.Mountpoint), durable: true, record: v, expiry: v.Expiry}
	c.mu = &c.own
	fences, err := b.openQueue(c, b.settings.Load())
	if err != nil {
		return fmt.Errorf("session %q, which has moved: %w", k.ClientID, err)
	}
	s := b.loadedShift(c, fences)
	if s == nil || s.target {
		s = s.begun(v.Epoch, false)
	}
	c.setShift(s)
	b.registry.put(c)
	b.gauge.sessions.Add(1)
	b.moveAway(c, v)
	return nil
}

func (b *Broker) loadSubscription(k Key, filter string, v *metadata.Subscription) {
	c := b.registry.get(k)
	if c == nil {
		return // a subscription without a session; the store sweeps it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b.enterFilter(c, filter, optionsOf(v))
	c.owes(filter, v)
}
