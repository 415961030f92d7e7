package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tombolo/internal/clock"
	"tombolo/internal/freeport"
	"tombolo/internal/kv"
	"tombolo/internal/metric"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/broker"
	"tombolo/mqtt/session"
	"tombolo/netsplit"
	"tombolo/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within polls until ok holds and says how long that took.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	deadline, tick := time.NewTimer(limit), time.NewTicker(2*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %v", what, limit)
		case <-tick.C:
		}
	}
	return time.Since(began)
}

// rig is some nodes in one process. Owned by its test.
type rig struct {
	t     *testing.T
	nodes []*instance
	now   func() time.Time // what brokers take the time from; nil: time.Now
}

// instance is one node: stores, broker and cluster, over real sockets.
type instance struct {
	id      wire.NodeID
	gate    netsplit.Gate
	cluster *Cluster
	meta    *metadata.Store
	stop    func()
}

// addresses finds ports that are free.
func addresses(t *testing.T, n int) []string {
	t.Helper()
	out := make([]string, n)
	for i := range out {
		var err error
		if out[i], err = freeport.Address(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// newRig starts n nodes that know each other as members.
func newRig(t *testing.T, n int, policy netsplit.Policy) *rig {
	t.Helper()
	r := &rig{t: t}
	t.Cleanup(func() {
		if t.Failed() {
			r.tell()
		}
	})
	at := addresses(t, n)
	var members []wire.Member
	for i := range n {
		members = append(members, wire.Member{ID: wire.NodeID(i + 1), Name: fmt.Sprintf("n%d", i+1), Link: at[i]})
	}
	for i := range n {
		r.nodes = append(r.nodes, r.start(wire.NodeID(i+1), at[i], members, policy))
	}
	return r
}

func (r *rig) start(id wire.NodeID, bind string, members []wire.Member, policy netsplit.Policy) *instance {
	t := r.t
	t.Helper()
	x := &instance{id: id}
	now := r.now
	if now == nil {
		now = time.Now
	}
	registry := metric.New()
	x.cluster = New(Config{Name: "test", Node: id, NodeName: fmt.Sprintf("n%d", id), Incarnation: wire.Incarnation(time.Now().UnixMilli()),
		Durability: "fsync", Bind: bind, Secret: []byte("a secret of sixteen"), Gate: &x.gate, Policy: policy, Metrics: registry, Answer: x.answer})
	metaDB, queueDB := kv.OpenMemory(), kv.OpenMemory()
	var err error
	x.meta, err = metadata.Open(metaDB, metadata.Config{Node: uint64(id), Transport: x.cluster.Transport(), OnExchange: x.cluster.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	var b *broker.Broker
	q, err := queue.OpenStore(queueDB, queue.StoreConfig{Durability: queue.Memory, Clock: clock.System(), Metrics: metric.New(), BatchEnd: func() { b.BatchEnd() }})
	if err != nil {
		t.Fatal(err)
	}
	b = broker.New(broker.Config{Node: x.name(), NodeID: uint64(id), Settings: &broker.Settings{Limits: &session.Limits{}}, Metadata: x.meta, Queue: q,
		Gate: &x.gate, Cluster: x.cluster, Metrics: registry, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err := x.cluster.Open(Parts{Metadata: x.meta, Queue: q, Broker: b}, members); err != nil {
		t.Fatal(err)
	}
	run, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	goes := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(run); err != nil {
				t.Errorf("node %d: %v", id, err)
			}
		})
	}
	goes(x.meta.Run)
	goes(q.Run)
	x.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		_, _ = metaDB.Close(), queueDB.Close()
	})
	t.Cleanup(x.stop)
	<-x.meta.Running()
	if err := b.Load(); err != nil {
		t.Fatal(err)
	}
	goes(b.Run)
	goes(x.cluster.Run)
	return x
}

// answer is the HTTP API of a node as this test has it.
func (x *instance) answer(_ context.Context, method, target string, body []byte) (int, []byte) {
	return 200, []byte(method + " " + target + " " + string(body) + " at " + x.name())
}

func (x *instance) name() string { return fmt.Sprintf("n%d", x.id) }

// whole reports whether every node reaches every other.
func (r *rig) whole() bool {
	for _, x := range r.nodes {
		if s := x.cluster.current.Load(); s.verdict.Split || len(s.reachable) != len(r.nodes) || !x.gate.Now().Allows(netsplit.Publish) {
			return false
		}
	}
	return true
}

// tell prints what every node thinks, for a test that has failed.
func (r *rig) tell() {
	for _, x := range r.nodes {
		c := x.cluster
		s := c.current.Load()
		r.t.Logf("%s: reaches %v, opened %v, verdict %+v", x.name(), s.reachable, c.opened.Load(), *s.verdict)
		for _, id := range c.feeds.ids() {
			fed := c.feeds.fed(id)
			c.mu.Lock()
			p := c.mu.peers[id]
			r.t.Logf("   %d: linked %v exchanged %v synced %v here %v fed %v", id, p.linked, p.exchanged, p.synced, p.here, fed)
			c.mu.Unlock()
		}
	}
}
