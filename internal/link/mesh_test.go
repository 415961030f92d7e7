package link

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tombolo/internal/wire"
)

// kill closes a connection of a node, as a cut does.
func (n *node) kill(to NodeID, plane wire.Plane) {
	p := n.mesh.peer(to)
	p.mu.Lock()
	c := p.mu.conns[plane]
	p.mu.Unlock()
	if c != nil {
		_ = c.raw.Close()
	}
}

// pump sends count messages on a stream, waiting where it is full, and cuts a
// connection now and then.
func (n *node) pump(t *testing.T, to NodeID, s wire.Stream, kind wire.Type, count int, rng *rand.Rand) {
	for id := range uint32(count) {
		size := 4 + rng.IntN(300)
		if rng.IntN(40) == 0 {
			size = rng.IntN(200 << 10)
		}
		body := numbered(id, size)
		ticket := end{n, id | uint32(to)<<24 | uint32(s)<<28}
		if rng.IntN(100) == 0 {
			n.kill(to, wire.Plane(rng.IntN(2)))
		}
		within(t, "room in the stream", func() bool {
			err := n.sends(to, s, kind, body, ticket, rng.IntN(2) == 0)
			if err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrSpoolFull) {
				t.Error(err)
			}
			return err == nil
		})
	}
}

// sends uses both ways to send a publish; a flush may come from anybody.
func (n *node) sends(to NodeID, s wire.Stream, kind wire.Type, body []byte, t Ticket, later bool) error {
	if s != wire.StreamPublish || !later {
		return n.mesh.Send(to, s, kind, body, t)
	}
	defer n.mesh.Flush(to)
	return n.mesh.SendPublish(to, body, t)
}

// TestThreeMeshesUnderKills is guarantees 1 and 2 with goroutines and sockets:
// three nodes exchange two streams in all directions while connections are cut
// at random; everything arrives once and in order, and every ticket ends once.
func TestThreeMeshesUnderKills(t *testing.T) {
	const count, seed = 2000, 7
	quick := func(c *Config) { // and narrow, so that those who send wait for what arrives
		c.BackoffMax, c.WaitingBytes, c.SpoolBytes = 3*time.Millisecond, 16<<10, 256<<10
		c.Window = Limits{Frames: 64, Bytes: 256 << 10}
	}
	nodes := []*node{prepare(t, 1, quick), prepare(t, 2, quick), prepare(t, 3, quick)}
	connect(t, nodes...)
	for _, n := range nodes {
		n.instant = func(m Message) bool { return m.Sequence%7 < 4 } // some at once, some by and by, in order all the same
		n.start(t)
	}
	var pumps sync.WaitGroup
	for i, from := range nodes {
		for j, to := range nodes {
			if i != j {
				rng := rand.New(rand.NewPCG(seed, uint64(1+3*i+j)))
				pumps.Go(func() { from.pump(t, to.id, wire.StreamPublish, wire.TypePublish, count, rng) })
				rng2 := rand.New(rand.NewPCG(seed, uint64(20+3*i+j)))
				pumps.Go(func() { from.pump(t, to.id, wire.StreamControl, wire.TypeRoutes, count/5, rng2) })
			}
		}
	}
	pumps.Wait()
	for _, n := range nodes {
		within(t, "every ticket to end", func() (ok bool) {
			n.read(func() { ok = len(n.mu.ends) == 2*(count+count/5) })
			return ok
		})
	}
	closes := uint64(0)
	for _, n := range nodes {
		n.stop()
		for _, c := range n.mesh.Stats().Closes {
			closes += c
		}
		for key, c := range n.mu.ends {
			if c != 1 {
				t.Errorf("node %d: ticket %x ended %d times", n.id, key, c)
			}
		}
		if n.mu.results[Stored] != 2*(count+count/5) {
			t.Errorf("node %d: results %v", n.id, n.mu.results)
		}
		for _, from := range nodes {
			if from != n {
				inOrder(t, n, from.id, wire.StreamPublish, count)
				inOrder(t, n, from.id, wire.StreamControl, count/5)
			}
		}
	}
	if closes < 20 {
		t.Errorf("%d connections ended; this is about many", closes)
	}
	t.Logf("%d connections ended", closes)
}

func inOrder(t *testing.T, n *node, from NodeID, s wire.Stream, count int) {
	t.Helper()
	got := n.mu.got[fmt.Sprintf("%d/%d", from, s)]
	if len(got) != count {
		t.Errorf("node %d has %d messages of node %d on stream %d, want %d", n.id, len(got), from, s, count)
		return
	}
	for i, id := range got {
		if int(id) != i {
			t.Errorf("node %d, stream %d of node %d: message %d at place %d", n.id, s, from, id, i)
			return
		}
	}
}

// TestRestart: a peer's new process is told as such, gets what was not
// confirmed, and what was soft for the old one ends as lost.
func TestRestart(t *testing.T) {
	a, b := prepare(t, 1, nil), prepare(t, 2, nil)
	connect(t, a, b)
	a.start(t)
	b.on = func(m Message) { b.take(m) } // takes, and never ends anything
	b.start(t)
	within(t, "the link", func() bool { return a.up(2) && b.up(1) })
	for id, s := range []wire.Stream{wire.StreamPublish, wire.StreamControl} {
		kind := []wire.Type{wire.TypePublish, wire.TypeRoutes}[id]
		if err := a.mesh.Send(2, s, kind, numbered(uint32(id), 9), end{a, uint32(id)}); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "both messages", func() (ok bool) {
		b.read(func() { ok = len(b.mu.got) == 2 })
		return ok
	})
	b.stop()
	again := prepare(t, 2, func(c *Config) { c.Incarnation = 2; c.Bind = b.mesh.Addr().String() })
	connect(t, again, a)
	again.start(t)
	within(t, "both ends", func() (ok bool) {
		a.read(func() { ok = a.mu.results[Stored] == 1 && a.mu.results[Lost] == 1 })
		return ok
	})
	a.read(func() {
		if a.mu.restarts[2] != 2 || a.mu.ups[2] != a.mu.downs[2]+1 {
			t.Errorf("ups %v, downs %v, restarts %v", a.mu.ups, a.mu.downs, a.mu.restarts)
		}
	})
}

// TestSlowHandlerIsNoSilence is R12: who does not end what it was sent holds its
// credit, and nothing else: heartbeats and other streams go on.
func TestSlowHandlerIsNoSilence(t *testing.T) {
	release := make(chan struct{})
	a := prepare(t, 1, nil)
	b := prepare(t, 2, func(c *Config) { c.ReceiveBytes = 64 << 10 })
	b.on = func(m Message) {
		if m.Stream == wire.StreamPublish {
			<-release
		}
		b.take(m)
		m.Done(wire.Stored, 0)
	}
	connect(t, a, b)
	a.start(t)
	b.start(t)
	t.Cleanup(sync.OnceFunc(func() {
		select {
		case <-release:
		default:
			close(release)
		}
	}))
	const many = 200
	for id := range uint32(many) {
		if err := a.mesh.Send(2, wire.StreamPublish, wire.TypePublish, numbered(id, 10<<10), end{a, id}); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "the credit to be used up", func() bool { return a.mesh.Status()[0].Starved })
	if err := a.mesh.Send(2, wire.StreamControl, wire.TypeRoutes, numbered(0, 4), end{a, 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if !a.mesh.Post(2, wire.StreamFast, wire.TypePublish, make([]byte, 150<<10)) {
		t.Fatal("a datagram found no room")
	}
	within(t, "the control stream and a datagram in chunks", func() (ok bool) {
		b.read(func() {
			ok = len(b.mu.got["1/4"]) == 1 && len(b.mu.datagrams[1]) == 1 && b.mu.datagrams[1][0] == 150<<10
		})
		return ok
	})
	if open := b.mesh.Status()[0].InboundOpen; open > 7 {
		t.Errorf("%d messages of 10 KiB are open at a credit of 64 KiB", open)
	}
	close(release)
	within(t, "everything", func() (ok bool) {
		a.read(func() { ok = a.mu.results[Stored] == many+1 })
		return ok
	})
	if d := a.mesh.Stats().Closes; len(d) != 0 {
		t.Errorf("connections ended: %v", d)
	}
}

// TestSpoolAnswersForASlowPeer is R9: what a peer does not confirm within the
// time is durable here, and its publisher is told; it arrives all the same.
func TestSpoolAnswersForASlowPeer(t *testing.T) {
	release := make(chan struct{})
	spool := durableSpool{NewMemorySpool(1 << 20)}
	a := prepare(t, 1, func(c *Config) { c.Spool = spool; c.ConfirmWait = 5 * time.Millisecond })
	b := prepare(t, 2, nil)
	b.on = func(m Message) { <-release; b.take(m); m.Done(wire.Stored, 0) }
	connect(t, a, b)
	const many = 50
	for id := range uint32(many) { // away: it is not even running
		if id == many/2 {
			a.start(t)
			b.start(t)
			within(t, "the link", func() bool { return a.up(2) })
		}
		if err := a.mesh.Send(2, wire.StreamPublish, wire.TypePublish, numbered(id, 100), end{a, id}); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "the spool to answer for all", func() (ok bool) {
		a.read(func() { ok = a.mu.results[InSpool] == many })
		return ok
	})
	close(release)
	within(t, "the spool to be empty", func() bool { return spool.Count(2) == 0 })
	b.read(func() { inOrder(t, b, 1, wire.StreamPublish, many) })
}

// durableSpool says that it keeps what it has.
type durableSpool struct{ *MemorySpool }

func (durableSpool) Durable() bool { return true }

// TestDownHoldsPublishes is R28's order: while a node is down by verdict, be it
// that this was said before it was a peer, a link that stands carries what the
// tables need, but nothing of the publish stream; all of it comes, in order, once
// the verdict has changed.
func TestDownHoldsPublishes(t *testing.T) {
	spool := durableSpool{NewMemorySpool(1 << 20)}
	for id := range uint32(3) { // of an earlier process
		if err := spool.Append(2, []Spooled{{Kind: wire.TypePublish, Body: numbered(id, 100)}}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := prepare(t, 1, func(c *Config) { c.Spool = spool; c.ConfirmWait = 5 * time.Millisecond }), prepare(t, 2, nil)
	a.mesh.SetJudgement(2, false, true)
	connect(t, a, b)
	a.start(t)
	b.start(t)
	publish := func(id uint32) {
		if err := a.mesh.Send(2, wire.StreamPublish, wire.TypePublish, numbered(id, 100), end{a, id}); err != nil {
			t.Fatal(err)
		}
	}
	control := func(want int) {
		t.Helper()
		if err := a.mesh.Send(2, wire.StreamControl, wire.TypeRoutes, numbered(uint32(want-1), 4), end{a, uint32(100 + want)}); err != nil {
			t.Fatal(err)
		}
		within(t, "the control stream", func() (ok bool) {
			b.read(func() { ok = len(b.mu.got[fmt.Sprintf("1/%d", wire.StreamControl)]) == want })
			return ok
		})
	}
	publish(3)
	for i := range 20 {
		control(i + 1)
	}
	b.read(func() { inOrder(t, b, 1, wire.StreamPublish, 0) })
	a.mesh.SetJudgement(2, false, false)
	within(t, "the spool to be empty", func() bool { return spool.Count(2) == 0 })
	b.read(func() { inOrder(t, b, 1, wire.StreamPublish, 4) })
}

// TestDownHoldsTheWindow: the same of what was under way when the node went down,
// on the next connection.
func TestDownHoldsTheWindow(t *testing.T) {
	s := newSender(wire.StreamPublish, Limits{Frames: 8, Bytes: 1 << 10})
	var h wire.Header
	resume := func() {
		t.Helper()
		m := wire.Resume{Ack: wire.Ack{Stream: wire.StreamPublish, Credit: 1 << 10}}
		if _, err := s.resume(&m, nil); err != nil {
			t.Fatal(err)
		}
	}
	resume()
	s.push(entry{kind: wire.TypePublish, body: numbered(1, 10)})
	sent := s.fill(nil, batchBytes, &h)
	s.disconnect()
	s.halted = true
	resume()
	if s.pending() || s.starved() || len(s.fill(nil, batchBytes, &h)) > 0 {
		t.Error("something goes to a node that is down")
	}
	s.halted = false
	if !s.pending() || !bytes.Equal(s.fill(nil, batchBytes, &h), sent) {
		t.Error("it does not go when the node is reached")
	}
}
