package broker

import "tombolo/mqtt/topic"

// A filter matches from SUBSCRIBE on, and some steps lie between that and SUBACK. If
// one of them fails the session is to have what it had before: nothing, or the
// filter with other options. SUBSCRIBEs of one filter may be under way together, and
// be decided in any order.

// undo is what a wish that is undecided has replaced. Guarded by client.mu. Owned by
// its wish.
type undo struct {
	had     bool
	options topic.Options
	before  *wish // that was undecided when this one came; nil: none
	decided bool
}

// undecided notes what w replaces. The caller holds c.mu.
func (c *client) undecided(w *wish, options topic.Options, had bool) {
	if c.pending == nil {
		c.pending = map[string]*wish{}
	}
	w.undo = &undo{had: had, options: options, before: c.pending[w.filter]}
	c.pending[w.filter] = w
}

// keep notes that w was granted. The caller holds c.mu.
func (c *client) keep(w *wish) {
	if w.undo == nil || w.undo.decided {
		return
	}
	w.undo.decided = true
	if c.pending[w.filter] == w {
		delete(c.pending, w.filter) // what came before is over, however it ends
	}
}

// takeBack undoes a wish that was refused. A later one goes on, and has replaced
// what this one did. The caller holds c.mu.
func (b *Broker) takeBack(c *client, w *wish) {
	u := w.undo
	if u == nil || u.decided {
		return
	}
	u.decided = true
	if c.pending[w.filter] != w {
		for later := c.pending[w.filter]; later != nil; later = later.undo.before {
			if l := later.undo; l.before == w {
				l.had, l.options, l.before = u.had, u.options, u.before
			}
		}
		return
	}
	delete(c.pending, w.filter)
	if u.before != nil && !u.before.undo.decided {
		c.pending[w.filter] = u.before
	}
	now, has := c.subs[w.filter]
	switch {
	case !has:
	case !u.had:
		b.dropFilter(c, w.filter)
		if c.durable {
			b.cfg.Metadata.DeleteSubscription(c.key.meta(), w.filter, b.counted)
		}
	case now != u.options:
		b.enterFilter(c, w.filter, u.options)
		if c.durable {
			b.putFilter(c, w.filter, u.options, b.counted)
		}
	}
}
