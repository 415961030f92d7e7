package broker

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqttclient "tombolo/internal/client"
	"tombolo/internal/conn"
	"tombolo/internal/kv"
	"tombolo/internal/metric"
	"tombolo/internal/registrar"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/metadata/replica"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/netsplit"
	"tombolo/queue"
)

// rigNode is one broker of a test with stores, a listener and a cluster of its
// own. Immutable once it runs.
type rigNode struct {
	m       *mesh
	id      wire.NodeID
	b       *Broker
	meta    *metadata.Store
	queue   *queue.Store
	gate    netsplit.Gate
	cluster *fakeCluster

	registrar atomic.Pointer[registrar.Registrar]

	metrics *metric.Registry
	addr    string
	kill    context.CancelFunc
	dead    chan struct{}
	// exchanged says with whom the store has exchanged clocks, by node.
	exchanged [8]atomic.Bool
	silent    atomic.Bool  // it sends no metadata
	halting   sync.RWMutex // locked: its metadata waits for the disk
	wrote     atomic.Int64 // bytes, by the metadata store
	// current is b, for the queue store, which runs on while b is replaced.
	current atomic.Pointer[Broker]
}

// Send carries frames of replication.
func (n *rigNode) Send(to uint64, frame []byte) {
	if h := n.cluster.hopTo(wire.NodeID(to)); h != nil && !h.isDown() && !n.silent.Load() {
		h.to.meta.Deliver(uint64(n.id), frame)
	}
}

type everything struct{}

func (everything) RulesFor(*Identity) Rules { return nil }
func (everything) Authenticate(context.Context, *Identity, []byte) Verdict {
	return Verdict{}
}

func rigSettings() *Settings {
	return &Settings{
		Limits: &session.Limits{
			Versions: session.AllVersions, ClientIDBytesMax: 100, InflightMax: 20, ReceiveMaxClient: 100, ReceiveMaxBroker: 100,
			SessionExpiryMax: session.ExpiryNever, PersistentExpiry: session.ExpiryNever, WillDelayMax: session.ExpiryNever,
		},
		Queue: queue.Config{MaxOnline: 1000, MaxOffline: 1000}, ConnectTimeout: 10 * time.Second, Anonymous: true,
	}
}

// rig starts n brokers that are joined.
func rig(t *testing.T, n int, change ...func(*Settings)) *mesh {
	t.Helper()
	return rigAfter(t, n, func(*mesh) {}, change...)
}

// countingRig is one node whose cluster counts what it is asked.
func countingRig(t *testing.T) (*rigNode, *countingCluster) {
	t.Helper()
	var c *countingCluster
	m := rigAfter(t, 1, func(m *mesh) {
		c = &countingCluster{fakeCluster: m.nodes[0].cluster}
		m.nodes[0].b.cfg.Cluster = c
	})
	return m.nodes[0], c
}

// rigAfter is a rig for which before is called when nothing runs yet.
func rigAfter(t *testing.T, n int, before func(*mesh), change ...func(*Settings)) *mesh {
	t.Helper()
	m := &mesh{t: t, stop: make(chan struct{})}
	for i := range n {
		m.nodes = append(m.nodes, m.node(t, wire.NodeID(i+1)))
	}
	before(m)
	set := rigSettings()
	for _, f := range change {
		f(set)
	}
	var members []metadata.Member
	var ids []wire.NodeID
	for _, a := range m.nodes {
		members = append(members, metadata.Member{ID: uint64(a.id)})
		ids = append(ids, a.id)
		for _, o := range m.nodes {
			if a != o {
				a.cluster.mu.hops[o.id] = m.join(a, o)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	for _, a := range m.nodes {
		a.b.Change(set)
		a.start(t, ctx)
		a.b.MembersChanged(ids)
	}
	for _, a := range m.nodes {
		a.meta.SetMembers(1, members)
		for _, o := range m.nodes {
			if o != a {
				a.meta.PeerUp(uint64(o.id))
			}
		}
		a.snapshot()
		a.view()
	}
	t.Cleanup(func() {
		close(m.stop)
		for _, a := range m.nodes {
			a.b.Shutdown()
		}
		cancel()
		for _, a := range m.nodes {
			for _, h := range a.cluster.mu.hops {
				h.change(func() { h.ended = true })
			}
		}
		m.wg.Wait()
	})
	m.settle(t)
	return m
}

// settle waits until every node knows the routes of all others, and that they
// serve: one that does not is not waited for.
func (m *mesh) settle(t *testing.T) {
	t.Helper()
	n := len(m.nodes)
	if m.dead != nil {
		n--
	}
	for _, a := range m.nodes {
		if a == m.dead {
			continue
		}
		eventually(t, "registries of all members", func() bool {
			s := a.registrar.Load().Stats()
			return s.Reachable == n && s.Listed
		})
		for _, o := range m.nodes {
			if o != a && o != m.dead {
				eventually(t, "routes of all members", func() bool { return a.b.HasRoutesOf(o.id) })
				eventually(t, "an exchange", func() bool { return a.exchanged[o.id].Load() && a.meta.Status().Phase == replica.Serving })
			}
		}
	}
}

func (m *mesh) node(t *testing.T, id wire.NodeID) *rigNode {
	n := &rigNode{m: m, id: id, metrics: metric.New()}
	n.cluster = &fakeCluster{n: n}
	n.cluster.mu.hops = map[wire.NodeID]*hop{}
	n.cluster.mu.unreached = map[wire.NodeID]bool{}
	n.cluster.mu.full = map[wire.NodeID]bool{}
	n.cluster.mu.timeout = 10 * time.Second
	var err error
	n.meta, err = metadata.Open(haltingDisk{kv.OpenMemory(), &n.halting, &n.wrote}, metadata.Config{
		Node: uint64(id), Transport: n, Replica: replica.Config{ExchangeEvery: 50 * time.Millisecond},
		OnExchange: func(e metadata.Exchange) { n.exchanged[e.Peer].Store(true) },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.queue, err = queue.OpenStore(kv.OpenMemory(), queue.StoreConfig{BatchEnd: func() { n.current.Load().BatchEnd() }})
	if err != nil {
		t.Fatal(err)
	}
	n.make()
	return n
}

// make makes what a crash of the broker takes with it.
func (n *rigNode) make() {
	n.metrics = metric.New()
	r := registrar.New(registrar.Config{
		Self: n.id, Home: n, Now: time.Now, Stamp: n.meta.Stamp,
		Send: func(to wire.NodeID, t wire.Type, body []byte) bool {
			return n.cluster.Send(to, streamRegistrar, t, body, nil) == nil
		},
	})
	n.registrar.Store(r)
	n.b = New(Config{
		Node: fmt.Sprint("n", n.id), NodeID: uint64(n.id), Settings: rigSettings(), Metadata: n.meta, Queue: n.queue,
		Gate: &n.gate, Authenticator: everything{}, Authorizer: everything{}, Cluster: n.cluster, Metrics: n.metrics,
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: func(b []byte) { _, _ = rand.Read(b) },
	})
	n.current.Store(n.b)
}

// others are all nodes but this one.
func (n *rigNode) others() (list []*rigNode) {
	for _, o := range n.m.nodes {
		if o != n {
			list = append(list, o)
		}
	}
	return list
}

// again has a node that is cut off lose all that its broker has in memory, and begin
// anew with what is stored. lost is called with what was between it and each other one.
func (n *rigNode) again(t *testing.T, lost func(o *rigNode, h *hop)) {
	t.Helper()
	n.kill()
	<-n.dead
	for _, o := range n.others() {
		h := n.cluster.hopTo(o.id)
		h.change(func() { lost(o, h) })
	}
	n.make()
	n.run(t)
	var ids []wire.NodeID
	for _, o := range n.m.nodes {
		ids = append(ids, o.id)
	}
	n.b.MembersChanged(ids)
}

// restart is again, and the others have noticed: what was on its way to the node is
// lost with its streams.
func (n *rigNode) restart(t *testing.T) {
	t.Helper()
	for _, o := range n.others() {
		n.m.cut(n, o, true)
		n.m.verdict(n, o, false)
	}
	n.again(t, func(o *rigNode, h *hop) {
		but := wire.StreamNone
		if o == n.m.dead || h.paused[wire.StreamPublish] {
			but = wire.StreamPublish // the spool
		}
		h.lose(but)
	})
	for _, o := range n.others() {
		if o != n.m.dead {
			n.m.cut(n, o, false)
			n.m.verdict(n, o, true)
		}
	}
	n.b.GateChanged()
	n.m.settle(t)
}

// start runs the parts of a node; the stores end after the broker.
func (n *rigNode) start(t *testing.T, ctx context.Context) {
	t.Helper()
	stores, stop := context.WithCancel(context.Background())
	go func() { _ = n.meta.Run(stores) }()
	go func() { _ = n.queue.Run(stores) }()
	<-n.meta.Running()
	n.m.wg.Go(func() {
		<-ctx.Done()
		n.kill()
		<-n.dead
		stop()
	})
	n.run(t)
}

// run runs the broker of a node until kill is called.
func (n *rigNode) run(t *testing.T) {
	t.Helper()
	ctx, kill := context.WithCancel(context.Background())
	dead := make(chan struct{})
	n.kill, n.dead = kill, dead
	began := time.Now()
	n.cluster.loads(true)
	if err := n.b.Load(); err != nil {
		t.Fatal(err)
	}
	n.cluster.loads(false)
	if took := time.Since(began); took > cutsMax*3/4 {
		t.Errorf("loading took %v: it waited for others", took)
	}
	l, err := conn.Listen(conn.Config{Name: "rig", Kind: conn.KindTCP, Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	n.addr = l.AddrString()
	b, r := n.b, n.registrar.Load()
	n.m.wg.Go(func() { l.Serve(ctx, b.Accept(&Listener{Name: "rig"})) })
	n.m.wg.Go(func() { _ = r.Run(ctx) })
	n.m.wg.Go(func() {
		_ = b.Run(ctx)
		close(dead)
	})
}

// snapshot tells the others all routes of the node.
func (n *rigNode) snapshot() {
	n.b.RouteSnapshot(func(list []wire.Route) {
		n.cluster.routes(&wire.Routes{First: true, Last: true, Snapshot: true, List: list})
	})
}

// cut ends what passes between two nodes; verdict tells them of it or of its
// end.
func (m *mesh) cut(a, b *rigNode, down bool) {
	for _, h := range []*hop{a.cluster.hopTo(b.id), b.cluster.hopTo(a.id)} {
		h.change(func() { h.down = down })
	}
}

func (m *mesh) verdict(a, b *rigNode, up bool) {
	for _, p := range [][2]*rigNode{{a, b}, {b, a}} {
		n, o := p[0], p[1]
		n.cluster.mu.Lock()
		n.cluster.mu.unreached[o.id] = !up
		n.cluster.mu.Unlock()
		n.b.PeerReachable(o.id, up)
		if up {
			n.meta.PeerUp(uint64(o.id))
			n.snapshot()
		} else {
			n.meta.PeerDown(uint64(o.id))
		}
		n.view()
	}
}

// split sets the gate of a node.
func (n *rigNode) split(on bool, open ...netsplit.Operation) {
	n.gate.Publish(netsplit.NewSnapshot(on, open...))
	n.b.GateChanged()
	n.view()
}

// counter reads one of the node's figures.
func (n *rigNode) counter(name string) (sum int) {
	n.metrics.Each(func(s metric.Sample) {
		if s.Name == name {
			sum += int(s.Value)
		}
	})
	return sum
}

// person is a client of a test.
type person struct {
	t *testing.T
	*mqttclient.Client
	ended chan struct{}
	cause error // set when ended is closed
}

func (n *rigNode) dial(t *testing.T, id string, change ...func(*packet.Connect)) *person {
	t.Helper()
	c := packet.Connect{Version: packet.V5, CleanStart: true, ClientID: []byte(id)}
	for _, f := range change {
		f(&c)
	}
	cl, err := mqttclient.Dial(context.Background(), mqttclient.Config{Address: n.addr, Connect: c})
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, Client: cl, ended: make(chan struct{})}
	go func() { defer close(p.ended); p.cause = cl.Run(context.Background()) }()
	t.Cleanup(func() { cl.Close(); <-p.ended })
	return p
}

func v311(c *packet.Connect) { c.Version = packet.V311 }

// lasting makes a session that outlives its connections.
func lasting(c *packet.Connect) {
	c.CleanStart = false
	if c.Version == packet.V5 {
		c.Properties.Set |= packet.PropSessionExpiry
		c.Properties.SessionExpiry = session.ExpiryNever
	}
}

// subscribe wants the SUBACK to grant everything.
func (p *person) subscribe(qos uint8, filters ...string) {
	p.t.Helper()
	for _, r := range p.trySubscribe(qos, filters...) {
		if r.Failed() {
			p.t.Fatalf("SUBACK with %v", r)
		}
	}
}

func (p *person) trySubscribe(qos uint8, filters ...string) []packet.ReasonCode {
	p.t.Helper()
	var s packet.Subscribe
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: []byte(f), QoS: qos})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rs, err := p.Subscribe(ctx, &s)
	if err != nil {
		p.t.Fatal(err)
	}
	return rs
}

// send publishes and wants it acknowledged.
func (p *person) send(topic, payload string, qos uint8, change ...func(*packet.Publish)) packet.ReasonCode {
	p.t.Helper()
	r, err := p.trySend(time.Minute, topic, payload, qos, change...)
	if err != nil || r.Failed() {
		p.t.Fatalf("publish to %s: %v, %v", topic, r, err)
	}
	return r
}

func (p *person) trySend(patience time.Duration, topic, payload string, qos uint8, change ...func(*packet.Publish)) (packet.ReasonCode, error) {
	pub := packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos}
	for _, f := range change {
		f(&pub)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, _, err := p.Publish(ctx, &pub)
	return r, err
}

func retained(p *packet.Publish) { p.Retain = true }

// expect wants these payloads next, in order.
func (p *person) expect(payloads ...string) {
	p.t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for _, want := range payloads {
		select {
		case m := <-p.Messages():
			if m == nil || string(m.Payload) != want {
				p.t.Fatalf("came %v, want %q", m, want)
			}
		case <-late.C:
			p.t.Fatalf("%q did not come", want)
		}
	}
}

// expectAll wants the payloads in any order, and allows them to come again: in
// the moment of a heal both sides of a session take messages in, so that some
// pass others, and a copy may come twice (QoS 1). None may be missing.
func (p *person) expectAll(payloads ...string) {
	p.t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	missing := map[string]bool{}
	for _, want := range payloads {
		missing[want] = true
	}
	for len(missing) > 0 {
		select {
		case m := <-p.Messages():
			if m == nil {
				p.t.Fatalf("the connection ended; missing: %v", missing)
			}
			delete(missing, string(m.Payload))
		case <-late.C:
			p.t.Fatalf("did not come: %v", missing)
		}
	}
}

// expectNothing wants nothing to come before a message that is sent now.
func (p *person) expectNothing(by *person) {
	p.t.Helper()
	p.subscribe(1, "mark/"+p.ClientID())
	by.send("mark/"+p.ClientID(), "mark", 1)
	p.expect("mark")
}

func (p *person) unsubscribe(filter string) ([]packet.ReasonCode, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return p.Unsubscribe(ctx, &packet.Unsubscribe{Filters: [][]byte{[]byte(filter)}})
}
