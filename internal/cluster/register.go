package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tombolo/internal/link"
	"tombolo/internal/registrar"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/broker"
	"tombolo/netsplit"
)

// openRegistrar makes the registrar, which asks the others through the links.
func (c *Cluster) openRegistrar() {
	c.registrar = registrar.New(registrar.Config{
		Self: c.config.Node, Home: home{c}, Now: c.config.Steady.Now, Stamp: c.parts.Metadata.Stamp, OnSynced: c.synced,
		Send: func(to wire.NodeID, t wire.Type, body []byte) bool {
			return c.mesh.Send(to, wire.StreamControl, t, body, nil) == nil
		},
	})
}

// home is the broker as the registrar sees it. Immutable.
type home struct{ c *Cluster }

// Release implements registrar.Home.
func (h home) Release(x wire.Client, epoch wire.Epoch, newHome wire.NodeID, done func(old wire.Epoch, existed bool, err error)) {
	key := broker.Key{Mountpoint: x.Mountpoint, ClientID: x.ID}
	h.c.parts.Broker.Release(key, storeEpoch(epoch), newHome, func(old metadata.Epoch, existed bool, err error) {
		done(wireEpoch(old), existed, err)
	})
}

func wireEpoch(e metadata.Epoch) wire.Epoch {
	return wire.Epoch{HLC: e.HLC, Node: wire.NodeID(e.Node)}
}

func storeEpoch(e wire.Epoch) metadata.Epoch {
	return metadata.Epoch{HLC: e.HLC, Node: uint64(e.Node)}
}

// stalledAfter is how late the judge may be before what it said last is stale (R17).
const stalledAfter = time.Second

// stalled reports whether this node has not run for so long that the gate is
// stale: when a process goes on after a pause, a CONNECT that waited meanwhile
// may be read before the judge has looked at the clock.
func (c *Cluster) stalled() bool {
	wake := c.wake.Load()
	return wake != 0 && c.mesh.Millis(c.config.Clock.Now())-wake > stalledAfter.Milliseconds()
}

func wireClient(k broker.Key) wire.Client {
	return wire.Client{Mountpoint: k.Mountpoint, ID: k.ClientID}
}

// Register implements broker.Cluster.
func (c *Cluster) Register(ctx context.Context, q broker.Registration) (broker.Grant, error) {
	if c.stalled() {
		return broker.Grant{}, &broker.RegistrationError{Reason: wire.DenyGate, Text: "this node did not run for a while and proves its links first"}
	}
	g, err := c.registrar.Register(ctx, registrar.Request{Client: wireClient(q.Key), Seen: wireEpoch(q.EpochSeen), Home: q.HomeSeen,
		CleanStart: q.CleanStart, Bound: q.Bound, IfIdle: q.IfIdle})
	var denied *registrar.Denied
	switch {
	case errors.As(err, &denied):
		return broker.Grant{}, &broker.RegistrationError{Reason: denied.Reason, Home: denied.Home, Text: denied.Text}
	case err != nil:
		return broker.Grant{}, &broker.RegistrationError{Reason: wire.DenyBusy, Text: err.Error()}
	}
	return broker.Grant{Epoch: storeEpoch(g.Epoch), OldHome: g.OldHome, OldEpoch: storeEpoch(g.OldEpoch), Closed: g.Closed}, nil
}

// Connected implements broker.Cluster.
func (c *Cluster) Connected(k broker.Key, epoch metadata.Epoch, bound bool) {
	c.registrar.Connected(wireClient(k), wireEpoch(epoch), bound)
}

// Gone implements broker.Cluster.
func (c *Cluster) Gone(k broker.Key, epoch metadata.Epoch) {
	c.registrar.Gone(wireClient(k), wireEpoch(epoch))
}

// tellRegistrar gives the registrar the view that follows from a state and from
// the gate as it is.
func (c *Cluster) tellRegistrar(s *state) {
	c.mu.Lock()
	quorum := c.mu.policy[netsplit.Register] == netsplit.Majority
	c.mu.Unlock()
	c.registrar.SetView(registrar.View{Reachable: s.reachable, Members: max(len(s.members), 1),
		Split: s.verdict != nil && s.verdict.Split, Open: c.config.Gate.Now().Allows(netsplit.Register), Quorum: quorum, Tie: wire.NodeID(c.tiebreaker())})
}

// Majority implements broker.Majority.
func (c *Cluster) Majority() bool {
	v := c.current.Load().verdict
	return v != nil && v.Majority
}

// synced notes that the registries were exchanged with a peer.
func (c *Cluster) synced(id wire.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.mu.peers[id]; p != nil {
		p.synced = p.linked
	}
}

// takeOther takes what is the registrar's or the member set's.
func (c *Cluster) takeOther(m *link.Message) error {
	switch m.Type {
	case wire.TypeMembers:
		var x wire.Members
		if err := wire.ParseMembers(m.Body, &x); err != nil {
			return err
		}
		if c.members != nil {
			c.members.Receive(m.From, &x)
		}
	case wire.TypeSettled:
		var x wire.Settled
		if err := wire.ParseSettled(m.Body, &x); err != nil {
			return err
		}
		c.parts.Broker.TakeSettled(&x)
	case wire.TypeRegister, wire.TypeGrant, wire.TypeDeny, wire.TypeRelease, wire.TypeReleased, wire.TypeClients:
		return c.registrar.Receive(m.From, m.Type, m.Body)
	case wire.TypeAsk:
		return c.takeAsk(m)
	case wire.TypeAnswer:
		return c.takeAnswer(m)
	default:
		return fmt.Errorf("nobody here takes %s", m.Type)
	}
	return nil
}
