package cluster

import (
	"fmt"
	"slices"
	"time"

	"tombolo/internal/link"
	"tombolo/internal/wire"
	"tombolo/mqtt/broker"
	"tombolo/netsplit"
)

// Status is what this node sees of the cluster. A value.
type Status struct {
	Verdict   *netsplit.Verdict
	Version   uint64 // of the member set
	Members   []wire.Member
	Reachable []wire.NodeID // by verdict, this node included; by id
	Opened    bool          // it knows enough of the others to admit (R7)
	Standing  string        // what it is to the cluster
	Waits     string        // for what, in words; "" for nothing
	Cut       []wire.NodeID // for a rehearsal
	Links     []Link        // by id
}

// Link is what is known of the links to one node. A value.
type Link struct {
	link.PeerStatus
	Since time.Time // of Up or not
}

// Status sums up.
func (c *Cluster) Status() Status {
	s := c.current.Load()
	out := Status{Verdict: s.verdict, Version: s.version, Members: s.members, Reachable: s.reachable, Opened: c.opened.Load(), Standing: "joined"}
	if c.members != nil {
		m := c.members.Status()
		out.Standing, out.Waits = m.Standing.String(), m.Text
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out.Cut = slices.Clone(c.mu.cut)
	for _, l := range c.mesh.Status() {
		x := Link{PeerStatus: l}
		if p := c.mu.peers[l.ID]; p != nil {
			x.Since = p.since
		}
		out.Links = append(out.Links, x)
	}
	return out
}

// removedText says what a node is that is no member any more, and what it holds
// that the members do not have (R23).
func removedText(left broker.Remaining, spooled uint64) string {
	text := "this node has left its cluster, or was removed from it: it serves nobody and looks for nobody"
	const remedy = ", which the members do not have: stop it, and give them to a member with tombolo queue hand-over"
	held := fmt.Sprintf("; it still holds %d messages of %d sessions", left.Messages, left.Sessions)
	switch {
	case spooled > 0:
		text += held + fmt.Sprintf(", and in its spool %d for other members", spooled) + remedy
	case left.Messages > 0:
		text += held + remedy
	}
	return text + "; to use it again, stop it and start it with an empty data directory"
}

func (c *Cluster) removedText() string {
	return removedText(c.parts.Broker.Remaining(), c.spooled())
}

// Missing says why this node is not ready, in sentences; nothing if it is. Members
// that were there and have been removed since are not waited for: who is left would
// be taken out of service with them.
func (c *Cluster) Missing(expected int) (reasons []string) {
	s := c.Status()
	switch {
	case s.Standing == "seeking":
		reasons = append(reasons, "not a member of a cluster yet: "+orElse(s.Waits, "looking for the seeds"))
	case s.Standing == "removed":
		reasons = append(reasons, c.removedText())
	case !s.Opened:
		reasons = append(reasons, "the routes of the other members are not here yet")
	}
	c.mu.Lock()
	most := c.mu.most
	c.mu.Unlock()
	if max(most, len(s.Members)) < expected {
		reasons = append(reasons, fmt.Sprintf("the cluster has %d of %d expected members", len(s.Members), expected))
	}
	return reasons
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Name is what an operator knows a node by.
func (c *Cluster) Name(id wire.NodeID) string { return c.current.Load().name(id) }

// Find is the id of a member of a name, or of an id in hexadecimal.
func (c *Cluster) Find(name string) (wire.NodeID, bool) {
	for _, m := range c.current.Load().members {
		if m.Name == name || hexID(m.ID) == name {
			return m.ID, true
		}
	}
	return 0, false
}

// SetCut rehearses a split: from now on nothing comes from or goes to the nodes
// named, over links or gossip, and nobody is told.
func (c *Cluster) SetCut(nodes []wire.NodeID) {
	c.mu.Lock()
	c.mu.cut = slices.Clone(nodes)
	c.mu.Unlock()
	c.mesh.SetCut(nodes)
	if c.members != nil {
		c.members.SetCut(nodes)
	}
}
