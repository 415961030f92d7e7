package broker

import (
	"time"

	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/queue"
)

// retain stores or clears the retained message of a topic. It is written
// before anything is matched, so that whoever subscribes meanwhile gets the
// message one way or the other (R8).
func (b *Broker) retain(pub *publication, wait *pending) *pending {
	p := pub.packet
	b.count.retainedSet.Inc()
	var done func(error)
	if p.QoS > 0 && pub.from != nil {
		wait = wait.expect(pub)
		w := wait
		done = func(err error) {
			if err != nil {
				w.failed.Store(true)
				b.count.commitFailed.Inc()
			}
			b.inCallback(func(r *round) { w.settle(b, r) })
		}
	}
	name := string(p.Topic)
	if len(p.Payload) == 0 {
		b.cfg.Metadata.DeleteRetained(pub.mount.name, name, done)
		return wait
	}
	v := &metadata.Retained{
		QoS: p.QoS, Payload: append([]byte(nil), p.Payload...),
		Properties:  session.EncodeProperties(&p.Properties),
		PublishedAt: b.cfg.Now().UnixMilli(), ExpiresAt: pub.expiresAt,
	}
	b.cfg.Metadata.PutRetained(pub.mount.name, name, v, done)
	return wait
}

// retainedJobsMax bounds the subscriptions of one client whose retained
// messages are still on their way; above it the client is not read until half
// of them are done.
const retainedJobsMax = 1000

// retainedJob is one subscription that is to get what is retained.
type retainedJob struct {
	peer *peer
	wish wish
}

// queueRetained has retained messages sent for the subscriptions that want
// them, by one worker per client, in the order of the subscriptions.
func (b *Broker) queueRetained(c *client, p *peer, wishes []wish, r *round) {
	r.lock(c)
	defer r.unlock(c)
	for i := range wishes {
		if w := &wishes[i]; !w.reason.Failed() && wantsRetained(w) {
			c.retained = append(c.retained, retainedJob{p, *w})
		}
	}
	if len(c.retained) > retainedJobsMax {
		p.hold(holdRetained)
	}
	if len(c.retained) > 0 && !c.retaining {
		c.retaining = true
		b.spawn(func() { b.retainedWorker(c) })
	}
}

// retainedWorker works off c's jobs, one at a time.
func (b *Broker) retainedWorker(c *client) {
	for {
		c.mu.Lock()
		if len(c.retained) == 0 {
			c.retained, c.retaining = nil, false
			c.mu.Unlock()
			return
		}
		job := c.retained[0]
		c.retained = c.retained[1:]
		if len(c.retained) <= retainedJobsMax/2 {
			job.peer.release(holdRetained)
		}
		c.mu.Unlock()
		b.sendRetained(c, &job)
	}
}

// sendRetained delivers what is retained under one filter.
func (b *Broker) sendRetained(c *client, job *retainedJob) {
	now := b.cfg.Now().UnixMilli()
	err := b.cfg.Metadata.MatchRetained(c.key.Mountpoint, job.wish.filter, now, func(name string, v *metadata.Retained) bool {
		return b.sendOneRetained(c, job.peer, &job.wish, name, v)
	})
	if err != nil {
		b.cfg.Log.Error("retained messages could not be read", "filter", job.wish.filter, "error", err)
	}
}

// sendOneRetained delivers one retained message; false when the client is gone.
// A queue that is full makes this worker wait, not the message be lost.
func (b *Broker) sendOneRetained(c *client, p *peer, w *wish, name string, v *metadata.Retained) bool {
	r := b.begin()
	defer b.end(r)
	set := b.settings.Load()
	var msg packet.Publish
	if err := session.DecodeProperties(v.Properties, &msg); err != nil {
		b.cfg.Log.Error("retained message is damaged", "topic", name, "error", err)
		return true
	}
	msg.Topic, msg.Payload, msg.Retain = []byte(name), v.Payload, true
	msg.QoS = min(v.QoS, w.options.QoS)
	if set.Limits.UpgradeQoS {
		msg.QoS = w.options.QoS
	}
	r.message = nil
	r.outgoing.Set(&msg, v.ExpiresAt)
	var ids []uint32
	if w.options.ID != 0 {
		ids = []uint32{w.options.ID}
	}
	d := receiver{client: c, qos: msg.QoS, retain: true, ids: ids}
	if !b.waitForRoom(c, p, set, msg.QoS) {
		return false
	}
	switch {
	case msg.QoS == 0:
		b.deliverNow(&d, set, r)
	case !c.durable:
		b.enqueue(&d, &publication{mount: c.mount, packet: &msg, expiresAt: v.ExpiresAt}, false, set, r)
	case b.admit(c, msg.QoS):
		r.targets = append(r.targets[:0], queue.Target{Queue: c.qid, QoS: msg.QoS, Retain: true, SubIDs: ids})
		r.durable = append(r.durable[:0], c)
		pub := publication{mount: c.mount, packet: &msg, expiresAt: v.ExpiresAt}
		b.store(&pub, queue.Inbound{}, nil, r).settle(b, r)
	}
	return true
}

// roomPoll is how often a worker looks whether a slow client has made room.
const roomPoll = 2 * time.Millisecond

// waitForRoom waits until the client takes more; false when it is gone.
func (b *Broker) waitForRoom(c *client, p *peer, set *Settings, qos uint8) bool {
	for {
		c.mu.Lock()
		same := c.peer == p
		room := same
		if same && qos == 0 {
			room = set.OutboxBytesMax <= 0 || c.buffered() <= set.OutboxBytesMax/2
		} else if same && set.Queue.MaxOnline > 0 {
			room = c.queue.Len() <= set.Queue.MaxOnline/2
		}
		c.mu.Unlock()
		if !same || room {
			return same
		}
		select {
		case <-b.stop:
			return false
		case <-time.After(roomPoll):
		}
	}
}
