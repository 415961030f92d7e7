package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/link"
	"tombolo/internal/member"
	"tombolo/internal/metric"
	"tombolo/internal/registrar"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/broker"
	"tombolo/netsplit"
	"tombolo/queue"
)

// Config is what a Cluster is told.
type Config struct {
	Name        string // of the cluster
	Node        wire.NodeID
	NodeName    string
	Incarnation wire.Incarnation
	Durability  string

	DurabilityMayDiffer bool // of members (R35)

	Bind, Advertise string // of links, host:port
	TLS             *tls.Config
	Secret          []byte
	Insecure        bool

	Gate        *netsplit.Gate
	Policy      netsplit.Policy
	Tiebreaker  string        // the name of a node, "" none
	ConfirmWait time.Duration // R9; 0: 100 ms
	// WaitingBytes is what may wait for the spool of one peer (R11); 0: 8 MiB.
	WaitingBytes int
	Spool        link.Spool // nil: in memory

	// Members is how the durable member set is kept and found; what a Cluster
	// knows itself is filled in. Nil: the members given to Open, for good.
	Members *member.Config

	// Answer answers what operators ask through other nodes; nil: nobody does.
	Answer Answerer

	Metrics *metric.Registry
	Log     *slog.Logger
	Clock   clock.Clock // nil: the machine's
	Steady  clock.Clock // by which registrations and members count time: it does not jump; nil: Clock
}

// Parts are what a Cluster connects. All are required.
type Parts struct {
	Metadata *metadata.Store
	Queue    *queue.Store
	Broker   *broker.Broker
}

// Cluster is this node's end of the cluster, and broker.Cluster. Safe for
// concurrent use; its fields are immutable once Open has returned, or
// synchronise themselves.
type Cluster struct {
	config    Config
	parts     Parts
	mesh      *link.Mesh
	members   *member.Set // nil: they do not change by themselves
	registrar *registrar.Registrar
	judge     *judge // owned by the mesh's goroutine for it
	count     *counters
	feeds     *feeds
	calls     *calls
	waits     *waits
	asks      *asks
	since     atomic.Pointer[time.Time] // when the wait for the others began (R7)

	ctx       context.Context // while Run runs; set by it before links stand
	answering sync.WaitGroup

	current   atomic.Pointer[state]
	tell      chan struct{} // the teller has something to do
	dismissed bool          // clients were sent away, for the node was removed; owned by the teller
	wake      atomic.Int64  // unix ms at which the judge is to look again
	opened    atomic.Bool   // the node knows enough of the others to admit (R7)
	mu        struct {
		sync.Mutex
		policy        netsplit.Policy
		tiebreaker    string // the name of a node
		peers         map[wire.NodeID]*peer
		fresh         bool                 // members have changed and the detector has not heard
		downs         map[wire.NodeID]bool // went down since the teller looked
		members       []wire.Member        // by id
		version       uint64
		most          int           // members that there were at once
		judged        []wire.Member // those that the detector knows
		judgedVersion uint64
		cut           []wire.NodeID // for a rehearsal
	}
}

// state is who is there, for readers who must not wait. Immutable.
type state struct {
	verdict   *netsplit.Verdict
	version   uint64
	members   []wire.Member // by id
	reachable []wire.NodeID // joined members that are up by verdict, this node included if it is one; by id
	alone     bool          // there is no other member
	member    bool          // this node is one
}

// peer is what is known of a node that was linked. Guarded by Cluster.mu.
type peer struct {
	linked    bool
	link      uint64    // counts the links
	since     time.Time // of linked
	info      link.Peer
	exchanged time.Time // when the last metadata exchange in both directions began
	synced    bool      // registries were exchanged since the link stands
	here      bool      // its routes are here, all of one time, of this process of it, and not dropped since
	reason    string    // why the link ended
}

// New makes a cluster of one node; Open gives it what it connects.
func New(c Config) *Cluster {
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Steady == nil {
		c.Steady = c.Clock
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metric.New()
	}
	cl := &Cluster{config: c, tell: make(chan struct{}, 1)}
	cl.wait()
	cl.calls, cl.asks = newCalls(), newAsks()
	cl.feeds = newFeeds(cl)
	cl.waits = newWaits(cl)
	cl.mu.policy, cl.mu.tiebreaker = c.Policy, c.Tiebreaker
	cl.mu.peers = map[wire.NodeID]*peer{}
	cl.mu.downs = map[wire.NodeID]bool{}
	cl.current.Store(&state{verdict: &netsplit.Verdict{}, alone: true})
	return cl
}

// wait begins the time in which this node admits nothing (R7).
func (c *Cluster) wait() {
	now := c.config.Clock.Now()
	c.since.Store(&now)
	c.opened.Store(false)
}

// Open makes the mesh, begins to listen, and takes the members that are known
// so far; list counts without Config.Members. Nothing runs before Run.
func (c *Cluster) Open(p Parts, list []wire.Member) error {
	c.parts = p
	j := &judge{c: c, told: map[wire.NodeID]thought{}}
	cfg := c.config
	mesh, err := link.New(link.Config{
		Cluster: cfg.Name, Node: cfg.Node, Name: cfg.NodeName, Incarnation: cfg.Incarnation, Durability: cfg.Durability, DurabilityMayDiffer: cfg.DurabilityMayDiffer,
		Bind: cfg.Bind, Advertise: cfg.Advertise, TLS: cfg.TLS, Secret: cfg.Secret, Insecure: cfg.Insecure,
		Handler: (*handler)(c), Detector: j, Applied: applied{p.Queue}, Spool: cfg.Spool, ConfirmWait: cfg.ConfirmWait, Clock: cfg.Clock,
		WaitingBytes: cfg.WaitingBytes,
		Log:          func(text string) { cfg.Log.Info(text) },
	})
	if err != nil {
		return err
	}
	if err := patiently(mesh.Listen); err != nil {
		return cannotListen("links", "cluster.link_port", err)
	}
	c.mesh, c.judge = mesh, j
	c.count = newCounters(c, cfg.Metrics)
	c.openRegistrar()
	c.SetMembers(0, list)
	if err := c.openMembers(); err != nil {
		return err
	}
	c.mu.judgedVersion, c.mu.judged = c.mu.version, c.mu.members
	j.d = netsplit.NewDetector(netsplit.Config{}, netsplit.NodeID(cfg.Node), uint64(cfg.Incarnation),
		splitMembers(c.mu.version, c.mu.members), mesh.Millis(cfg.Clock.Now()))
	c.refresh(j.d.Verdict())
	return nil
}

// listenWithin is how long a port that somebody has is waited for: the usual ones
// lie where the system takes those of outgoing connections from, which end.
const listenWithin = 5 * time.Second

// patiently tries to listen again while the port is taken.
func patiently(listen func() error) error {
	for deadline := time.Now().Add(listenWithin); ; {
		err := listen()
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return err
		}
		<-time.After(100 * time.Millisecond)
	}
}

// cannotListen says what to do about a port that cannot be had.
func cannotListen(what, option string, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "; another process listens there: stop it, or set " + option
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "; this machine has no such address: set cluster.bind_address to one of its own"
	}
	return fmt.Errorf("%s: %w%s", what, err, remedy)
}

// LinkAddress is where links reach this node, once Open has returned.
func (c *Cluster) LinkAddress() string {
	if c.config.Advertise != "" {
		return c.config.Advertise
	}
	return c.mesh.Addr().String()
}

// Run serves until ctx ends, and returns when everything it started has.
func (c *Cluster) Run(ctx context.Context) error {
	c.ctx = ctx
	var wg sync.WaitGroup
	wg.Go(func() { c.tells(ctx) })
	wg.Go(func() { c.feeds.run(ctx) })
	wg.Go(func() { c.waits.run(ctx) })
	wg.Go(func() { _ = c.registrar.Run(ctx) }) // ends with ctx, without an error
	if c.members != nil {
		wg.Go(func() {
			if err := c.members.Run(ctx); err != nil {
				c.config.Log.Error("the member set failed", "error", err)
			}
		})
	}
	called, end := context.WithCancel(context.Background())
	var last sync.WaitGroup
	last.Go(func() { c.calls.run(called) })
	err := c.mesh.Run(ctx)
	c.answering.Wait()
	wg.Wait()
	c.waits.end()
	end()
	last.Wait()
	return err
}

// nudge wakes the teller.
func (c *Cluster) nudge() {
	select {
	case c.tell <- struct{}{}:
	default:
	}
}

// Reachable implements broker.Cluster.
func (c *Cluster) Reachable(to wire.NodeID) bool { return c.current.Load().reaches(to) }

// Alone implements broker.Cluster.
func (c *Cluster) Alone() bool { return c.current.Load().alone }

// Admits implements broker.Cluster.
func (c *Cluster) Admits(to wire.NodeID) bool { return c.mesh.Admits(to) }

// Post implements broker.Cluster.
func (c *Cluster) Post(to wire.NodeID, run []byte) (dropped int) { return c.mesh.PostPublish(to, run) }

// SendPublish implements broker.Cluster.
func (c *Cluster) SendPublish(to wire.NodeID, body []byte, tk broker.Ticket) error {
	return c.mesh.SendPublish(to, body, tk)
}

// Flush implements broker.Cluster.
func (c *Cluster) Flush(to wire.NodeID) { c.mesh.Flush(to) }

// Send implements broker.Cluster.
func (c *Cluster) Send(to wire.NodeID, s wire.Stream, t wire.Type, body []byte, tk broker.Ticket) error {
	if tk == nil {
		return c.mesh.Send(to, s, t, body, nil)
	}
	return c.mesh.Send(to, s, t, body, tk)
}
