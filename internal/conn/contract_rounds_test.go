package conn

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
)

// held is a handler that echoes and can be held in OnBytes.
type held struct {
	Handler
	hold    atomic.Bool
	inside  chan struct{}
	release chan struct{}
}

func holdable(c Conn) *held {
	return &held{Handler: echo(c), inside: make(chan struct{}, 1), release: make(chan struct{})}
}

func (h *held) OnBytes(b []byte) (int, int, error) {
	if h.hold.Swap(false) {
		h.inside <- struct{}{}
		<-h.release
	}
	return h.Handler.OnBytes(b)
}

// loneMessages has so many single messages echoed that a driver which learns from
// them has learned.
func loneMessages(t *testing.T, cl client) {
	t.Helper()
	for range 3 * 8 {
		mustEcho(t, cl)
	}
}

// plainDrivers runs a clause over the drivers of plain sockets.
func plainDrivers(t *testing.T, clause func(t *testing.T, d driver)) {
	eachDriver(t, func(t *testing.T, d driver) {
		if d.kind == KindTCP {
			clause(t, d)
		}
	})
}

// The end of the stream arrives with the last bytes, both while the driver is busy,
// so that one edge of the poller stands for both: the bytes are delivered and the end
// is noticed, though nothing comes after it. So it is for an orderly end and for a
// reset.
func TestContractEndWithBytes(t *testing.T) {
	plainDrivers(t, func(t *testing.T, d driver) {
		for _, reset := range []bool{false, true} {
			var h *held
			o, accept := acceptOne(t, func(c Conn) Handler { h = holdable(c); return h })
			l := d.serve(t, Config{}, accept)
			cl := d.dial(t, l)
			loneMessages(t, cl)
			await(t, o.conn, "accept")
			h.hold.Store(true)
			if _, err := cl.Write([]byte("first ")); err != nil {
				t.Fatal(err)
			}
			await(t, h.inside, "OnBytes")
			if _, err := cl.Write([]byte("last")); err != nil {
				t.Fatal(err)
			}
			if reset {
				cl.reset()
				close(h.release)
				await(t, o.handler.closed, "OnClose after a reset")
				continue
			}
			if err := closeWrite(cl.socket); err != nil {
				t.Fatal(err)
			}
			close(h.release)
			got, err := io.ReadAll(cl)
			if err != nil || string(got) != "first last" {
				t.Fatalf("got %q and %v", got, err)
			}
			await(t, o.handler.closed, "OnClose after the end")
			if !errors.Is(o.handler.err, io.EOF) {
				t.Fatalf("OnClose(%v), want the end of the stream", o.handler.err)
			}
		}
	})
}

// The same without a hand on the driver: bytes and the end one after the other, at
// whatever instant they meet it.
func TestContractEndRaces(t *testing.T) {
	plainDrivers(t, func(t *testing.T, d driver) {
		l := d.serve(t, Config{}, echo)
		for i := range 150 {
			cl := d.dial(t, l)
			if i%2 == 0 {
				loneMessages(t, cl)
			}
			if _, err := cl.Write([]byte("last words")); err != nil {
				t.Fatal(err)
			}
			if i%5 == 4 {
				cl.reset()
				continue
			}
			if err := closeWrite(cl.socket); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(cl); err != nil || string(got) != "last words" {
				t.Fatalf("connection %d: %q and %v", i, got, err)
			}
		}
		eventually(t, "no active connection", func() bool { return l.l.Stats().Active() == 0 })
	})
}

// Everyone's calls during OnBytes: a shutdown by another goroutine ends the
// connection when the handler returns, with what it wrote, and blocks nobody.
func TestContractShutdownDuringRound(t *testing.T) {
	cause := errors.New("told to")
	eachDriver(t, func(t *testing.T, d driver) {
		var h *held
		o, accept := acceptOne(t, func(c Conn) Handler { h = holdable(c); return h })
		l := d.serve(t, Config{}, accept)
		cl := d.dial(t, l)
		loneMessages(t, cl)
		c := await(t, o.conn, "accept")
		h.hold.Store(true)
		if _, err := cl.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		await(t, h.inside, "OnBytes")
		appendBytes(c, []byte("written by another"))
		c.Flush()
		got := make([]byte, 18)
		if _, err := io.ReadFull(cl, got); err != nil {
			t.Fatalf("a flush during the round: %v", err)
		}
		c.PauseRead()
		c.Wake()
		c.ResumeRead()
		c.Shutdown(cause, patience)
		close(h.release)
		if rest, err := io.ReadAll(cl); err != nil || len(rest) > 0 {
			t.Fatalf("after Shutdown: %q and %v", rest, err)
		}
		_ = cl.Close()
		await(t, o.handler.closed, "OnClose")
		if !errors.Is(o.handler.err, cause) {
			t.Fatalf("OnClose(%v), want %v", o.handler.err, cause)
		}
		eventually(t, "no active connection", func() bool { return l.l.Stats().Active() == 0 })
	})
}

// Bytes, wake-ups and pauses cross a stream that comes one byte at a time, then in
// bursts larger than every buffer; nothing is lost and nothing comes twice.
func TestContractDripsAndBursts(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		o, accept := acceptOne(t, echo)
		l := d.serve(t, Config{ReadBuffer: 4 << 10}, accept)
		cl := d.dial(t, l)
		loneMessages(t, cl)
		c := await(t, o.conn, "accept")
		var sent []byte
		for i := range 600_000 {
			sent = append(sent, byte(i^i>>7^i>>15))
		}
		go func() {
			drip, burst := sent[:400], sent[400:]
			for i := range drip {
				if i%7 == 0 {
					c.Wake()
				}
				if i%11 == 0 {
					c.PauseRead()
					c.ResumeRead()
				}
				if _, err := cl.Write(drip[i : i+1]); err != nil {
					t.Errorf("byte %d: %v", i, err)
					return
				}
			}
			for _, part := range [][]byte{burst[:4<<10], burst[4<<10 : 12<<10], burst[12<<10:]} {
				if _, err := cl.Write(part); err != nil {
					t.Errorf("burst of %d: %v", len(part), err)
				}
			}
		}()
		got := make([]byte, len(sent))
		if n, err := io.ReadFull(cl, got); err != nil {
			t.Fatalf("after %d of %d bytes: %v", n, len(sent), err)
		}
		if !bytes.Equal(got, sent) {
			t.Fatal("bytes differ")
		}
		mustEcho(t, cl)
	})
}

// Two connections whose handlers write to each other, both ways at once, do not
// wait for each other.
func TestContractCrossing(t *testing.T) {
	const total = 2 << 20
	plainDrivers(t, func(t *testing.T, d driver) {
		var ends [2]atomic.Pointer[Conn]
		conns := make(chan Conn, 2)
		crossing := func(to *atomic.Pointer[Conn]) Handler {
			return &funcHandler{
				bytes:    func(b []byte) (int, int, error) { appendBytes(*to.Load(), b); return len(b), 0, nil },
				roundEnd: func() { (*to.Load()).Flush() },
			}
		}
		var accepted atomic.Int32
		l := d.serve(t, Config{}, func(c Conn) Handler {
			i := accepted.Add(1) - 1
			ends[i].Store(&c)
			conns <- c
			return crossing(&ends[1-i])
		})
		clients := [2]client{d.dial(t, l), d.dial(t, l)}
		await(t, conns, "the first")
		await(t, conns, "the second")
		var wg sync.WaitGroup
		for _, cl := range clients {
			wg.Go(func() {
				for part := range total / 512 {
					if _, err := cl.Write(bytes.Repeat([]byte{byte(part)}, 512)); err != nil {
						t.Errorf("part %d: %v", part, err)
						return
					}
				}
			})
			wg.Go(func() {
				got := make([]byte, 512)
				for part := range total / 512 {
					if _, err := io.ReadFull(cl, got); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(part)}, 512)) {
						t.Errorf("part %d: %v", part, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
