package broker

import (
	"errors"

	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/queue"
)

// store appends the message for the durable queues among its receivers, and
// remembers the publisher's packet identifier in the same commit (R4).
func (b *Broker) store(pub *publication, inbound queue.Inbound, wait *pending, r *round) *pending {
	w := wait.expect(b, pub)
	w.message = r.msg(b, pub)
	if pub.begins = inbound.Begun; inbound.Begun {
		w.begun = inbound
		b.holdFrames(pub, w, r)
	}
	if len(r.targets) == 0 {
		ev := &queue.Event{Msg: &queue.Message{ID: w.message.ID}, Inbound: inbound}
		b.cfg.Queue.Append(ev, func(err error) { b.stored(w, err) })
		return w
	}
	w.targets = append([]queue.Target(nil), r.targets...)
	w.clients = append([]*client(nil), r.durable...)
	ev := &queue.Event{Msg: w.message, Targets: w.targets, Inbound: inbound, Again: pub.again()}
	if pub.peer == 0 {
		b.cfg.Queue.Append(ev, func(err error) { b.stored(w, err) })
	} else {
		// What a peer may send is bounded by its credit; others wait behind it.
		if pub.applied.Sequence != 0 {
			a := pub.applied
			ev.Applied = &a
		}
		b.cfg.Queue.AppendNow(ev, func(err error) { b.stored(w, err) })
	}
	if w.message.QoS == 1 && b.sendsEarly(len(w.clients)) {
		b.early(w, r)
	}
	return w
}

// earlyMax is in how many queues a message may be, and of how many messages the
// last commit, so that they are sent before they are committed. Where more come
// together a commit has more to write to each client at once, and waits less for
// each.
const earlyMax = 16

func (b *Broker) sendsEarly(queues int) bool {
	return queues <= earlyMax && b.lastCommit.Load() <= earlyMax
}

// early sends a message at QoS 1 that was appended to those whose queues are
// empty, without waiting for the disk. Its publisher's answer does wait.
func (b *Broker) early(w *pending, r *round) {
	set := b.settings.Load()
	for i, c := range w.clients {
		t := &w.targets[i]
		if t.Seq == 0 || t.QoS != 1 {
			continue
		}
		e := queue.Entry{Seq: t.Seq, Msg: w.message, QoS: t.QoS, Retain: t.Retain, SubIDs: t.SubIDs}
		r.lock(c)
		if c.conn != nil && (set.OutboxBytesMax <= 0 || c.buffered() <= set.OutboxBytesMax) {
			r.other.Reset()
			if c.core.Early(&e, r.now, &r.other) {
				b.emit(c, &r.other, r)
			}
		}
		r.unlock(c)
	}
}

// stored is called by the queue store's completion goroutine: the message is
// durable, or never will be. Receivers get it now, the publisher its answer.
func (b *Broker) stored(w *pending, err error) {
	if errors.Is(err, queue.ErrStopped) {
		// The store is closed and answers in the caller's goroutine.
		b.inCallback(func(r *round) { b.storedIn(w, err, r) })
		return
	}
	b.committed++
	b.storedIn(w, err, b.completionRound())
}

func (b *Broker) storedIn(w *pending, err error, r *round) {
	set := b.settings.Load()
	if err != nil {
		w.failed.Store(true)
		b.count.commitFailed.Inc()
	}
	for i, c := range w.clients {
		t := &w.targets[i]
		r.lock(c)
		switch {
		case err != nil:
			c.queue.Failed(t.Seq)
			b.count.dropped[dropStore].Inc()
		case t.Seq == 0:
			c.queue.Abandoned() // the session ended meanwhile
		default:
			c.queue.Committed(queue.Entry{Seq: t.Seq, Msg: w.message, QoS: t.QoS, Retain: t.Retain, SubIDs: t.SubIDs})
			b.pump(c, set, r)
		}
		r.unlock(c)
	}
	if w.frames != nil {
		b.launchBegun(w, err, r)
	}
	w.settle(b, r)
}

// queueDone is called by the queue store's completion goroutine with the
// answer to an operation of c's queue.
func (b *Broker) queueDone(c *client, tag uint64, es []queue.Entry, more bool, err error) {
	if gone(err) {
		return
	}
	r := b.completionRound()
	r.lock(c)
	defer r.unlock(c)
	switch {
	case tag&queue.ReadTag != 0 && err != nil:
		c.queue.ReadFailed(tag)
		b.count.commitFailed.Inc()
	case tag&queue.ReadTag != 0:
		c.queue.Loaded(tag, es, more)
	case err != nil:
		// Not durable, so nothing may follow from it; the client sends its
		// packet again on the next connection.
		b.count.commitFailed.Inc()
		if c.conn != nil {
			r.other.Reset()
			c.core.Disconnect(packet.UnspecifiedError, "message store failed", &r.other)
			b.emit(c, &r.other, r)
		}
		return
	default:
		r.other.Reset()
		c.core.QueueDone(tag, r.now, &r.other)
		b.emit(c, &r.other, r)
	}
	b.pump(c, b.settings.Load(), r)
}

// gone reports whether the store answers at once, under the caller's locks,
// that the queue was dropped or the store closed. Nobody waits for that.
func gone(err error) bool {
	return errors.Is(err, queue.ErrNoQueue) || errors.Is(err, queue.ErrStopped)
}

// forget removes an inbound QoS 2 identifier durably, after which PUBCOMP may
// go out.
func (b *Broker) forget(c *client, e *session.Effects) {
	token := e.Token
	b.forgetInbound(c, packet.ID(e.PacketID), func(r *round) {
		r.other.Reset()
		c.core.Forgotten(token, &r.other)
		b.emit(c, &r.other, r)
	})
}

// completionRound returns the round of the queue store's completion goroutine,
// which BatchEnd ends.
func (b *Broker) completionRound() *round {
	if b.queueRound == nil {
		b.queueRound = b.begin()
	}
	return b.queueRound
}

// BatchEnd is called by the queue store's completion goroutine after the
// answers of one commit: everything they caused is written at once.
func (b *Broker) BatchEnd() {
	if b.committed > 0 {
		b.lastCommit.Store(b.committed)
		b.committed = 0
	}
	if r := b.queueRound; r != nil {
		b.queueRound = nil
		b.endCallback(r)
	}
}

// inCallback runs f in a round of its own, for callbacks of the metadata store.
func (b *Broker) inCallback(f func(r *round)) {
	r := b.begin()
	f(r)
	b.endCallback(r)
}

// endCallback ends a round of a store's completion goroutine. What departures
// lead to may wait for that very store, so a worker sees to them.
func (b *Broker) endCallback(r *round) {
	if len(r.after) > 0 {
		left := append([]departure(nil), r.after...)
		clear(r.after)
		r.after = r.after[:0]
		b.spawn(func() {
			r := b.begin()
			r.after = append(r.after, left...)
			b.end(r)
		})
	}
	b.end(r)
}
