package broker

import (
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/queue"
)

// pending is a publish of which parts are being stored: in the queues here, in
// the table of retained messages, on other nodes. Its counter and flags are
// atomic; each of the other fields is immutable once a part that reads it was
// handed out.
type pending struct {
	b       *Broker
	from    *client
	token   uint64
	left    atomic.Int32
	failed  atomic.Bool
	matched atomic.Bool // somebody gets it
	message *queue.Message
	targets []queue.Target
	clients []*client // beside targets

	frame     []byte        // for nodes of which no group is asked to choose
	inbound   queue.Inbound // bound when all parts have ended; zero: nothing is, or with the first part
	id        queue.MessageID
	done      func(wire.Result, uint8) // not nil: the publisher is another node
	missed    uint8                    // as publication.missed
	tries     atomic.Int32             // how often frame was sent again
	unsettled *atomic.Int64            // counts this one until it ends (R3)
	parent    *pending                 // not nil: this is one part of another publish
}

// start makes a pending if there is none yet. It begins with one part that
// route itself settles, so that it cannot end early.
func (w *pending) start(b *Broker, pub *publication) *pending {
	if w == nil {
		w = &pending{b: b, from: pub.from, token: pub.token, done: pub.done, missed: pub.missed}
		w.left.Add(1)
	}
	return w
}

// expect adds a part to what a publish waits for.
func (w *pending) expect(b *Broker, pub *publication) *pending {
	w = w.start(b, pub)
	w.left.Add(1)
	return w
}

// settle ends a part; the last one answers the publisher.
func (w *pending) settle(b *Broker, r *round) {
	if w.left.Add(-1) > 0 {
		return
	}
	failed := w.failed.Load()
	if w.unsettled != nil && (failed || w.inbound.Queue == 0) {
		w.unsettled.Add(-1)
		w.unsettled = nil
	}
	switch {
	case w.parent != nil:
		if failed {
			w.parent.failed.Store(true)
		}
		w.parent.settle(b, r)
	case w.done != nil && failed:
		w.done(wire.Refused, uint8(packet.UnspecifiedError))
	case w.done != nil && w.missed != 0:
		w.done(wire.NoMatch, w.missed)
	case w.done != nil:
		w.done(wire.Stored, 0)
	case failed:
		b.finish(w.from, w.token, packet.UnspecifiedError, "message could not be stored", r)
	case w.inbound.Queue != 0:
		w.bind()
	case !w.matched.Load():
		b.finish(w.from, w.token, packet.NoMatchingSubscribers, "", r)
	default:
		b.finish(w.from, w.token, packet.Success, "", r)
	}
}

// bind stores the publisher's packet id (R4) as the last part.
func (w *pending) bind() {
	w.left.Add(1)
	ev := &queue.Event{Msg: &queue.Message{ID: w.id, QoS: 2}, Inbound: w.inbound}
	w.inbound = queue.Inbound{}
	w.b.cfg.Queue.AppendNow(ev, func(err error) { w.b.bound(w, err) })
}

// bound is called by the queue store's completion goroutine.
func (b *Broker) bound(w *pending, err error) {
	if err != nil {
		w.failed.Store(true)
		b.count.commitFailed.Inc()
	}
	if gone(err) {
		b.inCallback(func(r *round) { w.settle(b, r) })
		return
	}
	w.settle(b, b.completionRound())
}

// finish answers the publisher.
func (b *Broker) finish(c *client, token uint64, reason packet.ReasonCode, detail string, r *round) {
	if c == nil || uint16(token>>32) == 0 {
		return
	}
	r.lock(c)
	r.other.Reset()
	c.core.PublishDone(token, reason, detail, &r.other)
	b.emit(c, &r.other, r)
	r.unlock(c)
}
