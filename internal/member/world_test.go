package member

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tombolo/internal/wire"
)

// world is some cores in one goroutine, with a network that loses, repeats and
// reorders, links that fall, and processes that die. Owned by the test.
type world struct {
	t        testing.TB
	seed     uint64
	rnd      *rand.Rand
	now      int64
	nodes    []*node
	net      []packet
	lossy    bool
	expected int
	forced   bool // an operator has forced a record: versions may fork
	plant    func(from wire.NodeID, m *wire.Members)
	forget   bool // planted: votes do not outlive a crash

	effective map[[2]uint64]uint64            // (origin, version) → nonce
	voted     map[uint64]map[wire.NodeID]bool // nonce → who confirmed it
	lists     map[uint64]Record               // nonce → record
	faults    []string
	ends      map[uint64]error
	requests  uint64
}

type packet struct {
	from, to wire.NodeID
	body     []byte
	due      int64
}

type node struct {
	self    wire.Member
	core    *core
	disk    []byte
	cut     bool
	seeking bool
	dead    bool
	links   map[wire.NodeID]bool
}

const tickMS = 10

func newWorld(t testing.TB, seed uint64, n int) *world {
	w := &world{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), effective: map[[2]uint64]uint64{},
		voted: map[uint64]map[wire.NodeID]bool{}, lists: map[uint64]Record{}, ends: map[uint64]error{}}
	for i := range n {
		id := wire.NodeID(i + 1)
		w.nodes = append(w.nodes, &node{self: wire.Member{ID: id, Name: fmt.Sprintf("n%d", id), Link: "l", Gossip: "g"}, links: map[wire.NodeID]bool{}, dead: true})
	}
	for _, n := range w.nodes {
		w.start(n)
	}
	return w
}

func (w *world) settings() settings {
	return settings{interval: 2 * tickMS, requestTimeout: 400 * tickMS, rand: w.rnd.Uint64, expected: w.expected}
}

// start begins a process from its disk.
func (w *world) start(n *node) {
	var k kept
	if n.disk != nil {
		var err error
		if k, err = parseKept(n.disk); err != nil {
			w.t.Fatalf("seed %d: what %s kept cannot be read: %v", w.seed, n.self.Name, err)
		}
	}
	if w.lossy && n.self.ID == 2 && k.record.Version > 0 && w.rnd.IntN(6) == 0 {
		k = kept{record: k.record, abstains: true} // its file was lost, the table has the record
		n.disk = appendKept(nil, &k)
	}
	if w.forget {
		k.promised, k.accepted, k.value = ballot{}, ballot{}, nil
	}
	clear(n.links)
	n.core, n.dead = newCore(w.settings(), n.self, k), false
	if n.seeking {
		w.step(n, n.core.begin)
	}
	w.relink()
}

// formed makes all nodes members of one cluster from the start.
func (w *world) formed() {
	r := Record{Version: 1, Nonce: 1, Origin: 1}
	for _, n := range w.nodes {
		r.Members = append(r.Members, n.self)
	}
	for _, n := range w.nodes {
		w.crash(n)
		n.disk = appendKept(nil, &kept{record: r})
		w.start(n)
	}
	w.effective[[2]uint64{1, 1}] = 1
	w.lists[1] = r
}

func (w *world) crash(n *node) {
	n.dead = true
	w.relink()
}

// relink brings the links up that can be, and down the others.
func (w *world) relink() {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a == b {
				continue
			}
			want := !a.dead && !b.dead && a.cut == b.cut
			if a.dead {
				clear(a.links)
			} else if a.links[b.self.ID] != want {
				a.links[b.self.ID] = want
				w.step(a, func() {
					if want {
						a.core.up(b.self.ID)
					} else {
						a.core.down(b.self.ID)
					}
				})
			}
		}
	}
}

// step runs an input at a node; now and then the process dies within.
func (w *world) step(n *node, input func()) {
	if n.dead {
		return
	}
	var out effects
	n.core.step(w.now, w.now, &out, input)
	if err := n.core.kept.check(); err != nil {
		w.fault("%s keeps what it may not: %v", n.self.Name, err)
	}
	dies := w.lossy && w.rnd.IntN(100) == 0
	if dies && w.rnd.IntN(2) == 0 {
		w.crash(n) // before anything is durable: nobody hears of it
		return
	}
	if out.save {
		n.disk = appendKept(nil, &n.core.kept)
		for _, r := range out.changed {
			w.observe(n, r)
		}
		w.observe(n, n.core.kept.record)
	}
	if dies {
		w.crash(n)
		return
	}
	for _, e := range out.send {
		w.post(n, e)
	}
	for _, e := range out.ended {
		w.ends[e.request] = e.err
	}
}

func (w *world) post(n *node, e envelope) {
	if !n.links[e.to] {
		return
	}
	if w.lossy && e.m.Step == wire.MembersEffective && w.rnd.IntN(4) > 0 {
		return // the frame whose loss leaves a decision unheard of
	}
	if w.plant != nil {
		w.plant(n.self.ID, &e.m)
	}
	for range 2 {
		if w.lossy && w.rnd.IntN(3+int(w.seed%8)) == 0 {
			continue
		}
		p := packet{n.self.ID, e.to, wire.AppendMembers(nil, &e.m), w.now + 1}
		if w.lossy {
			p.due += w.rnd.Int64N(1 + int64(w.seed%7)*2*tickMS)
		}
		w.net = append(w.net, p)
		if !w.lossy || w.rnd.IntN(4) > 0 {
			return
		}
	}
}

func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf("at %d: ", w.now)+fmt.Sprintf(format, args...))
}

// observe holds what became durable against R24: one record a version, and a
// majority of the version before that confirmed it.
func (w *world) observe(n *node, r Record) {
	k := &n.core.kept
	if k.value != nil {
		if w.voted[k.value.Nonce] == nil {
			w.voted[k.value.Nonce] = map[wire.NodeID]bool{}
		}
		w.voted[k.value.Nonce][n.self.ID] = true
	}
	if r.Version == 0 {
		return
	}
	key := [2]uint64{uint64(r.Origin), r.Version}
	other, known := w.effective[key]
	switch {
	case w.forced:
		return
	case known && other != r.Nonce:
		w.fault("version %d is in effect twice (R24): %s has nonce %x, another node %x", r.Version, n.self.Name, r.Nonce, other)
		return
	case known:
		return
	}
	w.effective[key], w.lists[r.Nonce] = r.Nonce, r
	before, ok := w.lists[w.effective[[2]uint64{uint64(r.Origin), r.Version - 1}]]
	if r.Version == 1 {
		return
	}
	votes := map[wire.NodeID]bool{n.self.ID: before.has(n.self.ID)} // its own vote may be in the same write
	for id := range w.voted[r.Nonce] {
		votes[id] = before.has(id)
	}
	have := 0
	for _, in := range votes {
		if in {
			have++
		}
	}
	if !ok || have < before.majority() {
		w.fault("version %d is in effect at %s with %d confirmations of %d members (R24)", r.Version, n.self.Name, have, len(before.Members))
	}
}

// pass lets time go on by one tick.
func (w *world) pass() {
	w.now += tickMS
	slices.SortStableFunc(w.net, func(a, b packet) int { return cmp.Compare(a.due, b.due) })
	for len(w.net) > 0 && w.net[0].due <= w.now {
		p := w.net[0]
		w.net = w.net[1:]
		to := w.nodes[p.to-1]
		if !to.links[p.from] {
			continue
		}
		var m wire.Members
		if err := wire.ParseMembers(p.body, &m); err != nil {
			w.t.Fatalf("seed %d: a frame cannot be read: %v", w.seed, err)
		}
		w.step(to, func() { to.core.receive(p.from, &m) })
	}
	for _, n := range w.nodes {
		if n.dead {
			continue
		}
		if w.rnd.IntN(3) == 0 {
			w.gossip(n)
		}
		w.step(n, func() { n.core.tick() })
	}
}

// gossip shows a node those that it can find.
func (w *world) gossip(n *node) {
	var list []found
	for _, o := range w.nodes {
		if o == n || o.dead || !n.links[o.self.ID] || w.lossy && w.rnd.IntN(4) == 0 {
			continue
		}
		f := found{id: o.self.ID, name: o.self.Name, link: o.self.Link, formed: o.core.formed(), settled: o.core.seek.settled, origin: o.core.kept.record.Origin}
		if !f.formed {
			f.origin = o.core.kept.pledge
		}
		list = append(list, f)
	}
	w.step(n, func() { n.core.finds(list) })
}

// quiet heals everything and lets it settle.
func (w *world) quiet() {
	w.lossy = false
	for _, n := range w.nodes {
		n.cut = false
		if n.dead {
			w.start(n)
		}
	}
	w.relink()
	for range 600 {
		w.pass()
	}
}

// do runs a request to its end.
func (w *world) do(n *node, fn func(c *core, id uint64)) error {
	id := w.ask(n, fn)
	for range 600 {
		if err, ok := w.ends[id]; ok {
			return err
		}
		w.pass()
	}
	return fmt.Errorf("no end in sight: %s", n.core.why())
}

func (w *world) ask(n *node, fn func(c *core, id uint64)) uint64 {
	w.requests++
	id := w.requests
	w.step(n, func() { fn(n.core, id) })
	return id
}

// agree holds that all nodes have the highest record, those that were removed too.
func (w *world) agree() {
	var top *node
	for _, n := range w.nodes {
		if n.core.formed() && (top == nil || n.core.kept.record.above(&top.core.kept.record)) {
			top = n
		}
	}
	if top == nil {
		w.fault("nobody has a record")
		return
	}
	r := &top.core.kept.record
	for _, n := range w.nodes {
		if mine := &n.core.kept.record; mine.Version > 0 && !mine.same(r) {
			w.fault("after quiet %s holds version %d nonce %x (%s), %s version %d nonce %x (%s)", n.self.Name, mine.Version, mine.Nonce, describe(mine),
				top.self.Name, r.Version, r.Nonce, describe(r))
		}
	}
}

func (w *world) report() {
	w.t.Helper()
	for _, f := range w.faults {
		w.t.Errorf("seed %d: %s", w.seed, f)
	}
}
