package conn

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

func init() {
	tire = serveTired
	drivers = append(drivers,
		driver{name: "tired", kind: KindTCP, tired: true},
		driver{name: "tired-unix", kind: KindTCP, unix: true, tired: true},
		driver{name: "tired-tls", kind: KindSSL, tired: true},
		driver{name: "tired-wss", kind: KindWSS, tired: true},
	)
}

// serveTired serves with a watcher whose time flies: connections fall asleep after nearly
// every round, and whenever they are found waiting.
func serveTired(t *testing.T, cfg Config, accept Accept) *harness {
	stop, found := make(chan struct{}), make(chan *watcher, 1)
	var once sync.Once
	h := serve(t, cfg, func(c Conn) Handler {
		once.Do(func() { found <- c.(*stream).l.watcher })
		return accept(c)
	})
	var flies sync.WaitGroup
	flies.Go(func() {
		select {
		case w := <-found:
			w.hurry(stop)
		case <-stop:
		}
	})
	t.Cleanup(func() { // before the listener ends
		close(stop)
		flies.Wait()
	})
	return h
}

// hurry has time fly until stop is closed.
func (w *watcher) hurry(stop chan struct{}) {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			w.ticks.Add(silentTicks)
			w.sweep()
		}
	}
}

func (c *stream) asleep() bool { return c.events.Load() == evParked|evAsleep }

// sleeping connects a client that has spoken and waits until its connection sleeps.
func sleeping(t *testing.T, d driver, make_ func(c Conn) Handler) (client, *stream, *watched) {
	t.Helper()
	o, accept := acceptOne(t, make_)
	cl := d.dial(t, d.serve(t, Config{}, accept))
	mustEcho(t, cl)
	c := await(t, o.conn, "accept").(*stream)
	eventually(t, "sleep", c.asleep)
	return cl, c, o.handler
}

func tiredDrivers(t *testing.T, clause func(t *testing.T, d driver)) {
	eachDriver(t, func(t *testing.T, d driver) {
		if d.tired {
			clause(t, d)
		}
	})
}

// What raises a sleeping connection: bytes, Wake, Shutdown, the peer's end and its
// reset. Each is served, and after what leaves it open it sleeps again.
func TestSleepEnds(t *testing.T) {
	tiredDrivers(t, func(t *testing.T, d driver) {
		rounds := make(chan struct{}, 1)
		make_ := func(c Conn) Handler {
			h := echo(c).(*funcHandler)
			h.roundEnd = func() {
				c.Flush()
				select {
				case rounds <- struct{}{}:
				default:
				}
			}
			return h
		}
		cl, c, h := sleeping(t, d, make_)
		for range 20 {
			mustEcho(t, cl)
			eventually(t, "sleep after bytes", c.asleep)
		}
		for len(rounds) > 0 {
			<-rounds
		}
		c.Wake()
		await(t, rounds, "OnRoundEnd of a connection that slept")
		eventually(t, "sleep after Wake", c.asleep)
		cause := errors.New("told to")
		c.Shutdown(cause, time.Second)
		await(t, h.closed, "OnClose")
		if h.err != cause {
			t.Errorf("OnClose(%v)", h.err)
		}
		mustBeClosed(t, cl)

		cl, _, h = sleeping(t, d, echo)
		_ = closeWrite(cl.socket)
		await(t, h.closed, "OnClose after the peer's end")
		cl, _, h = sleeping(t, d, echo)
		cl.reset()
		await(t, h.closed, "OnClose after a reset")
	})
}

// A paused connection sleeps as well; what came meanwhile is delivered when it is
// resumed, however it was woken in between.
func TestSleepPaused(t *testing.T) {
	tiredDrivers(t, func(t *testing.T, d driver) {
		cl, c, _ := sleeping(t, d, echo)
		c.PauseRead()
		c.Wake()
		if _, err := cl.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "sleep while paused", c.asleep)
		c.Wake()
		eventually(t, "sleep after Wake", c.asleep)
		c.ResumeRead()
		got := make([]byte, 5)
		if _, err := io.ReadFull(cl, got); err != nil || string(got) != "hello" {
			t.Fatalf("%q and %v", got, err)
		}
	})
}

// Bytes, wake-ups and a pause meet connections at whatever instant of falling
// asleep: nothing is forgotten (guarantees 1, 2 and 8).
func TestSleepRaces(t *testing.T) {
	tiredDrivers(t, func(t *testing.T, d driver) {
		conns := make(chan Conn, 8)
		h := d.serve(t, Config{}, func(c Conn) Handler {
			conns <- c
			return watch(t, echo(c))
		})
		var all sync.WaitGroup
		for seed := range uint64(4) {
			cl := d.dial(t, h)
			mustEcho(t, cl)
			c := await(t, conns, "accept")
			r := rand.New(rand.NewPCG(seed, 1))
			all.Go(func() {
				for range 150 {
					if r.IntN(3) == 0 {
						c.PauseRead()
						go c.ResumeRead()
					}
					if r.IntN(3) == 0 {
						go c.Wake()
					}
					for range r.IntN(200) {
						runtime.Gosched()
					}
					if err := echoOnce(cl); err != nil {
						t.Errorf("seed %d: %v", seed, err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

func echoOnce(nc net.Conn) error {
	p := []byte("x")
	if _, err := nc.Write(p); err != nil {
		return err
	}
	_, err := io.ReadFull(nc, p)
	return err
}

// Connections that say nothing have no goroutine.
func TestSleepTakesNoGoroutine(t *testing.T) {
	h := serve(t, Config{}, echo)
	before := runtime.NumGoroutine()
	for range 200 {
		mustEcho(t, dialEcho(t, h))
	}
	eventually(t, "drivers to end", func() bool { return runtime.NumGoroutine() < before+20 })
}
