package metadata

import (
	"context"
	"fmt"
	"time"

	"tombolo/dvv"
	"tombolo/metadata/replica"
)

// pipelineMax is how many batches are on their way: one that the disk is busy
// with, and one that is made meanwhile.
const pipelineMax = 2

// tickEvery is how often the core is shown the time.
const tickEvery = 50 * time.Millisecond

// job is one Ready on its way to the disk with the writes that it answers.
// Immutable once built.
type job struct {
	ready  replica.Ready
	writes []write
	errs   []error // of writes that were refused; nil if none was
	status *Status
}

// committer is the loop that owns the core. Owned by its run method.
type committer struct {
	*Store
	jobs     chan job
	written  chan error // one for each job
	inflight int
	spare    [][]write
}

// run steps the core until ctx ends, then stops it cleanly.
func (c *committer) run(ctx context.Context) error {
	c.jobs, c.written = make(chan job, pipelineMax), make(chan error, pipelineMax)
	disk := make(chan struct{})
	go func() { defer close(disk); c.disk() }()
	defer func() { close(c.jobs); <-disk }()
	tick := c.config.Clock.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case err := <-c.written:
			c.inflight--
			if err != nil {
				return err
			}
		default:
		}
		if c.inflight == pipelineMax {
			if err := <-c.written; err != nil {
				c.inflight--
				return err
			}
			c.inflight--
		}
		if worked := c.step(); worked {
			continue
		}
		if ctx.Err() != nil {
			return c.stop()
		}
		select {
		case <-ctx.Done():
		case <-c.queue.ready:
		case <-c.inbox.ready:
		case <-tick.C():
			c.core.Tick(c.now())
			tick.Reset(tickEvery)
		case err := <-c.written:
			c.inflight--
			if err != nil {
				return err
			}
		}
	}
}

func (c *committer) now() time.Time { return c.config.Clock.Now() }

// step takes what waits into the core and what comes out of it to the disk.
func (c *committer) step() bool {
	c.core.Committed(c.durable.Load())
	for _, m := range c.inbox.take() {
		m(c.core, c.now())
	}
	if c.core.Busy() {
		c.core.Work(c.now())
	}
	j := job{}
	if c.core.Phase() == replica.Serving {
		if n := len(c.spare); n > 0 {
			j.writes, c.spare = c.spare[n-1], c.spare[:n-1]
		}
		j.writes = c.queue.take(j.writes, c.config.CommitBytes)
		c.apply(&j)
	}
	ready, ok := c.core.Ready()
	if !ok && len(j.writes) == 0 {
		return false
	}
	j.ready = ready
	j.status = c.statusOf()
	c.inflight++
	c.jobs <- j
	return true
}

// apply makes the writes; one that is refused is answered in its turn.
func (c *committer) apply(j *job) {
	if len(j.writes) == 0 {
		return
	}
	now := c.now()
	for i := range j.writes {
		if err := c.core.Write(now, j.writes[i].ops); err != nil {
			if j.errs == nil {
				j.errs = make([]error, len(j.writes))
			}
			j.errs[i] = err
		}
	}
}

// stop waits for the disk, then marks the stop as clean.
func (c *committer) stop() error {
	for ; c.inflight > 0; c.inflight-- {
		if err := <-c.written; err != nil {
			return err
		}
	}
	c.core.Committed(c.durable.Load())
	c.core.Stop()
	if ready, ok := c.core.Ready(); ok {
		c.jobs <- job{ready: ready, status: c.statusOf()}
		return <-c.written
	}
	return nil
}

// disk writes the batches in order; then, and not before, messages leave,
// watches learn of it and writers are answered.
func (c *committer) disk() {
	var failed error
	for j := range c.jobs {
		if failed == nil && j.ready.Batch != nil && j.ready.Batch.Len() > 0 {
			if err := c.db.Write(j.ready.Batch, true); err != nil {
				failed = fmt.Errorf("metadata: commit: %w", err)
			}
		}
		if failed == nil {
			c.durable.Store(max(j.ready.Seq, c.durable.Load()))
			c.status.Store(j.status)
			c.published(&j)
		}
		c.overlay.settle(j.writes)
		list := make([]completion, 0, len(j.writes))
		for i, w := range j.writes {
			err := failed
			if err == nil && j.errs != nil {
				err = j.errs[i]
			}
			list = append(list, completion{done: w.done, err: err})
		}
		c.completer.add(list)
		c.written <- failed
	}
}

// published counts a batch and tells the world of it.
func (c *committer) published(j *job) {
	c.counters.commits.Inc()
	c.counters.writes.Add(uint64(len(j.writes)))
	if c.config.Transport != nil {
		for _, m := range j.ready.Messages {
			c.counters.sent.Add(uint64(len(m.Frame)))
			c.config.Transport.Send(m.To, m.Frame)
		}
	}
	c.watches.note(j.ready.Changed)
	for _, e := range j.ready.Events {
		c.counters.events[e.Kind.String()].Inc()
		if c.config.OnEvent != nil {
			c.config.OnEvent(e)
		}
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
}

func (c *committer) statusOf() *Status {
	return &Status{Phase: c.core.Phase(), Actor: c.core.Actor(), Clock: c.core.Clock(), Digest: c.core.Digest(), Live: c.core.Live()}
}
