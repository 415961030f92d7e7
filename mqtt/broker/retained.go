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
	var done func(error)
	if pub.packet.QoS > 0 && pub.from != nil {
		wait = wait.expect(b, pub)
		w := wait
		done = func(err error) {
			if err != nil {
				w.failed.Store(true)
				b.count.commitFailed.Inc()
			}
			b.inCallback(func(r *round) { w.settle(b, r) })
		}
	}
	pub.stamp = b.putRetained(pub.mount, pub.packet, pub.expiresAt, done)
	return wait
}

// putRetained writes the retained message of a topic, or clears it. The stamp
// tells it apart from others of this node.
func (b *Broker) putRetained(m *mount, p *packet.Publish, expiresAt int64, done func(error)) (stamp int64) {
	b.count.retainedSet.Inc()
	name := string(p.Topic)
	if len(p.Payload) == 0 {
		b.cfg.Metadata.DeleteRetained(m.name, name, done)
		return 0
	}
	stamp = b.stamp()
	v := &metadata.Retained{
		QoS: p.QoS, Payload: append([]byte(nil), p.Payload...),
		Properties:  session.EncodeProperties(&p.Properties),
		PublishedAt: stamp, ExpiresAt: expiresAt,
	}
	b.cfg.Metadata.PutRetained(m.name, name, v, done)
	return stamp
}

// stamp is the time in unix ms, but never the same twice.
func (b *Broker) stamp() int64 {
	for {
		last := b.stamped.Load()
		next := max(b.cfg.Now().UnixMilli(), last+1)
		if b.stamped.CompareAndSwap(last, next) {
			return next
		}
	}
}

// spreadTriesMax is how often the nodes are waited for until a retained message
// counts as not acknowledged. A node that is down is not waited for.
const spreadTriesMax = 3

// spreadLocked writes the retained message of a publish in c's line; when every
// reachable member holds it the line goes on, and only then is anything
// matched: a subscription on any node finds the message in the table, or is
// found (R8). The caller holds c.mu.
func (b *Broker) spreadLocked(c *client, q *queued) {
	q.retain = retainAsked
	q.stamp = b.putRetained(c.mount, &q.packet, q.expiresAt, func(err error) {
		if err != nil {
			b.count.commitFailed.Inc()
			b.spreadDone(c, q, retainFailed)
			return
		}
		b.awaitSpread(c, q, 1)
	})
}

// awaitSpread waits until the other nodes hold what was written.
func (b *Broker) awaitSpread(c *client, q *queued, try int) {
	if !b.clustered() {
		b.spreadDone(c, q, retainReady)
		return
	}
	b.cfg.Cluster.Replicated(func(err error) {
		switch {
		case err == nil:
			b.spreadDone(c, q, retainReady)
		case try < spreadTriesMax:
			b.awaitSpread(c, q, try+1)
		default:
			b.spreadDone(c, q, retainFailed)
		}
	})
}

func (b *Broker) spreadDone(c *client, q *queued, step retainStep) {
	c.mu.Lock()
	q.retain = step
	c.mu.Unlock()
	// Not here: routing may wait for the message store, and this is the
	// goroutine that completes writes of the other one.
	b.spawn(func() {
		r := b.begin()
		b.workLine(c, r)
		b.end(r)
	})
}

// retainedJobsMax bounds the subscriptions of one client whose retained
// messages are still on their way; above it the client is not read until half
// of them are done.
const retainedJobsMax = 1000

// retainedJob is the subscriptions of one SUBSCRIBE that are to get what is
// retained: those with a fresh. Owned by the client's worker.
type retainedJob struct {
	peer   *peer
	wishes []wish
}

// queueRetained has retained messages sent for the subscriptions that want
// them, by one worker per client, in the order of the subscriptions.
func (b *Broker) queueRetained(c *client, p *peer, wishes []wish, r *round) {
	r.lock(c)
	defer r.unlock(c)
	wanted := 0
	for i := range wishes {
		if wishes[i].fresh != nil {
			wanted++
		}
	}
	if wanted == 0 {
		return
	}
	c.retained = append(c.retained, retainedJob{p, wishes})
	c.unsent += wanted
	if c.unsent > retainedJobsMax {
		p.hold(holdRetained)
	}
	if !c.retaining {
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
		c.retained[0] = retainedJob{}
		c.retained = c.retained[1:]
		c.mu.Unlock()
		b.sendRetained(c, &job)
	}
}

// retainedViewTime is for how long one view of the retained messages serves the
// filters of a SUBSCRIBE; a client that takes them slowly gets another one.
const retainedViewTime = time.Second

// sendRetained delivers what is retained under the filters of one SUBSCRIBE.
// All of them match already, so that a view of now shows what did not come as
// it was published.
func (b *Broker) sendRetained(c *client, job *retainedJob) {
	var view *metadata.RetainedView
	var made time.Time
	for i := range job.wishes {
		w := &job.wishes[i]
		if w.fresh == nil {
			continue
		}
		now, err := b.cfg.Now(), error(nil)
		if view != nil && now.Sub(made) > retainedViewTime {
			view.Close()
			view = nil
		}
		if view == nil {
			made = now
			view, err = b.cfg.Metadata.ViewRetained(c.key.Mountpoint)
		}
		if err == nil {
			whole := true
			err = view.Match(w.filter, w.after, now.UnixMilli(), func(name string, v *metadata.Retained) bool {
				whole = b.sendOneRetained(c, job.peer, w, name, v)
				return whole
			})
			if err == nil && whole && w.owed != nil {
				b.paid(c, w.filter, w.owed)
			}
		}
		if err != nil {
			b.cfg.Log.Error("retained messages could not be read", "filter", w.filter, "error", err)
			made = time.Time{} // the next filter has a view of its own
		}
		c.mu.Lock()
		b.scanEnds(c, w)
		if c.unsent--; c.unsent <= retainedJobsMax/2 {
			job.peer.release(holdRetained)
		}
		c.mu.Unlock()
	}
	if view != nil {
		view.Close()
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
	r.live = nil
	d := receiver{client: c, qos: msg.QoS, retain: true, ids: ids}
	pub := publication{mount: c.mount, packet: &msg, expiresAt: v.ExpiresAt}
	if !b.waitForRoom(c, p, set, msg.QoS, r) {
		return false // what is owed follows on the next connection
	}
	defer r.unlock(c)
	if w.owed != nil {
		w.owed.after = name
	}
	if !w.fresh.sends(name, v, r.now) {
		return true
	}
	switch {
	case msg.QoS == 0:
		b.deliverNowLocked(&d, set, r)
	case !c.durable:
		b.enqueueLocked(&d, &pub, false, set, r)
	case b.admitted(c, c.queue.Admit(msg.QoS)):
		b.storeOneLocked(c, &d, &pub, r)
	}
	return true
}

// storeOneLocked appends a message to one durable queue. The lock is held until
// it has its place, so that nothing newer on the topic comes before it.
func (b *Broker) storeOneLocked(c *client, d *receiver, pub *publication, r *round) {
	w := (*pending)(nil).start(b, pub)
	w.message = r.msg(b, pub)
	w.targets = []queue.Target{{Queue: c.qid, QoS: d.qos, Retain: true, SubIDs: d.ids}}
	w.clients = []*client{c}
	b.cfg.Queue.AppendNow(&queue.Event{Msg: w.message, Targets: w.targets}, func(err error) {
		if !gone(err) { // else it is called at once, under the lock, and nobody waits
			b.stored(w, err)
		}
	})
}

// roomPoll is how often a worker looks whether a slow client has made room.
const roomPoll = 2 * time.Millisecond

// waitForRoom waits until the client takes more, and returns with c locked; false,
// and not locked, when it is gone. What is on its way into the queue counts, and
// what is in flight: that is in the queue again when the client comes back.
func (b *Broker) waitForRoom(c *client, p *peer, set *Settings, qos uint8, r *round) bool {
	for {
		r.lock(c)
		same := c.peer == p
		room := same
		if same && qos == 0 {
			room = set.OutboxBytesMax <= 0 || c.buffered() <= set.OutboxBytesMax/2
		} else if same && set.Queue.MaxOnline > 0 {
			room = c.queue.Len()+c.queue.Pending()+c.queue.InFlight() <= set.Queue.MaxOnline/2
		}
		if room {
			return true
		}
		r.unlock(c)
		if !same {
			return false
		}
		select {
		case <-b.stop:
			return false
		case <-time.After(roomPoll):
		}
	}
}
