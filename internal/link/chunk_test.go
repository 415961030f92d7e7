package link

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"

	"tombolo/internal/wire"
)

// tap lies between two nodes and keeps the headers that pass it from the one who
// dials, by connection. Guarded by mu.
type tap struct {
	listener net.Listener
	to       string
	mu       struct {
		sync.Mutex
		conns [][]wire.Header
		wrong error
	}
}

func newTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: l, to: to}
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			near, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.mu.conns = append(p.mu.conns, nil)
			p.mu.Unlock()
			running.Go(func() { p.pass(near, i) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return p
}

// pass carries one connection, frame by frame in the direction that is looked at.
func (p *tap) pass(near net.Conn, at int) {
	defer near.Close()
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer far.Close()
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	defer back.Wait()
	defer far.Close()
	head := make([]byte, wire.HeaderBytes)
	for {
		if _, err := io.ReadFull(near, head); err != nil {
			return
		}
		var h wire.Header
		err := wire.ParseHeader(head, &h)
		p.mu.Lock()
		p.mu.conns[at] = append(p.mu.conns[at], h)
		p.mu.wrong = errors.Join(p.mu.wrong, err)
		p.mu.Unlock()
		if _, err := io.Copy(far, io.MultiReader(bytes.NewReader(head), io.LimitReader(near, int64(h.Length)))); err != nil {
			return
		}
	}
}

// chunks looks at the frames of each connection as docs/formats/link.md says that
// they are, and counts messages in several frames, and what stood between these, by
// type.
func (p *tap) chunks(t *testing.T) (long int, between map[wire.Type]int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.wrong != nil {
		t.Fatal(p.mu.wrong)
	}
	between = map[wire.Type]int{}
	for _, frames := range p.mu.conns {
		half := map[wire.Stream]wire.Header{} // the last frame of what is not whole yet
		for _, h := range frames {
			was, open := half[h.Stream]
			first, last := h.Flags&wire.FlagFirst != 0, h.Flags&wire.FlagLast != 0
			switch {
			case open && (first || h.Type != was.Type || h.Stream.Numbered() && h.Sequence != was.Sequence+1):
				t.Fatalf("%+v follows %+v", h, was)
			case !open && !first || !last && h.Length != wire.BodyBytesMax:
				t.Fatalf("%+v stands where none like it may", h)
			}
			for s := range half {
				if s != h.Stream {
					between[h.Type]++
				}
			}
			delete(half, h.Stream)
			if !last {
				half[h.Stream] = h
			} else if !first {
				long++
			}
		}
	}
	return long, between
}

// TestChunksLetOthersPass: a message that is longer than a frame crosses in pieces,
// between which heartbeats, acknowledgements and messages of other streams go; it
// arrives whole, on numbered streams and on those that nothing confirms.
func TestChunksLetOthersPass(t *testing.T) {
	one, two := &beater{to: 2}, &beater{to: 1}
	a := prepare(t, 1, func(c *Config) { c.Detector = one })
	b := prepare(t, 2, func(c *Config) { c.Detector = two })
	long := make([]byte, 2<<20+1)
	for i, rng := 0, rand.NewChaCha8([32]byte{}); i < len(long); i += 8 {
		_, _ = rng.Read(long[i:min(i+8, len(long))])
	}
	want := sha256.Sum256(long)
	b.on = func(m Message) {
		if m.Stream == wire.StreamMigration && sha256.Sum256(m.Body) != want {
			t.Error("a long message is another one now")
		}
		m.Done(wire.Stored, 0)
	}
	between := newTap(t, b.mesh.Addr().String())
	if err := errors.Join(a.mesh.AddPeer(2, between.listener.Addr().String()), b.mesh.AddPeer(1, a.mesh.Addr().String())); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	b.start(t)
	within(t, "the link", func() bool { return a.up(2) && b.up(1) })
	sent := uint32(0)
	send := func(s wire.Stream, kind wire.Type, body []byte, id uint32) {
		if err := a.mesh.Send(2, s, kind, body, end{a, id}); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	within(t, "publishes and others between the pieces", func() bool {
		for range 3 {
			send(wire.StreamMigration, wire.TypeMigration, long, sent)
			_ = a.mesh.Post(2, wire.StreamMetadata, wire.TypeMetadata, long[:300<<10])
		}
		a.mesh.Post(2, wire.StreamFast, wire.TypePublish, long[:100<<10])
		within(t, "the messages to end", func() (ok bool) {
			send(wire.StreamPublish, wire.TypePublish, numbered(sent, 100), sent)
			send(wire.StreamControl, wire.TypeRoutes, numbered(sent, 100), sent)
			a.read(func() { ok = a.mu.results[Stored] >= int(sent)-2 })
			return ok
		})
		_, seen := between.chunks(t)
		return seen[wire.TypePublish] > 0 && seen[wire.TypeHeartbeat] > 0 && seen[wire.TypeRoutes] > 0 && seen[wire.TypeMigration] > 0
	})
	if n, seen := between.chunks(t); n < 3 {
		t.Errorf("%d long messages, and between their frames %v", n, seen)
	}
	b.read(func() {
		for _, n := range b.mu.datagrams[1] {
			if n != 300<<10 && n != 100<<10 {
				t.Errorf("a datagram came with %d bytes", n)
			}
		}
		if len(b.mu.datagrams[1]) == 0 {
			t.Error("no datagram came in chunks")
		}
	})
}

// piece is one frame of a hostile sequence. A value.
type piece struct {
	seq   uint64
	flags uint8
	kind  wire.Type
	bytes int
}

// TestHostileChunks: pieces that do not fit together end the connection with a
// counted reason, whatever came before them, and nothing of them is handed on.
func TestHostileChunks(t *testing.T) {
	const first, last, both = wire.FlagFirst, wire.FlagLast, wire.FlagFirst | wire.FlagLast
	const full = wire.BodyBytesMax
	for name, c := range map[string]struct {
		stream wire.Stream
		list   []piece
		reason string
	}{
		"begun twice":             {wire.StreamControl, []piece{{1, first, wire.TypeRoutes, full}, {2, first, wire.TypeRoutes, full}}, "chunk"},
		"a whole one in between":  {wire.StreamControl, []piece{{1, first, wire.TypeRoutes, full}, {2, both, wire.TypeRoutes, 1}}, "chunk"},
		"never begun":             {wire.StreamControl, []piece{{1, 0, wire.TypeRoutes, full}}, "chunk"},
		"only an end":             {wire.StreamMigration, []piece{{1, last, wire.TypeMigration, 1}}, "chunk"},
		"another type":            {wire.StreamControl, []piece{{1, first, wire.TypeRoutes, full}, {2, last, wire.TypeRegister, 1}}, "chunk"},
		"a piece missing":         {wire.StreamControl, []piece{{1, first, wire.TypeRoutes, full}, {3, last, wire.TypeRoutes, 1}}, "gap"},
		"one said twice":          {wire.StreamControl, []piece{{1, first, wire.TypeRoutes, full}, {1, first, wire.TypeRoutes, full}, {2, first, wire.TypeRoutes, 1}}, "chunk"},
		"of QoS 0, begun twice":   {wire.StreamFast, []piece{{0, first, wire.TypePublish, full}, {0, first, wire.TypePublish, full}}, "chunk"},
		"of QoS 0, never begun":   {wire.StreamFast, []piece{{0, last, wire.TypePublish, 1}}, "chunk"},
		"of QoS 0, nothing first": {wire.StreamFast, []piece{{0, first, wire.TypePublish, 0}}, "chunk"},
		"of metadata, no end":     {wire.StreamMetadata, append([]piece{{0, first, wire.TypeMetadata, full}}, many(piece{0, 0, wire.TypeMetadata, full}, endlessBytes/full+1)...), "too_long"},
	} {
		t.Run(name, func(t *testing.T) {
			n := prepare(t, 9, nil)
			_ = n.mesh.AddPeer(1, "127.0.0.1:1")
			n.start(t)
			raw := stranger(t, n, c.stream.Plane())
			for _, p := range c.list {
				_, _ = raw.Write(p.frame(c.stream)) // it may be closed before the last
			}
			_, _ = io.Copy(io.Discard, raw) // until they close
			within(t, "the reason", func() bool { return n.mesh.Stats().Closes[c.reason] == 1 })
			n.read(func() {
				if len(n.mu.got)+len(n.mu.datagrams) > 0 {
					t.Errorf("handed on: %v %v", n.mu.got, n.mu.datagrams)
				}
			})
		})
	}
}

func many(p piece, n int) (list []piece) {
	for range n {
		list = append(list, p)
	}
	return list
}

func (p *piece) frame(s wire.Stream) []byte {
	h := wire.Header{Version: 1, TTL: 1, Source: 1, Destination: 9, Incarnation: 1, Type: p.kind, Flags: p.flags, Stream: s, Sequence: p.seq, Length: uint32(p.bytes)}
	return append(wire.AppendHeader(nil, &h), make([]byte, p.bytes)...)
}

// TestEmptyFramesAreBounded: messages without a body cost no credit, and their
// number has a bound all the same; the longest message of all ends the stream too.
func TestEmptyFramesAreBounded(t *testing.T) {
	begin := func() *receiver {
		r := newReceiver(wire.StreamPublish, 1<<20, 1, 0, nil)
		r.resume(&wire.Resume{})
		return r
	}
	r := begin()
	h := wire.Header{Type: wire.TypePublish, Flags: wire.FlagFirst | wire.FlagLast}
	for h.Sequence = 1; h.Sequence <= wire.WindowFramesMax; h.Sequence++ {
		if _, ok, err := r.frame(&h, nil); !ok || err != nil {
			t.Fatalf("frame %d of the window: %v", h.Sequence, err)
		}
	}
	if _, _, err := r.frame(&h, nil); !errors.Is(err, errCredit) {
		t.Errorf("one more than the window: %v", err)
	}
	r.done(1, wire.Stored, 0)
	if _, ok, err := r.frame(&h, nil); !ok || err != nil || r.check() != "" {
		t.Errorf("after one has ended: %v %s", err, r.check())
	}
	r = begin()
	r.granted = 2 * wire.MessageBytesMax
	h.Sequence, h.Flags = 1, wire.FlagFirst
	if _, _, err := r.frame(&h, make([]byte, wire.BodyBytesMax)); err != nil {
		t.Fatal(err)
	}
	r.assembly = make([]byte, wire.MessageBytesMax-10) // so much has come
	h.Sequence, h.Flags = 2, wire.FlagLast
	if _, _, err := r.frame(&h, make([]byte, 11)); !errors.Is(err, errTooLong) {
		t.Errorf("longer than any message: %v", err)
	}
}

// TestTurns: a batch is bounded, begins with what is urgent, and while the pieces of a
// long message wait on one stream those of the others go in turns with them.
func TestTurns(t *testing.T) {
	_, p, c := quietPeer(t)
	c.urgent = nil // what a connection begins with
	for s, e := range map[wire.Stream]entry{
		wire.StreamMigration: {kind: wire.TypeMigration, body: make([]byte, 2<<20)}, wire.StreamPublish: {kind: wire.TypePublish, body: make([]byte, 1<<20)},
	} {
		sender := p.mu.senders[s]
		sender.push(e)
		sender.ready, sender.credit = true, 8<<20
	}
	c.addDatagramLocked(wire.StreamFast, wire.TypePublish, make([]byte, 500<<10))
	var order []wire.Stream // whose turn it was, batch by batch
	for i := 0; c.pendingLocked(); i++ {
		c.urgent = appendFrame(c.urgent, c.header(), wire.TypeHeartbeat, func(dst []byte) []byte {
			return wire.AppendHeartbeat(dst, &wire.Heartbeat{Plane: wire.Bulk, Seq: uint64(i)})
		})
		batch := c.fillLocked(nil)
		if len(batch) > batchBytes+wire.BodyBytesMax+wire.HeaderBytes {
			t.Fatalf("batch %d has %d bytes", i, len(batch))
		}
		for at := 0; at < len(batch); {
			var h wire.Header
			if err := wire.ParseHeader(batch[at:], &h); err != nil {
				t.Fatal(err)
			}
			if (h.Type == wire.TypeHeartbeat) != (at == 0) {
				t.Fatalf("batch %d has %v at %d", i, h.Type, at)
			}
			if at > 0 && (len(order) == 0 || order[len(order)-1] != h.Stream) {
				order = append(order, h.Stream)
			}
			at += wire.HeaderBytes + int(h.Length)
		}
		if i > 100 {
			t.Fatal("it does not end")
		}
	}
	if len(order) < 8 || len(slices.Compact(slices.Sorted(slices.Values(order[:3])))) != 3 {
		t.Errorf("streams went in the order %v", order)
	}
}

// TestLongDatagram: a client's message at QoS 0 that is longer than all that may wait together goes out
// if nothing else waits, and the memory is given back. Behind others it is dropped.
func TestLongDatagram(t *testing.T) {
	const size = 3 << 20
	a, b := prepare(t, 1, nil), prepare(t, 2, nil)
	connect(t, a, b)
	a.start(t)
	b.start(t)
	within(t, "a link", func() bool { return a.mesh.Post(2, wire.StreamFast, wire.TypePublish, make([]byte, size)) })
	within(t, "all of it", func() (ok bool) {
		b.read(func() { ok = len(b.mu.datagrams[1]) == 1 && b.mu.datagrams[1][0] == size })
		return ok
	})
	p := a.mesh.peer(2)
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.mu.conns[wire.StreamFast.Plane()]
	if n := cap(c.datagrams); n > size {
		t.Errorf("%d bytes are kept", n)
	}
	c.addDatagramLocked(wire.StreamFast, wire.TypePublish, nil)
	if !c.fullLocked(wire.StreamFast, make([]byte, size)) || c.fullLocked(wire.StreamFast, make([]byte, 1<<19)) {
		t.Error("what others wait behind is not bounded")
	}
}
