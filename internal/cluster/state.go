package cluster

import (
	"cmp"
	"fmt"
	"slices"

	"tombolo/internal/wire"
	"tombolo/netsplit"
)

// reaches reports whether a member is up by verdict.
func (s *state) reaches(id wire.NodeID) bool {
	_, ok := slices.BinarySearch(s.reachable, id)
	return ok
}

// argues reports whether two members that this node reaches do not reach each other
// by verdict. This node is one of those that it reaches.
func (s *state) argues() bool {
	return slices.ContainsFunc(s.verdict.Missing, func(p [2]netsplit.NodeID) bool {
		return s.reaches(wire.NodeID(p[0])) && s.reaches(wire.NodeID(p[1]))
	})
}

// name is what an operator knows a node by.
func (s *state) name(id wire.NodeID) string {
	for i := range s.members {
		if s.members[i].ID == id {
			return s.members[i].Name
		}
	}
	return hexID(id)
}

func hexID(id wire.NodeID) string { return fmt.Sprintf("%016x", uint64(id)) }

func sortedMembers(list []wire.Member) []wire.Member {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b wire.Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// refresh makes the state of a verdict, the current one if v is nil, and then the
// state of the gate.
func (c *Cluster) refresh(v *netsplit.Verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current.Load()
	if v == nil {
		v = old.verdict
	}
	s := &state{verdict: v, version: c.mu.judgedVersion, members: c.mu.judged, alone: true}
	for i := range s.members {
		m := &s.members[i]
		if m.ID == c.config.Node {
			s.member = true
		} else {
			s.alone = false
		}
		if m.ID == c.config.Node || m.State != wire.MemberAbsent && !slices.Contains(v.Unreachable, netsplit.NodeID(m.ID)) {
			s.reachable = append(s.reachable, m.ID)
		}
	}
	for _, id := range old.reachable {
		if !s.reaches(id) {
			c.mu.downs[id] = true
		}
	}
	c.current.Store(s)
	c.publishLocked(s)
}

// publishLocked puts the gate into the state that follows from s. Before the
// node knows of the others, or while it is no member, nothing is admitted.
func (c *Cluster) publishLocked(s *state) {
	switch {
	case !s.member:
		c.config.Gate.Publish(netsplit.Closed("this node is no member of the cluster"))
		return
	case !c.opened.Load():
		c.config.Gate.Publish(netsplit.Starting("this node has just started and does not know yet what the other members know"))
		return
	}
	c.config.Gate.Publish(c.mu.policy.Snapshot(s.verdict))
}

// SetPolicy changes what is allowed during a netsplit.
func (c *Cluster) SetPolicy(p netsplit.Policy) {
	c.mu.Lock()
	c.mu.policy = p
	c.publishLocked(c.current.Load())
	c.mu.Unlock()
	c.nudge()
}

// SetMembers takes a version of the member set. The detector and the others hear
// of it from the teller; a lower version is ignored.
func (c *Cluster) SetMembers(version uint64, list []wire.Member) {
	c.mu.Lock()
	if version < c.mu.version {
		c.mu.Unlock()
		return
	}
	c.mu.version, c.mu.members, c.mu.fresh = version, sortedMembers(list), true
	c.mu.most = max(c.mu.most, len(list))
	c.mu.Unlock()
	c.nudge()
}
