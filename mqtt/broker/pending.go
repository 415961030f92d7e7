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

	frame     []byte                   // for nodes of which no group is asked to choose
	begun     queue.Inbound            // the packet id that was bound before frames left (R4); zero: none was
	frames    []outFrame               // what leaves then
	under     *atomic.Int64            // counts this one until they have left (R21)
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
	if w.unsettled != nil {
		w.unsettled.Add(-1) // of one that has begun the store knows until it is confirmed
	}
	if w.begun.Queue != 0 {
		b.endBegun(w, failed)
	}
	switch {
	case w.parent != nil:
		if failed {
			w.parent.failed.Store(true)
		}
		w.parent.settle(b, r)
	case w.done != nil && failed:
		w.done(wire.Refused, wire.NotStored)
	case w.done != nil && w.missed != 0:
		w.done(wire.NoMatch, w.missed)
	case w.done != nil:
		w.done(wire.Stored, 0)
	case failed:
		b.finish(w.from, w.token, packet.UnspecifiedError, "message could not be stored", r)
	case !w.matched.Load():
		b.finish(w.from, w.token, packet.NoMatchingSubscribers, "", r)
	default:
		b.finish(w.from, w.token, packet.Success, "", r)
	}
}

// finish answers the publisher.
func (b *Broker) finish(c *client, token uint64, reason packet.ReasonCode, detail string, r *round) {
	if c == nil || uint16(token>>32) == 0 {
		return
	}
	r.lock(c)
	b.answer(c, token, reason, detail, r)
	r.unlock(c)
}
