package member

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"tombolo/internal/wire"
)

// How nodes without a cluster become one. A node that seeks pledges itself to a
// founder: to that of a cluster which is there already, else to a node that
// stands by itself and seeks nobody, else to the one with the smallest id of all
// that seek. The pledge is durable before anybody hears of it, and a node that
// has pledged founds nothing. A node founds when it is asked to by one that has
// pledged to it, and with cluster.expected_members when more than half of so many
// are together: then no two clusters can be founded, wherever the network is cut.
// Without, three nodes found one, and more may found two, if a cut divides them. A pledge is moved only on the word of the node that it names: that one
// has pledged elsewhere itself, or belongs to another cluster, so that it will
// never found its own.

// found is a node that gossip has found. Immutable.
type found struct {
	id         wire.NodeID
	name, link string
	origin     wire.NodeID // of its cluster; of a node that has none: its pledge, or 0
	formed     bool        // it belongs to a cluster
	settled    bool        // it seeks nobody
}

// seek is a core's way into a cluster. Owned by the core.
type seek struct {
	on      bool // looks for a cluster
	since   int64
	settled bool // does not, and would found one if asked
	nodes   []found
	askers  []wire.Member // who has asked us to found, by id
	joins   []uint64      // requests that wait for us to become a member
	turn    int           // whom to ask next
	last    int64         // when we asked
	said    int64         // when the log heard how far it is
	answers map[wire.NodeID]string
	told    []wire.NodeID // founders of other clusters that the log knows of
}

// joined is called when there is a record.
func (s *seek) joined() { s.on, s.askers, s.answers = false, nil, nil }

// begin starts looking; the shell has seen that this node has no history.
func (c *core) begin() {
	if !c.formed() && !c.seek.on {
		c.seek.on, c.seek.settled, c.seek.since = true, false, c.now
	}
}

// join is a request to become a member.
func (c *core) join(id uint64) {
	switch other := c.otherCluster(); {
	case c.standing() == Removed:
		c.out.ended = append(c.out.ended, ended{id, errors.New(removedText)})
	case c.formed() && other != nil:
		c.out.ended = append(c.out.ended, ended{id, fmt.Errorf("this node belongs to a cluster already (%s), and node %s to another: "+
			"to move it, let it leave, move its data directory away and start it with an empty one", describe(&c.kept.record), other.name)})
	case c.formed():
		c.out.ended = append(c.out.ended, ended{id, nil})
	default:
		c.seek.joins = append(c.seek.joins, id)
		c.begin()
		c.seekOn()
	}
}

// otherCluster is a node of a cluster that is not ours.
func (c *core) otherCluster() *found {
	for i, n := range c.seek.nodes {
		if n.formed && n.origin != c.kept.record.Origin {
			return &c.seek.nodes[i]
		}
	}
	return nil
}

func (c *core) cancelJoin(id uint64) {
	if i := slices.Index(c.seek.joins, id); i >= 0 {
		c.seek.joins = slices.Delete(c.seek.joins, i, i+1)
		c.out.ended = append(c.out.ended, ended{id, errors.New(c.seekText())})
	}
}

// finds takes what gossip knows now, by id.
func (c *core) finds(nodes []found) {
	c.seek.nodes = nodes
	for _, n := range nodes {
		if c.formed() && n.formed && n.origin != c.kept.record.Origin {
			c.foreign(n.id, n.origin)
		}
	}
}

// foreign says once that another cluster is in sight.
func (c *core) foreign(id, origin wire.NodeID) {
	if slices.Contains(c.seek.told, origin) || len(c.seek.told) >= membersMax {
		return
	}
	c.seek.told = append(c.seek.told, origin)
	c.log(faultLine, "node %s belongs to another cluster of the same name, which node %s founded: they do not become one. "+
		"Give it another cluster.name; or, if it is to join this one, stop it, move its data directory away and start it with an empty one", idText(id), idText(origin))
}

// seekOn goes on looking.
func (c *core) seekOn() {
	if c.formed() {
		for _, id := range c.seek.joins {
			c.out.ended = append(c.out.ended, ended{id, nil})
		}
		c.seek.joins = nil
		return
	}
	if c.standing() == Seeking && c.now-max(c.seek.said, c.seek.since) >= 40*c.settings.interval {
		c.seek.said = c.now
		c.log(noteLine, "%s", c.seekText())
	}
	if c.seek.on && c.kept.pledge == 0 {
		if to := c.choose(); to != 0 {
			c.pledge(to)
		}
	}
	if c.kept.pledge != 0 && (c.seek.last == 0 || c.now-c.seek.last >= 4*c.settings.interval) {
		c.askOne()
	}
}

// choose finds the founder to pledge to; 0: wait to be asked.
func (c *core) choose() wire.NodeID {
	early := c.now-c.seek.since < 4*c.settings.interval // there may be a cluster that gossip has not shown yet
	rank := func(n found) int {
		switch {
		case n.formed:
			return 0
		case n.origin != 0, early: // it has pledged: it founds nothing
			return 3
		case n.settled:
			return 1
		case n.id < c.self.ID:
			return 2
		}
		return 3
	}
	to := func(n found) wire.NodeID {
		if n.formed {
			return n.origin
		}
		return n.id
	}
	var best *found
	for i, n := range c.seek.nodes {
		if rank(n) < 3 && (best == nil || cmp.Or(cmp.Compare(rank(n), rank(*best)), cmp.Compare(to(n), to(*best))) < 0) {
			best = &c.seek.nodes[i]
		}
	}
	if best == nil {
		return 0
	}
	return to(*best)
}

// pledge binds this node to a founder.
func (c *core) pledge(to wire.NodeID) {
	c.kept.pledge = to
	c.seek.askers, c.seek.last = nil, 0
	c.save()
	c.log(noteLine, "joining the cluster of node %s", idText(to))
}

// askOne asks one of those who can make us a member.
func (c *core) askOne() {
	var able []wire.NodeID
	for _, p := range c.peers {
		i := slices.IndexFunc(c.seek.nodes, func(n found) bool { return n.id == p.id && n.formed && n.origin == c.kept.pledge })
		if p.id == c.kept.pledge || i >= 0 {
			able = append(able, p.id)
		}
	}
	if len(able) == 0 {
		return
	}
	c.seek.turn++
	c.seek.last = c.now
	c.send(able[c.seek.turn%len(able)], wire.Members{Step: wire.MembersAsk, Origin: c.kept.pledge, List: []wire.Member{c.self}})
}

// asked takes the wish of a node to become a member.
func (c *core) asked(from wire.NodeID, m *wire.Members) {
	if len(m.List) != 1 || m.List[0].ID != from {
		return
	}
	node := m.List[0]
	refuse := func(origin wire.NodeID, text string) {
		c.out.send = append(c.out.send, envelope{from, wire.Members{Step: wire.MembersRefuse, Origin: origin, Text: clip(text)}})
	}
	r := &c.kept.record
	switch {
	case c.standing() == Removed:
		refuse(0, c.self.Name+" was removed from its cluster")
	case c.formed() && m.Origin != r.Origin:
		refuse(r.Origin, fmt.Sprintf("%s belongs to the cluster that node %s founded", c.self.Name, idText(r.Origin)))
	case c.formed() && r.has(from):
		c.tell(from)
	case c.formed():
		c.admit(node)
	case c.kept.pledge != 0:
		refuse(c.kept.pledge, c.self.Name+" is about to join a cluster itself")
	case m.Origin == c.self.ID:
		c.found(node, refuse)
	default:
		refuse(0, c.self.Name+" is no member of a cluster yet")
	}
}

// admit proposes a node as a member.
func (c *core) admit(node wire.Member) {
	for _, r := range c.requests {
		if r.asker == node.ID {
			if c.now-r.since >= 4*c.settings.interval {
				c.send(node.ID, wire.Members{Step: wire.MembersRefuse, Text: clip(c.why())})
			}
			return
		}
	}
	c.request(&request{change: change{kind: changeAdd, member: node}, asker: node.ID, deadline: c.now + c.settings.requestTimeout})
}

// found begins a cluster, once those who have pledged to us are enough.
func (c *core) found(node wire.Member, refuse func(wire.NodeID, string)) {
	list := slices.DeleteFunc(c.seek.askers, func(o wire.Member) bool { return o.ID == node.ID })
	c.seek.askers = append(list, node)
	if have := 1 + len(c.seek.askers); 2*have <= c.settings.expected {
		refuse(0, fmt.Sprintf("%s waits for more nodes: %d of the %d that cluster.expected_members asks for are there", c.self.Name, have, c.settings.expected))
		return
	}
	askers := c.seek.askers
	self := c.self
	self.State, self.Since = wire.MemberJoined, c.wall
	c.adopt(&Record{Version: 1, Nonce: c.settings.rand(), Origin: c.self.ID, Members: []wire.Member{self}})
	for _, a := range askers {
		c.admit(a)
	}
}

// turnedDown hears why we are no member yet.
func (c *core) turnedDown(from wire.NodeID, m *wire.Members) {
	if c.formed() || c.kept.pledge == 0 {
		return
	}
	if c.seek.answers == nil || len(c.seek.answers) >= membersMax {
		c.seek.answers = map[wire.NodeID]string{}
	}
	c.seek.answers[from] = m.Text
	switch {
	case from != c.kept.pledge || m.Origin == 0 || m.Origin == c.kept.pledge:
	case m.Origin != c.self.ID:
		c.pledge(m.Origin)
	case c.self.ID < from: // each has pledged to the other: the smaller one is free again
		c.kept.pledge = 0
		c.seek.on = true
		c.save()
	}
}

// seekText says how far the search is.
func (c *core) seekText() string {
	pledge := c.kept.pledge
	if pledge == 0 {
		if len(c.seek.nodes) == 0 {
			return "no other node is found: see whether the seeds run, have the same cluster.name and cluster.secret_key, and can be reached by TCP and UDP"
		}
		if n := len(c.seek.askers); n > 0 {
			return fmt.Sprintf("waiting for more nodes: %d of the %d that cluster.expected_members asks for are there", n+1, c.settings.expected)
		}
		return fmt.Sprintf("%d other nodes are found, and none has asked this one yet to found a cluster", len(c.seek.nodes))
	}
	if len(c.seek.answers) > 0 {
		who := wire.NodeID(0)
		for id := range c.seek.answers {
			if who == 0 || id == pledge || who != pledge && id < who {
				who = id
			}
		}
		return fmt.Sprintf("not a member yet; node %s says: %s", idText(who), c.seek.answers[who])
	}
	return fmt.Sprintf("joining the cluster of node %s: no node of it is linked or has answered yet; if it never comes back, stop this node, "+
		"remove its data directory, which holds nothing yet, and start it again", idText(pledge))
}
