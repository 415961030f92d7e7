package broker

import (
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/queue"
)

// A QoS 2 message that goes to other nodes begins: its publisher's packet id is
// bound to its id durably, in the commit that stores it here, before the first of
// its frames leaves (R4). So when the publisher sends it again after a crash it has
// the same id, by which those that have it know it. It is confirmed when all nodes
// have it, which is noted with some later commit: the publisher is answered at once,
// since what a crash takes of that only makes the message go out again.

// outFrame is a frame that waits for its message to begin; group is nil if the
// frame names no groups.
type outFrame struct {
	node  *otherNode
	group *groupFrame
}

// holdFrames makes the frames for the nodes in r.away, which leave when w has
// begun.
func (b *Broker) holdFrames(pub *publication, w *pending, r *round) {
	w.unsettled, pub.unsettled = pub.unsettled, nil
	w.under, pub.under = pub.under, nil // they bear the generation of now
	w.frames = make([]outFrame, 0, len(r.away))
	for i := range r.away {
		f := &r.away[i]
		o := outFrame{node: f.node}
		if len(f.groups) > 0 {
			o.group = b.groupFrame(pub, f, w, r)
		} else if w.frame == nil {
			w.frame = b.appendFrame(nil, pub, f, r)
		}
		w.frames = append(w.frames, o)
	}
}

// launchBegun sends the frames of a publish that has begun durably, or gives them up.
func (b *Broker) launchBegun(w *pending, err error, r *round) {
	for _, o := range w.frames {
		switch {
		case err != nil:
		case o.group != nil:
			w.left.Add(1)
			b.launch(o.group, r)
		default:
			b.sendPlain(o.node, w, r)
		}
	}
	if w.under != nil {
		w.under.Add(-1)
	}
}

// endBegun takes in how a message that had begun ended: it is wherever it belongs,
// or its client sends it again.
func (b *Broker) endBegun(w *pending, failed bool) {
	c, id := w.from, packet.ID(w.begun.PacketID)
	if failed {
		c.mu.Lock()
		c.noteBegun(id, w.message.ID)
		c.mu.Unlock()
		return
	}
	b.cfg.Queue.Confirmed(w.begun.Queue, w.begun.PacketID)
	if c.anyBegun.Load() {
		c.mu.Lock()
		c.forgetBegun(id)
		c.mu.Unlock()
	}
}

// begunID is the message that a packet id of c's client stands for since before a
// crash, or since sending it failed; zero if it stands for none.
func (c *client) begunID(id packet.ID) queue.MessageID {
	if !c.anyBegun.Load() {
		return queue.MessageID{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun[id]
}

// noteBegun is for a message that its client has to send again. The caller holds
// c.mu.
func (c *client) noteBegun(id packet.ID, m queue.MessageID) {
	if c.begun == nil {
		c.begun = map[packet.ID]queue.MessageID{}
	}
	c.begun[id] = m
	c.anyBegun.Store(true)
}

// forgetBegun ends what noteBegun began. The caller holds c.mu.
func (c *client) forgetBegun(id packet.ID) {
	delete(c.begun, id)
	c.anyBegun.Store(len(c.begun) > 0)
}

// forgetAllBegun is for a session that begins anew with what is stored. The caller
// holds c.mu, or nobody knows c yet.
func (c *client) forgetAllBegun() {
	c.begun = nil
	c.anyBegun.Store(false)
}

// answer tells c how its publish ended. One that has begun and is refused is
// forgotten durably before a client of version 5 is told, which may use the packet
// id for another message then; any other client sends it again. The caller holds
// c.mu.
func (b *Broker) answer(c *client, token uint64, reason packet.ReasonCode, detail string, r *round) {
	id := session.PacketID(token)
	_, begun := c.begun[id]
	if begun && reason.Failed() && c.conn != nil && c.core.Speaks5() {
		b.forgetInbound(c, id, func(r *round) { b.answer(c, token, reason, detail, r) })
		return
	}
	r.other.Reset()
	c.core.PublishDone(token, reason, detail, &r.other)
	if begun && reason.Failed() {
		c.core.Begun(uint16(id))
	}
	b.emit(c, &r.other, r)
}

// forgetInbound forgets a packet id of c's client durably, and calls then with c.mu
// held; not at all if nobody waits for it any more. The connection ends if it
// cannot be forgotten.
func (b *Broker) forgetInbound(c *client, id packet.ID, then func(r *round)) {
	op := [1]queue.Op{{Kind: queue.OpInboundDone, PacketID: uint16(id), Tag: 1}}
	b.cfg.Queue.Do(c.qid, op[:], func(_ uint64, _ []queue.Entry, _ bool, err error) {
		if gone(err) {
			return
		}
		r := b.completionRound()
		r.lock(c)
		defer r.unlock(c)
		c.forgetBegun(id)
		if err == nil {
			then(r)
			return
		}
		b.count.commitFailed.Inc()
		if c.conn != nil {
			r.other.Reset()
			c.core.Disconnect(packet.UnspecifiedError, "message store failed", &r.other)
			b.emit(c, &r.other, r)
		}
	})
}

// receivedOf has c's session know a packet id of its client. The caller holds c.mu,
// or nobody knows c yet.
func (b *Broker) receivedOf(c *client, x *queue.Received) {
	if !x.Begun {
		c.core.Received(x.PacketID)
		return
	}
	c.core.Begun(x.PacketID)
	c.noteBegun(packet.ID(x.PacketID), x.ID)
}
