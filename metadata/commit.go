package metadata

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"tombolo/dvv"
	"tombolo/internal/clock"
	"tombolo/metadata/replica"
)

// batchBytesMax is about what replication puts into one batch; the engine wants
// batches below 1 MiB.
const batchBytesMax = 512 << 10

// messagesMax is how many messages wait for the disk before frames are left in the
// inbox, whose bound drops what comes then.
const messagesMax = 1024

// framesFor is how long frames are taken in before the disk and writers are looked at
// again; if a write is known to wait, one is. A chunk of a transfer takes a quarter of a
// millisecond to fill, and several to merge.
const framesFor = 300 * time.Microsecond

// job is one Ready on its way to the disk with the writes that it answers.
// Immutable once built.
type job struct {
	ready  replica.Ready
	writes []write
	errs   []error // of writes that were refused; nil if none was
	met    []replica.Met
	status *Status
}

// result is what became of a job. Immutable.
type result struct {
	err    error
	took   time.Duration
	writes int
}

// committer is the loop that owns the core. Owned by its run method.
//
// One batch is with the disk at a time. Meanwhile the next one is made, write by
// write as they come, and it leaves when the disk is free and the writers that
// were just answered had a moment to come back: else two groups of writers would
// form that take turns, and every sync would carry half of what it could.
type committer struct {
	*Store
	jobs    chan job
	written chan result // one for each job
	busy    bool        // a job is with the disk
	open    job         // what is applied and has not left
	bytes   int         // of open
	unread  []*op       // of the writes in hand: what the core has to read
	expect  int         // how many writes open is likely to get
	hold    time.Time   // open leaves now at the latest
	timer   clock.Timer // fires at hold
	tick    clock.Timer // shows the core the time,
	tickAt  time.Time   // then
}

// run steps the core until ctx ends, then stops it cleanly.
func (c *committer) run(ctx context.Context) error {
	c.jobs, c.written = make(chan job, 1), make(chan result, 1)
	disk := make(chan struct{})
	go func() { defer close(disk); c.disk() }()
	defer func() { close(c.jobs); <-disk }()
	c.tick, c.tickAt = c.config.Clock.NewTimer(0), c.now()
	defer c.tick.Stop()
	c.timer = c.config.Clock.NewTimer(time.Hour)
	defer c.timer.Stop()
	for {
		select {
		case r := <-c.written:
			if err := c.freed(r); err != nil {
				return err
			}
		default:
		}
		if c.step() {
			continue
		}
		if ctx.Err() != nil && len(c.open.writes) == 0 {
			return c.stop()
		}
		ended := ctx.Done()
		if ctx.Err() != nil {
			ended = nil // what is applied leaves first
		}
		c.counters.wakes.Inc()
		c.queue.await(c.company())
		select {
		case <-ended:
		case <-c.queue.ready:
		case <-c.inbox.ready:
		case <-c.timer.C():
		case <-c.tick.C():
			c.core.Tick(c.now())
			c.waits.nudgeLate(c.core, c.now())
			c.tickAt = c.now().Add(time.Hour) // heard has it come when it is due
			c.heard()
		case r := <-c.written:
			if err := c.freed(r); err != nil {
				return err
			}
		}
	}
}

func (c *committer) now() time.Time { return c.config.Clock.Now() }

// freed takes in that the disk is done with a job.
func (c *committer) freed(r result) error {
	c.busy = false
	if r.err != nil {
		c.fail(r.err)
		return r.err
	}
	c.core.Committed(c.durable.Load())
	c.queue.await(1) // who waits has its turn between frames again
	c.expect = r.writes + len(c.open.writes)
	window := min(c.config.CommitDelayMax, r.took/4)
	c.hold = c.now().Add(window)
	if r.writes > 0 {
		c.timer.Reset(window)
	}
	return nil
}

// companyMin is how many writes are worth waking the committer for while it waits for
// the disk anyway: what comes later is taken when the disk is free.
const companyMin = 32

// company is how many writes have to wait before the committer looks at them. None are
// worth it while it can take none, or it would look without end.
func (c *committer) company() int {
	switch n := len(c.open.writes); {
	case c.core.Phase() != replica.Serving || c.bytes >= c.config.CommitBytes:
		return math.MaxInt
	case c.busy:
		return companyMin
	case n > 0: // the window of freed ends the wait for those that do not come
		return max(c.expect-n, 1)
	}
	return 1
}

// fail answers what was applied and will not be written.
func (c *committer) fail(err error) {
	c.overlay.settle(c.open.writes)
	for _, w := range c.open.writes {
		c.completer.add([]completion{{done: w.done, err: err}})
	}
}

// step takes what waits into the core, and what comes out of it to the disk if
// it is free; it says whether there may be more to do at once.
func (c *committer) step() bool {
	worked, began := false, c.now()
	for c.core.BatchBytes() < batchBytesMax && c.core.Queued() < messagesMax {
		now := c.now()
		if worked && (len(c.queue.ready) > 0 || now.Sub(began) > framesFor) {
			break // a writer here does not wait for all that others send
		}
		m := c.inbox.take()
		if m == nil {
			break
		}
		m(c.core, now)
		worked = true
	}
	if worked {
		c.heard()
	}
	for c.core.Busy() && c.core.BatchBytes() < batchBytesMax && len(c.queue.ready) == 0 {
		c.core.Work(c.now())
		worked = true
		if c.core.BatchBytes() == 0 {
			break
		}
	}
	if c.core.Phase() == replica.Serving && c.bytes < c.config.CommitBytes {
		n := len(c.open.writes)
		c.open.writes = c.queue.take(c.open.writes, c.config.CommitBytes-c.bytes)
		c.apply(n)
		worked = worked || len(c.open.writes) > n
	}
	return c.flush() || worked
}

// heard goes on with what waits for news of other members.
func (c *committer) heard() {
	now := c.now()
	for _, m := range c.core.Meet(now) {
		if c.waits.linked(m.Peer) {
			c.open.met = append(c.open.met, m)
		}
	}
	c.answerWaits(c.waits.settle(c.core, now), nil)
	delay := c.core.Wake(now)
	if len(c.waits.groups) > 0 {
		delay = min(delay, waitTick)
	}
	if at := now.Add(delay); at.Before(c.tickAt) {
		c.tickAt = at
		c.tick.Reset(delay)
	}
}

// flush hands what is open to the disk, unless it is better to wait.
func (c *committer) flush() bool {
	n := len(c.open.writes)
	if c.busy || n > 0 && n < c.expect && c.bytes < c.config.CommitBytes && c.now().Before(c.hold) {
		return false
	}
	ready, ok := c.core.Ready()
	if !ok && n == 0 && len(c.open.met) == 0 {
		return false
	}
	c.open.ready, c.open.status = ready, c.statusOf()
	c.busy = true
	c.jobs <- c.open
	c.open, c.bytes = job{writes: make([]write, 0, n+n/4)}, 0
	return true
}

// apply makes the writes from the n-th on; one that is refused is answered in
// its turn.
func (c *committer) apply(n int) {
	if n == len(c.open.writes) {
		return
	}
	now := c.now()
	c.readAhead(c.open.writes[n:])
	for i := n; i < len(c.open.writes); i++ {
		w := &c.open.writes[i]
		c.bytes += w.bytes
		if err := c.core.Write(now, w.ops); err != nil {
			for len(c.open.errs) < i {
				c.open.errs = append(c.open.errs, nil)
			}
			c.open.errs = append(c.open.errs, err)
		}
	}
}

// readAheadMin is how many writes are worth a second goroutine.
const readAheadMin = 8

// readAhead reads what the writes will change, on all cores: one after the other
// the reads would take longer than the sync that they share. Nothing is
// committed meanwhile as far as the core knows, so that what is read is current
// or among the objects that the core still holds.
func (c *committer) readAhead(writes []write) {
	if len(writes) < readAheadMin {
		return
	}
	c.unread = c.unread[:0]
	for i := range writes {
		for j := range writes[i].ops {
			if o := &writes[i].ops[j]; !c.core.Knows(o.Key) {
				c.unread = append(c.unread, o)
			}
		}
	}
	workers := min(runtime.GOMAXPROCS(0), len(c.unread)/4, 8)
	var wg sync.WaitGroup
	for k := range workers {
		wg.Go(func() {
			for i := k; i < len(c.unread); i += workers {
				o := c.unread[i]
				stored, err := c.db.Get(o.Key)
				if err == nil || isNotFound(err) {
					o.Read, o.Stored = true, stored
				}
			}
		})
	}
	wg.Wait()
}

// stop waits for the disk, then marks the stop as clean.
func (c *committer) stop() error {
	if c.busy {
		if err := c.freed(<-c.written); err != nil {
			return err
		}
	}
	c.core.Stop()
	ready, ok := c.core.Ready()
	if !ok {
		return nil
	}
	c.jobs <- job{ready: ready, status: c.statusOf()}
	return (<-c.written).err
}

// disk writes the batches in order; then, and not before, messages leave,
// watches learn of it and writers are answered.
func (c *committer) disk() {
	var failed error
	for j := range c.jobs {
		start := c.now()
		if failed == nil && j.ready.Batch != nil && j.ready.Batch.Len() > 0 {
			if err := c.db.Write(j.ready.Batch, true); err != nil {
				failed = fmt.Errorf("metadata: commit: %w", err)
			}
		}
		took := c.now().Sub(start)
		if failed == nil {
			c.durable.Store(max(j.ready.Seq, c.durable.Load()))
			c.status.Store(j.status)
		}
		c.answer(&j, failed)
		if failed == nil {
			c.published(&j)
		}
		c.written <- result{err: failed, took: took, writes: len(j.writes)}
	}
}

// answer owes every writer of j its outcome.
func (c *committer) answer(j *job, failed error) {
	c.overlay.settle(j.writes)
	if len(j.writes) == 0 {
		return
	}
	list := make([]completion, len(j.writes))
	for i, w := range j.writes {
		list[i] = completion{done: w.done, err: failed}
		if failed == nil && i < len(j.errs) {
			list[i].err = j.errs[i]
		}
	}
	c.completer.add(list)
}

// refusedKeys are those that a refused write has shown up to now: who looked at
// them may have seen it in place of what had come from a peer.
func refusedKeys(j *job) (keys [][]byte) {
	for i, err := range j.errs {
		if err == nil {
			continue
		}
		for k := range j.writes[i].ops {
			keys = append(keys, j.writes[i].ops[k].Key)
		}
	}
	return keys
}

// published counts a batch and tells the world of it.
func (c *committer) published(j *job) {
	c.counters.commits.Inc()
	c.counters.writes.Add(uint64(len(j.writes)))
	// The watches first: who hears from us that we hold a change may rely on
	// everybody here having been told.
	c.watches.note(j.ready.Changed)
	c.watches.note(refusedKeys(j))
	if c.config.Transport != nil {
		for _, m := range j.ready.Messages {
			c.counters.sent.Add(uint64(len(m.Frame)))
			c.config.Transport.Send(m.To, m.Frame)
		}
	}
	for _, m := range j.met {
		if c.config.OnExchange != nil {
			c.config.OnExchange(Exchange{Peer: m.Peer, Began: m.Began, Ended: c.now()})
		}
	}
	for _, e := range j.ready.Events {
		if e.Kind == replica.EventServing {
			c.trusted()
		}
		c.counters.events[e.Kind.String()].Inc()
		if c.config.OnEvent != nil {
			c.config.OnEvent(e)
		}
	}
}

// trusted tells the engine that what it may have lost was dealt with: rebuilt
// and refilled. A failure means that the next start does it again.
func (c *committer) trusted() {
	if len(c.db.Suspect()) > 0 {
		_ = c.db.ClearSuspect()
	}
}

// Status is what the store knows of itself as of its last commit. Immutable.
type Status struct {
	Phase  replica.Phase
	Actor  dvv.Actor
	Clock  dvv.Clock
	Digest uint64
	Live   int64
	Joins  bool
	own    []dvv.Actor // under which this node has written
}

func (c *committer) statusOf() *Status {
	return &Status{
		Phase: c.core.Phase(), Actor: c.core.Actor(), Clock: c.core.Clock(), Digest: c.core.Digest(),
		Live: c.core.Live(), own: c.core.OwnActors(),
	}
}
