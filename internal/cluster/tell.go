package cluster

import (
	"context"
	"slices"

	"tombolo/internal/member"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/netsplit"
)

// tells brings verdicts and members to the broker, the store and the links, in
// their order, until ctx ends. The gate has them already.
func (c *Cluster) tells(ctx context.Context) {
	var told []wire.NodeID // who is reachable, as the broker knows
	for {
		select {
		case <-c.tell:
		case <-ctx.Done():
			return
		}
		if c.adoptMembers() {
			continue // the detector's word on them comes as a verdict
		}
		told = c.tellVerdict(told)
	}
}

// adoptMembers tells everybody of new members; false if there are none.
func (c *Cluster) adoptMembers() bool {
	c.mu.Lock()
	fresh, version, list := c.mu.fresh, c.mu.version, c.mu.members
	c.mu.fresh = false
	c.mu.Unlock()
	if !fresh {
		return false
	}
	ids := make([]wire.NodeID, len(list))
	members := make([]metadata.Member, len(list))
	for i := range list {
		ids[i] = list[i].ID
		members[i] = metadata.Member{ID: uint64(list[i].ID), Absent: list[i].State == wire.MemberAbsent}
	}
	c.parts.Metadata.SetMembers(version, members)
	member := slices.Contains(ids, c.config.Node) // one that was removed looks for nobody
	for i := range list {
		m := &list[i]
		if member && m.ID != c.config.Node && m.Link != "" {
			_ = c.mesh.AddPeer(m.ID, m.Link) // refuses only when the mesh is over
		}
	}
	c.parts.Broker.MembersChanged(ids)
	c.parts.Broker.MembersPresent(present(list))
	c.mesh.Judge(func(now int64) { c.judge.members(version, list, now) })
	c.nudge()
	return true
}

// present are the members that are not marked absent (R23).
func present(list []wire.Member) (ids []wire.NodeID) {
	for i := range list {
		if list[i].State != wire.MemberAbsent {
			ids = append(ids, list[i].ID)
		}
	}
	return ids
}

// members gives the detector new members and takes its verdict on them.
func (j *judge) members(version uint64, list []wire.Member, now int64) {
	j.d.SetTiebreaker(j.c.tiebreaker())
	j.d.SetMembers(splitMembers(version, list), now, &j.effects)
	j.c.mu.Lock()
	formed := j.c.mu.judgedVersion == 0 && version > 0
	joined := formed && len(list) > 1
	// Who founds was asked to: the others become members at once. It waits for them,
	// unless it has served clients by itself.
	j.founds = formed && !joined && !j.c.opened.Load() || j.founds && len(list) == 1
	j.c.mu.judgedVersion, j.c.mu.judged = version, list
	j.c.mu.Unlock()
	if joined || j.founds { // what it finds there has to come first (R7)
		j.c.wait()
	}
	j.apply()
	j.c.refresh(j.d.Verdict())
	j.suspects()
}

// tiebreaker is the id of the node that the operator has named.
func (c *Cluster) tiebreaker() netsplit.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.mu.members {
		if m := &c.mu.members[i]; c.mu.tiebreaker != "" && m.Name == c.mu.tiebreaker {
			return netsplit.NodeID(m.ID)
		}
	}
	return 0
}

// reached tells the broker of peers that a verdict has back, before the gate opens by
// it: what is admitted then matches what their clients subscribe to (R7, R28). The
// teller tells all the rest, a moment later.
func (c *Cluster) reached(v *netsplit.Verdict) {
	s := c.current.Load()
	for i := range s.members {
		m := &s.members[i]
		if m.ID != c.config.Node && m.State != wire.MemberAbsent && !s.reaches(m.ID) && !slices.Contains(v.Unreachable, netsplit.NodeID(m.ID)) {
			c.parts.Broker.PeerReachable(m.ID, true)
		}
	}
}

// tellVerdict tells what has changed since told, and returns what is told now.
// A peer that went down and came back meanwhile is told as both: what was soft
// about it has to go.
func (c *Cluster) tellVerdict(told []wire.NodeID) []wire.NodeID {
	c.mu.Lock()
	s := c.current.Load()
	var downs []wire.NodeID
	for id := range c.mu.downs {
		downs = append(downs, id)
	}
	clear(c.mu.downs)
	c.mu.Unlock()
	slices.Sort(downs)
	for _, id := range downs {
		if !slices.Contains(told, id) {
			continue
		}
		c.parts.Broker.PeerReachable(id, false)
		c.mu.Lock()
		if p := c.mu.peers[id]; p != nil {
			p.here = false
		}
		c.mu.Unlock()
		told = slices.DeleteFunc(slices.Clone(told), func(x wire.NodeID) bool { return x == id })
		// Both ends begin anew, so that what was dropped here comes again.
		c.mesh.Reset(id)
	}
	for _, id := range s.reachable {
		if id != c.config.Node && !slices.Contains(told, id) {
			c.parts.Broker.PeerReachable(id, true)
			told = append(slices.Clone(told), id)
		}
	}
	if c.members != nil {
		group := make([]wire.NodeID, len(s.verdict.Primary))
		for i, id := range s.verdict.Primary {
			group[i] = wire.NodeID(id)
		}
		c.members.SetView(s.reachable, group)
	}
	if c.members != nil && c.members.Status().Standing == member.Removed && !c.dismissed {
		c.dismissed = true
		c.config.Log.Warn(c.removedText())
		c.parts.Broker.Shutdown() // its clients are to go to the members
	}
	c.tellRegistrar(s)
	c.parts.Broker.GateChanged()
	c.waits.look()
	return told
}
