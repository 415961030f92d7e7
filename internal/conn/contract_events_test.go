package conn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Guarantee 1: OnClose comes once though everyone ends the connection at once: the
// handler, others, and the peer, whose reset may be the first.
func TestContractCloseOnce(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		fromHandler := errors.New("from the handler")
		started := make(chan struct{})
		o, accept := acceptOne(t, func(Conn) Handler {
			return &funcHandler{bytes: func(b []byte) (int, int, error) {
				close(started)
				return 0, 0, fromHandler
			}}
		})
		h := d.serve(t, Config{}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		await(t, started, "OnBytes")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { c.Shutdown(fromHandler, 0) })
			wg.Go(c.Wake)
			wg.Go(c.Flush)
			wg.Go(func() { appendBytes(c, []byte("late")) })
		}
		cl.reset()
		wg.Wait()
		await(t, o.handler.closed, "OnClose")
		var reset syscall.Errno
		if !errors.Is(o.handler.err, fromHandler) && !errors.As(o.handler.err, &reset) {
			t.Fatalf("OnClose(%v)", o.handler.err)
		}
		eventually(t, "no active connection", func() bool { return h.l.Stats().Active() == 0 })
		c.Flush()
		c.Wake()
		c.ResumeRead()
	})
}

// Guarantee 8: each Wake is followed by a round end, whatever else happens.
func TestContractWake(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		var asked atomic.Int64
		answered := make(chan int64, 1)
		o, accept := acceptOne(t, func(c Conn) Handler {
			return &funcHandler{roundEnd: func() {
				seen := asked.Load()
				select {
				case <-answered:
				default:
				}
				answered <- seen
			}}
		})
		h := d.serve(t, Config{}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		for i := range int64(2000) {
			asked.Store(i + 1)
			c.Wake()
			if i%3 == 0 { // bytes and wake-ups cross
				if _, err := cl.Write([]byte("y")); err != nil {
					t.Fatal(err)
				}
			}
			for await(t, answered, "OnRoundEnd after Wake") < i+1 {
			}
		}
	})
}

// Wakes from many goroutines at once: none is lost.
func TestContractWakeStorm(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		const wakers, each = 4, 500
		var done [wakers]atomic.Int64
		rounds := make(chan struct{}, 1)
		o, accept := acceptOne(t, func(Conn) Handler {
			return &funcHandler{roundEnd: func() {
				for i := range done {
					done[i].Store(0)
				}
				select {
				case rounds <- struct{}{}:
				default:
				}
			}}
		})
		h := d.serve(t, Config{}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		var wg sync.WaitGroup
		for i := range done {
			wg.Go(func() {
				for range each {
					done[i].Store(1)
					c.Wake()
				}
			})
		}
		wg.Wait()
		eventually(t, "a round end after the last wake", func() bool {
			for i := range done {
				if done[i].Load() != 0 {
					return false
				}
			}
			return true
		})
		await(t, rounds, "a round")
	})
}

// A wake-up that came before the first PauseRead had made the gate is not lost:
// nobody will open the gate for it.
func TestWakeMeetsPause(t *testing.T) {
	ours, theirs := net.Pipe()
	closeLater(t, ours)
	closeLater(t, theirs)
	ended := make(chan struct{})
	c := &stream{cfg: &Config{}, t: &plainTransport{nc: ours}}
	c.handler = &funcHandler{roundEnd: func() { close(ended) }}
	c.PauseRead()
	c.events.Store(evParked | evWake)
	go c.await()
	await(t, ended, "OnRoundEnd")
}

// While paused no OnBytes; after ResumeRead all that was left and all that came.
func TestContractPause(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		var paused atomic.Bool
		var got bytes.Buffer
		took := make(chan int, 1024)
		o, accept := acceptOne(t, func(c Conn) Handler {
			return &funcHandler{bytes: func(b []byte) (int, int, error) {
				if paused.Load() {
					t.Error("OnBytes while paused")
				}
				n := min(len(b), 1000)
				got.Write(b[:n])
				paused.Store(true)
				c.PauseRead() // leaves the rest behind
				took <- got.Len()
				return n, 0, nil
			}}
		})
		h := d.serve(t, Config{ReadBuffer: 4 << 10}, accept)
		cl := d.dial(t, h)
		want := bytes.Repeat([]byte("pause and resume "), 2000)
		go func() { _, _ = cl.Write(want) }()
		c := await(t, o.conn, "accept")
		for await(t, took, "bytes after resume") < len(want) {
			c.Wake()
			paused.Store(false)
			c.ResumeRead()
		}
		c.Shutdown(nil, 0)
		await(t, o.handler.closed, "OnClose while paused")
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatal("bytes differ")
		}
	})
}

// One append, and one reservation, larger than every buffer.
func TestContractHuge(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		o, accept := acceptOne(t, func(Conn) Handler { return &funcHandler{} })
		h := d.serve(t, Config{}, accept)
		cl := d.dial(t, h)
		if _, err := cl.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c := await(t, o.conn, "accept")
		first := bytes.Repeat([]byte("huge"), 1<<20)
		second := bytes.Repeat([]byte("more"), 300_000)
		c.Locker().Lock()
		c.Append(nil)
		c.Append([]byte("a"))
		c.Append(first)
		copy(c.Reserve(len(second)), second)
		c.Append([]byte("z"))
		c.Locker().Unlock()
		c.Flush()
		want := append(append(append([]byte("a"), first...), second...), 'z')
		got := make([]byte, len(want))
		if n, err := io.ReadFull(cl, got); err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("bytes differ")
		}
	})
}

// Guarantee 3: what OnBytes was given in a round is unchanged when it ends.
func TestContractBytesLiveUntilRoundEnd(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		total := 0
		finished := make(chan struct{})
		o, accept := acceptOne(t, func(Conn) Handler {
			var views, copies [][]byte
			return &funcHandler{
				bytes: func(b []byte) (int, int, error) {
					n := (len(b) + 1) / 2 // several calls a round
					views = append(views, b[:n])
					copies = append(copies, bytes.Clone(b[:n]))
					total += n
					return n, 0, nil
				},
				roundEnd: func() {
					for i := range views {
						if !bytes.Equal(views[i], copies[i]) {
							t.Error("bytes changed before the round ended")
						}
					}
					views, copies = nil, nil
					if total == 200_000 {
						close(finished)
					}
				},
			}
		})
		h := d.serve(t, Config{ReadBuffer: 4 << 10}, accept)
		cl := d.dial(t, h)
		data := make([]byte, 1000)
		for i := range 200 {
			for j := range data {
				data[j] = byte(i + j)
			}
			if _, err := cl.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		await(t, finished, "all bytes")
		cl.reset()
		await(t, o.handler.closed, "OnClose")
	})
}

// A peer that closes its side and still reads gets the answers to what it sent.
func TestContractHalfClose(t *testing.T) {
	for _, d := range drivers {
		if d.kind != KindTCP {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			h := d.serve(t, Config{}, echo)
			cl := d.dial(t, h)
			want := bytes.Repeat([]byte("q"), 100_000)
			go func() {
				_, _ = cl.Write(want)
				_ = closeWrite(cl.socket)
			}()
			got, err := io.ReadAll(cl)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes and %v, want %d", len(got), err, len(want))
			}
		})
	}
}
