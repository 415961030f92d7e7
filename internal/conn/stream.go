package conn

import (
	"errors"
	"io"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Events that other goroutines raise for the driver.
const (
	evParked   uint32 = 1 << iota // set by the driver alone: it waits for bytes
	evWake                        // OnRoundEnd is wanted
	evWritable                    // OnWritable is wanted
	evResume                      // reading goes on
	evClose                       // order is set
	evStart                       // a loop is to take the connection over
	evPump                        // a loop is to go on flushing
	evDrained                     // nothing is left to write, and order is set
	evExpire                      // the linger is over
	evHangup                      // the peer's end is there to be read
	evAsleep                      // set with evParked: there is no goroutine that waits
	evReadable                    // a connection that slept has something to read
	evRest                        // nothing was read for some time
)

// fullRoundsMax bounds the rounds that fill their buffer before the driver lets
// other goroutines run, so that one flooding peer does not hold a processor.
const fullRoundsMax = 8

// silentTicks is for how many ticks of the watcher a connection has to say nothing
// to be idle.
const silentTicks = 2

// stream is one connection. in, handler and the fields from fullRounds to
// rested are owned by the driver goroutine; out, flush and the fields named in them are guarded by
// mu; the wire list in flush is owned by the flusher of the moment; the rest is
// atomic or immutable once the driver runs.
type stream struct {
	mu    sync.Mutex // handed out by Locker
	out   chunkList
	flush flushState

	events atomic.Uint32
	paused atomic.Bool
	gate   atomic.Pointer[chan struct{}] // parks the driver while paused
	order  atomic.Pointer[closeOrder]

	t       transport
	handler Handler
	cfg     *Config
	in      inbox

	fullRounds uint8
	readEOF    bool
	hungUp     bool          // evHangup was raised: only a read of nothing is the end
	rested     bool          // the last round came after silence, or there was none for long
	heard      atomic.Uint32 // the tick of the last round

	peer       netip.AddrPort
	peerName   string // of peer; made once, for whoever asks keeps it
	ext        *extra // nil for plain sockets
	l          *Listener
	prev, next *stream // the listener's list, guarded by its mu
}

// extra is what only some connections need. Immutable once the driver runs,
// except for what its parts say.
type extra struct {
	info Info
	tls  *tlsLayer
	ws   *wsLayer
	// ready is set when the handshakes are done and the driver runs.
	ready atomic.Bool
}

// closeOrder says why and how a connection ends. Immutable.
type closeOrder struct {
	err    error
	linger time.Duration
}

func (c *stream) Append(p []byte) {
	if c.order.Load() != nil || c.flush.broken {
		return
	}
	c.out.append(p)
	c.markHighLocked()
}

func (c *stream) AppendShared(p []byte) {
	if c.order.Load() != nil || c.flush.broken || len(p) == 0 {
		return
	}
	c.out.share(p)
	c.markHighLocked()
}

func (c *stream) Reserve(n int) []byte {
	if c.order.Load() != nil || c.flush.broken {
		return make([]byte, n)
	}
	p := c.out.reserve(n)
	c.markHighLocked()
	return p
}

func (c *stream) Buffered() int { return c.out.size + c.flush.wireBytes }

func (c *stream) Locker() *sync.Mutex { return &c.mu }

func (c *stream) Info() Info {
	var info Info
	if c.ext != nil {
		info = c.ext.info
	}
	info.Listener, info.Kind, info.Mountpoint = c.cfg.Name, c.cfg.Kind, c.cfg.Mountpoint
	info.Peer = c.peer
	if info.PeerName == "" {
		info.PeerName = c.peerName
	}
	return info
}

func (c *stream) Wake() { c.raise(evWake) }

func (c *stream) PauseRead() {
	if c.gate.Load() == nil {
		gate := make(chan struct{}, 1)
		c.gate.CompareAndSwap(nil, &gate)
	}
	c.paused.Store(true)
}

func (c *stream) ResumeRead() {
	if c.paused.Swap(false) {
		c.raise(evResume)
	}
}

func (c *stream) Shutdown(err error, linger time.Duration) {
	if err == nil {
		err = io.EOF
	}
	if c.order.CompareAndSwap(nil, &closeOrder{err: err, linger: linger}) {
		c.raise(evClose)
	}
}

// raise tells the driver of an event. The driver looks before it parks; only one
// that is parked must be interrupted, and only by the first event.
func (c *stream) raise(event uint32) {
	old := c.events.Or(event)
	if old&evParked == 0 || old&^(evParked|evAsleep) != 0 {
		return
	}
	if old&evAsleep != 0 {
		go c.wakeUp()
		return
	}
	c.t.interrupt()
	if gate := c.gate.Load(); gate != nil {
		select {
		case *gate <- struct{}{}:
		default:
		}
	}
}

// begin has a connection sleep until its first bytes come. It is called where the
// connection was accepted, in the place of a driver that there is not yet.
func (c *stream) begin(accept Accept) {
	if c.handler = accept(c); c.handler == nil {
		c.refuse()
		return
	}
	if !c.fallAsleep() || !c.events.CompareAndSwap(0, evParked|evAsleep) {
		go c.drive()
	}
}

// run is the driver goroutine: it parks, reads, delivers, until told to close.
func (c *stream) run(accept Accept) {
	if c.handler = accept(c); c.handler == nil {
		c.refuse()
		return
	}
	c.early()
	c.drive()
}

// early delivers what was read with the handshakes.
func (c *stream) early() {
	if n := c.in.len(); n > 0 { // what came behind a PROXY header or a handshake
		n, err := c.ext.decode(c, n)
		if n > 0 {
			c.round()
		}
		if err != nil {
			c.Shutdown(err, c.cfg.CloseLinger)
		}
	}
}

// drive is the driver's loop. After a round that came out of a silence, or a
// silence, it ends: the connection sleeps, which takes no more than its state, until
// raise starts a driver for it. Where that cannot be, it goes on in a new goroutine:
// the handler has grown the stack, and a connection that is mostly silent should not
// hold it until the next message.
func (c *stream) drive() {
	for c.order.Load() == nil {
		if c.rested {
			c.rested = false
			if !c.fallAsleep() {
				go c.drive()
				return
			}
			// What comes from here on finds that there is no driver, and starts one;
			// what came since fallAsleep is an event.
			if c.events.CompareAndSwap(0, evParked|evAsleep) {
				return
			}
		}
		if !c.events.CompareAndSwap(0, evParked) {
			c.serveEvents(c.events.Swap(0))
			continue
		}
		c.await()
	}
	c.finish()
}

// fallAsleep sees to it that whatever happens next is raised as an event. A paused
// connection is not read, and sleeps until it is resumed.
func (c *stream) fallAsleep() bool {
	if c.ext != nil && !c.ext.drained() {
		return false
	}
	c.in.settle()
	s, ok := c.t.(sleeper)
	return ok && (c.paused.Load() || s.watchAll(c))
}

// wakeUp is the driver of a connection that slept.
func (c *stream) wakeUp() {
	events := c.events.Swap(0)
	c.rested = events&(evReadable|evHangup) == 0 // it goes back to sleep when this is done
	c.serveEvents(events)
	c.drive()
}

// silent says whether the last round is some ticks ago.
func (c *stream) silent() bool { return c.l.now()-c.heard.Load() >= silentTicks }

// await parks until bytes or an event come, and serves them.
func (c *stream) await() {
	if c.paused.Load() {
		c.in.settle()
		// Whoever raised an event before the gate stood could not open it.
		if c.events.Load() == evParked {
			<-*c.gate.Load()
		}
		c.serveEvents(c.events.Swap(0))
		return
	}
	n, err := 0, error(nil)
	if r, ok := c.t.(roundReader); ok && !c.layered() {
		err = r.rounds(c)
	} else {
		n, err = c.fill()
	}
	if events := c.events.Swap(0); events != evParked {
		c.serveEvents(events)
	}
	if n > 0 {
		c.round()
	}
	switch {
	case err == nil:
	case interrupted(err):
		c.t.restore()
	default:
		c.readEOF = !errors.Is(err, ErrFraming)
		c.Shutdown(err, c.cfg.CloseLinger)
	}
}

// arrived makes a round of what was read while the driver was parked. It says
// whether the driver is parked again, and has nothing to do but read.
func (c *stream) arrived() bool {
	if events := c.events.Swap(0); events != evParked {
		c.serveEvents(events)
	}
	c.round()
	return !c.rested && c.order.Load() == nil && !c.paused.Load() && c.events.CompareAndSwap(0, evParked)
}

// layered says whether TLS or WebSocket stand between the socket and the handler.
func (c *stream) layered() bool {
	return c.ext != nil && (c.ext.tls != nil || c.ext.ws != nil)
}

// fill parks until payload bytes are there and puts them behind those of in. With
// layers it may come back with none.
func (c *stream) fill() (int, error) {
	if c.ext == nil {
		return c.t.read(&c.in)
	}
	return c.ext.fill(c)
}

// round delivers what was read and ends the round.
func (c *stream) round() {
	c.deliver()
	full := c.in.k != nil && c.in.k.free() == 0
	c.handler.OnRoundEnd()
	if !full {
		c.fullRounds = 0
		c.in.settle()
		if now := c.l.now(); now != c.heard.Load() {
			c.rested = c.silent()
			c.heard.Store(now)
		}
	} else if c.fullRounds++; c.fullRounds == fullRoundsMax {
		c.fullRounds = 0
		runtime.Gosched()
	}
}

// deliver gives the handler its bytes while it takes some and has enough.
func (c *stream) deliver() {
	for c.in.len() > 0 && c.in.len() >= c.in.want && !c.paused.Load() && c.order.Load() == nil {
		consumed, want, err := c.handler.OnBytes(c.in.bytes())
		c.in.k.r += consumed
		c.in.want = want
		if err != nil {
			c.Shutdown(err, c.cfg.CloseLinger)
			return
		}
		if consumed == 0 {
			return
		}
	}
}

// serveEvents is called by the driver with what was raised. An event that is
// raised after the swap is seen before the next park; an interrupt that comes
// late ends one read for nothing.
func (c *stream) serveEvents(events uint32) {
	if events&(evParked|evAsleep) == evParked && events != evParked {
		c.t.restore()
	}
	if events&evHangup != 0 {
		c.hungUp = true
	}
	if events&evRest != 0 {
		c.rested = true
	}
	if c.order.Load() != nil {
		return
	}
	if events&evWritable != 0 {
		c.handler.OnWritable()
	}
	if events&evResume != 0 {
		c.deliver()
	}
	if events&(evWake|evWritable|evResume) != 0 {
		c.handler.OnRoundEnd()
		c.in.settle()
	}
}
