package replica

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// testPolicy: keys that begin with 's' are sets, all others registers.
type testPolicy struct{}

func (testPolicy) Set(key []byte) bool                   { return key[0] == 's' }
func (testPolicy) Rank([]byte, Value) (high, low uint64) { return 0, 0 }
func (testPolicy) Admit(_ []byte, _ func() []Value, next []byte) ([]byte, error) {
	return next, nil
}

// node is one store of a test cluster. Owned by the test's goroutine.
type node struct {
	id     uint64
	db     *kv.Memory
	core   *Replica
	ready  []Ready // taken, not yet committed
	writes []made  // not yet committed
	skew   time.Duration
	taken  uint64
	events map[EventKind]int
}

// made is one write: which dots it overwrote is what the oracle needs to know.
type made struct {
	seq   uint64
	key   string
	dot   dvv.Dot
	value string // "" is a delete
	over  []dvv.Dot
}

// cluster is several stores and the network between them, driven by one
// generator. Owned by the test's goroutine.
type cluster struct {
	t     *testing.T
	r     *rand.Rand
	seed  uint64
	now   time.Time
	nodes []*node
	cut   map[[2]int]bool
	wire  []wired
	loss  int // percent
	log   []made
	tune  func(c *Config)

	rotten bool // disks are damaged: records of them that cannot be read are no fault
}

type wired struct {
	from, to int
	frame    []byte
}

func newCluster(t *testing.T, seed uint64, size int, tune func(c *Config)) *cluster {
	c := &cluster{
		t: t, r: rand.New(rand.NewPCG(seed, 7)), seed: seed, tune: tune,
		now: time.UnixMilli(1_700_000_000_000), cut: map[[2]int]bool{},
	}
	for i := range size {
		n := &node{id: uint64(i + 1), db: kv.NewMemory(), events: map[EventKind]int{}}
		c.nodes = append(c.nodes, n)
		c.start(n)
	}
	for _, n := range c.nodes {
		c.members(n, 1, size)
	}
	c.link()
	return c
}

func (c *cluster) members(n *node, version uint64, size int) {
	var list []Member
	for i := range size {
		list = append(list, Member{ID: uint64(i + 1)})
	}
	n.core.SetMembers(c.now, version, list)
}

func (c *cluster) config(n *node) Config {
	cfg := Config{
		Node: n.id, Policy: testPolicy{}, Rand: c.r.Uint64,
		ExchangeEvery: 100 * time.Millisecond, CollectEvery: 500 * time.Millisecond,
		ProveWait: time.Second, SilenceMax: 500 * time.Millisecond, ChunkBytes: 200,
	}
	if c.tune != nil {
		c.tune(&cfg)
	}
	return cfg
}

func (c *cluster) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("seed %d: %s\nrun it alone: go test ./metadata/replica -run '%s' -seed %d", c.seed, fmt.Sprintf(format, args...), c.t.Name(), c.seed)
}

func (c *cluster) start(n *node) {
	core, err := Open(n.db, c.config(n), c.now)
	if err != nil {
		c.fatalf("node %d: %v", n.id, err)
	}
	n.core, n.ready, n.writes = core, nil, nil
	c.take(n)
	for len(n.ready) > 0 {
		c.commit(n)
	}
}

// crash forgets what was not committed; messages of the old opening may still
// arrive.
func (c *cluster) crash(n *node, clean bool) {
	if clean {
		n.core.Stop()
		c.take(n)
		for len(n.ready) > 0 {
			c.commit(n)
		}
	}
	n.core.Release()
	c.start(n)
	c.link()
}

func (c *cluster) link() {
	for i, n := range c.nodes {
		for j, m := range c.nodes {
			if i == j {
				continue
			}
			if c.cut[[2]int{i, j}] {
				n.core.PeerDown(c.now, m.id)
			} else if p := n.core.peer(m.id); p != nil && !p.up {
				n.core.PeerUp(c.now, m.id)
			}
		}
	}
}

// take moves the core's effects into the queue for the disk.
func (c *cluster) take(n *node) {
	if ready, ok := n.core.Ready(); ok {
		for _, e := range ready.Events {
			n.events[e.Kind]++
			if e.Kind == EventBadFrame || e.Kind == EventDamaged && !c.rotten {
				c.fatalf("node %d: %v: %s", n.id, e.Kind, e.Text)
			}
		}
		n.ready = append(n.ready, ready)
		n.taken = ready.Seq
	}
}

// commit makes the oldest batch durable, then lets its messages go.
func (c *cluster) commit(n *node) {
	if len(n.ready) == 0 {
		return
	}
	ready := n.ready[0]
	n.ready = n.ready[1:]
	if err := n.db.Write(ready.Batch, true); err != nil {
		c.fatalf("node %d: commit: %v", n.id, err)
	}
	for len(n.writes) > 0 && n.writes[0].seq <= ready.Seq {
		c.log = append(c.log, n.writes[0])
		n.writes = n.writes[1:]
	}
	for _, m := range ready.Messages {
		if len(m.Frame) > FrameBytesMax {
			c.fatalf("node %d sends a frame of %d bytes", n.id, len(m.Frame))
		}
		c.wire = append(c.wire, wired{from: int(n.id - 1), to: int(m.To - 1), frame: m.Frame})
	}
	n.core.Committed(ready.Seq) // from now on the list of messages is the core's again
}

// write makes one change at n and remembers it for the oracle.
func (c *cluster) write(n *node, key string, value string) {
	if n.core.Phase() != Serving {
		return
	}
	full := objectKey([]byte(key))
	old, err := n.core.get(full)
	if err != nil {
		c.fatalf("get: %v", err)
	}
	before := n.core.own
	op := Op{Key: full, Value: []byte(value), Delete: value == ""}
	if err := n.core.Write(c.now.Add(n.skew), []Op{op}); err != nil {
		c.fatalf("write: %v", err)
	}
	if n.core.own == before {
		return
	}
	w := made{seq: n.taken + 1, key: key, value: value, dot: dvv.Dot{Actor: n.core.actor, Counter: n.core.own}}
	for _, s := range old.Siblings() {
		w.over = append(w.over, s.Dot)
	}
	n.writes = append(n.writes, w)
}

// deliver hands one message over, any of those on the wire.
func (c *cluster) deliver() {
	if len(c.wire) == 0 {
		return
	}
	i := 0
	if c.r.IntN(4) == 0 {
		i = c.r.IntN(len(c.wire))
	}
	m := c.wire[i]
	if c.r.IntN(20) != 0 || c.loss == 0 { // else it comes again
		c.wire = slices.Delete(c.wire, i, i+1)
	}
	if c.cut[[2]int{m.from, m.to}] || c.r.IntN(100) < c.loss {
		return
	}
	to := c.nodes[m.to]
	to.core.Receive(c.now.Add(to.skew), uint64(m.from+1), m.frame)
	c.take(to)
}

// chaos is one step of anything.
func (c *cluster) chaos(crashes bool) {
	n := c.nodes[c.r.IntN(len(c.nodes))]
	key := fmt.Sprintf("%c%d", "sr"[c.r.IntN(2)], c.r.IntN(5))
	switch k := c.r.IntN(100); {
	case k < 14:
		c.write(n, key, fmt.Sprintf("v%d", c.r.IntN(1e6)))
	case k < 20:
		c.write(n, key, "")
	case k < 55:
		c.deliver()
	case k < 75:
		c.take(n)
		c.commit(n)
	case k < 95:
		c.tick(n, time.Duration(c.r.IntN(60))*time.Millisecond)
	case k < 97:
		a, b := c.r.IntN(len(c.nodes)), c.r.IntN(len(c.nodes))
		if a != b {
			c.cut[[2]int{a, b}] = !c.cut[[2]int{a, b}]
			c.link()
		}
	case k < 98 && crashes:
		c.crash(n, c.r.IntN(2) == 0)
	}
	if len(c.wire) > 400 {
		c.wire = c.wire[200:]
	}
}

func (c *cluster) tick(n *node, d time.Duration) {
	c.now = c.now.Add(d)
	n.core.Tick(c.now.Add(n.skew))
	for n.core.Busy() {
		n.core.Work(c.now.Add(n.skew))
	}
	c.take(n)
}

// settle heals the network and runs until nothing moves, at most limit rounds.
func (c *cluster) settle(limit int) {
	c.cut, c.loss = map[[2]int]bool{}, 0
	c.link()
	for round := 0; round < limit; round++ {
		for _, n := range c.nodes {
			c.tick(n, 40*time.Millisecond)
			for len(n.ready) > 0 {
				c.commit(n)
			}
		}
		for len(c.wire) > 0 {
			c.deliver()
			for _, n := range c.nodes {
				for n.core.Busy() {
					n.core.Work(c.now)
				}
				c.take(n)
				for len(n.ready) > 0 {
					c.commit(n)
				}
			}
		}
		if round > 60 && c.quiet() {
			return
		}
	}
	var states string
	for _, n := range c.nodes {
		states += fmt.Sprintf("\nnode %d: %v %v clock %v digest %x garbage %d retired %v need %v", n.id, n.core.phase, n.core.actor, n.core.clock, n.core.digest, n.core.garbage, n.core.retired, n.core.peers[0].need)
		for _, p := range n.core.peers {
			states += fmt.Sprintf("\n   peer %d est %v proved %v nonce %x of %x challenge %x hello in %v row %v cand %v in %v", p.id, p.established(), p.proved, p.nonce, n.core.nonce, p.challenge, p.helloAt.Sub(c.now), p.row, p.candidate, p.incoming)
		}
	}
	c.fatalf("no quiescence after %d rounds (I16, I23)%s", limit, states)
}

// quiet says whether all agree and all garbage is gone.
func (c *cluster) quiet() bool {
	first := c.nodes[0].core
	for _, n := range c.nodes {
		residual, _ := countArea(n.db, areaResidual)
		if n.core.phase != Serving || !n.core.clock.Equal(first.clock) || n.core.digest != first.digest || n.core.garbage != 0 || residual != 0 {
			return false
		}
	}
	return true
}

// check holds every store to itself, to the others, and to the oracle.
func (c *cluster) check(oracle bool) {
	var first [][]byte
	for i, n := range c.nodes {
		snapshot, _ := n.db.Snapshot()
		faults, err := Verify(snapshot, testPolicy{})
		if err != nil || len(faults) > 0 {
			c.fatalf("node %d: verify: %v, %v", n.id, faults, err)
		}
		var dump [][]byte
		if err := Dump(snapshot, testPolicy{}, func(line []byte) error {
			dump = append(dump, slices.Clone(line))
			return nil
		}); err != nil {
			c.fatalf("dump: %v", err)
		}
		snapshot.Release()
		if i == 0 {
			first = dump
		} else if !slices.EqualFunc(dump, first, bytes.Equal) {
			c.fatalf("node %d and node 1 differ:\n%q\n%q", n.id, dump, first)
		}
	}
	if oracle {
		c.compare()
	}
}

// compare holds the outcome to the history: live is what was put, committed, and
// overwritten by nothing that was committed (I13–I15, I17).
func (c *cluster) compare() {
	want := map[string]map[dvv.Dot]string{}
	seen := map[dvv.Dot]bool{}
	for _, w := range c.log {
		if seen[w.dot] {
			c.fatalf("dot %v was issued twice (I1)", w.dot)
		}
		seen[w.dot] = true
		if want[w.key] == nil {
			want[w.key] = map[dvv.Dot]string{}
		}
		if w.value != "" || w.key[0] == 'r' {
			want[w.key][w.dot] = w.value
		}
	}
	for _, w := range c.log {
		for _, d := range w.over {
			delete(want[w.key], d)
		}
	}
	for key, live := range want {
		record, err := c.nodes[0].db.Get(objectKey([]byte(key)))
		got := map[dvv.Dot]string{}
		if err == nil {
			list, err := Siblings(record)
			if err != nil {
				c.fatalf("%v", err)
			}
			for _, v := range list {
				got[v.Dot] = string(v.Bytes)
			}
		}
		tomb := slices.Contains(slices.Collect(maps.Values(live)), "")
		if !tomb && !maps.Equal(got, live) {
			c.fatalf("key %s: live %v, and by its history %v", key, got, live)
		}
		for d, v := range got {
			if w, ok := live[d]; !ok || w != v {
				c.fatalf("key %s: %v = %q is live and by its history %v are (I14)", key, d, v, live)
			}
		}
	}
}
