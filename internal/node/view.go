package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/kv"
	"tombolo/internal/log"
	"tombolo/internal/option"
	"tombolo/metadata"
	"tombolo/mqtt/broker"
	"tombolo/netsplit"
)

// view is the node as the administration server sees it. Safe for concurrent
// use; it owns nothing.
type view struct{ n *Node }

// Health implements admin.Health.
func (v *view) Health() (reasons []string) {
	if v.n.stopping() {
		reasons = append(reasons, "the node is stopping")
	}
	if !v.n.ports.accepting.Load() {
		reasons = append(reasons, "listeners do not accept")
	}
	if v.n.cluster != nil {
		reasons = append(reasons, v.n.cluster.Missing(0)...)
		if text := v.n.leaving.text(); text != "" {
			reasons = append(reasons, text)
		}
	}
	return reasons
}

// Ready implements admin.Health.
func (v *view) Ready() (reasons []string) {
	reasons = v.Health()
	if v.n.cluster != nil && len(reasons) == 0 {
		reasons = v.n.cluster.Missing(v.n.set.Int("cluster.expected_members"))
	}
	for name, db := range map[string]kv.DB{"metadata": v.n.metaDB, "messages": v.n.queueDB} {
		if s := db.Stats(); s.Failed != "" {
			reasons = append(reasons, "the "+name+" database refuses writes: "+s.Failed+"; free the disk or replace it, then restart the node")
		}
	}
	if !v.n.broker.Ready() {
		reasons = append(reasons, "stored sessions are not loaded yet")
	}
	gate := v.n.gate.Now()
	for op, name := range map[netsplit.Operation]string{netsplit.Register: "register", netsplit.Publish: "publish", netsplit.Subscribe: "subscribe"} {
		if !gate.Allows(op) && gate.Why == "" {
			reasons = append(reasons, "netsplit: "+name+" is closed")
		}
	}
	if gate.Why != "" && len(reasons) == 0 {
		reasons = append(reasons, gate.Why)
	}
	slices.Sort(reasons)
	return reasons
}

// Options implements admin.Options.
func (v *view) Options() []admin.Option {
	var out []admin.Option
	v.n.set.Each(func(e option.Entry) bool {
		out = append(out, adminOption(e))
		return true
	})
	return out
}

func adminOption(e option.Entry) admin.Option {
	return admin.Option{
		Key: e.Key, Value: e.Value, Default: e.Option.Default, Origin: e.Origin.String(),
		Doc: e.Option.Doc, Reloadable: e.Option.Reloadable, Hidden: e.Option.Hidden,
	}
}

// Option implements admin.Options.
func (v *view) Option(key string) (admin.Option, error) {
	var found *admin.Option
	v.n.set.Each(func(e option.Entry) bool {
		if e.Key == key {
			o := adminOption(e)
			found = &o
		}
		return found == nil
	})
	if found != nil {
		return *found, nil
	}
	if _, err := option.Describe(key); err != nil {
		return admin.Option{}, admin.NotFound("list them with: tombolo show", "%v", err)
	}
	return admin.Option{}, admin.NotFound("set it in the configuration file", "option %s is not set on this node", key)
}

// SetOption implements admin.Options.
func (v *view) SetOption(key, value string) error {
	if key == clockKey && v.n.wrong == nil {
		return errNoRehearsal
	}
	if err := v.n.set.Set(key, value); err != nil {
		hint := "see: tombolo config doc " + key
		if errors.Is(err, option.ErrNotReloadable) {
			hint = "change the configuration file and restart the node"
		}
		return admin.Invalid(hint, "%v", err)
	}
	return nil
}

// Levels implements admin.Levels.
func (v *view) Levels() []admin.Level {
	var out []admin.Level
	for _, l := range v.n.log.Levels() {
		out = append(out, admin.Level{Subsystem: l.Name, Level: log.LevelName(l.Level), Own: l.Own})
	}
	return out
}

// SetLevel implements admin.Levels.
func (v *view) SetLevel(subsystem, level string) error {
	if level == "" {
		return v.n.log.ResetLevel(subsystem)
	}
	l, err := log.ParseLevel(level)
	if err != nil {
		return admin.Invalid("use one of debug, info, notice, warning, error, critical", "%v", err)
	}
	return v.n.log.SetLevel(subsystem, l)
}

// Sessions implements admin.Sessions.
func (v *view) Sessions(q admin.SessionQuery, yield func(admin.Session) bool) {
	if q.Exact != nil {
		if s, ok := v.n.broker.Session(broker.Key{Mountpoint: q.Exact.Mountpoint, ClientID: q.Exact.ClientID}); ok {
			yield(v.session(s))
		}
		return
	}
	v.n.broker.Sessions(q.Subscriptions, func(s broker.SessionInfo) bool { return yield(v.session(s)) })
}

func (v *view) session(s broker.SessionInfo) admin.Session {
	out := admin.Session{
		Node: v.n.set.String("nodename"), Mountpoint: s.Key.Mountpoint, ClientID: s.Key.ClientID,
		Protocol: int(s.Version), IsOnline: s.Online, CleanSession: !s.Persistent,
		StateName: "offline", QueueSize: s.Queued, WaitingAcks: s.InFlight,
	}
	if id := s.Identity; id != nil {
		out.User, out.Listener = id.Username, id.Listener
		if s.Online {
			out.PeerHost, out.PeerPort = id.Peer.Addr().String(), int(id.Peer.Port())
		}
	}
	if s.Online {
		out.StateName, out.OnlineMessages = "online", s.Queued
		out.SessionStartedAt = time.UnixMilli(s.ConnectedAt)
	} else {
		out.OfflineMessages = s.Queued
	}
	if s.ExpiresAt > 0 {
		out.ExpiresAt = time.UnixMilli(s.ExpiresAt)
	}
	for f, o := range s.Subscriptions {
		out.Subscriptions = append(out.Subscriptions, admin.Subscription{Filter: f, QoS: int(o.QoS), NoLocal: o.NoLocal, RetainAsPublished: o.RetainAsPublished})
	}
	slices.SortFunc(out.Subscriptions, func(a, b admin.Subscription) int { return cmp.Compare(a.Filter, b.Filter) })
	return out
}

// Disconnect implements admin.Sessions.
func (v *view) Disconnect(_ context.Context, s admin.SessionName, cleanup bool) (bool, error) {
	return v.n.broker.Disconnect(broker.Key{Mountpoint: s.Mountpoint, ClientID: s.ClientID}, cleanup), nil
}

// Orphans implements admin.Sessions.
func (v *view) Orphans() (list []admin.Orphan, err error) {
	found, err := v.n.broker.Orphans()
	for _, o := range found {
		list = append(list, admin.Orphan{Mountpoint: o.Key.Mountpoint, ClientID: o.Key.ClientID, Messages: o.Messages, DroppedAt: time.UnixMilli(o.DroppedAt)})
	}
	return list, err
}

// Moving implements admin.Sessions.
func (v *view) Moving() (list []admin.MovingQueue) {
	v.n.broker.EachMoving(func(m broker.Moving) bool {
		list = append(list, admin.MovingQueue{Mountpoint: m.Key.Mountpoint, ClientID: m.Key.ClientID, To: v.n.cluster.Name(m.To),
			Sent: m.Sent, Left: m.Queued, Since: time.UnixMilli(m.Since)})
		return true
	})
	slices.SortFunc(list, func(a, b admin.MovingQueue) int {
		return cmp.Or(cmp.Compare(a.Mountpoint, b.Mountpoint), cmp.Compare(a.ClientID, b.ClientID))
	})
	return list
}

// DiscardOrphan implements admin.Sessions.
func (v *view) DiscardOrphan(s admin.SessionName) (bool, error) {
	return v.n.broker.DiscardOrphan(broker.Key{Mountpoint: s.Mountpoint, ClientID: s.ClientID})
}

// Subscribers implements admin.Subscriptions.
func (v *view) Subscribers(mountpoint, topic string) ([]admin.Subscriber, error) {
	subs, err := v.n.broker.Subscribers(mountpoint, topic)
	if err != nil {
		return nil, admin.Invalid("give a topic without wildcards", "%v", err)
	}
	out := make([]admin.Subscriber, len(subs))
	for i, s := range subs {
		out[i] = admin.Subscriber{Node: v.n.set.String("nodename"), ClientID: s.Key.ClientID, Group: s.Group, Filter: string(s.Filter), QoS: int(s.QoS)}
	}
	return out, nil
}

// Retained implements admin.Retained.
func (v *view) Retained(mountpoint, filter string, yield func(admin.RetainedMessage) bool) error {
	return v.n.broker.Retained(mountpoint, filter, func(topic string, r *metadata.Retained) bool {
		m := admin.RetainedMessage{
			Mountpoint: mountpoint, Topic: topic, Payload: r.Payload, QoS: int(r.QoS),
			StoredAt: time.UnixMilli(r.PublishedAt),
		}
		if r.ExpiresAt > 0 {
			m.ExpiresAt = time.UnixMilli(r.ExpiresAt)
		}
		return yield(m)
	})
}

// DeleteRetained implements admin.Retained.
func (v *view) DeleteRetained(_ context.Context, mountpoint, topic string) (bool, error) {
	return v.n.broker.ClearRetained(mountpoint, topic)
}

// Listeners implements admin.Listeners.
func (v *view) Listeners() []admin.Listener {
	var out []admin.Listener
	for _, p := range v.n.ports.all() {
		if p.shut.Load() && v.n.ports.accepting.Load() {
			continue // it was opened anew
		}
		l := admin.Listener{
			Name: p.cfg.Name, Type: p.cfg.Kind, Status: "running", Mountpoint: p.cfg.Mountpoint,
			MaxConnections: max(p.cfg.MaxConnections, 0), Address: p.cfg.Address.Host, Port: p.cfg.Address.Port,
		}
		if p.mqtt != nil && !v.n.ports.accepting.Load() {
			l.Status = "suspended"
		}
		if p.mqtt != nil {
			s := p.mqtt.Stats()
			l.ActiveConnections, l.AllConnections = int(s.Active()), s.Accepted()
			if a := p.mqtt.Addr(); a.IsValid() {
				l.Port = int(a.Port())
			}
		}
		if p.cfg.Address.Network == "unix" {
			l.Address = p.cfg.Address.Path
		}
		out = append(out, l)
	}
	return out
}
