package link

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tombolo/internal/wire"
)

// beater is a detector that beats on both planes and keeps what it hears.
// Guarded by mu.
type beater struct {
	to NodeID
	mu struct {
		sync.Mutex
		seq   uint64
		heard [wire.Planes]uint64
		echo  [wire.Planes]uint64
		from  NodeID
		inc   wire.Incarnation
	}
}

func (b *beater) Heard(from NodeID, inc wire.Incarnation, h *wire.Heartbeat, _ int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.from, b.mu.inc = from, inc
	b.mu.heard[h.Plane], b.mu.echo[h.Plane] = h.Seq, h.Echo
}

func (b *beater) Tick(now int64, send func(NodeID, *wire.Heartbeat)) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.seq++
	for plane := range wire.Planes {
		send(b.to, &wire.Heartbeat{Plane: plane, Seq: b.mu.seq, Echo: b.mu.heard[plane], Rows: []wire.Row{{Node: 1, Up: []NodeID{2}}}})
	}
	return now + 5
}

// TestHeartbeatsPassBacklogs: heartbeats and their echoes cross both planes
// while megabytes wait on the bulk plane for a peer that grants nothing.
func TestHeartbeatsPassBacklogs(t *testing.T) {
	one, two := &beater{to: 2}, &beater{to: 1}
	release := make(chan struct{})
	a := prepare(t, 1, func(c *Config) { c.Detector = one })
	b := prepare(t, 2, func(c *Config) { c.Detector = two; c.Incarnation = 5 })
	b.on = func(m Message) { <-release; m.Done(wire.Stored, 0) }
	connect(t, a, b)
	for id := range uint32(20) {
		if err := a.mesh.Send(2, wire.StreamMigration, wire.TypeMigration, numbered(id, 300<<10), nil); err != nil {
			t.Fatal(err)
		}
	}
	a.start(t)
	b.start(t)
	within(t, "twenty echoes on both planes", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return one.mu.echo[wire.Control] > 20 && one.mu.echo[wire.Bulk] > 20 && one.mu.from == 2 && one.mu.inc == 5
	})
	judged := int64(0)
	if !a.mesh.Judge(func(now int64) { judged = now }) || judged == 0 {
		t.Error("Judge did not run")
	}
	close(release)
	a.stop()
	if a.mesh.Judge(func(int64) {}) {
		t.Error("Judge ran after the end")
	}
}

// TestSilenceEndsAConnection: a peer whose connection says nothing is given up;
// one that has nothing to say keeps it.
func TestSilenceEndsAConnection(t *testing.T) {
	// Long enough that a busy machine does not keep one from speaking for as long.
	quiet := func(c *Config) { c.SilenceMax = time.Second }
	a, b := prepare(t, 1, quiet), prepare(t, 2, quiet)
	mute := prepare(t, 3, nil) // keeps silence for a quarter of a minute
	connect(t, a, b)
	connect(t, a, mute)
	for _, n := range []*node{a, b, mute} {
		n.start(t)
	}
	within(t, "the mute node to be given up twice", func() bool { return a.mesh.Stats().Closes["silence"] >= 2 })
	if !a.up(2) || b.mesh.Stats().Closes["silence"] != 0 {
		t.Errorf("the node with nothing to say: %v", b.mesh.Stats().Closes)
	}
}

// BenchmarkMesh sends 128-byte publishes from one node to another over
// loopback, confirmed one by one, and counts the CPU of both ends.
func BenchmarkMesh(b *testing.B) {
	t := &testing.T{}
	from, to := prepare(t, 1, nil), prepare(t, 2, nil)
	to.on = func(m Message) { m.Done(wire.Stored, 0) }
	connect(t, from, to)
	from.start(t)
	to.start(t)
	defer to.stop()
	defer from.stop()
	within(t, "the link", func() bool { return from.up(2) })
	body := make([]byte, 175) // 128 of payload in a PUBLISH in a publish frame
	ends := &counter{all: make(chan struct{}), last: int64(b.N)}
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ReportAllocs()
	b.ResetTimer()
	for sent := range int64(b.N) {
		for sent-ends.n.Load() > wire.WindowFramesMax/2 {
			runtime.Gosched() // so that nothing goes through the spool
		}
		if err := from.mesh.Send(2, wire.StreamPublish, wire.TypePublish, body, ends); err != nil {
			b.Fatal(err)
		}
	}
	<-ends.all
	b.StopTimer()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(b.N)/cpu.Seconds(), "frames/cpu-s")
	b.ReportMetric(float64(b.N)/float64(from.mesh.Stats().Batches), "frames/write")
}

// counter is a ticket that counts. Safe for concurrent use.
type counter struct {
	n    atomic.Int64
	last int64
	all  chan struct{} // closed at the last one
}

func (c *counter) Ended(NodeID, Result, uint8) {
	if c.n.Add(1) == c.last {
		close(c.all)
	}
}
