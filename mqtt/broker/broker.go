package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/metric"
	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
)

// mount is one mountpoint: a topic tree of its own. Immutable; the index is
// safe for concurrent use.
type mount struct {
	broker *Broker
	name   string
	bytes  []byte // name, for frames
	index  *topic.Index[*client]
}

// gauges are levels that the broker keeps as it goes. Safe for concurrent use.
type gauges struct {
	online, sessions, subscriptions, orphans atomic.Int64
}

// Broker is the assembly of all sessions. Safe for concurrent use; its fields
// are immutable or synchronise themselves, except where mu guards them.
type Broker struct {
	cfg      Config
	settings atomic.Pointer[Settings]
	registry *registry
	wheel    *wheel
	count    *counters
	gauge    gauges
	ready    atomic.Bool // stored sessions are loaded
	closing  atomic.Bool
	parted   []*client // that were connected at Shutdown; owned by who stops the broker

	evacuating atomic.Int32 // Evacuate runs

	stop    chan struct{} // closed when Run ends
	workers workers

	routes    routes
	sources   sources
	remotes   remotes
	tables    tables
	audit     audit
	arrivals  batch        // at QoS 1 and 2 from other nodes
	fast      fasts        // at QoS 0 from other nodes
	held      atomic.Int64 // bytes of publishes that wait in lines
	left      left
	strays    strays
	again     again
	heirs     heirs
	starts    starts
	bounces   bounces
	orphans   atomic.Pointer[orphanQueues] // nil: none were found
	settling  settling
	resumed   atomic.Bool  // what an earlier process left undone was looked for
	withheld  atomic.Bool  // what is due of sessions was kept when last looked at (R29)
	keptUntil atomic.Int64 // unix ms; what was kept waits for its clients until then
	cancelled cancelled
	stamped   atomic.Int64 // the last one; see stamp

	// generation is that of this node's routes (R21). The goroutine that follows
	// the tables raises it.
	generation atomic.Uint64
	started    uint64          // the first generation; immutable
	under      [2]atomic.Int64 // publishes under way in it and in the one before, by its last bit

	// Of the queue store's completion goroutine: its round, and how many messages the
	// commit under way had; lastCommit is how many the one before had.
	queueRound *round
	committed  int32
	lastCommit atomic.Int32

	mu struct {
		sync.RWMutex
		mounts map[string]*mount
	}
}

// New builds a broker; Load reads what is stored, Run keeps time.
func New(c Config) *Broker {
	b := &Broker{
		cfg: c, registry: newRegistry(), wheel: newWheel(c.Now),
		count: newCounters(c.Metrics), stop: make(chan struct{}),
	}
	b.mu.mounts, b.audit = make(map[string]*mount), newAudit()
	b.strays.store = c.Queue
	b.sources.slots = make(chan struct{}, sourcesMax)
	b.sources.mu.jobs = make(map[Key]*source)
	b.started = c.Metadata.Stamp() // above those of an earlier process, whatever the wall clock says
	b.generation.Store(b.started)
	b.routes.mu.own = make(map[ownKey]*ownRoute)
	b.remotes.mu.nodes = make(map[wire.NodeID]*otherNode)
	b.remotes.mu.away = make(map[Key]*awaySession)
	b.arrivals.b = b
	b.heirs.wake = make(chan struct{}, 1)
	b.settings.Store(c.Settings)
	gauge := func(name, help, verne string, v *atomic.Int64) {
		c.Metrics.GaugeFunc(metric.Opts{Name: name, Help: help, Verne: verne}, func() float64 { return float64(v.Load()) })
	}
	gauge("sessions_online", "Clients that are connected.", "", &b.gauge.online)
	gauge("sessions", "Sessions, connected or not.", "", &b.gauge.sessions)
	gauge("queues_orphaned", "Stored queues without a session that were found at the start and are still there.", "", &b.gauge.orphans)
	c.Metrics.GaugeFunc(metric.Opts{Name: "queues_moving", Help: "Queues that are on their way from this node to their session's new home."}, b.sources.moving)
	gauge("subscriptions", "Subscriptions of all sessions.", "router_subscriptions", &b.gauge.subscriptions)
	return b
}

// Change makes s the settings from the next packet on.
func (b *Broker) Change(s *Settings) { b.settings.Store(s) }

// Ready reports whether what was stored is loaded, so that clients find their
// sessions.
func (b *Broker) Ready() bool { return b.ready.Load() }

// aliveWithin is how old the last turn of the wheel may be.
const aliveWithin = 10 * time.Second

// Alive reports whether the wheel turns.
func (b *Broker) Alive() bool {
	b.wheel.mu.Lock()
	defer b.wheel.mu.Unlock()
	late := b.cfg.Now().UnixMilli()/wheelTick.Milliseconds() - b.wheel.mu.last
	return late*wheelTick.Milliseconds() < aliveWithin.Milliseconds()
}

// Run keeps time for keep alives, wills and expiry until ctx ends, and returns
// when the broker's workers have ended.
func (b *Broker) Run(ctx context.Context) error {
	b.spawn(func() { b.watchTables(ctx) })
	b.spawn(func() { b.adoptLost(ctx) })
	if b.cfg.Cluster != nil {
		b.wheel.at(b.cfg.Now().UnixMilli()+settleEvery, settleTick{b})
		b.spawn(func() { b.runAudits(ctx) })
	}
	b.wheel.run(ctx)
	close(b.stop)
	b.workers.end()
	return nil
}

// mount returns the mountpoint of a name, made on first use.
func (b *Broker) mount(name string) *mount {
	b.mu.RLock()
	m := b.mu.mounts[name]
	b.mu.RUnlock()
	if m != nil {
		return m
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m = b.mu.mounts[name]; m == nil {
		m = &mount{broker: b, name: name, bytes: []byte(name), index: topic.NewIndex[*client](topic.Config{})}
		b.mu.mounts[name] = m
	}
	return m
}

// spawn runs f on a worker of its own; after Run has ended it does nothing.
func (b *Broker) spawn(f func()) { b.workers.run(f) }

// spawned is spawn, and tells whether f runs.
func (b *Broker) spawned(f func()) bool { return b.workers.run(f) }

// workers are the goroutines of a broker. Safe for concurrent use. Bound: one
// for each client, and one for each registration under way.
type workers struct {
	mu    sync.Mutex
	ended bool
	wg    sync.WaitGroup
}

func (w *workers) run(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.wg.Go(f)
	return true
}

// end waits for those that run and takes no more.
func (w *workers) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.wg.Wait()
}

// Shutdown ends every connection: version 5 clients are told that the server
// shuts down. Wills are kept with their sessions, as the standard allows
// (§3.1.2.5), because the broker comes back. It returns when all were told.
func (b *Broker) Shutdown() {
	b.closing.Store(true)
	r := b.begin()
	b.registry.each(func(c *client) bool {
		if b.kick(c, nil, packet.ServerShuttingDown, "server is shutting down", r) && c.durable {
			b.parted = append(b.parted, c)
		}
		if len(r.after) > 64 {
			b.end(r)
			r = b.begin()
		}
		return true
	})
	b.end(r)
}
