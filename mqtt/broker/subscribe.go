package broker

import (
	"sync/atomic"

	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
	"tombolo/netsplit"
)

// wish is one filter of a SUBSCRIBE, owned, on its way to SUBACK.
type wish struct {
	filter  string // as it was sent
	options topic.Options
	added   bool   // the session did not have it before
	fresh   *fresh // not nil: it is to get what is retained
	reason  packet.ReasonCode
	undo    *undo  // not nil: it may be taken back
	owed    *owed  // not nil: what is retained is owed to the session
	after   string // of what is retained it has what is up to this topic
}

// subscribe handles SUBSCRIBE: the filters match from now on, SUBACK follows
// when they are stored, retained messages follow SUBACK.
func (b *Broker) subscribe(c *client, rules Rules, e *session.Effects, r *round) {
	open := b.cfg.Gate.Now().Allows(netsplit.Subscribe)
	wishes := make([]wish, len(e.Subscribe.Subscriptions))
	detail := ""
	id := uint32(0)
	if pr := &e.Subscribe.Properties; pr.Has(packet.PropSubscriptionID) && len(pr.SubscriptionIDs) > 0 {
		id = pr.SubscriptionIDs[0]
	}
	for i := range wishes {
		s := &e.Subscribe.Subscriptions[i]
		w := &wishes[i]
		w.filter = string(s.Filter)
		w.options = topic.Options{QoS: s.QoS, NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished, RetainHandling: s.RetainHandling, ID: id}
		if !open {
			w.reason, detail = packet.ImplementationSpecificError, "netsplit: subscribing is closed (allow_subscribe_during_netsplit)"
			continue
		}
		w.reason, detail = b.mayDo(rules, s.Filter, w, detail)
	}
	token := e.Token
	stored := b.addAll(c, wishes, r, func(err error, r *round) {
		if err != nil {
			b.count.commitFailed.Inc()
			b.failAll(c, wishes, packet.UnspecifiedError, r)
		}
		b.spreadSubscription(c, token, wishes, detail, r)
	})
	if !stored {
		b.spreadSubscription(c, token, wishes, detail, r)
	}
}

// spreadSubscription answers a SUBSCRIBE when every reachable member routes what
// it asks for and, if the session outlives its connection, holds it (R6). If
// they do not in time, the subscription is taken back and refused.
func (b *Broker) spreadSubscription(c *client, token uint64, wishes []wish, detail string, r *round) {
	if !b.clustered() {
		b.granted(c, token, wishes, detail, r)
		return
	}
	news := b.unsettled(c, wishes)
	s := &spreading{news: news}
	s.left.Store(1)
	end := func(err error) {
		if err != nil {
			s.failed.Store(true)
		}
		if s.left.Add(-1) > 0 {
			return
		}
		b.inCallback(func(r *round) { b.spreadEnded(c, token, wishes, detail, s, r) })
	}
	if c.durable && anyGranted(wishes) {
		s.left.Add(1)
		b.cfg.Cluster.Replicated(end)
	}
	if len(news) > 0 {
		s.left.Add(1)
		b.cfg.Cluster.Announced(end)
	}
	if s.left.Add(-1) == 0 {
		b.spreadEnded(c, token, wishes, detail, s, r)
	}
}

// spreading is a subscription on its way to the other members.
type spreading struct {
	news   []*ownRoute
	left   atomic.Int32
	failed atomic.Bool
}

func (b *Broker) spreadEnded(c *client, token uint64, wishes []wish, detail string, s *spreading, r *round) {
	if !s.failed.Load() {
		b.settled(s.news)
		b.granted(c, token, wishes, detail, r)
		return
	}
	b.failAll(c, wishes, packet.ImplementationSpecificError, r)
	b.suback(c, token, wishes, unconfirmed, r)
}

const unconfirmed = "netsplit: not every node has confirmed the subscription in time"

// granted answers a SUBSCRIBE that every node has heard of, once it is noted that
// what is retained is owed to the session.
func (b *Broker) granted(c *client, token uint64, wishes []wish, detail string, r *round) {
	if !c.asks(wishes) {
		b.suback(c, token, wishes, detail, r)
		return
	}
	b.spawn(func() {
		b.owe(c, wishes, func(reason packet.ReasonCode) {
			b.inCallback(func(r *round) {
				if reason.Failed() {
					b.failAll(c, wishes, reason, r)
					detail = unconfirmed
				}
				b.suback(c, token, wishes, detail, r)
			})
		})
	})
}

// anyGranted reports whether any of the wishes was.
func anyGranted(wishes []wish) bool {
	for i := range wishes {
		if !wishes[i].reason.Failed() {
			return true
		}
	}
	return false
}

// mayDo checks one filter; GrantedQoS0 to GrantedQoS2 are the good outcomes.
func (b *Broker) mayDo(rules Rules, filter []byte, w *wish, detail string) (packet.ReasonCode, string) {
	set := b.settings.Load()
	if err := topic.CheckFilter(filter, set.Limits.TopicDepthMax); err != nil {
		return packet.TopicFilterInvalid, "topic filter is not valid"
	}
	if rules != nil && !rules.MaySubscribe(w.filter, w.options.QoS) {
		b.count.unauthorized["subscribe"].Inc()
		return packet.NotAuthorized, "not authorized to subscribe to this filter"
	}
	return packet.ReasonCode(w.options.QoS), detail
}

// addAll puts the filters that may be into the session, the index and, for a
// session that outlives its connection, the store. done is called when the
// last is stored; false means that nothing needs storing and done is not
// called. Session and store change under one lock: whoever compares them finds
// nothing that is under way (see align).
func (b *Broker) addAll(c *client, wishes []wish, r *round, done func(error, *round)) bool {
	limit := b.settings.Load().SubscriptionsPerClient
	var stored []*wish
	r.lock(c)
	defer r.unlock(c)
	for i := range wishes {
		w := &wishes[i]
		if w.reason.Failed() {
			continue
		}
		if !b.add(c, w, limit) {
			continue
		}
		if c.durable {
			stored = append(stored, w)
		}
	}
	b.putFilters(c, stored, func(err error) { b.inCallback(func(r *round) { done(err, r) }) })
	return len(stored) > 0
}

// add makes one filter match. The caller holds c.mu.
func (b *Broker) add(c *client, w *wish, limit int) bool {
	if c.ended {
		w.reason = packet.UnspecifiedError
		return false
	}
	old, had := c.subs[w.filter]
	if !had && limit > 0 && len(c.subs) >= limit {
		w.reason = packet.QuotaExceeded
		return false
	}
	w.added = !had
	if wantsRetained(w) {
		c.scanBegins(w)
	}
	if c.durable || b.clustered() {
		c.undecided(w, old, had)
	}
	b.enterFilter(c, w.filter, w.options)
	return true
}

// enterFilter gives a session a filter, and dropFilter takes one that it has. The
// caller holds c.mu.
func (b *Broker) enterFilter(c *client, filter string, o topic.Options) {
	if c.subs == nil {
		c.subs = make(map[string]topic.Options)
	}
	if _, had := c.subs[filter]; !had {
		b.gauge.subscriptions.Add(1)
	}
	c.changes++
	c.subs[filter] = o
	b.index(c, filter, o)
}

func (b *Broker) dropFilter(c *client, filter string) {
	c.changes++
	delete(c.subs, filter)
	delete(c.owed, filter)
	b.gauge.subscriptions.Add(-1)
	b.unindex(c, filter)
}

// index enters a filter into the topic index. Called under c.mu, so that the
// index and c.subs change together; the index has a lock of its own, taken
// last.
func (b *Broker) index(c *client, filter string, o topic.Options) {
	had := false
	k := c.keyOf(filter)
	if k.group != "" {
		had = c.mount.index.SubscribeShared(k.group, k.filter, c, o)
	} else {
		had = c.mount.index.Subscribe(k.filter, c, o)
	}
	if !had {
		b.joinRoute(c, k)
	}
}

func (b *Broker) unindex(c *client, filter string) {
	had := false
	k := c.keyOf(filter)
	if k.group != "" {
		had = c.mount.index.UnsubscribeShared(k.group, k.filter, c)
	} else {
		had = c.mount.index.Unsubscribe(k.filter, c)
	}
	if had {
		b.leaveRoute(c, k)
	}
}

// failAll takes back filters, or their new options, that could not be stored, or
// that not every node has heard of.
func (b *Broker) failAll(c *client, wishes []wish, reason packet.ReasonCode, r *round) {
	r.lock(c)
	defer r.unlock(c)
	for i := range wishes {
		w := &wishes[i]
		if w.reason.Failed() {
			continue
		}
		w.reason = reason
		b.scanEnds(c, w)
		b.takeBack(c, w)
	}
}

// suback answers SUBSCRIBE and then sends what is retained.
func (b *Broker) suback(c *client, token uint64, wishes []wish, detail string, r *round) {
	reasons := make([]packet.ReasonCode, len(wishes))
	for i := range wishes {
		reasons[i] = wishes[i].reason
	}
	r.lock(c)
	for i := range wishes {
		c.keep(&wishes[i])
	}
	if c.conn == nil {
		for i := range wishes {
			b.scanEnds(c, &wishes[i])
		}
		r.unlock(c)
		return
	}
	r.other.Reset()
	c.core.SubscribeDone(token, reasons, detail, &r.other)
	b.emit(c, &r.other, r)
	p := c.peer
	r.unlock(c)
	b.queueRetained(c, p, wishes, r)
}

// wantsRetained obeys Retain Handling; shared subscriptions get nothing
// (MQTT 5 §3.8.4).
func wantsRetained(w *wish) bool {
	_, _, shared, _ := topic.SplitShare(w.filter)
	return !shared && (w.options.RetainHandling == 0 || w.options.RetainHandling == 1 && w.added)
}

// unsubscribe handles UNSUBSCRIBE.
func (b *Broker) unsubscribe(c *client, e *session.Effects, r *round) {
	open := b.cfg.Gate.Now().Allows(netsplit.Unsubscribe)
	reasons := make([]packet.ReasonCode, len(e.Unsubscribe.Filters))
	token := e.Token
	answer := func(r *round) {
		r.lock(c)
		defer r.unlock(c)
		if c.conn != nil {
			r.other.Reset()
			c.core.UnsubscribeDone(token, reasons, &r.other)
			b.emit(c, &r.other, r)
		}
	}
	stored := b.removeAll(c, e.Unsubscribe.Filters, reasons, open, r, func(err error) {
		if err != nil {
			b.count.commitFailed.Inc()
			for i := range reasons {
				reasons[i] = packet.UnspecifiedError
			}
		}
		b.inCallback(answer)
	})
	if !stored {
		answer(r)
	}
}

// removeAll ends subscriptions, in the session and the store under one lock, as
// addAll begins them. done is called when the last has left the store; false
// means that there is nothing to wait for.
func (b *Broker) removeAll(c *client, filters [][]byte, reasons []packet.ReasonCode, open bool, r *round, done func(error)) bool {
	r.lock(c)
	defer r.unlock(c)
	var gone []string
	for i, f := range filters {
		filter := string(f)
		reasons[i] = b.remove(c, filter, open)
		if reasons[i] == packet.Success && c.durable {
			gone = append(gone, filter)
		}
	}
	if len(gone) == 0 {
		return false
	}
	last := len(gone) - 1
	for _, f := range gone[:last] {
		b.cfg.Metadata.DeleteSubscription(c.key.meta(), f, nil)
	}
	b.cfg.Metadata.DeleteSubscription(c.key.meta(), gone[last], done)
	return true
}

// remove ends one subscription. Before MQTT 5 there is no way to say no, and
// an observed remove is safe in any split (R15). The caller holds c.mu.
func (b *Broker) remove(c *client, filter string, open bool) packet.ReasonCode {
	if topic.CheckFilter([]byte(filter), 0) != nil {
		return packet.TopicFilterInvalid
	}
	if !open && c.core.Speaks5() {
		return packet.ImplementationSpecificError
	}
	if _, ok := c.subs[filter]; !ok {
		return packet.NoSubscriptionExisted
	}
	b.dropFilter(c, filter)
	delete(c.pending, filter)
	return packet.Success
}
