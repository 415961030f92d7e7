package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"tombolo/internal/wire"
)

// TestRemovePeer: what waits for a node that is no member any more ends as
// lost, once, and nothing more is taken for it; it may come back.
func TestRemovePeer(t *testing.T) {
	a, b := prepare(t, 1, nil), prepare(t, 2, nil)
	var held sync.WaitGroup
	held.Add(1)
	b.on = func(m Message) { // ends nothing for now
		b.take(m)
		held.Wait()
		m.Done(wire.Stored, 0)
	}
	connect(t, a, b)
	a.start(t)
	b.start(t)
	within(t, "the link", func() bool { return a.up(2) && b.up(1) })
	const many = 100
	for id := range uint32(many) {
		if err := a.mesh.Send(2, wire.StreamPublish, wire.TypePublish, numbered(id, 50), end{a, id}); err != nil {
			t.Fatal(err)
		}
	}
	a.mesh.RemovePeer(2)
	within(t, "everything to be lost", func() (ok bool) {
		a.read(func() { ok = a.mu.results[Lost] == many && len(a.mu.ends) == many })
		return ok
	})
	within(t, "its end to be told", func() (ok bool) {
		a.read(func() { ok = a.mu.downs[2] == 1 })
		return ok
	})
	if err := a.mesh.Send(2, wire.StreamPublish, wire.TypePublish, numbered(0, 4), nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("sending to it: %v", err)
	}
	if a.mesh.Post(2, wire.StreamFast, wire.TypePublish, nil) || a.mesh.Admits(2) {
		t.Error("something is still taken for it")
	}
	held.Done()
	if err := a.mesh.AddPeer(2, b.mesh.Addr().String()); err != nil {
		t.Fatal(err)
	}
	within(t, "the link again", func() (ok bool) {
		a.read(func() { ok = a.mu.ups[2] >= 2 && a.mu.ups[2] == a.mu.downs[2]+1 })
		return ok && b.up(1)
	})
	// It is one that lasts: what either says on any stream arrives, though the other
	// has not ended since the numbers of before were given.
	for s, kind := range map[wire.Stream]wire.Type{wire.StreamControl: wire.TypeRoutes, wire.StreamPublish: wire.TypePublish} {
		for _, x := range []struct{ from, to *node }{{a, b}, {b, a}} {
			key := fmt.Sprintf("%d/%d", x.from.id, s)
			within(t, "a message on "+key, func() (ok bool) {
				_ = x.from.mesh.Send(x.to.id, s, kind, numbered(7777, 4), nil) // there may be no room
				x.to.read(func() { ok = slices.Contains(x.to.mu.got[key], 7777) })
				return ok
			})
		}
	}
}

// quietPeer is node 2 at node 1, with a bulk connection of which nothing is read or
// written but by the test.
func quietPeer(t *testing.T) (*node, *peer, *connection) {
	n := prepare(t, 1, nil)
	p := newPeer(n.mesh, 2, "")
	here, there := net.Pipe()
	t.Cleanup(func() {
		_, _, _ = n.mesh.mu.listener.Close(), here.Close(), there.Close()
	})
	c := newConnection(p, wire.Bulk, here, Peer{ID: 2, Incarnation: 1, Version: 1})
	p.attach(c)
	return n, p, c
}

// FuzzConnection: whatever frames a linked peer sends, the connection ends or
// goes on with its cores in order.
func FuzzConnection(f *testing.F) {
	good := wire.Header{Version: 1, TTL: 1, Source: 2, Destination: 1, Incarnation: 1, Flags: wire.FlagFirst | wire.FlagLast}
	add := func(kind wire.Type, s wire.Stream, seq uint64, body []byte) {
		h := good
		h.Type, h.Stream, h.Sequence, h.Length = kind, s, seq, uint32(len(body))
		f.Add(append(wire.AppendHeader(nil, &h), body...))
	}
	add(wire.TypeOpen, 0, 0, wire.AppendOpen(nil, &wire.Open{Stream: wire.StreamPublish, Next: 7}))
	add(wire.TypeAck, 0, 0, wire.AppendAck(nil, &wire.Ack{Stream: wire.StreamPublish, Incarnation: 1, Through: 2, Outcomes: []wire.Outcome{{Sequence: 2, Result: 2}}}))
	add(wire.TypeResume, 0, 0, wire.AppendResume(nil, &wire.Resume{Ack: wire.Ack{Stream: wire.StreamPublish, Incarnation: 1, Credit: 1000}, Received: 1}))
	add(wire.TypePublish, wire.StreamPublish, 1, []byte("x"))
	add(wire.TypePublish, wire.StreamFast, 0, []byte("x"))
	add(wire.TypeHeartbeat, 0, 0, wire.AppendHeartbeat(nil, &wire.Heartbeat{Plane: wire.Bulk, Seq: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, p, c := quietPeer(t)
		for id := range uint32(3) {
			_ = p.send(wire.StreamPublish, entry{kind: wire.TypePublish, body: numbered(id, 10), ticket: end{n, id}}, false)
		}
		s := p.mu.senders[wire.StreamPublish]
		s.ready, s.credit = true, 1<<20
		h := c.header()
		s.fill(nil, batchBytes, &h)
		for len(b) >= wire.HeaderBytes {
			var h wire.Header
			if wire.ParseHeader(b, &h) != nil {
				return
			}
			size := min(int(binary.BigEndian.Uint32(b[wire.HeaderBytes-4:])), len(b)-wire.HeaderBytes)
			body := b[wire.HeaderBytes : wire.HeaderBytes+size]
			b = b[wire.HeaderBytes+size:]
			if c.take(&h, body) != nil {
				return
			}
			if wrong := p.mu.lane.check() + p.mu.receivers[wire.StreamPublish].check(); wrong != "" {
				t.Fatalf("after %+v %x: %s", h, body, wrong)
			}
		}
	})
}
