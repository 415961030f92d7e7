package cluster

import (
	"bytes"

	"tombolo/internal/link"
	"tombolo/internal/wire"
	"tombolo/mqtt/broker"
	"tombolo/queue"
)

// handler is the Cluster as the links see it.
type handler Cluster

// Up implements link.Handler.
func (h *handler) Up(p link.Peer, restarted bool) {
	c := (*Cluster)(h)
	c.mu.Lock()
	x := c.mu.peers[p.ID]
	if x == nil {
		x = &peer{}
		c.mu.peers[p.ID] = x
	}
	// Routes may have come before this: the ends do not see the link stand in
	// the same instant.
	*x = peer{linked: true, link: x.link + 1, since: c.config.Clock.Now(), info: p, here: x.here && !restarted}
	c.mu.Unlock()
	c.config.Log.Info("link stands", "member", p.Name, "address", p.Advertise, "restarted", restarted)
	c.parts.Metadata.PeerUp(uint64(p.ID))
	c.feeds.linked(p.ID)
	c.registrar.SetLinked(p.ID, true)
	if c.members != nil {
		c.members.PeerUp(p.ID)
	}
	c.greet(p.ID)
	c.waits.nudge()
}

// Down implements link.Handler.
func (h *handler) Down(id wire.NodeID, reason string) {
	c := (*Cluster)(h)
	c.mu.Lock()
	if x := c.mu.peers[id]; x != nil {
		x.linked, x.since, x.reason = false, c.config.Clock.Now(), reason
		x.synced = false
	}
	c.mu.Unlock()
	c.config.Log.Info("link ended", "member", c.current.Load().name(id), "reason", reason)
	c.parts.Metadata.PeerDown(uint64(id))
	c.feeds.unlinked(id)
	c.registrar.SetLinked(id, false)
	if c.members != nil {
		c.members.PeerDown(id)
	}
	if reason == link.PeerClosed || reason == link.PeerReset {
		c.closed(id)
	}
	c.waits.nudge()
}

// Message implements link.Handler.
func (h *handler) Message(m link.Message) {
	c := (*Cluster)(h)
	if err := c.take(&m); err != nil {
		c.count.refused.Inc()
		c.config.Log.Warn("a message of another member is refused", "member", c.current.Load().name(m.From), "type", m.Type.String(), "error", err)
		c.end(&m, wire.Refused)
	}
}

// take hands a message to the part whose it is. An error refuses it.
func (c *Cluster) take(m *link.Message) error {
	switch m.Type {
	case wire.TypePublish:
		return c.takePublish(m)
	case wire.TypeRoutes:
		return c.takeRoutes(m)
	case wire.TypeFence:
		var f wire.Fence
		if err := wire.ParseFence(m.Body, &f); err != nil {
			return err
		}
		held := *m
		c.parts.Broker.TakeFence(m.From, &f, func(r wire.Result, reason uint8) {
			if r == wire.Refused {
				held.Done(r, reason)
				return
			}
			c.end(&held, r)
		})
		return nil
	case wire.TypeCancel:
		var x wire.Cancel
		if err := wire.ParseCancel(m.Body, &x); err != nil {
			return err
		}
		c.parts.Broker.TakeCancel(m.From, &x)
	case wire.TypeMigration:
		var x wire.Migration
		if err := wire.ParseMigration(m.Body, &x); err != nil {
			return err
		}
		held := *m
		c.parts.Broker.TakeMigration(m.From, m.Incarnation, m.Sequence, &x, func(r wire.Result, reason uint8) { held.Done(r, reason) })
		return nil
	default:
		if err := c.takeOther(m); err != nil {
			return err
		}
	}
	c.end(m, wire.Stored)
	return nil
}

// end ends a message that has no effect of its own on the disk. On the streams
// whose progress is durable that is noted, so that their marks have no gap (R2).
func (c *Cluster) end(m *link.Message, r wire.Result) {
	if m.Stream != wire.StreamControl {
		c.parts.Queue.Apply(queue.Applied{Peer: uint64(m.From), Incarnation: uint64(m.Incarnation), Stream: uint32(m.Stream),
			Sequence: m.Sequence, Result: r}, nil)
	}
	m.Done(r, 0)
}

func (c *Cluster) takePublish(m *link.Message) error {
	var p wire.Publish
	if err := wire.ParsePublish(m.Body, &p); err != nil {
		return err
	}
	held := *m
	c.parts.Broker.TakePublish(m.From, m.Incarnation, m.Sequence, &p, func(r wire.Result, reason uint8) { held.Done(r, reason) })
	return nil
}

func (c *Cluster) takeRoutes(m *link.Message) error {
	var r wire.Routes
	if err := wire.ParseRoutes(m.Body, &r); err != nil {
		return err
	}
	if r.Audit {
		if !c.parts.Broker.CheckRoutes(m.From, broker.RouteDigest{Count: r.Count, Hash: r.Hash}) {
			c.end(m, wire.Refused)
			return nil
		}
		c.end(m, wire.Stored)
		return nil
	}
	c.parts.Broker.TakeRoutes(m.From, &r)
	if r.Snapshot && r.Last {
		c.mu.Lock()
		if p := c.mu.peers[m.From]; p != nil {
			p.here = true
		}
		c.mu.Unlock()
	}
	c.end(m, wire.Stored)
	return nil
}

// Datagram implements link.Handler.
func (h *handler) Datagram(from wire.NodeID, kind wire.Type, body []byte) {
	c := (*Cluster)(h)
	switch kind {
	case wire.TypeMetadata:
		c.parts.Metadata.Deliver(uint64(from), bytes.Clone(body))
	case wire.TypePublish:
		if c.parts.Broker.TakeFast(from, body) != nil {
			c.count.refused.Inc()
		}
	}
}

// Drained implements link.Handler.
func (h *handler) Drained(from wire.NodeID) { (*Cluster)(h).parts.Broker.Drained(from) }

// Instant implements link.Handler.
func (h *handler) Instant(m link.Message) (wire.Result, uint8, bool) {
	var p wire.Publish
	if err := wire.ParsePublish(m.Body, &p); err != nil {
		return 0, 0, false // Message says what is wrong
	}
	return (*Cluster)(h).parts.Broker.TakeInstant(m.From, m.Incarnation, m.Sequence, &p, m.Late())
}

// Transport carries the metadata store's frames. It may be given to the store
// before the Cluster is open: until then a frame is lost, as on any link.
type Transport struct{ c *Cluster }

// Transport is the store's way to the other members.
func (c *Cluster) Transport() Transport { return Transport{c} }

// Send implements metadata.Transport.
func (t Transport) Send(to uint64, frame []byte) {
	if t.c.mesh != nil {
		t.c.mesh.Post(wire.NodeID(to), wire.StreamMetadata, wire.TypeMetadata, frame)
	}
}

// applied is the message store as the links see it (R2).
type applied struct{ q *queue.Store }

// Through implements link.Applied.
func (a applied) Through(from wire.NodeID, inc wire.Incarnation, s wire.Stream) (uint64, []wire.Outcome) {
	if s == wire.StreamControl {
		return 0, nil // soft: a process that starts knows nothing of it
	}
	return a.q.AppliedThrough(uint64(from), uint64(inc), uint32(s))
}
