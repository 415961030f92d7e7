package broker

import (
	"time"

	"tombolo/metadata"
	"tombolo/mqtt/topic"
)

// A subscription of a session may be made or ended at another node: at the other
// side of a split, while the client is connected here as well. Its session here
// is brought in line with the tables, without retained messages: nobody has
// subscribed. A SUBSCRIBE or UNSUBSCRIBE of this node cannot be taken for a
// difference, since the session changes together with what a reader of the
// tables sees, under client.mu; what is read while it changed is read again.

const (
	// alignTriesMax is how often a session is read that keeps changing.
	alignTriesMax = 10
	// realignAfter is when a session is compared again that could not be.
	realignAfter = 100 * time.Millisecond
)

// alignEvent takes a change of a subscription, by whichever node.
func (b *Broker) alignEvent(k Key, filter string, e *metadata.Event) {
	c, registering := b.durableClient(k)
	if c == nil {
		if registering {
			b.tables.late[k] = struct{}{}
		}
		return
	}
	var o topic.Options
	if !e.Deleted {
		v, err := metadata.DecodeSubscription(e.Value)
		if err != nil {
			b.cfg.Log.Error("subscription cannot be read", "client", k.ClientID, "filter", filter, "error", err)
			return
		}
		o = optionsOf(v)
	}
	c.mu.Lock()
	has, had := c.subs[filter]
	c.mu.Unlock()
	if had != e.Deleted && has == o {
		return // most are writes of this node
	}
	b.alignNow(c, filter)
}

// durableClient returns the session of a key, if it outlives its connection. If
// there is none, it may be on its way into the registry.
func (b *Broker) durableClient(k Key) (c *client, registering bool) {
	registering = b.registry.isHeld(k) // first: who holds the key puts the client there
	if c = b.registry.get(k); c != nil && !c.durable {
		c = nil
	}
	return c, registering
}

// alignSession takes a change of a session's record. A clean start at another
// node ends subscriptions without removing each (R18); one that has come here is
// compared as a whole, because what changed on its way had nobody to change.
func (b *Broker) alignSession(k Key, v *metadata.Session, came bool) {
	c := b.registry.get(k)
	if v == nil || c == nil || !c.durable {
		return
	}
	c.mu.Lock()
	behind := c.floor.Less(v.Floor) && c.record != nil && c.record.Floor.Less(v.Floor)
	c.mu.Unlock()
	if came || behind {
		b.alignNow(c, "")
	}
}

// alignEvery compares all sessions that are here.
func (b *Broker) alignEvery() {
	b.registry.each(func(c *client) bool {
		if c.durable {
			b.alignNow(c, "")
		}
		return true
	})
}

// alignLate compares those that could not be compared before.
func (b *Broker) alignLate() {
	late := b.tables.late
	b.tables.late = map[Key]struct{}{}
	for k := range late {
		c, registering := b.durableClient(k)
		if registering {
			b.tables.late[k] = struct{}{} // a new client may take the place of this one
		}
		if c != nil {
			b.alignNow(c, "")
		}
	}
}

// alignNow brings one filter of a session, or all of them (""), in line with the
// tables, or sees to it that it is tried again. A session without a record is
// left alone: it has ended, or is about to.
func (b *Broker) alignNow(c *client, filter string) {
	rec, err := b.storedSession(c.key)
	if err == nil && rec == nil {
		return
	}
	done := false
	if err == nil {
		if filter == "" {
			done, err = b.alignOnce(c, rec.Floor)
		} else {
			done, err = b.alignFilter(c, filter)
		}
	}
	if err != nil {
		b.cfg.Log.Error("subscriptions could not be compared with the tables", "client", c.key.ClientID, "error", err)
	}
	if !done {
		b.tables.late[c.key] = struct{}{}
	}
}

// alignFilter compares one filter; false if the session kept changing meanwhile.
func (b *Broker) alignFilter(c *client, filter string) (bool, error) {
	for range alignTriesMax {
		seen := c.changed()
		v, live, err := b.cfg.Metadata.GetSubscription(c.key.meta(), filter)
		if err != nil {
			return false, err
		}
		if b.unchanged(c, seen, func() { b.putInLine(c, filter, v, live) }) {
			return true, nil
		}
	}
	return false, nil
}

// putInLine gives the session a filter that is live, or takes it. The caller
// holds c.mu.
func (b *Broker) putInLine(c *client, filter string, v *metadata.Subscription, live bool) {
	has, had := c.subs[filter]
	switch {
	case live && (!had || has != optionsOf(v)):
		b.enterFilter(c, filter, optionsOf(v))
	case !live && had:
		b.dropFilter(c, filter)
	}
	if live {
		c.owes(filter, v)
	}
}

// alignAll brings a session's subscriptions in line with the tables before it
// is in use here.
func (b *Broker) alignAll(c *client) error {
	for {
		done, err := b.alignOnce(c, metadata.Epoch{})
		if done || err != nil {
			return err
		}
	}
}

// alignOnce compares all filters of a session whose floor was read before; false
// if the session kept changing meanwhile.
func (b *Broker) alignOnce(c *client, floor metadata.Epoch) (bool, error) {
	for range alignTriesMax {
		seen := c.changed()
		want := make(map[string]*metadata.Subscription)
		err := b.cfg.Metadata.ClientSubscriptions(c.key.meta(), func(f string, v *metadata.Subscription) bool {
			want[f] = v
			return true
		})
		if err != nil {
			return false, err
		}
		same := b.unchanged(c, seen, func() {
			for f := range c.subs {
				if want[f] == nil {
					b.dropFilter(c, f)
				}
			}
			for f, v := range want {
				b.putInLine(c, f, v, true)
			}
			if c.floor.Less(floor) {
				c.floor = floor
			}
		})
		if same {
			return true, nil
		}
	}
	return false, nil
}

// changed tells one state of a session's subscriptions from another.
func (c *client) changed() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}

// unchanged does something under c.mu if the subscriptions are those that were
// seen; false if they are not. Nothing is done of a session that has ended.
func (b *Broker) unchanged(c *client, seen uint64, do func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return true
	}
	if c.changes != seen {
		return false
	}
	do()
	return true
}
