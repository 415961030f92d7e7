package spool

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tombolo/internal/link"
	"tombolo/internal/wire"
)

// end is one end of a link that keeps what comes. Guarded by mu.
type end struct {
	mesh *link.Mesh
	stop func()
	mu   struct {
		sync.Mutex
		got     []int
		results map[link.Result]int
	}
}

func (e *end) Up(link.Peer, bool)                            {}
func (e *end) Down(link.NodeID, string)                      {}
func (e *end) Datagram(link.NodeID, wire.Type, []byte)       {}
func (*end) Drained(wire.NodeID)                             {}
func (*end) Instant(link.Message) (wire.Result, uint8, bool) { return 0, 0, false }
func (e *end) Message(m link.Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	fmt.Sscanf(string(m.Body[:8]), "%d", &n)
	e.mu.got = append(e.mu.got, n)
	m.Done(wire.Stored, 0)
}

func (e *end) Ended(_ link.NodeID, r link.Result, _ uint8) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.results[r]++
}

// told is how many tickets ended so.
func (e *end) told(r link.Result) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.results[r]
}

func (e *end) received() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.mu.got)
}

// runs starts a mesh; spool may be nil.
func runs(t *testing.T, id link.NodeID, incarnation wire.Incarnation, spool link.Spool) *end {
	t.Helper()
	e := &end{}
	e.mu.results = map[link.Result]int{}
	mesh, err := link.New(link.Config{Cluster: "test", Node: id, Name: fmt.Sprint(id), Incarnation: incarnation, Durability: "fsync",
		Bind: "127.0.0.1:0", Secret: []byte("sixteen bytes or more"), Handler: e, Spool: spool, SilenceMax: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := mesh.Listen(); err != nil {
		t.Fatal(err)
	}
	e.mesh = mesh
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- mesh.Run(ctx) }()
	e.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(e.stop)
	return e
}

// within polls until ok holds.
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

// TestTailOfAStream: what is sent to a node that is away is acknowledged from the
// spool, outlives the sender, and arrives once and in order before what is sent
// after it (R9, R11).
func TestTailOfAStream(t *testing.T) {
	const first, second = 1500, 200
	dir := t.TempDir()
	open := func() *Spool {
		s, _, err := Open(dir, Config{BytesMax: roomy})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	a := runs(t, 1, 1, s)
	if err := a.mesh.AddPeer(2, "127.0.0.1:1"); err != nil { // nobody is there
		t.Fatal(err)
	}
	send := func(a *end, from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			if err := a.mesh.Send(2, wire.StreamPublish, wire.TypePublish, message(n, 100+n%900).Body, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(a, 0, first)
	within(t, "the spool has all", func() bool { return a.told(link.InSpool) == first })
	a.stop()
	closeIt(t, s)

	s = open()
	if n := s.Count(2); n != first {
		t.Fatalf("%d messages after a restart, want %d", n, first)
	}
	a, b := runs(t, 1, 2, s), runs(t, 2, 1, nil)
	if err := a.mesh.AddPeer(2, "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	send(a, first, first+second)
	if err := b.mesh.AddPeer(1, a.mesh.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := a.mesh.AddPeer(2, b.mesh.Addr().String()); err != nil {
		t.Fatal(err)
	}
	within(t, "all is there", func() bool { return len(b.received()) >= first+second })
	within(t, "the spool is empty", func() bool { return s.Count(2) == 0 })
	for i, n := range b.received() {
		if n != i {
			t.Fatalf("message %d arrived as number %d of %d", n, i, len(b.received()))
		}
	}
	a.stop()
	b.stop()
	s.check(t)
	closeIt(t, s)
	if s = open(); s.Count(2) != 0 {
		t.Errorf("%d messages came back after a stop in order", s.Count(2))
	}
	closeIt(t, s)
}
