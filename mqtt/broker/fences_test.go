package broker

import (
	"bytes"
	"strconv"
	"testing"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// fenced is a session that moves from a to b with a backlog, while the way of
// migrations from a to b is held up. Owned by one test.
type fenced struct {
	t       *testing.T
	m       *mesh
	a, b, c *rigNode
	s       *person
	next    int
}

const backlogOf = 30

// newFenced has what waits for the session stand at a, and its client at b; before
// is called ahead of the move.
func newFenced(t *testing.T, before func(f *fenced)) *fenced {
	t.Helper()
	m := rig(t, 3, func(s *Settings) { s.DrainStep = 10 })
	f := &fenced{t: t, m: m, a: m.nodes[0], b: m.nodes[1], c: m.nodes[2]}
	s := f.a.dial(t, "s", lasting)
	s.subscribe(1, "t")
	s.Disconnect(0)
	// Whoever else is at the old home has frames for the topic come there.
	f.a.dial(t, "other").subscribe(1, "t")
	f.publish(f.c.dial(t, "first"), backlogOf)
	holdUp(f.a, f.b, wire.StreamMigration, true)
	before(f)
	f.s = f.b.dial(t, "s", lasting)
	return f
}

// holdUp holds up a stream between two nodes, or lets it go on.
func holdUp(from, to *rigNode, s wire.Stream, on bool) {
	h := from.cluster.hopTo(to.id)
	h.change(func() { h.paused[s] = on })
}

// publish sends the next n messages.
func (f *fenced) publish(p *person, n int) {
	f.t.Helper()
	for range n {
		p.send("t", strconv.Itoa(f.next), 1)
		f.next++
	}
}

// cuts are how many nodes have said to n from when on they publish for the new
// home, with all that they published before.
func (f *fenced) cuts(n *rigNode) (cuts, sure int) {
	c := n.b.registry.get(Key{ClientID: "s"})
	if c == nil {
		return 0, 0
	}
	s := c.shift.Load()
	if s == nil {
		return 0, 0
	}
	return len(s.cuts), len(s.sure)
}

// knows waits until n routes to the new home.
func (f *fenced) knows(n *rigNode) {
	f.t.Helper()
	eventually(f.t, "the new home is known", func() bool {
		n.b.remotes.mu.Lock()
		defer n.b.remotes.mu.Unlock()
		a := n.b.remotes.mu.away[Key{ClientID: "s"}]
		return a != nil && a.home == f.b.id
	})
}

// arrived waits until the new home has n messages of its own generation.
func (f *fenced) arrived(n int) {
	f.t.Helper()
	eventually(f.t, "messages at the new home", func() bool {
		i, _ := f.b.b.Session(Key{ClientID: "s"})
		return i.Queued == n
	})
}

// expect wants all that was published, in order.
func (f *fenced) expect() {
	f.t.Helper()
	var want []string
	for i := range f.next {
		want = append(want, strconv.Itoa(i))
	}
	f.s.expect(want...)
}

// gone waits until the old home has given everything away.
func (f *fenced) gone() {
	f.t.Helper()
	eventually(f.t, "the old home keeps nothing", func() bool {
		_, stored := f.a.queue.Lookup(queueName(Key{ClientID: "s"}))
		return !stored && f.a.b.registry.get(Key{ClientID: "s"}) == nil
	})
}

// late publishes at x, whose second message comes to the new home only when the old
// one has given everything away.
func (f *fenced) late(x *rigNode) {
	f.t.Helper()
	pub := x.dial(f.t, "pub")
	f.publish(pub, 1)
	f.arrived(1)
	holdUp(x, f.b, wire.StreamPublish, true)
	f.publish(pub, 1)
	holdUp(f.a, f.b, wire.StreamMigration, false)
	f.gone()
	holdUp(x, f.b, wire.StreamPublish, false)
	f.expect()
}

// lose drops what waits, but for one stream (StreamNone for none). Nobody waits for its arrival
// any more: not who announces routes, and no publish for a cancel. Called with mu held.
func (h *hop) lose(but wire.Stream) {
	for s, list := range h.queues {
		switch {
		case s == but:
			continue
		case s == wire.StreamHead:
			h.heads -= len(list)
		}
		for _, p := range list {
			if p.kind == wire.TypeRoutes {
				h.sent--
			}
		}
		delete(h.queues, s)
	}
}

// bounce is again so fast that nobody gives a verdict: what others had on their
// way to the node comes when it is back, what it had on its own is lost.
func (n *rigNode) bounce(t *testing.T) {
	t.Helper()
	for _, o := range n.others() {
		n.m.cut(n, o, true)
	}
	n.again(t, func(_ *rigNode, h *hop) { h.lose(wire.StreamNone); h.late = nil })
	for _, o := range n.others() {
		n.m.cut(n, o, false)
		n.b.PeerReachable(o.id, true)
		o.snapshot()
	}
	n.snapshot()
	n.view()
	n.b.GateChanged()
	n.m.settle(t)
}

// TestR21RestartedSource: an old home that is killed in the midst of a move, and is
// back before anybody has missed it, takes in nothing that belongs to the new home.
// If it did, the second message, whose direct copy comes late here, would come with
// the old home's share: before the first.
func TestR21RestartedSource(t *testing.T) {
	for _, at := range []int{0, 2} { // the old home itself, and a third node
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			f := newFenced(t, func(*fenced) {})
			for _, n := range []*rigNode{f.a, f.b} {
				eventually(t, "all fences", func() bool { cuts, _ := f.cuts(n); return cuts == 3 })
			}
			eventually(t, "the second fences", func() bool { _, sure := f.cuts(f.a); return sure == 3 })
			f.a.bounce(t)
			f.a.dial(t, "other").subscribe(1, "t")
			f.late(f.m.nodes[at])
		})
	}
}

// TestR21LostFence: a node ends before its fence has left it, and is back before
// anybody has missed it. What it publishes then is the new home's.
func TestR21LostFence(t *testing.T) {
	for _, at := range []int{0, 2} {
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			f := newFenced(t, func(f *fenced) { holdUp(f.m.nodes[at], f.b, wire.StreamPublish, true) })
			x := f.m.nodes[at]
			f.knows(x)
			x.bounce(t)
			holdUp(x, f.b, wire.StreamPublish, false)
			f.late(x)
		})
	}
}

// TestShiftIsReadAgain: what is stored of a shift is read as it was, and nothing that
// is damaged is read at all.
func TestShiftIsReadAgain(t *testing.T) {
	var s *shift
	for i := range uint64(shiftsMax) {
		s = s.begun(metadata.Epoch{HLC: 1000 + i, Node: i}, i%2 == 0).with(1<<60+1, 1<<50+i).with(2, 0)
	}
	s = s.passedOn(9, 1<<40, metadata.Epoch{}).begun(metadata.Epoch{HLC: 2000, Node: 7}, false).with(3, 5).surely(3)
	s.open = true
	v := s.append(nil)
	again, err := decodeShift(v)
	if err != nil || !bytes.Equal(again.append(nil), v) || again.epoch != s.epoch || again.cuts[3] != 5 || again.passed[9] != 1<<40 || !again.sure[3] || !again.open || again.target {
		t.Fatalf("%+v, %v", again, err)
	}
	for n := 1; n < len(v); n++ {
		if x, err := decodeShift(v[:n]); err == nil && bytes.Equal(x.append(nil), v) {
			t.Errorf("%d bytes are read as all", n)
		}
	}
}

func FuzzDecodeShift(f *testing.F) {
	f.Add((&shift{epoch: metadata.Epoch{HLC: 1, Node: 2}, target: true}).with(3, 4).append(nil))
	f.Add([]byte{1, 2, 0, 255, 255, 255, 255, 15, 1})
	f.Fuzz(func(t *testing.T, v []byte) {
		s, err := decodeShift(v)
		if err != nil {
			return
		}
		again, err := decodeShift(s.append(nil))
		if err != nil || !bytes.Equal(again.append(nil), s.append(nil)) {
			t.Errorf("%x: %v", v, err)
		}
	})
}
