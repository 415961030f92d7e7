package registrar

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"

	"tombolo/internal/wire"
)

// world is some nodes, the network between them and their brokers, in one
// goroutine and on one heap of events. Owned by one test.
type world struct {
	r       *rand.Rand
	now     int64
	nodes   []*node // id 1 is the first
	events  events
	order   uint64
	cut     map[[2]wire.NodeID]bool // one way each
	chaos   bool                    // messages are lost, doubled and overtake each other
	quorum  bool
	open    bool // registering stays open for everybody during a split
	granted map[wire.Epoch]string
	lastOf  map[wire.Client]wire.Epoch
	last    map[[2]wire.NodeID]int64 // when the last message of a pair arrives
	plant   func(*Core)
	hasty   bool // brokers say that a client is closed before it is
	broken  []string
}

// node is one core with a broker that only knows who is connected.
type node struct {
	w         *world
	id        wire.NodeID
	core      *Core
	hlc       uint64
	connected map[wire.Client]wire.Epoch
	attaching map[wire.Client]wire.Epoch
	released  map[wire.Client]wire.Epoch
	calls     map[uint64]call
	next      uint64
	synced    map[wire.NodeID]bool
	stalled   int64 // until then nothing happens here
}

type call struct {
	client wire.Client
	limit  int64
}

type event struct {
	at    int64
	order uint64
	node  *node // nil: of the world
	run   func()
}

type events []event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].order < h[j].order
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(event)) }
func (h *events) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func newWorld(seed uint64, n int) *world {
	w := &world{
		r: rand.New(rand.NewPCG(seed, 7)), now: 1_000_000, cut: map[[2]wire.NodeID]bool{},
		granted: map[wire.Epoch]string{}, lastOf: map[wire.Client]wire.Epoch{}, last: map[[2]wire.NodeID]int64{}, plant: func(*Core) {},
	}
	for i := range n {
		x := &node{
			w: w, id: wire.NodeID(i + 1), core: NewCore(wire.NodeID(i + 1)), connected: map[wire.Client]wire.Epoch{},
			attaching: map[wire.Client]wire.Epoch{}, released: map[wire.Client]wire.Epoch{}, calls: map[uint64]call{}, synced: map[wire.NodeID]bool{},
		}
		w.nodes = append(w.nodes, x)
	}
	for _, x := range w.nodes {
		for _, y := range w.nodes {
			x.synced[y.id] = true
		}
	}
	for _, x := range w.nodes {
		for _, y := range w.nodes {
			if y != x {
				x.step(func(e *Effects) { x.core.SetLinked(y.id, true, x.at(), e) })
			}
		}
		x.look()
		x.ticks()
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf("%d ms: ", w.now-1_000_000)+fmt.Sprintf(format, args...))
}

func (w *world) after(ms int64, n *node, run func()) {
	w.order++
	heap.Push(&w.events, event{w.now + ms, w.order, n, run})
}

// run lets time pass.
func (w *world) run(ms int64) {
	for end := w.now + ms; ; {
		if len(w.events) == 0 || w.events[0].at > end {
			w.now = end
			return
		}
		ev := heap.Pop(&w.events).(event)
		if ev.node != nil && ev.node.stalled > ev.at {
			ev.at = ev.node.stalled // in the order in which they came
			heap.Push(&w.events, ev)
			continue
		}
		w.now = ev.at
		ev.run()
	}
}

func (x *node) at() At {
	x.hlc = max(x.hlc+1, uint64(x.w.now)<<16)
	return At{Now: x.w.now, Stamp: x.hlc}
}

func (x *node) ticks() {
	x.w.after(TickEvery.Milliseconds(), x, func() {
		x.step(func(e *Effects) { x.core.Tick(x.at(), e) })
		x.overdue()
		x.ticks()
	})
}

// overdue finds registrations that nobody answered.
func (x *node) overdue() {
	for n, c := range x.calls {
		if x.w.now > c.limit {
			x.w.fail("node %d: call %d for %s is not answered", x.id, n, c.client.ID)
			delete(x.calls, n)
		}
	}
}

// step runs the core and does what it wants.
func (x *node) step(fn func(e *Effects)) {
	e := &Effects{}
	fn(e)
	if err := x.core.check(x.w.now); err != "" {
		x.w.fail("node %d: %s", x.id, err)
	}
	x.w.plant(x.core)
	for _, m := range e.Send {
		x.w.send(x.id, m)
	}
	for _, r := range e.Release {
		x.w.after(x.w.r.Int64N(60), x, func() { x.release(r) })
	}
	for _, a := range e.Answers {
		x.answered(a)
	}
	for _, p := range e.Synced {
		x.synced[p] = x.w.passes(x.id, p)
	}
}

// release is what the broker does: what is about to connect is closed when it
// has.
func (x *node) release(r Releasing) {
	if _, busy := x.attaching[r.Client]; busy {
		x.w.after(10, x, func() { x.release(r) })
		return
	}
	if compare(x.released[r.Client], r.Epoch) < 0 {
		x.released[r.Client] = r.Epoch
	}
	old, had := x.connected[r.Client]
	if had && compare(old, r.Epoch) < 0 {
		wait := int64(0)
		if x.w.hasty {
			wait = 300
		}
		x.w.after(wait, x, func() {
			if x.connected[r.Client] == old {
				delete(x.connected, r.Client)
			}
		})
		if !x.w.hasty {
			delete(x.connected, r.Client)
		}
	}
	x.step(func(e *Effects) { x.core.ReleaseDone(r.Token, old, had, true, x.at(), e) })
}

func (x *node) ask(k wire.Client) {
	x.next++
	n := x.next
	x.calls[n] = call{k, x.w.now + AnswerMax.Milliseconds() + 2*TickEvery.Milliseconds()}
	q := Request{Client: k, Bound: true}
	x.step(func(e *Effects) { x.core.Ask(n, q, x.at(), e) })
}

func (x *node) answered(a Answer) {
	if _, ok := x.calls[a.Call]; !ok {
		x.w.fail("node %d: call %d is answered again", x.id, a.Call)
		return
	}
	delete(x.calls, a.Call)
	if a.Denied != nil {
		return
	}
	x.w.grants(x, a)
	delete(x.connected, a.Client) // whoever is granted closes its own old connection
	if compare(x.attaching[a.Client], a.Grant.Epoch) < 0 {
		x.attaching[a.Client] = a.Grant.Epoch
	}
	x.w.after(x.w.r.Int64N(80), x, func() {
		late := x.attaching[a.Client] != a.Grant.Epoch // another CONNECT came meanwhile
		if !late {
			delete(x.attaching, a.Client)
		}
		if late || compare(x.released[a.Client], a.Grant.Epoch) > 0 || compare(x.connected[a.Client], a.Grant.Epoch) > 0 || x.w.r.IntN(20) == 0 {
			x.step(func(e *Effects) { x.core.Gone(a.Client, a.Grant.Epoch, x.at(), e) })
			return
		}
		x.connected[a.Client] = a.Grant.Epoch
		x.step(func(e *Effects) { x.core.Connected(a.Client, a.Grant.Epoch, true, x.at(), e) })
	})
}

func (x *node) leave(k wire.Client) {
	if epoch, ok := x.connected[k]; ok {
		delete(x.connected, k)
		x.step(func(e *Effects) { x.core.Gone(k, epoch, x.at(), e) })
	}
}

// grants holds each grant to R17: an epoch is granted once, and nobody of the
// same view holds the client.
func (w *world) grants(x *node, a Answer) {
	if who, again := w.granted[a.Grant.Epoch]; again {
		w.fail("epoch %v is granted to node %d for %s, and was for %s", a.Grant.Epoch, x.id, a.Client.ID, who)
	}
	w.granted[a.Grant.Epoch] = a.Client.ID
	if w.chaos {
		return
	}
	for _, y := range w.nodes {
		if y == x || y.core.hash != x.core.hash {
			continue
		}
		if _, ok := y.connected[a.Client]; ok {
			w.fail("%s is granted to node %d, and connected at node %d of the same view", a.Client.ID, x.id, y.id)
		}
	}
}

// passes says whether a pair can talk both ways.
func (w *world) passes(a, b wire.NodeID) bool {
	return !w.cut[[2]wire.NodeID{a, b}] && !w.cut[[2]wire.NodeID{b, a}]
}

// send delivers a message: in order and at last, or in chaos as it comes.
func (w *world) send(from wire.NodeID, m Message) {
	v, err := Parse(m.Type, m.Body)
	if err != nil {
		w.fail("node %d sends %s: %v", from, m.Type, err)
		return
	}
	pair := [2]wire.NodeID{from, m.To}
	copies := 1
	if w.chaos {
		copies = []int{0, 1, 1, 1, 1, 1, 1, 1, 2, 1}[w.r.IntN(10)]
	}
	for range copies {
		delay := 1 + w.r.Int64N(20)
		if w.chaos && w.r.IntN(5) == 0 {
			delay += w.r.Int64N(400)
		}
		at := w.now + delay
		if !w.chaos {
			at = max(at, w.last[pair])
			w.last[pair] = at
		}
		w.after(at-w.now, w.nodes[m.To-1], func() { w.arrive(pair, v) })
	}
}

func (w *world) arrive(pair [2]wire.NodeID, m any) {
	x := w.nodes[pair[1]-1]
	if w.cut[pair] {
		if !w.chaos { // the stream goes on after the cut
			at := max(w.now+50, w.last[pair])
			w.last[pair] = at
			w.after(at-w.now, x, func() { w.arrive(pair, m) })
		}
		return
	}
	x.step(func(e *Effects) { x.core.Receive(pair[0], m, x.at(), e) })
}

// look is the detector: it sees at once or later what there is, and lets a
// peer in again when the registries agree (R28).
func (x *node) look() {
	v := View{Reachable: []wire.NodeID{x.id}, Members: len(x.w.nodes), Quorum: x.w.quorum}
	for _, y := range x.w.nodes {
		if y == x {
			continue
		}
		if !x.w.passes(x.id, y.id) || y.stalled > x.w.now {
			x.synced[y.id] = false
		}
		if x.synced[y.id] {
			v.Reachable = append(v.Reachable, y.id)
		}
	}
	slices.Sort(v.Reachable)
	v.Open = x.w.open || len(v.Reachable) == len(x.w.nodes) || x.w.quorum && 2*len(v.Reachable) > len(x.w.nodes)
	for pair, cut := range x.w.cut {
		v.Split = v.Split || cut && pair[0] != pair[1]
	}
	x.step(func(e *Effects) { x.core.SetView(v, x.at(), e) })
	x.w.after(20+x.w.r.Int64N(300), x, x.look)
}
