package broker

import (
	"cmp"
	"slices"

	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
)

// SessionInfo is what an operator sees of one session. A copy.
type SessionInfo struct {
	Key            Key
	Identity       *Identity // nil: not connected since the start
	Version        packet.Version
	Online         bool
	Persistent     bool
	Queued         int
	InFlight       int
	ConnectedAt    int64 // unix ms of the last connection; 0 none since the start
	DisconnectedAt int64 // unix ms; 0 connected
	ExpiresAt      int64 // unix ms; 0 never, or connected
	Subscriptions  map[string]topic.Options
}

// Sessions calls yield for every session, ordered by mountpoint and client id,
// until it returns false.
func (b *Broker) Sessions(withSubscriptions bool, yield func(SessionInfo) bool) {
	var all []*client
	b.registry.each(func(c *client) bool {
		if !c.moving.Load() || c.shift.Load().target { // its new home shows it
			all = append(all, c)
		}
		return true
	})
	slices.SortFunc(all, func(x, y *client) int {
		return cmp.Or(cmp.Compare(x.key.Mountpoint, y.key.Mountpoint), cmp.Compare(x.key.ClientID, y.key.ClientID))
	})
	for _, c := range all {
		if !yield(c.info(withSubscriptions)) {
			return
		}
	}
}

// Session returns one session.
func (b *Broker) Session(k Key) (SessionInfo, bool) {
	c := b.registry.get(k)
	if c == nil {
		return SessionInfo{}, false
	}
	return c.info(true), true
}

func (c *client) info(withSubscriptions bool) SessionInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := SessionInfo{
		Key: c.key, Identity: c.id, Version: c.core.Version(), Online: c.conn != nil,
		Persistent: c.durable && c.expiry > 0, Queued: c.queue.Len(), InFlight: c.queue.InFlight(),
		ConnectedAt: c.connectedAt, DisconnectedAt: c.disconnectedAt,
	}
	if !s.Online && c.expiry != session.ExpiryNever {
		s.ExpiresAt = c.disconnectedAt + int64(c.expiry)*1000
	}
	if withSubscriptions {
		s.Subscriptions = make(map[string]topic.Options, len(c.subs))
		for f, o := range c.subs {
			s.Subscriptions[f] = o
		}
	}
	return s
}

// Disconnect ends a session's connection on an operator's word and, with
// cleanup, the session; false if there is no such session.
func (b *Broker) Disconnect(k Key, cleanup bool) bool {
	c, ok := b.registry.hold(k, b.stop)
	if !ok {
		return false
	}
	defer b.registry.release(k)
	if c == nil {
		return false
	}
	r := b.begin()
	defer b.end(r)
	b.kick(c, nil, packet.AdministrativeAction, "disconnected by an operator", r)
	if cleanup {
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		b.settle(r)
		b.discard(c, r)
	}
	return true
}

// Subscriber is one session that a publish would reach.
type Subscriber struct {
	Key    Key
	QoS    uint8
	Group  string
	Filter topic.Filter // of a shared subscription
}

// Subscribers lists whom a publish to a topic would reach, by client id; of a
// shared subscription all members.
func (b *Broker) Subscribers(mountpoint, name string) ([]Subscriber, error) {
	if err := topic.CheckName([]byte(name), 0); err != nil {
		return nil, err
	}
	res := b.mount(mountpoint).index.Match([]byte(name))
	var out []Subscriber
	for i := range res.Direct {
		h := &res.Direct[i]
		if h.Sub.remote != nil {
			continue // its node knows who it is
		}
		out = append(out, Subscriber{Key: h.Sub.key, QoS: h.Options.QoS})
	}
	for i := range res.Shared {
		g := &res.Shared[i]
		for j := range g.Members {
			h := &g.Members[j]
			if h.Sub.remote != nil {
				continue
			}
			out = append(out, Subscriber{Key: h.Sub.key, QoS: h.Options.QoS, Group: g.Name, Filter: g.Filter})
		}
	}
	slices.SortFunc(out, func(x, y Subscriber) int {
		return cmp.Or(cmp.Compare(x.Key.ClientID, y.Key.ClientID), cmp.Compare(x.Group, y.Group))
	})
	return out, nil
}

// Publish publishes a message of the broker's own.
func (b *Broker) Publish(mountpoint, name string, payload []byte, qos uint8, retain bool) {
	r := b.begin()
	p := packet.Publish{Topic: []byte(name), Payload: payload, QoS: qos, Retain: retain}
	b.route(&publication{mount: b.mount(mountpoint), packet: &p}, r)
	b.end(r)
}

// ClearRetained removes a retained message on an operator's word and waits
// until that is stored; found is false if there was none.
func (b *Broker) ClearRetained(mountpoint, name string) (found bool, err error) {
	_, found, err = b.cfg.Metadata.GetRetained(mountpoint, name, b.cfg.Now().UnixMilli())
	if err != nil || !found {
		return false, err
	}
	done := make(chan error, 1)
	b.cfg.Metadata.DeleteRetained(mountpoint, name, func(err error) { done <- err })
	return true, <-done
}

// Retained calls yield for the retained messages that match a filter; an empty
// one matches all.
func (b *Broker) Retained(mountpoint, filter string, yield func(topic string, v *metadata.Retained) bool) error {
	if filter == "" {
		filter = "#"
	}
	return b.cfg.Metadata.MatchRetained(mountpoint, filter, b.cfg.Now().UnixMilli(), yield)
}

// Totals are the counts of the status page.
func (b *Broker) Totals() (online, sessions, subscriptions int64) {
	return b.gauge.online.Load(), b.gauge.sessions.Load(), b.gauge.subscriptions.Load()
}
