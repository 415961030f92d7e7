package broker

import (
	"math/rand/v2"

	"tombolo/mqtt/topic"
)

// chosen is the member of a shared subscription that gets a message: a client
// of this node, or another node, which picks one of its own. Neither: there is
// nobody.
type chosen struct {
	hit     *topic.Hit[*client]
	node    *otherNode
	durable bool // a persistent session there is in the group
}

// pick chooses the member of a shared subscription that gets a message. An
// online member anywhere comes before an offline one; among offline ones only a
// session that outlives its connection can be meant, and its queue keeps the
// message (R13).
func (b *Broker) pick(g *topic.Group[*client], policy SharePolicy, others bool) chosen {
	if policy == Random && others {
		return b.pickAmongAll(g, policy, nil, rand.Uint64())
	}
	n := len(g.Members)
	if n == 0 {
		return chosen{}
	}
	turn := uint64(0)
	if policy == Random {
		turn = rand.Uint64()
	} else {
		turn = g.Turn()
	}
	start := startAt(g, turn)
	for i := range n {
		if h := &g.Members[(start+i)%n]; h.Sub.online.Load() {
			return chosen{hit: h}
		}
	}
	if others && policy != LocalOnly {
		return b.pickAmongAll(g, policy, nil, turn)
	}
	for i := range n {
		if h := &g.Members[(start+i)%n]; h.Sub.remote == nil {
			return chosen{hit: h}
		}
	}
	return chosen{}
}

// startAt is the member at which the search of a turn begins. Nodes stand among
// the members: a turn that meets one begins elsewhere each time, so that no
// client has its turns as well as its own.
func startAt(g *topic.Group[*client], turn uint64) int {
	n := uint64(len(g.Members))
	start := int(turn % n)
	if g.Members[start].Sub.remote != nil {
		start = int((turn + turn/n) % n)
	}
	return start
}

// nodesMax bounds the other nodes that pick weighs.
const nodesMax = 64

// weights are the members of a group by node. Owned by one call of pick.
type weights struct {
	local counts
	nodes [nodesMax]weight
	used  int
}

// weight is what a node has of a group.
type weight struct {
	node    *otherNode
	counts  counts
	durable uint32 // members by the tables
}

// weigh counts the members of a group. What a node that is down has announced
// does not count.
func (b *Broker) weigh(g *topic.Group[*client], but []*otherNode, w *weights) {
	for i := range g.Members {
		h := &g.Members[i]
		if h.Sub.remote == nil {
			w.local.members++
			if h.Sub.online.Load() {
				w.local.online++
			}
			continue
		}
		node := h.Sub.remote.node
		at := w.at(node)
		if at == nil || contains(but, node) {
			continue
		}
		c := unpack(h.Options.ID)
		if h.Sub.remote.durable {
			at.durable = c.members
			at.counts.members = max(at.counts.members, c.members)
		} else if node.up.Load() {
			at.counts = counts{max(at.counts.members, c.members), c.online}
		}
	}
}

// at is the entry of a node, nil if there are too many.
func (w *weights) at(n *otherNode) *weight {
	for i := range w.used {
		if w.nodes[i].node == n {
			return &w.nodes[i]
		}
	}
	if w.used == nodesMax {
		return nil
	}
	w.nodes[w.used].node = n
	w.used++
	return &w.nodes[w.used-1]
}

func contains(list []*otherNode, n *otherNode) bool {
	for _, o := range list {
		if o == n {
			return true
		}
	}
	return false
}

// pickAmongAll weighs the nodes by their members: first those that are online,
// then the others; in either step this node first, unless the policy is random.
func (b *Broker) pickAmongAll(g *topic.Group[*client], policy SharePolicy, but []*otherNode, turn uint64) chosen {
	var w weights
	b.weigh(g, but, &w)
	online := func(c counts) uint32 { return c.online }
	offline := func(c counts) uint32 { return c.members - min(c.online, c.members) }
	for step, count := range []func(counts) uint32{online, offline} {
		local, away := uint64(count(w.local)), uint64(0)
		for i := range w.used {
			away += uint64(count(w.nodes[i].counts))
		}
		if policy == LocalOnly || policy != Random && local > 0 {
			away = 0
		}
		if local+away == 0 {
			continue
		}
		turn := turn % (local + away)
		if turn < local {
			return b.localMember(g, turn, step == 0)
		}
		turn -= local
		for i := range w.used {
			n := uint64(count(w.nodes[i].counts))
			if turn < n {
				return chosen{node: w.nodes[i].node, durable: w.nodes[i].durable > 0}
			}
			turn -= n
		}
	}
	return chosen{}
}

// localMember is the member of this node at a turn among those that are online,
// or those that are not. One that changed meanwhile is passed over.
func (b *Broker) localMember(g *topic.Group[*client], turn uint64, online bool) (c chosen) {
	for i := range g.Members {
		h := &g.Members[i]
		if h.Sub.remote != nil || h.Sub.online.Load() != online {
			continue
		}
		c.hit = h
		if turn == 0 {
			return c
		}
		turn--
	}
	if c.hit == nil {
		for i := range g.Members {
			if h := &g.Members[i]; h.Sub.remote == nil {
				return chosen{hit: h}
			}
		}
	}
	return c
}
