package broker

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/queue"
)

// Times and bounds of a migration.
const (
	sourcesMax  = 8                      // migrations that have a batch under way; others wait for their turn
	batchBytes  = 1 << 20                // of bodies in one batch, beyond the first message
	idlePause   = 15 * time.Millisecond  // between two looks at a queue that is empty so far
	retryPause  = 100 * time.Millisecond // after a batch that was not taken, if the settings do not say; and between two looks at who is reachable
	awaitsMax   = 15 * time.Second       // for another part that is to pass through here
	batchMax    = 1000                   // messages in a batch, if the settings do not say
	stuckReport = 30 * time.Second       // a migration that does not go on is logged that often
)

// errNotTaken is a batch that the target refused, or that was lost on its way.
var errNotTaken = errors.New("the target has not taken a part of the queue")

// drainStep is how many messages go in one batch.
func (b *Broker) drainStep() int {
	if n := b.settings.Load().DrainStep; n > 0 {
		return n
	}
	return batchMax
}

// rest waits after a batch that was not taken: longer each time, up to
// max_drain_time.
func (j *source) rest() {
	j.wait(restFor(j.b.settings.Load().DrainPause, j.failed))
	j.failed++
}

// restFor is the rest after a batch that was not taken, if that many before it in a row
// were not either.
func restFor(most time.Duration, failed int) time.Duration {
	return min(positive(most, retryPause), retryPause<<min(failed, 6))
}

// source sends the queue of a session that has another home now (R20, R22).
// Owned by its goroutine, except for what is atomic or immutable.
type source struct {
	b      *Broker
	c      *client // of the session, which takes what still belongs here
	stop   chan struct{}
	ended  chan struct{}
	sent   atomic.Int64 // messages
	to     atomic.Uint64
	since  int64         // unix ms
	ids    atomic.Bool   // the target has the QoS 2 packet ids
	owed   []wire.NodeID // earlier targets that wait for them
	failed int           // batches that were not taken, one after the other
	out    bool          // the session is in no registry and no index here any more
	given  atomic.Bool   // the target has had all there was
}

// sources are the migrations from this node. Safe for concurrent use.
type sources struct {
	slots chan struct{}
	mu    struct {
		sync.Mutex
		jobs map[Key]*source
	}
}

// Moving is what an operator sees of a session on its way. A copy.
type Moving struct {
	Key    Key
	To     wire.NodeID
	Sent   int64 // messages
	Queued int   // messages that are still here
	Since  int64 // unix ms
}

// EachMoving calls yield for each session whose queue is on its way from this
// node, until it returns false.
func (b *Broker) EachMoving(yield func(Moving) bool) {
	b.sources.mu.Lock()
	list := make([]*source, 0, len(b.sources.mu.jobs))
	for _, j := range b.sources.mu.jobs {
		list = append(list, j)
	}
	b.sources.mu.Unlock()
	for _, j := range list {
		j.c.mu.Lock()
		queued := j.c.queue.Len()
		j.c.mu.Unlock()
		if !yield(Moving{Key: j.c.key, To: wire.NodeID(j.to.Load()), Sent: j.sent.Load(), Queued: queued, Since: j.since}) {
			return
		}
	}
}

// moving is how many those are.
func (t *sources) moving() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(len(t.mu.jobs))
}

// homeApplied is called after the index has taken in the record of a session;
// nil is none. was is the other node that the index had it at, 0 for none.
func (b *Broker) homeApplied(k Key, v *metadata.Session, _ wire.NodeID) {
	c := b.registry.get(k)
	if c == nil || v != nil && v.Home == b.cfg.NodeID {
		return
	}
	b.spawn(func() { b.letGo(k) })
}

// letGo gives up a session whose record says that it is not of this node any
// more: its client is closed, and its queue follows it.
func (b *Broker) letGo(k Key) {
	c, ok := b.registry.hold(k, b.stop)
	if !ok {
		return
	}
	defer b.registry.release(k)
	if c == nil {
		return
	}
	rec, err := b.storedSession(k)
	if err != nil || rec != nil && rec.Home == b.cfg.NodeID {
		return
	}
	c.mu.Lock()
	old := c.record
	void := old == nil && rec == nil || old != nil && rec != nil && rec.Epoch.Less(old.Epoch) || rec != nil && rec.Epoch.Less(c.granted)
	c.mu.Unlock()
	if void {
		return // a session without a record, or a record that is about to be replaced by ours
	}
	r := b.begin()
	if b.kick(c, nil, packet.SessionTakenOver, "the client id is at another node", r) {
		b.count.takeovers.Inc()
	}
	b.settle(r)
	b.end(r)
	switch {
	case rec == nil || old != nil && old.Epoch.Less(rec.Floor) || !c.durable:
		b.forgetClient(c)
		if c.durable {
			b.cfg.Queue.Drop(c.qid, b.counted)
		}
	default:
		b.moveAway(c, rec)
	}
}

// moveAway begins to send c's queue to the home that a record names. The caller
// holds the key.
func (b *Broker) moveAway(c *client, rec *metadata.Session) {
	c.mu.Lock()
	c.will, c.willAt = nil, 0 // they are the new home's
	b.hasLeft(c, rec.Epoch)
	c.mu.Unlock()
	t := &b.sources
	t.mu.Lock()
	_, under := t.mu.jobs[c.key]
	j := &source{b: b, c: c, stop: make(chan struct{}), ended: make(chan struct{}), since: b.cfg.Now().UnixMilli()}
	if !under {
		t.mu.jobs[c.key] = j
	}
	t.mu.Unlock()
	if under {
		return
	}
	if !b.spawned(j.run) {
		close(j.ended)
	}
}

// stopSource ends the migration of a session that comes back here.
func (b *Broker) stopSource(k Key) {
	t := &b.sources
	t.mu.Lock()
	j := t.mu.jobs[k]
	t.mu.Unlock()
	if j == nil {
		return
	}
	close(j.stop)
	<-j.ended
}

// run sends batch after batch until nothing is left and nothing more can come.
func (j *source) run() {
	defer j.end()
	var at queue.Place
	var last metadata.Session
	report := j.b.cfg.Now().Add(stuckReport)
	for j.wait(0) {
		rec, err := j.b.storedSession(j.c.key)
		switch {
		case err != nil:
			j.rest()
			continue
		case rec == nil:
			j.discard()
			return
		case rec.Home == j.b.cfg.NodeID:
			return // who brings it home tells the others
		case rec.Home != last.Home:
			at = queue.Place{}
			j.newTarget(wire.NodeID(last.Home))
		}
		last = *rec
		to := wire.NodeID(rec.Home)
		j.to.Store(rec.Home)
		progress, done := j.step(to, rec, &at)
		if done {
			return
		}
		now := j.b.cfg.Now()
		if progress {
			report = now.Add(stuckReport)
		} else if now.After(report) {
			report = now.Add(stuckReport)
			j.b.cfg.Log.Warn("migration of a session does not go on", "client", j.c.key.ClientID, "to", uint64(to), "sent", j.sent.Load())
		}
	}
}

// step sends what there is, or ends the migration.
func (j *source) step(to wire.NodeID, rec *metadata.Session, at *queue.Place) (progress, done bool) {
	epoch := rec.Epoch
	if !j.b.cfg.Cluster.Reachable(to) {
		j.rest()
		return false, false
	}
	if !j.ids.Load() {
		sent, err := j.sendIDs(to, epoch)
		j.ids.Store(sent)
		switch {
		case err != nil:
			j.rest()
		case !sent:
			j.wait(idlePause)
		}
		return sent, false
	}
	if j.passing(rec) {
		j.wait(idlePause)
		return false, false
	}
	sent, err := j.send(to, epoch, at)
	if err == nil && !sent {
		j.given.Store(true)
	}
	switch {
	case err != nil:
		j.rest()
	case sent:
		return true, false
	case j.out:
		return true, j.final(to, epoch)
	case !j.complete() || !j.takeOut():
		j.wait(idlePause)
	default:
		*at = queue.Place{} // also what came in behind us
		return true, false
	}
	return false, false
}

// send sends one batch and deletes it here once the target has it (R22).
func (j *source) send(to wire.NodeID, epoch metadata.Epoch, at *queue.Place) (sent bool, err error) {
	select {
	case j.b.sources.slots <- struct{}{}:
	case <-j.stop:
		return false, errStopped
	}
	defer func() { <-j.b.sources.slots }()
	type read struct {
		batch *queue.Batch
		err   error
	}
	got := make(chan read, 1)
	j.b.cfg.Queue.Export(j.c.qid, *at, j.b.drainStep(), batchBytes, func(x *queue.Batch, err error) { got <- read{x, err} })
	x := <-got
	if x.err != nil {
		return false, x.err
	}
	if len(x.batch.Records) == 0 && x.batch.Next == *at {
		return false, nil
	}
	if err := j.hand(to, epoch, x.batch); err != nil {
		return false, err
	}
	*at = x.batch.Next
	return true, nil
}

// hand delivers a batch and deletes it here.
func (j *source) hand(to wire.NodeID, epoch metadata.Epoch, batch *queue.Batch) error {
	m := j.frame(epoch)
	batch.Frame(&m)
	if err := j.deliver(to, &m); err != nil {
		return err
	}
	gone := make(chan error, 1)
	j.b.cfg.Queue.Exported(j.c.qid, batch.Receipt, func(err error) { gone <- err })
	if err := <-gone; err != nil {
		return err
	}
	j.sent.Add(int64(len(batch.Records)))
	j.b.count.migratedOut.Add(uint64(len(batch.Records)))
	j.failed = 0
	return nil
}

func (j *source) frame(epoch metadata.Epoch) wire.Migration {
	return wire.Migration{
		Client: wire.Client{Mountpoint: j.c.key.Mountpoint, ID: j.c.key.ClientID},
		Epoch:  wire.Epoch{HLC: epoch.HLC, Node: wire.NodeID(epoch.Node)},
	}
}

// deliver sends a frame and waits until the target has it, or is down: its answer
// may take for ever then, while the session and other migrations wait. What arrives
// there after all is known again by its place.
func (j *source) deliver(to wire.NodeID, m *wire.Migration) error {
	t := make(ticket, 1)
	if err := j.b.cfg.Cluster.Send(to, wire.StreamMigration, wire.TypeMigration, wire.AppendMigration(nil, m), t); err != nil {
		return err
	}
	look := time.NewTicker(retryPause)
	defer look.Stop()
	for {
		select {
		case res := <-t:
			if res != Stored {
				return errNotTaken
			}
			return nil
		case <-look.C:
			if !j.b.cfg.Cluster.Reachable(to) {
				return errNotTaken
			}
		case <-j.stop:
			return errStopped
		case <-j.b.stop:
			return errStopped
		}
	}
}

// complete reports whether nothing more can come here: every node publishes for
// the new home, what was published here before is stored, and no part is on its
// way to here.
func (j *source) complete() bool {
	now := j.b.cfg.Now().UnixMilli()
	j.c.mu.Lock()
	defer j.c.mu.Unlock()
	s := j.c.shift.Load()
	late := now-j.since > cutsMax.Milliseconds()
	if s != nil && !late && !j.b.sureEverywhere(s) {
		return false
	}
	return j.c.queue.Pending() == 0 && j.c.importing == 0
}

// takeOut takes the session out of this node; what came in the last moment is
// sent after that. False if its key is not free.
func (j *source) takeOut() bool {
	if _, free := j.b.registry.tryHold(j.c.key); !free {
		return false
	}
	j.b.letStray(j.c)
	j.b.forgetClient(j.c)
	j.b.registry.release(j.c.key)
	emptied := make(chan error, 1)
	j.b.cfg.Queue.Barrier(func(err error) { emptied <- err })
	<-emptied
	j.out = true
	return true
}

// final tells the target that this was all.
func (j *source) final(to wire.NodeID, epoch metadata.Epoch) (done bool) {
	m := j.frame(epoch)
	m.Final = true
	if j.deliver(to, &m) != nil {
		j.rest()
		return false
	}
	j.b.cfg.Queue.Drop(j.c.qid, j.b.counted)
	j.b.tellFinal(j.c.key, epoch, to)
	j.b.count.migrations.Inc()
	return true
}

// discard drops a queue whose session has ended.
func (j *source) discard() {
	j.b.forgetClient(j.c)
	j.b.cfg.Queue.Drop(j.c.qid, j.b.counted)
}

// tellFinal tells all nodes but one that nothing more comes to them from here:
// each may have been home for a while, and wait for it.
func (b *Broker) tellFinal(k Key, epoch metadata.Epoch, but wire.NodeID) {
	m := wire.Migration{Client: wire.Client{Mountpoint: k.Mountpoint, ID: k.ClientID}, Epoch: wire.Epoch{HLC: epoch.HLC, Node: wire.NodeID(epoch.Node)}, Final: true}
	body := wire.AppendMigration(nil, &m)
	for _, id := range b.others() {
		if id != but && b.cfg.Cluster.Reachable(id) {
			_ = b.cfg.Cluster.Send(id, wire.StreamMigration, wire.TypeMigration, body, noTicket{})
		}
	}
}

// passing reports whether an older part of the queue is still to come here. What
// is here follows it, so that one node after the other sends, the oldest first.
// A new home of which a part is to come here says that it stays there, behind what
// it has sent before; one that did not know of this node's time as home, since its
// record does not count it, says nothing.
func (j *source) passing(rec *metadata.Session) bool {
	if j.b.cfg.Now().UnixMilli()-j.since > awaitsMax.Milliseconds() {
		return false
	}
	j.c.mu.Lock()
	defer j.c.mu.Unlock()
	silent := wire.NodeID(0)
	if own := j.c.record; own != nil && rec.Connects <= own.Connects {
		silent = wire.NodeID(rec.Home)
	}
	return j.b.awaitsSomebody(j.c, silent)
}

// wait lets time pass; false if the migration is to stop.
func (j *source) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-j.stop:
		return false
	case <-j.b.stop:
		return false
	}
	select {
	case <-j.stop:
		return false
	default:
		return true
	}
}

func (j *source) end() {
	t := &j.b.sources
	t.mu.Lock()
	if t.mu.jobs[j.c.key] == j {
		delete(t.mu.jobs, j.c.key)
	}
	t.mu.Unlock()
	close(j.ended)
}

// ticket hands on how one message ended.
type ticket chan Result

// Ended implements Ticket.
func (t ticket) Ended(_ wire.NodeID, res Result, _ uint8) {
	select {
	case t <- res:
	default:
	}
}
