package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/clock"
	"tombolo/internal/cluster"
	"tombolo/internal/kv"
	"tombolo/internal/log"
	"tombolo/internal/metric"
	"tombolo/internal/option"
	"tombolo/internal/spool"
	"tombolo/metadata"
	"tombolo/mqtt/broker"
	"tombolo/netsplit"
	"tombolo/queue"
)

// Config is what a node is built of.
type Config struct {
	Settings *option.Settings
	Version  admin.Version
	// LoopbackOnly refuses listeners that other machines reach.
	LoopbackOnly bool
	// AllowAll lets every client publish and subscribe to everything, for
	// tombolo dev; otherwise the authorizers that are configured decide.
	AllowAll bool
	// OnReady is called once, when listeners accept.
	OnReady func(*Node)
	// OnStopping is called when the node begins to stop; nil is nobody.
	OnStopping func()
}

// Node is one running node. Its parts are immutable once start has built them.
type Node struct {
	cfg      Config
	set      *option.Settings
	id       uint64
	log      *log.Log
	logger   *slog.Logger
	metrics  *metric.Registry
	gate     netsplit.Gate
	metaDB   kv.DB
	queueDB  kv.DB
	metadata *metadata.Store
	queue    *queue.Store
	spool    *spool.Spool     // nil: in memory, or no cluster
	cluster  *cluster.Cluster // nil: a node by itself
	broker   *broker.Broker
	security *security
	ports    *ports
	admin    *admin.Server
	leaving  *leaving // nil: a node by itself
	started  time.Time
	halting  chan struct{}  // closed when the node begins to stop
	wall     clock.Clock    // the machine's, or wrong
	wrong    *clock.Stepped // the wall clock of a rehearsal; nil: it is not one
	steady   *clock.Steady  // what everything goes by that is to last a time
}

// New returns a node that Run will start.
func New(c Config) *Node {
	return &Node{cfg: c, set: c.Settings, metrics: metric.New(), started: time.Now(), halting: make(chan struct{})}
}

// stopping says whether the node has begun to stop.
func (n *Node) stopping() bool {
	select {
	case <-n.halting:
		return true
	default:
		return false
	}
}

// Run starts the node and keeps it up until ctx ends or a part fails, then
// stops it in order. A stop that is not at its end shutdown_timeout and overtime
// after it began is given up with an error: the process is to end then.
func (n *Node) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx) }()
	return outlast(ctx, n.halting, n.set.Duration("shutdown_timeout")+overtime, ended)
}

func (n *Node) run(ctx context.Context) error {
	if err := n.checkListeners(); err != nil {
		return err
	}
	n.openClocks()
	if err := n.openLog(); err != nil {
		return err
	}
	defer n.log.Close()
	n.warnDescriptors()
	dir := n.set.String("data_dir")
	if err := n.openStores(); err != nil {
		return noSpace(dir, errors.Join(err, n.closeStores()))
	}
	err := n.serve(ctx)
	return noSpace(dir, errors.Join(err, n.closeStores()))
}

// checkListeners refuses a configuration with which the node would be of no
// use, or open where it must not be.
func (n *Node) checkListeners() error {
	mqtt := 0
	for _, l := range n.set.Listeners() {
		if l.Kind != option.ListenerHTTP && l.Kind != option.ListenerHTTPS {
			mqtt++
		}
		if n.cfg.LoopbackOnly && !l.Address.Loopback() {
			return fmt.Errorf("listener.%s.%s = %s can be reached from other machines, and this command has no passwords; use tombolo start with a password file for that", l.Kind, l.Name, l.Address)
		}
	}
	if mqtt == 0 {
		return errors.New("no listener is configured, so no client could connect; set one, for example: listener.tcp.default = 127.0.0.1:1883")
	}
	return nil
}

// Addresses lists the listeners as they are open, one string each.
func (n *Node) Addresses() []string {
	var out []string
	for _, p := range n.ports.all() {
		if p.shut.Load() {
			continue
		}
		out = append(out, fmt.Sprintf("%s %s", p.cfg.Kind, p.address()))
	}
	return out
}

// Waits says for what a member of a cluster waits before it admits clients; ""
// if for nothing.
func (n *Node) Waits() string {
	if n.cluster == nil {
		return ""
	}
	reasons := n.cluster.Missing(0)
	if text := n.leaving.text(); text != "" {
		reasons = append(reasons, text)
	}
	return strings.Join(reasons, "; ")
}

// serve runs everything above the stores.
func (n *Node) serve(ctx context.Context) error {
	run, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	// The stores call the broker as soon as they run.
	if err := n.build(); err != nil {
		return err
	}
	stores := n.runStores(run, cancel)
	err := n.runBroker(ctx, run, cancel)
	if sync := n.queue.Sync(); sync != nil && err == nil {
		err = fmt.Errorf("message store: %w", sync)
	}
	cancel(nil)
	if failed := stores(); err == nil {
		err = failed
	}
	return err
}

// part runs f in the background; its error stops the node.
func (n *Node) part(wg *sync.WaitGroup, cancel context.CancelCauseFunc, name string, f func() error) {
	wg.Add(1)
	go func() {
		defer wg.Done()
		if err := f(); err != nil && !errors.Is(err, context.Canceled) {
			n.logger.Error("part of the node failed", "part", name, "error", err)
			cancel(fmt.Errorf("%s: %w", name, err))
		}
	}()
}

// runStores starts the committers and returns how to wait for their end.
func (n *Node) runStores(run context.Context, cancel context.CancelCauseFunc) (wait func() error) {
	var wg sync.WaitGroup
	n.part(&wg, cancel, "metadata store", func() error { return n.metadata.Run(run) })
	n.part(&wg, cancel, "message store", func() error { return n.queue.Run(run) })
	return func() error {
		wg.Wait()
		if err := context.Cause(run); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
}

// runBroker loads what is stored, opens listeners, and serves until ctx ends
// or a part fails.
func (n *Node) runBroker(ctx, run context.Context, cancel context.CancelCauseFunc) error {
	select {
	case <-n.metadata.Running():
	case <-run.Done():
		return context.Cause(run)
	}
	if err := n.broker.Load(); err != nil {
		return err
	}
	suspended := false
	var left <-chan struct{}
	if n.leaving != nil {
		if err := n.leaving.load(); err != nil {
			return err
		}
		suspended, left = n.leaving.suspended(), n.leaving.gone
	}
	if err := n.ports.open(suspended); err != nil {
		return err
	}
	serving, stop := context.WithCancel(run)
	defer stop()
	var wg sync.WaitGroup
	n.part(&wg, cancel, "broker", func() error { return n.broker.Run(serving) })
	if n.cluster != nil {
		n.part(&wg, cancel, "cluster", func() error { return n.cluster.Run(serving) })
	}
	if n.leaving != nil {
		n.part(&wg, cancel, "leaving", func() error { return n.leaving.Run(serving) })
	}
	n.part(&wg, cancel, "reports", func() error { return n.report(serving) })
	n.part(&wg, cancel, "upkeep", func() error { return n.upkeep(serving) })
	n.part(&wg, cancel, "memory", func() error { return beThrifty(serving) })
	n.part(&wg, cancel, "files", func() error { return n.security.run(serving) })
	ended := n.ports.serve(run)
	if n.cfg.OnReady != nil {
		n.cfg.OnReady(n)
	}
	select {
	case <-ctx.Done():
	case <-run.Done():
	case <-left:
	}
	n.stop(ended, stop, &wg)
	if err := context.Cause(run); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// farewell bounds how long clients get to take their last packet, and linger
// how long the connections of those who have not get after that. Who has not
// read it by then is not reading. flushing bounds how long other members get to
// take over the sessions of clients that connect there at once, and to take in what the
// connections' ends have written.
const (
	farewell = 3 * time.Second
	linger   = 2 * time.Second
	flushing = time.Second
)

// stop closes listeners, tells clients, and waits for what runs.
func (n *Node) stop(ended func(time.Duration) bool, stop func(), wg *sync.WaitGroup) {
	close(n.halting)
	if n.cfg.OnStopping != nil {
		n.cfg.OnStopping()
	}
	limit := min(n.set.Duration("shutdown_timeout")/2, farewell)
	n.ports.closeListeners()
	n.markStopped(limit)
	n.broker.Shutdown()
	if !ended(limit) {
		n.logger.Info("some connections did not take their last packet in time", "limit", limit)
	}
	n.broker.Part(min(limit, flushing))
	n.flush(min(limit, flushing))
	stop()
	wg.Wait()
}

// openLog opens the log files.
func (n *Node) openLog() error {
	l, err := newLog(n.set)
	if err != nil {
		return err
	}
	if err := l.Open(); err != nil {
		return fmt.Errorf("log files: %w; check log.console.file and its permissions", err)
	}
	n.log, n.logger = l, l.For("node")
	return nil
}

// Reload reads again what SIGHUP stands for: password and ACL files,
// certificates, log files.
func (n *Node) Reload() error {
	var errs []error
	if err := n.log.Reopen(); err != nil {
		errs = append(errs, err)
	}
	if n.security != nil {
		errs = append(errs, n.security.reload())
	}
	if n.ports != nil {
		errs = append(errs, n.ports.reload())
	}
	return errors.Join(errs...)
}

// Alive reports whether the node's clockwork turns, for a watchdog.
func (n *Node) Alive() bool { return n.broker.Alive() }

// Logger is the log of the node itself; valid once OnReady was called.
func (n *Node) Logger() *slog.Logger { return n.logger }
