package broker

import (
	"maps"
	"slices"

	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
)

// Retained messages that a SUBSCRIBE at QoS 1 or 2 asked for are owed to a session
// that outlives its connection: if that ends before the last of them is in the
// queue, the rest follows on the next one, at whatever node. The record of the
// subscription says so from before SUBACK on, if anything is retained there at all,
// and up to which topic they are in the queue when a connection ends. What is said
// comes after what it says is durable, so that after a crash some come twice and
// none is missing.

// owed are retained messages that a session has yet to be sent for one filter.
// Guarded by client.mu.
type owed struct {
	after  string // those behind this topic; ""
	stored string // likewise, as the record has it
}

// putFilter writes the record of a filter that the session has. The caller holds
// c.mu.
func (b *Broker) putFilter(c *client, filter string, o topic.Options, done func(error)) {
	v := &metadata.Subscription{QoS: o.QoS, NoLocal: o.NoLocal, RetainAsPublished: o.RetainAsPublished, RetainHandling: o.RetainHandling, ID: o.ID}
	if c.record != nil {
		v.Epoch = c.record.Epoch
	}
	if d := c.owed[filter]; d != nil {
		v.Owes, v.After = true, d.after
		d.stored = d.after
	}
	b.cfg.Metadata.PutSubscription(c.key.meta(), filter, v, done)
}

// putFilters writes the records of several; done is called when they are durable. The
// caller holds c.mu.
func (b *Broker) putFilters(c *client, list []*wish, done func(error)) {
	for i, w := range list {
		var then func(error)
		if i == len(list)-1 {
			then = done
		}
		b.putFilter(c, w.filter, w.options, then)
	}
}

// asks reports whether a wish is for retained messages that its session is to get
// on a later connection if need be.
func (c *client) asks(wishes []wish) bool {
	return c.durable && slices.ContainsFunc(wishes, func(w wish) bool { return w.fresh != nil && w.options.QoS > 0 })
}

// owe looks whether anything is retained under the filters of a SUBSCRIBE, and
// notes in their records that it is owed. Every node publishes for them by now, so
// that what the tables do not show comes as it is published. done is called when the
// records are durable, here and at every node that can be reached, or with why not.
// It blocks.
func (b *Broker) owe(c *client, wishes []wish, done func(packet.ReasonCode)) {
	found := b.anyRetained(c.key.Mountpoint, wishes)
	spread := func(err error) {
		if err != nil {
			done(packet.ImplementationSpecificError)
			return
		}
		done(packet.Success)
	}
	c.mu.Lock()
	marks := c.begins(b, wishes, found)
	b.putFilters(c, marks, func(err error) {
		switch {
		case err != nil:
			b.count.commitFailed.Inc()
			done(packet.UnspecifiedError)
		case b.clustered():
			b.cfg.Cluster.Replicated(spread)
		default:
			done(packet.Success)
		}
	})
	c.mu.Unlock()
	if len(marks) == 0 {
		done(packet.Success)
	}
}

// begins notes in memory what the session is owed from now on, of which found tells
// whether it is anything, and returns the wishes whose records are to say so. What
// was owed for an earlier SUBSCRIBE is not any more. The caller holds c.mu.
func (c *client) begins(b *Broker, wishes []wish, found []bool) (marks []*wish) {
	for i := range wishes {
		w := &wishes[i]
		if w.fresh == nil || c.ended || c.subs[w.filter] != w.options {
			continue
		}
		c.changes++
		if found[i] && w.options.QoS > 0 {
			if c.owed == nil {
				c.owed = map[string]*owed{}
			}
			w.owed = &owed{}
			c.owed[w.filter] = w.owed
			marks = append(marks, w)
		} else if c.owed[w.filter] != nil {
			delete(c.owed, w.filter)
			b.putFilter(c, w.filter, w.options, b.counted)
		}
		if !found[i] {
			b.scanEnds(c, w)
		}
	}
	return marks
}

// anyRetained reports for each wish for retained messages whether there are any. If
// that cannot be read there may be.
func (b *Broker) anyRetained(mountpoint string, wishes []wish) []bool {
	found := make([]bool, len(wishes))
	view, err := b.cfg.Metadata.ViewRetained(mountpoint)
	if err != nil {
		for i := range found {
			found[i] = true
		}
		return found // whoever sends them meets the error again, and logs it
	}
	defer view.Close()
	now := b.cfg.Now().UnixMilli()
	for i := range wishes {
		if wishes[i].fresh == nil {
			continue
		}
		err := view.Match(wishes[i].filter, "", now, func(string, *metadata.Retained) bool {
			found[i] = true
			return false
		})
		found[i] = found[i] || err != nil
	}
	return found
}

// paid notes that all retained messages for a filter are in the queue.
func (b *Broker) paid(c *client, filter string, d *owed) {
	b.cfg.Queue.Barrier(func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil || c.owed[filter] != d || c.ended || c.leaving() {
			return
		}
		delete(c.owed, filter)
		c.changes++
		b.putFilter(c, filter, c.subs[filter], b.counted)
	})
}

// noteOwed stores how far the retained messages of a session have come whose
// connection has ended. done, which may be nil, is called when that is handed in.
func (b *Broker) noteOwed(c *client, done func()) {
	if done == nil {
		done = func() {}
	}
	c.mu.Lock()
	gone := map[*owed]string{}
	for _, d := range c.owed {
		if d.after != d.stored {
			gone[d] = d.after
		}
	}
	c.mu.Unlock()
	if len(gone) == 0 {
		done()
		return
	}
	b.cfg.Queue.Barrier(func(err error) {
		defer done()
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil || c.ended || c.leaving() {
			return
		}
		for _, f := range slices.Sorted(maps.Keys(c.owed)) {
			if d := c.owed[f]; gone[d] != "" && gone[d] == d.after {
				b.putFilter(c, f, c.subs[f], b.counted)
			}
		}
	})
}

// goOnRetained goes on with the retained messages that a session is owed which has
// a connection again.
func (b *Broker) goOnRetained(c *client, p *peer, r *round) {
	r.lock(c)
	var wishes []wish
	for _, f := range slices.Sorted(maps.Keys(c.owed)) {
		w := wish{filter: f, options: c.subs[f], owed: c.owed[f]}
		w.after = w.owed.after
		c.scanBegins(&w)
		wishes = append(wishes, w)
	}
	r.unlock(c)
	if len(wishes) > 0 {
		b.queueRetained(c, p, wishes, r)
	}
}

// owes takes from the tables what a filter of the session is owed. The caller holds
// c.mu.
func (c *client) owes(filter string, v *metadata.Subscription) {
	d := c.owed[filter]
	switch {
	case !v.Owes && d != nil:
		delete(c.owed, filter)
	case v.Owes && d == nil:
		if c.owed == nil {
			c.owed = map[string]*owed{}
		}
		c.owed[filter] = &owed{after: v.After, stored: v.After}
	}
}
