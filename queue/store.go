package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/kv"
	"tombolo/internal/metric"
)

// The errors of a store that a caller may ask about.
var (
	// ErrStopped is the answer to what came after the store was stopped.
	ErrStopped = errors.New("message store stopped")
	// ErrNoQueue is the answer to ops for a queue that is not open.
	ErrNoQueue = errors.New("no such queue")
	// ErrNewerFormat is a database of a later version of this program.
	ErrNewerFormat = errors.New("message store written by a newer version")
)

// Store is the message store. Safe for use from any goroutine; its fields are
// immutable, atomic, or guarded by mu. Under mu there is no I/O and no callback.
type Store struct {
	db           kv.DB
	c            StoreConfig
	counts       counts
	incarnation  uint64
	firstSegment uint64 // segments below are from before this run
	suspect      bool   // the database may have lost something, or show old records again

	nextID atomic.Uint64 // message ids below were given
	leased atomic.Uint64 // message ids below are durably leased

	work        chan struct{} // capacity 1: there is something to commit
	completions chan reply
	readers     []*readQueue
	sweeps      chan struct{} // capacity 1: there is something to sweep

	mu struct {
		sync.Mutex
		space   sync.Cond // a commit or a move ended, or the store stopped
		running bool
		stopped bool
		failed  error // the first write error; sticky

		open    *group   // takes what comes
		sealed  []*group // wait for the committer
		free    []*group
		pending int // bytes in groups that are not committed

		lanes   map[QueueID]*lane
		names   map[string]*lane
		opening map[string]chan struct{} // names that are being read from disk

		dirty  []due   // ascending by time
		urgent []*lane // cursors that the next commit must hold

		segments map[uint64]*segment
		filling  *segment
		touched  []*segment

		instances                 uint64 // how often Open gave out a state
		nextQueue, queueLease     uint64
		nextSegment, segmentLease uint64
		leaseAsked                uint64 // message ids: what a waiting group leases

		applied      map[appliedKey]*appliedMark
		touchedMarks []*appliedMark
		memory       memory
		begun        map[MessageID]bool // messages that have begun; true: their packet id left
		lent         []MessageID        // those, in the order in which they left; some may have come back

		dropped []QueueID // records to be swept
		drops   uint64    // queues dropped so far
		moves   uint64    // odd while bodies are being moved
		deleted uint64    // records deleted since the last compaction
		scratch []byte
		batches uint64 // commits so far
	}
}

const (
	defaultCommitDelayMax  = 200 * time.Microsecond
	defaultMaxBytesPending = 32 << 20
	defaultAckDelay        = 10 * time.Millisecond
	defaultAckCount        = 64
)

func (c *StoreConfig) fill() {
	if c.CommitDelayMax == 0 {
		c.CommitDelayMax = defaultCommitDelayMax
	}
	if c.MaxBytesPending <= 0 {
		c.MaxBytesPending = defaultMaxBytesPending
	}
	if c.AckDelay <= 0 {
		c.AckDelay = defaultAckDelay
	}
	if c.AckCount <= 0 {
		c.AckCount = defaultAckCount
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Metrics == nil {
		c.Metrics = metric.New()
	}
	if c.Fault == nil {
		c.Fault = func(error) {}
	}
	if c.BatchEnd == nil {
		c.BatchEnd = func() {}
	}
}

// completionsMax is how many groups and answers may wait for the completion
// goroutine before the committer and the readers do.
const completionsMax = 8

// OpenStore opens the message store in db, which must not be used by anybody
// else. It costs the same whatever is in there, except under Memory, which
// empties it. The policy of db must fit: kv.SyncAlways for Fsync.
func OpenStore(db kv.DB, c StoreConfig) (*Store, error) {
	c.fill()
	s := &Store{
		db: db, c: c,
		work:        make(chan struct{}, 1),
		sweeps:      make(chan struct{}, 1),
		completions: make(chan reply, completionsMax),
	}
	s.mu.space.L = &s.mu.Mutex
	s.mu.open = &group{}
	s.mu.lanes = map[QueueID]*lane{}
	s.mu.names = map[string]*lane{}
	s.mu.opening = map[string]chan struct{}{}
	s.mu.segments = map[uint64]*segment{}
	s.mu.applied = map[appliedKey]*appliedMark{}
	for range readerCount {
		s.readers = append(s.readers, newReadQueue())
	}
	if reasons := db.Suspect(); len(reasons) > 0 {
		s.suspect = true
		c.Fault(fmt.Errorf("the message store may have lost messages, or deliver some again: %s", strings.Join(reasons, "; ")))
	}
	if c.Durability == Memory {
		if err := s.wipe(); err != nil {
			return nil, fmt.Errorf("empty the message store: %w", err)
		}
	}
	if err := s.lease(); err != nil {
		return nil, fmt.Errorf("open the message store: %w", err)
	}
	if err := s.loadApplied(); err != nil {
		return nil, fmt.Errorf("open the message store: %w", err)
	}
	if err := s.loadMemory(); err != nil {
		return nil, fmt.Errorf("open the message store: %w", err)
	}
	s.counts.register(c.Metrics, s)
	return s, nil
}

func (s *Store) sync() bool { return s.c.Durability == Fsync }

// Run commits and answers until ctx ends. Then it commits what was handed in,
// brings every cursor up to date, and returns; what comes later gets
// ErrStopped. A store whose writes fail keeps running, to fail what comes.
func (s *Store) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.mu.running || s.mu.stopped {
		s.mu.Unlock()
		return errors.New("message store: Run was called twice")
	}
	s.mu.running = true
	s.mu.Unlock()

	var makers, completion sync.WaitGroup
	completion.Go(s.complete)
	makers.Go(func() { s.commitUntil(ctx) })
	for _, r := range s.readers {
		makers.Go(func() { s.serveReads(r) })
	}
	makers.Go(func() { s.sweepUntil(ctx) })
	<-ctx.Done()
	for _, r := range s.readers {
		r.stop()
	}
	makers.Wait()
	close(s.completions)
	completion.Wait()
	return s.Err()
}

// Err is the write error that made the store read-only, nil while it is well.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.failed
}

// Close ends the use of the store without Run; the database stays open. It is
// not needed after Run.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.running {
		s.mu.stopped = true
		s.mu.space.Broadcast()
	}
	return s.mu.failed
}

// Barrier calls done when everything that was handed in before is durable.
func (s *Store) Barrier(done Done) {
	s.mu.Lock()
	if s.mu.stopped {
		s.mu.Unlock()
		done(ErrStopped)
		return
	}
	b := &barrier{left: 1, done: done}
	s.barrierLocked(b)
	s.mu.Unlock()
	s.passed(b)
}

// closeBarrierLocked has done called with the next commit, which holds every
// cursor that is behind. It unlocks.
func (s *Store) closeBarrierLocked(done Done) {
	if s.mu.stopped {
		s.mu.Unlock()
		done(ErrStopped)
		return
	}
	for _, d := range s.mu.dirty {
		// Now, not with the next commit: that may be one that is closed already.
		if d.lane.dirty {
			s.cursorLocked(s.groupLocked(0), d.lane)
		}
	}
	s.mu.open.tickets = append(s.mu.open.tickets, ticket{done: done})
	s.mu.Unlock()
	s.wake()
}

// Sync waits until everything that was handed in before is durable. It must not
// be called from a Done.
func (s *Store) Sync() error {
	result := make(chan error, 1)
	s.Barrier(func(err error) { result <- err })
	return <-result
}

func (s *Store) wake() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// wipe deletes everything.
func (s *Store) wipe() error {
	it := s.db.Iterator(kv.Range{})
	defer it.Close()
	var b kv.Batch
	for it.Next() {
		b.Delete(it.Key())
		if b.Bytes() >= groupBytesMax/4 {
			if err := s.db.Write(&b, false); err != nil {
				return err
			}
			b.Reset()
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	return s.db.Write(&b, false)
}

// compact has a range compacted and waits for it until ctx ends. What goes on
// then ends when the database is closed.
func (s *Store) compact(ctx context.Context, r kv.Range) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.db.CompactRange(r) }()
	select {
	case err := <-done:
		if err != nil {
			err = fmt.Errorf("compact the message store: %w", err)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
