package broker

import (
	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
)

// frameTo is another node that gets the message being routed, in one frame: for
// whoever matches there, and for one member of each of the groups.
type frameTo struct {
	node    *otherNode
	matches bool // a plain route matched; else only groups chose it
	durable bool // for a persistent session, so that it may wait in the spool
	groups  []wire.Group
}

// chooseNode files the message for a node of which a plain route matched.
func (r *round) chooseNode(s *remote, qos uint8) {
	if !s.node.up.Load() && (qos == 0 || !s.durable) {
		return
	}
	f := r.frameTo(s.node)
	f.matches = true
	f.durable = f.durable || s.durable
}

// chooseGroup files the message for a node that is to serve a group.
func (r *round) chooseGroup(c chosen, g *topic.Group[*client]) {
	f := r.frameTo(c.node)
	f.durable = f.durable || c.durable
	f.groups = append(f.groups, wire.Group{Name: r.name(g.Name), Filter: r.name(string(g.Filter))})
}

// name copies a string into the round's memory.
func (r *round) name(s string) []byte {
	at := len(r.names)
	r.names = append(r.names, s...)
	return r.names[at:len(r.names):len(r.names)]
}

// frameTo is the entry of a node, made if there is none yet.
func (r *round) frameTo(n *otherNode) *frameTo {
	for i := range r.away {
		if r.away[i].node == n {
			return &r.away[i]
		}
	}
	if len(r.away) < cap(r.away) {
		r.away = r.away[:len(r.away)+1]
	} else {
		r.away = append(r.away, frameTo{})
	}
	f := &r.away[len(r.away)-1]
	*f = frameTo{node: n, groups: f.groups[:0]}
	return f
}

// admits reports whether a message for a node could be spooled (R11). For one that
// is no member there is no spool: its sessions are about to be adopted (R23).
func (b *Broker) admits(n *otherNode) bool { return n.member.Load() && b.cfg.Cluster.Admits(n.id) }

// spoolsAdmit reports whether each node that is to get the message could be
// spooled for.
func (b *Broker) spoolsAdmit(r *round) bool {
	for i := range r.away {
		if !b.admits(r.away[i].node) {
			return false
		}
	}
	return true
}

// spoolsAdmitTopic is spoolsAdmit before anything is matched.
func (b *Broker) spoolsAdmitTopic(pub *publication) bool { return everyNode(pub, b.admits) }

// everyNode reports whether a condition holds for every node that a filter of the
// topic leads to.
func everyNode(pub *publication, holds func(*otherNode) bool) bool {
	res := pub.mount.index.Match(pub.packet.Topic)
	every := func(hits []topic.Hit[*client]) bool {
		for i := range hits {
			if s := hits[i].Sub.remote; s != nil && !holds(s.node) {
				return false
			}
		}
		return true
	}
	for i := range res.Shared {
		if !every(res.Shared[i].Members) {
			return false
		}
	}
	return every(res.Direct)
}

// forward sends the message to the nodes in r.away, one frame each (R9). At
// QoS 0 nobody waits for it.
func (b *Broker) forward(pub *publication, wait *pending, r *round) *pending {
	if pub.packet.QoS == 0 {
		b.post(pub, r)
		return wait
	}
	wait = wait.start(b, pub)
	wait.unsettled, pub.unsettled = pub.unsettled, nil
	for i := range r.away {
		f := &r.away[i]
		if len(f.groups) > 0 {
			wait.left.Add(1)
			b.launch(b.groupFrame(pub, f, wait, r), r)
			continue
		}
		if wait.frame == nil {
			wait.frame = b.appendFrame(nil, pub, f, r)
		}
		b.sendPlain(f.node, wait, r)
	}
	return wait
}

// sendPlain sends a node the frame that names no groups.
func (b *Broker) sendPlain(n *otherNode, w *pending, r *round) {
	w.left.Add(1)
	r.link(n.id)
	if err := b.cfg.Cluster.SendPublish(n.id, w.frame, w); err != nil {
		b.count.unsent.Inc()
		w.failed.Store(true)
		w.settle(b, r)
	}
}

// frameRoom is more than a frame has beside mountpoint, groups and body.
const frameRoom = 96

// appendFrame appends the frame for a node. A new buffer gets the size it needs
// at once.
func (b *Broker) appendFrame(dst []byte, pub *publication, f *frameTo, r *round) []byte {
	p := pub.packet
	out := wire.Publish{Generation: pub.generation, Flags: p.QoS, ExpiresAt: pub.expiresAt, Mountpoint: pub.mount.bytes, Groups: f.groups}
	if p.QoS > 0 {
		id := pub.messageID(b)
		out.ID = wire.MessageID{Ingress: id.Ingress, N: id.N}
	}
	if p.Retain {
		out.Flags |= wire.PublishRetain
		out.Retained = wire.Dot{Actor: b.cfg.NodeID, Counter: uint64(pub.stamp)}
	}
	if !f.matches {
		out.Targets = wire.ToGroups
	}
	if r.message != nil {
		out.Body = r.message.Body
		return wire.AppendPublish(r.roomFor(dst, &out, len(out.Body)), &out)
	}
	body := session.AsBody(p) // encoded in its place, without a copy
	size := packet.PublishSize(packet.V5, &body)
	dst = wire.AppendPublishHead(r.roomFor(dst, &out, size), &out, size)
	return packet.AppendPublish(dst, packet.V5, &body)
}

// arenaBytes is the size of a piece of memory that frames share, arenaShareMax
// the longest that is put into one. A frame that has to wait for its node keeps
// its neighbours', so that pieces are small.
const (
	arenaBytes    = 4 << 10
	arenaShareMax = 512
)

// roomFor is dst, or if that is nil room for a frame.
func (r *round) roomFor(dst []byte, p *wire.Publish, bodyBytes int) []byte {
	if dst != nil {
		return dst
	}
	size := frameRoom + len(p.Mountpoint) + bodyBytes
	for i := range p.Groups {
		size += len(p.Groups[i].Name) + len(p.Groups[i].Filter) + 10
	}
	if size > arenaShareMax {
		return make([]byte, 0, size)
	}
	if cap(r.arena)-len(r.arena) < size {
		r.arena = make([]byte, 0, arenaBytes)
	}
	at := len(r.arena)
	r.arena = r.arena[:at+size]
	return r.arena[at : at : at+size]
}

// resendMax is how often one publish is sent again after a stream lost it.
const resendMax = 3

// Ended is told how a frame without groups ended at a node. A publish is
// acknowledged when all have ended well; one that was lost is answered with an
// error, so that its publisher sends it again.
func (w *pending) Ended(to wire.NodeID, res Result, _ uint8) {
	if res == Lost && w.tries.Add(1) <= resendMax &&
		w.b.cfg.Cluster.Send(to, wire.StreamPublish, wire.TypePublish, w.frame, w) == nil {
		return
	}
	w.note(res)
	f := w.b.fast.get(to)
	w.settle(w.b, f.begin(w.b))
	f.end()
}

// note takes in how a part ended elsewhere.
func (w *pending) note(res Result) {
	switch res {
	case Stored, InSpool:
		w.matched.Store(true)
	case NoMatch:
	default:
		w.b.count.unsent.Inc()
		w.failed.Store(true)
	}
}
