package member

import (
	"slices"

	"tombolo/internal/wire"
)

// look takes what gossip knows.
func (s *Set) look(c *core) {
	if s.gossip == nil {
		return
	}
	list := s.gossip.nodes()
	nodes := make([]found, len(list))
	shown := make([]Node, len(list))
	for i, h := range list {
		nodes[i] = found{id: h.id, name: h.name, link: h.link, origin: h.origin, formed: h.formed, settled: h.settled}
		shown[i] = Node{ID: h.id, Name: h.name, Link: h.link, Gossip: h.address, Version: h.version, Member: c.kept.record.has(h.id)}
	}
	s.nodes.Store(&shown)
	c.finds(nodes)
	for _, n := range nodes {
		if c.links(&n) {
			s.config.OnPeer(n.id, n.link)
		}
	}
}

// part says whom to link no more.
func (l *loop) part() {
	c := l.core
	for _, m := range c.kept.record.Members {
		if !slices.Contains(l.linked, m.ID) && m.ID != c.self.ID {
			l.linked = append(l.linked, m.ID)
		}
	}
	for i := range c.seek.nodes {
		if n := &c.seek.nodes[i]; !slices.Contains(l.linked, n.id) && c.links(n) {
			l.linked = append(l.linked, n.id)
		}
	}
	l.linked = slices.DeleteFunc(l.linked, func(id wire.NodeID) bool {
		if c.keeps(id) {
			return false
		}
		l.config.OnGone(id)
		return true
	})
}

// knows says that a linked node holds the record in effect.
func (c *core) knows(id wire.NodeID) bool {
	p := c.peer(id)
	return p != nil && p.holds.Version > 0 && !c.kept.record.above(&p.holds)
}

// links says that a node which was found is to be linked: it is a member, may
// become one, can make us one, or has yet to hear that it is none any more.
func (c *core) links(n *found) bool {
	switch {
	case c.standing() == Removed || n.link == "":
		return false
	case !c.formed() || c.kept.record.has(n.id) || !n.formed:
		return true
	}
	return n.origin == c.kept.record.Origin && !c.knows(n.id)
}

// keeps says that a node is to stay linked.
func (c *core) keeps(id wire.NodeID) bool {
	if c.standing() == Removed {
		return false
	}
	if c.formed() && c.kept.record.has(id) {
		return true
	}
	if slices.ContainsFunc(c.seek.nodes, func(n found) bool { return n.id == id && c.links(&n) }) {
		return true
	}
	p := c.peer(id)
	return c.formed() && p != nil && p.holds.Version > 0 && c.kept.record.above(&p.holds)
}
