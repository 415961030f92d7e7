package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// watched holds a handler to the contract: no two calls at once, OnClose once
// and last. Its counters are atomic.
type watched struct {
	t      *testing.T
	inner  Handler
	busy   atomic.Int32
	closes atomic.Int32
	err    error
	closed chan struct{} // closed by OnClose, after err is set
}

func watch(t *testing.T, inner Handler) *watched {
	return &watched{t: t, inner: inner, closed: make(chan struct{})}
}

func (w *watched) enter(call string) func() {
	if w.busy.Add(1) != 1 {
		w.t.Errorf("%s overlaps another call", call)
	}
	if w.closes.Load() != 0 {
		w.t.Errorf("%s after OnClose", call)
	}
	return func() { w.busy.Add(-1) }
}

func (w *watched) OnBytes(b []byte) (int, int, error) {
	defer w.enter("OnBytes")()
	return w.inner.OnBytes(b)
}

func (w *watched) OnRoundEnd() {
	defer w.enter("OnRoundEnd")()
	w.inner.OnRoundEnd()
}

func (w *watched) OnWritable() {
	defer w.enter("OnWritable")()
	w.inner.OnWritable()
}

func (w *watched) OnClose(err error) {
	defer w.enter("OnClose")()
	w.closes.Add(1)
	w.inner.OnClose(err)
	w.err = err
	close(w.closed)
}

// one accepts one connection and gives its two ends to the test.
type one struct {
	conn    chan Conn
	handler *watched
}

// acceptOne wraps the handler that make returns for the first connection.
func acceptOne(t *testing.T, make_ func(c Conn) Handler) (*one, Accept) {
	o := &one{conn: make(chan Conn, 1), handler: watch(t, nil)}
	return o, func(c Conn) Handler {
		o.handler.inner = make_(c)
		o.conn <- c
		return o.handler
	}
}

// packets echoes packets of a four-byte length and a payload, and asks for a
// whole packet at a time, as MQTT does.
func packets(c Conn) Handler {
	return &funcHandler{
		bytes: func(b []byte) (consumed, want int, err error) {
			for len(b) >= 4 {
				size := 4 + int(binary.BigEndian.Uint32(b))
				if len(b) < size {
					return consumed, size, nil
				}
				c.Locker().Lock()
				copy(c.Reserve(size), b)
				c.Locker().Unlock()
				consumed += size
				b = b[size:]
			}
			return consumed, 0, nil
		},
		roundEnd: c.Flush,
	}
}

func packetsOf(r *rand.Rand, total int) []byte {
	var all []byte
	for len(all) < total {
		size := r.IntN(200)
		if r.IntN(50) == 0 {
			size = r.IntN(300_000)
		}
		all = binary.BigEndian.AppendUint32(all, uint32(size))
		for range size {
			all = append(all, byte(r.Uint32()))
		}
	}
	return all
}

// Guarantees 2 and 4: what is echoed comes back in order, however it is cut.
func TestContractOrder(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		o, accept := acceptOne(t, packets)
		h := d.serve(t, Config{ReadBuffer: 8 << 10}, accept)
		c := d.dial(t, h)
		const seed = 7
		r := rand.New(rand.NewPCG(seed, 1))
		sent := packetsOf(r, 600_000)
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+r.IntN(1<<r.IntN(17)))
				if _, err := c.Write(rest[:n]); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				rest = rest[n:]
			}
		}()
		got := make([]byte, len(sent))
		if n, err := io.ReadFull(c, got); err != nil {
			t.Fatalf("seed %d: after %d of %d bytes: %v", seed, n, len(sent), err)
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("seed %d: bytes differ", seed)
		}
		c.reset()
		await(t, o.handler.closed, "OnClose")
	})
}

// Guarantee 4: concurrent appenders and flushers lose nothing, keep the order of
// each, and the last flush of all is enough.
func TestContractAppenders(t *testing.T) {
	const writers, each = 8, 400
	eachDriver(t, func(t *testing.T, d driver) {
		o, accept := acceptOne(t, func(Conn) Handler { return &funcHandler{} })
		h := d.serve(t, Config{}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write([]byte("x")); err != nil { // completes lazy handshakes
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(3, uint64(w)))
				for i := range each {
					record := make([]byte, 8+r.IntN(500))
					binary.BigEndian.PutUint16(record, uint16(w))
					binary.BigEndian.PutUint16(record[2:], uint16(len(record)))
					binary.BigEndian.PutUint32(record[4:], uint32(i))
					appendBytes(c, record)
					if r.IntN(3) == 0 || i == each-1 {
						c.Flush()
					}
				}
			})
		}
		var next [writers]uint32
		var head [8]byte
		for range writers * each {
			if _, err := io.ReadFull(cl, head[:]); err != nil {
				t.Fatal(err)
			}
			w, size, i := binary.BigEndian.Uint16(head[:]), binary.BigEndian.Uint16(head[2:]), binary.BigEndian.Uint32(head[4:])
			if w >= writers || i != next[w] {
				t.Fatalf("writer %d: record %d came, %d is next", w, i, next[w])
			}
			next[w]++
			if _, err := io.CopyN(io.Discard, cl, int64(size)-8); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
	})
}

// Guarantee 4, at its edge: two flushes meet, and nothing is left when both have
// returned but what the socket refuses.
func TestContractFlushesMeet(t *testing.T) {
	const rounds, writers = 300, 3
	eachDriver(t, func(t *testing.T, d driver) {
		o, accept := acceptOne(t, func(Conn) Handler { return &funcHandler{} })
		h := d.serve(t, Config{}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		got := make([]byte, writers*64)
		for i := range rounds {
			for range writers {
				go func() {
					appendBytes(c, make([]byte, 64))
					c.Flush()
				}()
			}
			if n, err := io.ReadFull(cl, got); err != nil {
				t.Fatalf("round %d: %d of %d bytes, then %v", i, n, len(got), err)
			}
		}
	})
}

// A peer that does not read: Flush does not block, the outbox keeps the rest,
// OnWritable comes when it was read, and nothing is lost.
func TestContractSlowReader(t *testing.T) {
	const total = 8 << 20
	eachDriver(t, func(t *testing.T, d driver) {
		writable := make(chan struct{}, 16)
		o, accept := acceptOne(t, func(Conn) Handler {
			return &funcHandler{writable: func() { writable <- struct{}{} }}
		})
		h := d.serve(t, Config{OutboxHighMark: 1 << 20, OutboxLowMark: 64 << 10, SendBuffer: 64 << 10}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		pattern := make([]byte, total)
		for i := range pattern {
			pattern[i] = byte(i ^ i>>8 ^ i>>16)
		}
		for part := pattern; len(part) > 0; part = part[64<<10:] {
			appendBytes(c, part[:64<<10])
			c.Flush()
		}
		c.Locker().Lock()
		buffered := c.Buffered()
		c.Locker().Unlock()
		if buffered == 0 {
			t.Fatal("nothing is buffered though the peer reads nothing")
		}
		select {
		case <-writable:
			t.Fatal("OnWritable before the peer has read")
		default:
		}
		got := make([]byte, total)
		if n, err := io.ReadFull(cl, got); err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if !bytes.Equal(got, pattern) {
			t.Fatal("bytes differ")
		}
		await(t, writable, "OnWritable")
		eventually(t, "an empty outbox", func() bool {
			c.Locker().Lock()
			defer c.Locker().Unlock()
			return c.Buffered() == 0
		})
	})
}

// Guarantee 1 under resets at any instant: every handler gets OnClose once, and
// the listener is empty afterwards.
func TestContractResets(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		const clients = 24
		var mu sync.Mutex
		var all []*watched
		h := d.serve(t, Config{}, func(c Conn) Handler {
			w := watch(t, echo(c))
			mu.Lock()
			all = append(all, w)
			mu.Unlock()
			return w
		})
		var wg sync.WaitGroup
		for i := range clients {
			cl := d.dial(t, h)
			wg.Go(func() {
				r := rand.New(rand.NewPCG(11, uint64(i)))
				reads := int64(r.IntN(100_000))
				go func() { _, _ = io.Copy(io.Discard, io.LimitReader(cl, reads)) }()
				for range r.IntN(30) {
					if _, err := cl.Write(make([]byte, 1+r.IntN(20_000))); err != nil {
						break
					}
				}
				cl.reset()
			})
		}
		wg.Wait()
		eventually(t, "no active connection", func() bool { return h.l.Stats().Active() == 0 })
		mu.Lock()
		defer mu.Unlock()
		for i, w := range all {
			if n := w.closes.Load(); n != 1 {
				t.Errorf("handler %d: OnClose %d times", i, n)
			}
		}
	})
}

// Guarantee 7: what was appended before Shutdown reaches a peer that reads, even
// one that has sent what nobody will read.
func TestContractLinger(t *testing.T) {
	cause := errors.New("told to")
	eachDriver(t, func(t *testing.T, d driver) {
		o, accept := acceptOne(t, func(c Conn) Handler {
			c.PauseRead() // what the client sends stays in the kernel
			return &funcHandler{}
		})
		h := d.serve(t, Config{}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		appendBytes(c, want)
		c.Shutdown(cause, patience)
		appendBytes(c, []byte("dropped"))
		got, err := io.ReadAll(cl)
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", len(got), len(want), err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, want %d", len(got), len(want))
		}
		_ = cl.Close()
		await(t, o.handler.closed, "OnClose")
		if !errors.Is(o.handler.err, cause) {
			t.Fatalf("OnClose(%v), want %v", o.handler.err, cause)
		}
		eventually(t, "no active connection", func() bool { return h.l.Stats().Active() == 0 })
	})
}

// A peer that neither reads nor closes does not hold a connection beyond the
// linger.
func TestContractLingerEnds(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		o, accept := acceptOne(t, func(Conn) Handler { return &funcHandler{} })
		h := d.serve(t, Config{SendBuffer: 16 << 10}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		appendBytes(c, make([]byte, 10<<20))
		c.Shutdown(nil, 50*time.Millisecond)
		eventually(t, "no active connection", func() bool { return h.l.Stats().Active() == 0 })
		if !errors.Is(o.handler.err, io.EOF) {
			t.Fatalf("OnClose(%v), want EOF", o.handler.err)
		}
	})
}
