package cluster

import (
	"context"
	"log/slog"
	"time"

	"tombolo/internal/member"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/netsplit"
)

// Exchange takes the store's word that a peer and this node have pulled each
// other's metadata (R28). It is what metadata.Config.OnExchange wants.
func (c *Cluster) Exchange(e metadata.Exchange) {
	c.mu.Lock()
	if p := c.mu.peers[wire.NodeID(e.Peer)]; p != nil {
		p.exchanged = e.Began
	}
	c.mu.Unlock()
	if c.members != nil && c.Reachable(wire.NodeID(e.Peer)) { // else the next one, in a second
		c.members.Exchanged(wire.NodeID(e.Peer))
	}
}

// openMembers makes the durable member set, once it is known where this node
// listens, and takes what is kept of it.
func (c *Cluster) openMembers() error {
	if c.config.Members == nil {
		return nil
	}
	m := *c.config.Members
	m.Self = wire.Member{ID: c.config.Node, Name: c.config.NodeName, Link: c.LinkAddress()}
	m.Cluster, m.Store, m.Clock = c.config.Name, c.parts.Metadata, c.config.Steady
	m.Send = func(to wire.NodeID, x *wire.Members) bool {
		return c.mesh.Send(to, wire.StreamControl, wire.TypeMembers, wire.AppendMembers(nil, x), nil) == nil
	}
	m.OnPeer = func(id wire.NodeID, address string) {
		if err := c.mesh.AddPeer(id, address); err != nil {
			c.config.Log.Debug("a node that gossip found is not linked", "address", address, "error", err)
		}
	}
	m.OnGone = c.mesh.RemovePeer
	m.OnChange, m.Refused = c.changed, c.refusedBy
	m.Log = func(level slog.Level, text string) { c.config.Log.Log(context.Background(), level, text) }
	set, err := member.New(m)
	if err != nil {
		return err
	}
	if err := patiently(set.Listen); err != nil {
		return cannotListen("gossip", "cluster.gossip_port", err)
	}
	c.members = set
	version, list := set.Current()
	c.SetMembers(version, list)
	return nil
}

// refusedBy is why a node that this one has dialled will not be linked, for a
// reason that somebody has to remove.
func (c *Cluster) refusedBy() string {
	for _, s := range c.mesh.Status() {
		switch s.Refusal {
		case 0, wire.RefuseMember, wire.RefuseBusy, wire.RefuseSelf:
		default:
			if !s.Up {
				return s.LastError
			}
		}
	}
	return ""
}

// changed takes a version of the member set that has taken effect.
func (c *Cluster) changed(version uint64, list []wire.Member) {
	if version == 1 {
		// The first version of all: there is no cluster that has data which an
		// empty store among its founders would have to join first (I29).
		c.parts.Metadata.ServeAnyway()
	}
	c.SetMembers(version, list)
}

// settled reports whether this node has found its place: it is by itself, or a
// member, and the detector knows of what. Until then it serves nobody.
func (c *Cluster) settled() bool {
	if c.members == nil {
		return true
	}
	s := c.members.Status()
	return (s.Standing == member.Alone || s.Standing == member.Joined) && s.Record.Version <= c.current.Load().version
}

// Members is the durable member set; nil without one.
func (c *Cluster) Members() *member.Set { return c.members }

// Tunables are what may change while the node runs. A value.
type Tunables struct {
	Policy            netsplit.Policy
	Tiebreaker        string        // the name of a node, "" none
	ConfirmWait       time.Duration // R9
	DeadMemberTimeout time.Duration // 0: never
}

// Tune changes them.
func (c *Cluster) Tune(t Tunables) {
	c.mu.Lock()
	named := c.mu.tiebreaker != t.Tiebreaker
	c.mu.tiebreaker = t.Tiebreaker
	c.mu.Unlock()
	c.SetPolicy(t.Policy)
	c.mesh.SetConfirmWait(t.ConfirmWait)
	if c.members != nil {
		c.members.SetDeadMemberTimeout(t.DeadMemberTimeout)
	}
	if named {
		c.calls.add(func() {
			c.mesh.Judge(func(int64) { c.judge.d.SetTiebreaker(c.tiebreaker()) })
		})
	}
}
