package metadata

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// network carries frames between stores of one process and may lose some.
// Guarded by mu.
type network struct {
	mu struct {
		sync.Mutex
		stores map[uint64]*Store
		cut    map[[2]uint64]bool // one way
		drop   func(from, to uint64, frame []byte) bool
		loss   int // percent
		rand   *rand.Rand
		lost   int
	}
}

// port is one store's end of a network.
type port struct {
	n    *network
	from uint64
}

func (p port) Send(to uint64, frame []byte) {
	p.n.mu.Lock()
	s := p.n.mu.stores[to]
	lost := p.n.mu.cut[[2]uint64{p.from, to}] || p.n.mu.rand.IntN(100) < p.n.mu.loss ||
		p.n.mu.drop != nil && p.n.mu.drop(p.from, to, frame)
	if lost {
		p.n.mu.lost++
	}
	p.n.mu.Unlock()
	if s != nil && !lost {
		s.Deliver(p.from, frame)
	}
}

func newNetwork(seed uint64) *network {
	n := &network{}
	n.mu.stores, n.mu.cut = map[uint64]*Store{}, map[[2]uint64]bool{}
	n.mu.rand = rand.New(rand.NewPCG(seed, 3))
	return n
}

// lose has the network lose so many of a hundred frames.
func (n *network) lose(percent int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.loss = percent
}

// oneWay cuts what from sends to to, or mends it.
func (n *network) oneWay(from, to uint64, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.cut[[2]uint64{from, to}] = cut
}

// dropping has the network lose the frames that drop picks.
func (n *network) dropping(drop func(from, to uint64, frame []byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.drop = drop
}

// start opens a store on the network; nobody is linked yet.
func (n *network) start(t *testing.T, id uint64, db kv.DB, tune func(*Config)) *Store {
	t.Helper()
	c := Config{Node: id, Transport: port{n, id}, Replica: replica.Config{ExchangeEvery: time.Hour}}
	if tune != nil {
		tune(&c)
	}
	s := open(t, db, c)
	n.mu.Lock()
	n.mu.stores[id] = s
	n.mu.Unlock()
	return s
}

// linked is two or three stores that have a session with each other. Probes are
// off: what arrives does so because somebody waits for it.
func linked(t *testing.T, n *network, count int) []*Store {
	t.Helper()
	var list []*Store
	for id := uint64(1); id <= uint64(count); id++ {
		list = append(list, n.start(t, id, kv.OpenMemory(), nil))
	}
	join(t, list)
	return list
}

// join makes members of stores 1, 2, … and links them.
func join(t *testing.T, list []*Store) {
	t.Helper()
	var members []Member
	for i := range list {
		members = append(members, Member{ID: uint64(i + 1)})
	}
	for i, s := range list {
		s.SetMembers(1, members)
		for j := range list {
			if i != j {
				s.PeerUp(uint64(j + 1))
			}
		}
	}
	for _, s := range list {
		waitReplicated(t, s)
	}
}

func put(t *testing.T, s *Store, key, value string) {
	t.Helper()
	done, after := wait(t)
	s.Put(TableConfig, []byte(key), []byte(value), done)
	after()
}

func has(t *testing.T, s *Store, key string) bool {
	t.Helper()
	_, ok, err := s.Get(TableConfig, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func waitReplicated(t *testing.T, s *Store) {
	t.Helper()
	done, after := wait(t)
	s.Replicated(done)
	after()
}

// rounds has every store take in what came for it, and answer, many times.
func rounds(t *testing.T, list ...*Store) {
	t.Helper()
	for range 20 {
		for _, s := range list {
			if _, err := s.stable(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReplicatedMeansHeld: when it is done every linked member holds the write,
// whatever is lost on the way (R6, R8, R29).
func TestReplicatedMeansHeld(t *testing.T) {
	for _, loss := range []int{0, 10} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			n := newNetwork(uint64(loss))
			list := linked(t, n, 3)
			n.lose(loss)
			for i := range 6 {
				s := list[i%3]
				key := fmt.Sprint("key", i)
				put(t, s, key, "v")
				waitReplicated(t, s)
				for j, o := range list {
					if !has(t, o, key) {
						t.Fatalf("write %d: store %d lacks %s", i, j+1, key)
					}
				}
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			if loss > 0 && n.mu.lost == 0 {
				t.Error("nothing was lost: the test shows nothing")
			}
		})
	}
}

// TestReplicatedBatches: many waiters are one frame for each commit, and all are
// answered.
func TestReplicatedBatches(t *testing.T) {
	n := newNetwork(1)
	list := linked(t, n, 2)
	var left sync.WaitGroup
	var failed atomic.Int64
	before := list[1].counters.sent.Value()
	put(t, list[0], "k", "v")
	const count = 5000
	left.Add(count)
	for range count {
		list[0].Replicated(func(err error) {
			if err != nil {
				failed.Add(1)
			}
			left.Done()
		})
	}
	left.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d waiters failed", failed.Load())
	}
	if sent := list[1].counters.sent.Value() - before; sent > 4096 {
		t.Errorf("%d waiters made the other side send %d bytes", count, sent)
	}
}

// TestReplicatedReleases: a member whose link goes down is not waited for any
// longer, and one that comes up meanwhile is not waited for at all.
func TestReplicatedReleases(t *testing.T) {
	n := newNetwork(1)
	list := linked(t, n, 3)
	a := list[0]
	a.PeerDown(3)
	n.oneWay(1, 2, true) // 2 hears nothing more, and its link stands
	n.oneWay(1, 3, true)
	put(t, a, "k", "v")
	ended := make(chan error, 1)
	a.Replicated(func(err error) { ended <- err })
	a.PeerUp(3) // too late to be waited for
	later := make(chan error, 1)
	a.Replicated(func(err error) { later <- err })
	rounds(t, list...)
	select {
	case err := <-ended:
		t.Fatalf("done though store 2 lacks the write: %v", err)
	case err := <-later:
		t.Fatalf("done though stores 2 and 3 lack the write: %v", err)
	default:
	}
	a.PeerDown(2)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	a.PeerDown(3)
	if err := <-later; err != nil {
		t.Fatal(err)
	}
}

// TestReplicatedAlone: who has no links waits for nobody; who is no member is not
// waited for; a closed store says so.
func TestReplicatedAlone(t *testing.T) {
	n := newNetwork(1)
	s, err := Open(kv.OpenMemory(), Config{Node: 1, Transport: port{n, 1}})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	put(t, s, "k", "v")
	waitReplicated(t, s)
	s.PeerUp(9)
	waitReplicated(t, s)
	s.SetMembers(1, []Member{{ID: 9}})
	ended := make(chan error, 1)
	s.Replicated(func(err error) { ended <- err })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != ErrClosed {
		t.Errorf("a waiter of a store that closed: %v", err)
	}
	s.Replicated(func(err error) { ended <- err })
	if err := <-ended; err != ErrClosed {
		t.Errorf("a waiter after Close: %v", err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	never, err := Open(kv.OpenMemory(), Config{Node: 1})
	if err != nil {
		t.Fatal(err)
	}
	never.Replicated(func(err error) { ended <- err })
	if err := never.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != ErrClosed {
		t.Errorf("a waiter of a store that never ran: %v", err)
	}
}

// TestAnyOrder: links, members and frames may come in any order; the stores agree
// in the end.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(12) {
		n := newNetwork(seed)
		a, b := n.start(t, 1, kv.OpenMemory(), nil), n.start(t, 2, kv.OpenMemory(), nil)
		members := []Member{{ID: 1}, {ID: 2}}
		steps := []func(){
			func() { a.PeerUp(2) }, func() { b.PeerUp(1) },
			func() { a.SetMembers(1, members) }, func() { b.SetMembers(1, members) },
			func() { a.PeerUp(2) },
			func() { b.Deliver(1, []byte{1, 2, 3}) },
		}
		r := rand.New(rand.NewPCG(seed, 1))
		r.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, step := range steps {
			step()
		}
		put(t, a, "k", "v")
		eventually(t, "agreement", func() bool { return has(t, b, "k") })
		b.PeerDown(1)
		b.PeerUp(1)
		put(t, b, "l", "v")
		waitReplicated(t, b)
		if !has(t, a, "l") {
			t.Fatalf("seed %d: after the link came again the write did not come", seed)
		}
	}
}

// TestExchangeEvent: the event comes once both sides have pulled what the other
// had when the link came up, not before, and then again and again (R28).
func TestExchangeEvent(t *testing.T) {
	const typeChunk = 10 // the third byte of a frame is its type
	for silent := uint64(1); silent <= 2; silent++ {
		n := newNetwork(1)
		events := make(chan Exchange, 100)
		a, b := n.start(t, 1, kv.OpenMemory(), told(events)), n.start(t, 2, kv.OpenMemory(), nil)
		for i := range 300 { // apart
			put(t, a, fmt.Sprint("a", i), "v")
			put(t, b, fmt.Sprint("b", i), "v")
		}
		members := []Member{{ID: 1}, {ID: 2}}
		a.SetMembers(1, members)
		b.SetMembers(1, members)
		n.dropping(func(from, _ uint64, frame []byte) bool { return from == silent && frame[2] == typeChunk })
		start := time.Now()
		a.PeerUp(2)
		b.PeerUp(1)
		eventually(t, "the direction that works", func() bool { return has(t, a, "b299") || has(t, b, "a299") })
		rounds(t, a, b)
		select {
		case e := <-events:
			t.Fatalf("what %d has does not arrive, and there is an exchange: %+v", silent, e)
		default:
		}
		n.dropping(nil)
		for _, s := range []*Store{a, b} { // so that nobody waits for the chunk that was lost
			s.PeerDown(3 - s.config.Node)
			s.PeerUp(3 - s.config.Node)
		}
		e := <-events
		if e.Peer != 2 || e.Began.Before(start) || e.Ended.Before(e.Began) {
			t.Errorf("event %+v, started %v", e, start)
		}
		for i := range 300 {
			if !has(t, a, fmt.Sprint("b", i)) || !has(t, b, fmt.Sprint("a", i)) {
				t.Fatalf("the exchange ended before write %d was on both sides", i)
			}
		}
		if next := <-events; next.Peer != 2 || !next.Began.After(e.Ended) {
			t.Errorf("the next event %+v after %+v", next, e)
		}
	}
}

// told has the events go to a channel.
func told(events chan Exchange) func(*Config) {
	return func(c *Config) {
		c.OnExchange = func(e Exchange) {
			select {
			case events <- e:
			default:
			}
		}
	}
}

// TestJoinTakesNoWrites: an empty store that joins serves nothing before its full
// join (I29), nobody waits for it, and its first exchange follows the join.
func TestJoinTakesNoWrites(t *testing.T) {
	n := newNetwork(1)
	a := n.start(t, 1, kv.OpenMemory(), nil)
	for i := range 2000 {
		a.Put(TableConfig, fmt.Append(nil, i), make([]byte, 100), nil)
	}
	put(t, a, "last", "v")
	var early atomic.Bool
	events := make(chan Exchange, 100)
	var b *Store
	b = n.start(t, 2, kv.OpenMemory(), func(c *Config) {
		c.Join = true
		c.Replica.ExchangeEvery = 50 * time.Millisecond // it seeks a donor at this pace
		c.OnExchange = func(e Exchange) {
			if b.Status().Live < 2001 {
				early.Store(true)
			}
			select {
			case events <- e:
			default:
			}
		}
	})
	written := make(chan error, 1)
	b.Put(TableConfig, []byte("b"), []byte("v"), func(err error) { written <- err })
	members := []Member{{ID: 1}, {ID: 2}}
	a.SetMembers(1, members)
	b.SetMembers(1, members)
	rounds(t, a, b)
	select {
	case err := <-written:
		t.Fatalf("a write before the join: %v", err)
	default:
	}
	a.PeerUp(2)
	b.PeerUp(1)
	waitReplicated(t, a)
	if err := <-written; err != nil || b.Status().Live < 2001 {
		t.Fatalf("the write was taken with %d keys: %v", b.Status().Live, err)
	}
	<-events
	if early.Load() {
		t.Error("an exchange was told before the join had ended")
	}
}
