package cluster

import (
	"context"
	"fmt"

	"tombolo/internal/link"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/broker"
)

// Register implements broker.Cluster. Until the registrar is here a client id is
// granted by the node that is asked: two nodes may hold one id.
func (c *Cluster) Register(context.Context, broker.Registration) (broker.Grant, error) {
	return broker.Grant{Epoch: metadata.Epoch{HLC: c.parts.Metadata.Stamp(), Node: uint64(c.config.Node)}}, nil
}

// Connected implements broker.Cluster.
func (c *Cluster) Connected(broker.Key, metadata.Epoch, bool) {}

// Gone implements broker.Cluster.
func (c *Cluster) Gone(broker.Key, metadata.Epoch) {}

func (c *Cluster) registrarLinked(id wire.NodeID, up bool) {
	if up {
		c.synced(id)
	}
}

func (c *Cluster) tellRegistrar(*state) {}

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
		return wire.ParseSettled(m.Body, &x)
	default:
		return fmt.Errorf("nobody here takes %s", m.Type)
	}
	return nil
}
