package metadata

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/kv"
	"tombolo/internal/metric"
	"tombolo/metadata/replica"
)

// Config is what a Store needs to know; zero fields take the default.
type Config struct {
	Node           uint64           // this node's id; never zero
	Metrics        *metric.Registry // nil: nobody looks
	Clock          clock.Clock      // nil: the machine's; stamps read its wall clock, and drift is found by it (R34)
	Steady         clock.Clock      // by which retained messages end: it does not jump; nil: Clock
	Rand           func() uint64    // nil: the system's; for actors and nonces
	CommitDelayMax time.Duration    // how long a commit waits for company at most; it never waits longer than a quarter of the last sync; 0: 1 ms
	CommitBytes    int              // about how much goes into one commit; 0: 256 KiB
	QueueBytes     int              // what may wait for the disk; 0: 64 MiB
	SweepEvery     time.Duration    // between two sweeps of what nobody reads any more; 0: 10 min
	AuditEvery     time.Duration    // between two audits of the digest; 0: 10 min

	Transport  Transport          // nil: a cluster of one
	OnEvent    func(ReplicaEvent) // nil: nobody listens; must not block
	OnExchange func(Exchange)     // nil: nobody listens; must not block
	Join       bool               // a store that is empty is to join a cluster that exists: it takes no writes before its full join (I29)
	Replica    replica.Config     // the times and bounds of replication; Node, Policy and Rand are filled in
}

// Store is the metadata of one node. Its fields are immutable once built and
// safe for use from any goroutine; what they hold says who owns it.
type Store struct {
	db        kv.DB
	config    Config
	core      *replica.Replica // owned by Run
	inbox     *inbox
	status    atomic.Pointer[Status]
	durable   atomic.Uint64 // the last batch of the core that is on disk
	members   atomic.Pointer[[]Member]
	queue     *queue
	overlay   *overlay
	completer *completer
	watches   watches
	counters  counters
	waits     *waits       // owned by Run
	waiting   atomic.Int64 // calls of Replicated that are not answered

	running chan struct{} // closed once Run accepts work
	life    struct {
		sync.Mutex
		running bool
		stop    context.CancelFunc
		ended   chan struct{}
	}
}

// Open makes the store of db. Nothing is written before Run.
func Open(db kv.DB, c Config) (*Store, error) {
	if c.Node == 0 {
		return nil, errors.New("metadata: the node id is zero: give every node an id of its own")
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Steady == nil {
		c.Steady = c.Clock
	}
	if c.CommitBytes == 0 {
		c.CommitBytes = 256 << 10
	}
	if c.CommitDelayMax == 0 {
		c.CommitDelayMax = time.Millisecond
	}
	if c.SweepEvery == 0 {
		c.SweepEvery = 10 * time.Minute
	}
	if c.AuditEvery == 0 {
		c.AuditEvery = 10 * time.Minute
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 64 << 20
	}
	if c.Metrics == nil {
		c.Metrics = metric.New()
	}
	if c.Rand == nil {
		c.Rand = systemRand
	}
	rc := c.Replica
	rc.Node, rc.Policy, rc.Rand, rc.Suspect = c.Node, policy{}, c.Rand, len(db.Suspect()) > 0
	rc.Join = rc.Join || c.Join
	core, err := replica.Open(db, rc, c.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	s := &Store{
		db: db, config: c, core: core, inbox: newInbox(),
		queue:     newQueue(c.QueueBytes),
		overlay:   newOverlay(),
		completer: newCompleter(),
		waits:     newWaits(),
		running:   make(chan struct{}),
	}
	c.Metrics.GaugeFunc(metric.Opts{Name: "metadata_clock_drifted", Help: "1 while the wall clock of this node is further from the other members' than cluster.max_clock_drift; it does not stamp from it then."}, func() float64 {
		if s.core.HLC().Drifted() {
			return 1
		}
		return 0
	})
	s.counters = newCounters(c.Metrics, func() float64 { return float64(s.waiting.Load()) })
	_, members := core.Members()
	s.members.Store(&members)
	s.status.Store((&committer{Store: s}).statusOf())
	return s, nil
}

// Run commits what is written until ctx ends or Close is called, then commits
// what still waits and returns. A failed commit ends it with the error: nothing
// more is acknowledged.
func (s *Store) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.life.Lock()
	if s.life.running || s.life.ended != nil {
		s.life.Unlock()
		return errors.New("metadata: Run was called before")
	}
	s.life.running, s.life.stop, s.life.ended = true, stop, make(chan struct{})
	s.life.Unlock()
	defer close(s.life.ended)

	completing, endCompleting := context.WithCancel(context.Background())
	completed := make(chan struct{})
	go func() { defer close(completed); s.completer.run(completing) }()
	var keepers sync.WaitGroup
	keepers.Go(func() { s.sweepLoop(ctx) })
	keepers.Go(func() { s.auditLoop(ctx) })
	close(s.running)
	err := (&committer{Store: s}).run(ctx)
	stop()
	s.core.Release()
	cause := err
	if cause == nil {
		cause = ErrClosed
	}
	s.refuseAsked(cause)
	s.answerWaits(s.waits.clear(), cause)
	for _, w := range s.queue.shut(cause) {
		s.completer.add([]completion{{done: w.done, err: cause}})
	}
	keepers.Wait()
	endCompleting()
	<-completed
	return err
}

// Running is closed once Run commits what is written.
func (s *Store) Running() <-chan struct{} { return s.running }

// Stamp is a reading of the store's hybrid logical clock, for the epochs of
// sessions: higher than every one before it, here and in all that this node has
// heard of.
func (s *Store) Stamp() uint64 {
	return s.core.HLC().Stamp(s.config.Clock.Now())
}

// Close ends Run and waits for it. The database stays open: it is its opener's.
func (s *Store) Close() error {
	s.life.Lock()
	stop, ended := s.life.stop, s.life.ended
	s.life.Unlock()
	if stop == nil {
		s.refuseAsked(ErrClosed)
		for _, w := range s.queue.shut(ErrClosed) {
			s.completer.add([]completion{{done: w.done, err: ErrClosed}})
		}
		over, end := context.WithCancel(context.Background())
		end()
		s.completer.run(over)
		return nil
	}
	stop()
	<-ended
	return nil
}

func isNotFound(err error) bool { return errors.Is(err, kv.ErrNotFound) }

// systemRand draws actors and nonces: they must differ from those of every other
// store, also of one that began at the same instant.
func systemRand() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("metadata: the system gives no randomness: " + err.Error())
	}
	return binary.LittleEndian.Uint64(b[:])
}
