package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/registrar"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/netsplit"
)

// mesh joins the brokers of one test as links would: what is sent passes
// through the codec, arrives in order on each stream, waits while its way is
// cut or paused, and is "in the spool" when it has waited for a while.
type mesh struct {
	t     *testing.T
	nodes []*rigNode
	dead  *rigNode // is not waited for; nil: none
	stop  chan struct{}
	wg    sync.WaitGroup
}

// confirmWait is after which time a message counts as spooled (R9).
const confirmWait = 20 * time.Millisecond

// hop is the way from one node to another. Guarded by mu.
type hop struct {
	from, to *rigNode
	mu       sync.Mutex
	cond     *sync.Cond
	pushing  sync.Mutex // before mu
	queues   map[wire.Stream][]*parcel
	paused   map[wire.Stream]bool
	down     bool // nothing passes
	ended    bool
	heads    int // cancels that the receiver has not taken in; they go before publishes
	seq      uint64
	// verdict, if not nil, ends publishes in the receiver's place.
	verdict func(*parcel) (Result, uint8, bool)
	sent    uint64 // routes
	taken   uint64
	carried []wire.Publish // publishes that were sent, parsed, bodies included
	late    []*parcel      // publishes that wait for a flush, as long as none comes
}

// parcel is one message on its way. Guarded by hop.mu.
type parcel struct {
	stream wire.Stream
	kind   wire.Type
	body   []byte
	ticket Ticket
	seq    uint64
}

var rigStreams = []wire.Stream{wire.StreamFast, wire.StreamControl, wire.StreamHead, wire.StreamPublish, wire.StreamMigration, streamRegistrar}

// streamRegistrar carries what is the registrar's, so that a test can hold up
// routes alone.
const streamRegistrar = 100

func (m *mesh) join(from, to *rigNode) *hop {
	h := &hop{from: from, to: to, queues: map[wire.Stream][]*parcel{}, paused: map[wire.Stream]bool{}}
	h.cond = sync.NewCond(&h.mu)
	for _, s := range rigStreams {
		m.wg.Go(func() { h.run(s) })
	}
	return h
}

func (h *hop) change(f func()) {
	h.mu.Lock()
	f()
	h.mu.Unlock()
	h.cond.Broadcast()
}

func (h *hop) run(s wire.Stream) {
	for {
		h.mu.Lock()
		for !h.ended && (len(h.queues[s]) == 0 || h.paused[s] || h.down || s == wire.StreamPublish && h.heads > 0) {
			h.cond.Wait()
		}
		if h.ended {
			h.mu.Unlock()
			return
		}
		p := h.queues[s][0]
		h.queues[s] = h.queues[s][1:]
		verdict := h.verdict
		h.mu.Unlock()
		h.deliver(p, verdict)
	}
}

func (h *hop) deliver(p *parcel, verdict func(*parcel) (Result, uint8, bool)) {
	b := h.to.current.Load()
	from := h.from.id
	switch p.kind {
	case wire.TypeRoutes:
		var m wire.Routes
		must(wire.ParseRoutes(p.body, &m))
		b.TakeRoutes(from, &m)
		h.change(func() { h.taken++ })
	case wire.TypeSettled:
		var x wire.Settled
		must(wire.ParseSettled(p.body, &x))
		b.TakeSettled(&x)
	case wire.TypeCancel:
		var c wire.Cancel
		must(wire.ParseCancel(p.body, &c))
		b.TakeCancel(from, &c)
		h.change(func() { h.heads-- })
	case wire.TypeFence:
		var f wire.Fence
		must(wire.ParseFence(p.body, &f))
		b.TakeFence(from, &f, func(res wire.Result, reason uint8) { go h.end(p, [...]Result{Stored, NoMatch, Refused}[res], reason) })
	case wire.TypeMigration:
		var m wire.Migration
		must(wire.ParseMigration(slices.Clone(p.body), &m))
		b.TakeMigration(from, 1, p.seq, &m, func(res wire.Result, reason uint8) {
			go h.end(p, [...]Result{Stored, NoMatch, Refused}[res], reason)
		})
	case wire.TypeRegister, wire.TypeGrant, wire.TypeDeny, wire.TypeRelease, wire.TypeReleased, wire.TypeClients:
		must(h.to.registrar.Load().Receive(from, p.kind, p.body))
	case wire.TypePublish:
		if verdict != nil {
			if res, reason, is := verdict(p); is {
				h.end(p, res, reason)
				return
			}
		}
		if p.stream == wire.StreamFast {
			must(b.TakeFast(from, slices.Clone(p.body)))
			b.Drained(from)
			return
		}
		var m wire.Publish
		must(wire.ParsePublish(slices.Clone(p.body), &m))
		res, reason, ok := b.TakeInstant(from, 1, p.seq, &m, func(_ uint64, res wire.Result, reason uint8) {
			go h.end(p, [...]Result{Stored, NoMatch, Refused}[res], reason)
		})
		b.Drained(from)
		if ok && res == wire.Later {
			return
		}
		if ok {
			go h.end(p, [...]Result{Stored, NoMatch, Refused}[res], reason)
			return
		}
		b.TakePublish(from, 1, p.seq, &m, func(res wire.Result, reason uint8) {
			go h.end(p, [...]Result{Stored, NoMatch, Refused}[res], reason)
		})
	}
}

// end tells the sender how a message ended, once.
func (h *hop) end(p *parcel, res Result, reason uint8) {
	h.mu.Lock()
	tk := p.ticket
	p.ticket = nil
	h.mu.Unlock()
	if tk != nil {
		tk.Ended(h.to.id, res, reason)
		h.from.current.Load().Drained(h.to.id)
	}
}

// push sends p, after what waits for a flush.
func (h *hop) push(p *parcel) {
	h.flush()
	h.put(p)
}

// later has p leave with the next flush.
func (h *hop) later(p *parcel) { h.change(func() { h.late = append(h.late, p) }) }

func (h *hop) flush() {
	h.pushing.Lock()
	defer h.pushing.Unlock()
	var list []*parcel
	h.change(func() { list, h.late = h.late, nil })
	for _, p := range list {
		h.put(p)
	}
}

func (h *hop) put(p *parcel) {
	h.change(func() {
		if p.stream == wire.StreamPublish || p.stream == wire.StreamMigration {
			h.seq++
			p.seq = h.seq
		}
		if p.kind == wire.TypePublish && p.stream == wire.StreamPublish {
			var m wire.Publish
			must(wire.ParsePublish(slices.Clone(p.body), &m))
			h.carried = append(h.carried, m)
		}
		if p.kind == wire.TypeRoutes {
			h.sent++
		}
		if p.stream == wire.StreamHead {
			h.heads++
		}
		h.queues[p.stream] = append(h.queues[p.stream], p)
	})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// fakeCluster is the Cluster of one node of a mesh. Guarded by mu.
type fakeCluster struct {
	n    *rigNode
	late atomic.Bool // Replicated ends with an error
	calm atomic.Bool // nothing goes to the spool for being slow
	mu   struct {
		sync.Mutex
		hops      map[wire.NodeID]*hop
		unreached map[wire.NodeID]bool
		full      map[wire.NodeID]bool // the spool for a node has no room
		loading   bool                 // no peer is known yet
		timeout   time.Duration
		alone     bool
		sequence  uint64
	}
}

func (f *fakeCluster) hopTo(id wire.NodeID) *hop {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.hops[id]
}

func (f *fakeCluster) reachable() (list []*hop) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, h := range f.mu.hops {
		if !f.mu.unreached[id] {
			list = append(list, h)
		}
	}
	return list
}

func (f *fakeCluster) Alone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mu.hops) == 0 || f.mu.alone
}

func (f *fakeCluster) Register(ctx context.Context, q Registration) (Grant, error) {
	g, err := f.n.registrar.Load().Register(ctx, registrar.Request{
		Client: clientName(q.Key), Seen: epochName(q.EpochSeen), Home: q.HomeSeen, CleanStart: q.CleanStart, Bound: q.Bound, IfIdle: q.IfIdle,
	})
	if err != nil {
		return Grant{}, &RegistrationError{Text: err.Error()}
	}
	return Grant{Epoch: rigEpoch(g.Epoch), OldHome: g.OldHome, OldEpoch: rigEpoch(g.OldEpoch), Closed: g.Closed}, nil
}

func (f *fakeCluster) Connected(k Key, e metadata.Epoch, bound bool) {
	f.n.registrar.Load().Connected(clientName(k), epochName(e), bound)
}

func (f *fakeCluster) Gone(k Key, e metadata.Epoch) {
	f.n.registrar.Load().Gone(clientName(k), epochName(e))
}

func clientName(k Key) wire.Client { return wire.Client{Mountpoint: k.Mountpoint, ID: k.ClientID} }

func epochName(e metadata.Epoch) wire.Epoch {
	return wire.Epoch{HLC: e.HLC, Node: wire.NodeID(e.Node)}
}

func rigEpoch(e wire.Epoch) metadata.Epoch { return metadata.Epoch{HLC: e.HLC, Node: uint64(e.Node)} }

// Release implements registrar.Home.
func (n *rigNode) Release(c wire.Client, e wire.Epoch, to wire.NodeID, done func(wire.Epoch, bool, error)) {
	n.b.Release(Key{c.Mountpoint, c.ID}, rigEpoch(e), to, func(old metadata.Epoch, existed bool, err error) {
		done(epochName(old), existed, err)
	})
}

// view tells the registrar of a node whom it reaches.
func (n *rigNode) view() {
	v := registrar.View{Reachable: []wire.NodeID{n.id}, Members: len(n.m.nodes), Open: n.gate.Now().Allows(netsplit.Register)}
	for _, h := range n.cluster.reachable() {
		v.Reachable = append(v.Reachable, h.to.id)
	}
	n.registrar.Load().SetView(v)
}

func (f *fakeCluster) Announce(r wire.Route) {
	f.routes(&wire.Routes{List: []wire.Route{r}})
}

func (f *fakeCluster) routes(m *wire.Routes) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.sequence++
	m.Sequence = f.mu.sequence
	body := wire.AppendRoutes(nil, m)
	for _, h := range f.mu.hops {
		h.push(&parcel{stream: wire.StreamControl, kind: wire.TypeRoutes, body: body})
	}
}

var errLate = errors.New("not in time")

// poll asks until ok, or until the timeout of the cluster is over.
func (f *fakeCluster) poll(done func(error), ok func() bool) {
	f.mu.Lock()
	timeout := f.mu.timeout
	f.mu.Unlock()
	f.n.m.wg.Go(func() {
		late := time.NewTimer(timeout)
		defer late.Stop()
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for !ok() {
			select {
			case <-look.C:
			case <-late.C:
				done(errLate)
				return
			case <-f.n.m.stop:
				return
			}
		}
		done(nil)
	})
}

func (f *fakeCluster) Announced(done func(error)) {
	need := map[wire.NodeID]uint64{}
	for _, h := range f.reachable() {
		h.mu.Lock()
		need[h.to.id] = h.sent
		h.mu.Unlock()
	}
	f.poll(done, func() bool {
		for _, h := range f.reachable() {
			h.mu.Lock()
			late := h.taken < need[h.to.id]
			h.mu.Unlock()
			if late {
				return false
			}
		}
		return true
	})
}

func (f *fakeCluster) Replicated(done func(error)) {
	f.mu.Lock()
	timeout := f.mu.timeout
	f.mu.Unlock()
	var once sync.Once
	end := func(err error) { once.Do(func() { done(err) }) }
	if f.late.Load() {
		go end(errLate)
		return
	}
	late := time.AfterFunc(timeout, func() { end(errLate) })
	f.n.meta.Replicated(func(err error) {
		late.Stop()
		end(err)
	})
}

func (f *fakeCluster) Post(to wire.NodeID, run []byte) (dropped int) {
	h := f.hopTo(to)
	if h == nil || h.isDown() {
		return wire.Frames(run)
	}
	for len(run) > 0 {
		n := wire.FrameSize(run)
		h.later(&parcel{stream: wire.StreamFast, kind: wire.TypePublish, body: slices.Clone(run[wire.HeaderBytes:n])})
		run = run[n:]
	}
	return 0
}

func (f *fakeCluster) Flush(to wire.NodeID) {
	if h := f.hopTo(to); h != nil {
		h.flush()
	}
}

func (h *hop) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

var errSpoolFull = errors.New("spool full")

// loads begins or ends the time in which no peer is known, as of a node that starts.
func (f *fakeCluster) loads(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.loading = on
}

func (f *fakeCluster) Send(to wire.NodeID, s wire.Stream, t wire.Type, body []byte, tk Ticket) error {
	return f.send(to, s, t, body, tk, (*hop).push)
}

func (f *fakeCluster) SendPublish(to wire.NodeID, body []byte, tk Ticket) error {
	return f.send(to, wire.StreamPublish, wire.TypePublish, body, tk, (*hop).later)
}

func (f *fakeCluster) send(to wire.NodeID, s wire.Stream, t wire.Type, body []byte, tk Ticket, push func(*hop, *parcel)) error {
	h := f.hopTo(to)
	f.mu.Lock()
	full, loading := f.mu.full[to], f.mu.loading
	f.mu.Unlock()
	if h == nil || full && h.isDown() || loading {
		return errSpoolFull
	}
	p := &parcel{stream: s, kind: t, body: body, ticket: tk}
	push(h, p)
	if s == wire.StreamPublish && !f.calm.Load() {
		time.AfterFunc(confirmWait, func() { h.end(p, InSpool, 0) })
	}
	return nil
}

func (f *fakeCluster) Spooled(to wire.NodeID, fn func(body []byte) bool) error {
	h := f.hopTo(to)
	h.mu.Lock()
	list := slices.Clone(h.queues[wire.StreamPublish])
	h.mu.Unlock()
	for _, p := range list {
		if !fn(p.body) {
			return nil
		}
	}
	return nil
}

// Unspooled implements Unspooled.
func (f *fakeCluster) Unspooled() bool {
	for _, o := range f.n.m.nodes {
		if h := f.hopTo(o.id); h != nil {
			h.mu.Lock()
			n := len(h.queues[wire.StreamPublish])
			h.mu.Unlock()
			if n > 0 {
				return false
			}
		}
	}
	return true
}

func (f *fakeCluster) Admits(to wire.NodeID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.mu.full[to]
}

func (f *fakeCluster) Reachable(to wire.NodeID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.mu.unreached[to]
}

// eventually polls cond until it holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !cond() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("did not happen: %s", what)
		}
	}
}
