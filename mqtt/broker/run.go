package broker

import (
	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
)

// linked is a node for which something waits until the round ends: messages at QoS 0
// in run, others at its link.
type linked struct {
	node wire.NodeID
	run  []byte // wire.OpenFrame
}

// runBytesMax is with how many bytes a run is handed to the link ahead of the round's
// end, runKeepMax how much memory an idle round keeps for one.
const (
	runBytesMax = 32 << 10
	runKeepMax  = 64 << 10
)

// plainHead is how the frames begin of messages that have a topic and a payload and
// nothing else. Those of one publisher differ in what follows.
type plainHead struct {
	mount      *mount // nil: there is none yet
	generation uint64
	bytes      []byte
}

func (h *plainHead) of(pub *publication) []byte {
	if h.mount != pub.mount || h.generation != pub.generation {
		h.mount, h.generation = pub.mount, pub.generation
		h.bytes = wire.AppendPublishFields(h.bytes[:0], &wire.Publish{Generation: h.generation, Mountpoint: h.mount.bytes})
	}
	return h.bytes
}

// link has what waits for a node leave with the round.
func (r *round) link(to wire.NodeID) *linked {
	for i := range r.links {
		if r.links[i].node == to {
			return &r.links[i]
		}
	}
	if len(r.links) < cap(r.links) {
		r.links = r.links[:len(r.links)+1]
	} else {
		r.links = append(r.links, linked{})
	}
	l := &r.links[len(r.links)-1]
	l.node = to
	return l
}

// post sends the message at QoS 0: it joins the run of each node.
func (b *Broker) post(pub *publication, r *round) {
	p := pub.packet
	plain := !p.Retain && pub.expiresAt == 0 && session.IsPlain(p)
	var same []byte // the frame without groups, once there is one
	for i := range r.away {
		f := &r.away[i]
		l := r.link(f.node.id)
		run, at := l.run, len(l.run)
		switch {
		case len(f.groups) == 0 && same != nil:
			run = append(run, same...)
		case len(f.groups) == 0 && plain:
			run = append(wire.OpenFrame(run), r.head.of(pub)...)
			run = wire.AppendBodyHead(run, packet.PlainPublishSize(packet.V5, p.Topic, p.Payload))
			run = packet.AppendPlainPublish(run, packet.V5, p.Topic, p.Payload)
		default:
			run = b.appendFrame(wire.OpenFrame(run), pub, f, r)
		}
		wire.CloseFrame(run, at)
		if len(f.groups) == 0 {
			same = run[at:]
		}
		l.run = run
		if len(run) > runBytesMax {
			b.postRun(l)
		}
	}
}

// postRun hands what has gathered to the link.
func (b *Broker) postRun(l *linked) {
	if n := b.cfg.Cluster.Post(l.node, l.run); n > 0 {
		b.count.dropped[dropLink].Add(uint64(n))
	}
	l.run = l.run[:0]
	if cap(l.run) > runKeepMax {
		l.run = nil
	}
}

// flushLinks sends what waits for other nodes: first, since it has the longer way.
func (b *Broker) flushLinks(r *round) {
	for i := range r.links {
		l := &r.links[i]
		if len(l.run) > 0 {
			b.postRun(l)
		}
		b.cfg.Cluster.Flush(l.node)
	}
	r.links = r.links[:0]
}
