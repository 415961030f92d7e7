package link

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tombolo/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within polls until ok holds; a busy machine gets its time.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(time.Minute), time.NewTicker(2*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within a minute", what)
		case <-tick.C:
		}
	}
}

// node is a mesh of a test with what it has heard. Guarded by mu.
type node struct {
	id   NodeID
	mesh *Mesh
	stop func()
	on   func(m Message) // nil: stored at once
	// instant says which publishes are taken by the reader; nil: none.
	instant func(m Message) bool
	mu      struct {
		sync.Mutex
		ups, downs, restarts map[NodeID]int
		got                  map[string][]uint32 // by "sender/stream"
		datagrams            map[NodeID][]int    // their lengths
		drained              map[NodeID][]int    // how many there were each time
		ends                 map[uint32]int
		results              map[Result]int
	}
}

func (n *node) Up(p Peer, restarted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.ups[p.ID]++
	if restarted {
		n.mu.restarts[p.ID]++
	}
}

func (n *node) Down(id NodeID, _ string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.downs[id]++
}

func (n *node) Message(m Message) {
	if n.on != nil {
		n.on(m)
		return
	}
	n.take(m)
	m.Done(wire.Stored, 0)
}

func (n *node) take(m Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := fmt.Sprintf("%d/%d", m.From, m.Stream)
	n.mu.got[key] = append(n.mu.got[key], binary.BigEndian.Uint32(m.Body))
}

func (n *node) Datagram(from NodeID, _ wire.Type, body []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.datagrams[from] = append(n.mu.datagrams[from], len(body))
}

func (n *node) Instant(m Message) (wire.Result, uint8, bool) {
	if n.instant == nil || !n.instant(m) {
		return 0, 0, false
	}
	n.take(m)
	return wire.Stored, 0, true
}

func (n *node) Drained(from NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.drained[from] = append(n.mu.drained[from], len(n.mu.datagrams[from]))
}

// end is a ticket.
type end struct {
	n  *node
	id uint32
}

func (e end) Ended(_ NodeID, r Result, _ uint8) {
	e.n.mu.Lock()
	defer e.n.mu.Unlock()
	e.n.mu.ends[e.id]++
	e.n.mu.results[r]++
}

func (n *node) read(fn func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fn()
}

func (n *node) up(id NodeID) bool {
	for _, s := range n.mesh.Status() {
		if s.ID == id {
			return s.Up
		}
	}
	return false
}

var testSecret = []byte("sixteen bytes or more")

// prepare makes a node that listens and does not run yet.
func prepare(t *testing.T, id NodeID, change func(*Config)) *node {
	t.Helper()
	n := &node{id: id}
	n.mu.ups, n.mu.downs, n.mu.restarts = map[NodeID]int{}, map[NodeID]int{}, map[NodeID]int{}
	n.mu.drained = map[NodeID][]int{}
	n.mu.got, n.mu.datagrams, n.mu.ends, n.mu.results = map[string][]uint32{}, map[NodeID][]int{}, map[uint32]int{}, map[Result]int{}
	c := Config{Cluster: "test", Node: id, Name: fmt.Sprintf("n%d", id), Incarnation: 1, Durability: "fsync", Bind: "127.0.0.1:0",
		Secret: testSecret, Handler: n, BackoffMin: 2 * time.Millisecond, BackoffMax: 50 * time.Millisecond, SilenceMax: time.Minute}
	if change != nil {
		change(&c)
	}
	mesh, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := mesh.Listen(); err != nil {
		t.Fatal(err)
	}
	n.mesh = mesh
	return n
}

func (n *node) start(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- n.mesh.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-over; err != nil {
			t.Errorf("node %d: %v", n.id, err)
		}
	})
	t.Cleanup(n.stop)
}

// connect makes every node a peer of every other.
func connect(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b && a.id != b.id {
				if err := a.mesh.AddPeer(b.id, b.mesh.Addr().String()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func numbered(id uint32, size int) []byte {
	b := make([]byte, max(size, 4))
	binary.BigEndian.PutUint32(b, id)
	return b
}
