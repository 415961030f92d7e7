package conn

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// loopMask is what sockets are registered for, once: edges in both directions.
const loopMask = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | epollET

// loop drives many sockets from one goroutine. epoll, table and again are owned by
// the goroutine; queue is guarded by mu.
type loop struct {
	epoll *epoll
	table map[int32]*stream
	again []*stream // have more to read than one round

	parked atomic.Bool
	done   chan struct{}
	mu     struct {
		sync.Mutex
		queue   []*stream // have events
		stopped bool
	}
}

func startLoop() (*loop, error) {
	e, err := newEpoll()
	if err != nil {
		return nil, err
	}
	p := &loop{epoll: e, table: map[int32]*stream{}, done: make(chan struct{})}
	go p.run()
	return p, nil
}

// stop ends the loop, which has no connection left, and waits for it.
func (p *loop) stop() {
	p.mu.Lock()
	p.mu.stopped = true
	p.mu.Unlock()
	p.epoll.wake()
	<-p.done
	p.epoll.close()
}

func (p *loop) run() {
	defer close(p.done)
	for {
		p.serveQueue()
		again := p.again
		p.again = nil
		for _, c := range again {
			p.read(c)
		}
		if len(p.again) > 0 {
			// Others are looked at between the rounds of one that floods.
			p.epoll.look()
			p.serveReady()
			continue
		}
		p.parked.Store(true)
		p.mu.Lock()
		idle, stopped := len(p.mu.queue) == 0, p.mu.stopped
		p.mu.Unlock()
		if stopped {
			return
		}
		if idle {
			if err := p.epoll.wait(); err != nil {
				// The descriptor is ours alone and open until run has ended.
				panic(fmt.Sprintf("BUG: waiting for %d sockets: %v", len(p.table), err))
			}
			p.parked.Store(false)
			p.serveReady()
		}
		p.parked.Store(false)
	}
}

// post queues a connection that has events. It is called from any goroutine, at
// most once until the loop has served them.
func (p *loop) post(c *stream) {
	p.mu.Lock()
	p.mu.queue = append(p.mu.queue, c)
	p.mu.Unlock()
	if p.parked.Swap(false) {
		p.epoll.wake()
	}
}

func (p *loop) serveQueue() {
	for {
		p.mu.Lock()
		queue := p.mu.queue
		p.mu.queue = nil
		p.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, c := range queue {
			p.serve(c)
		}
	}
}

// serve handles what was raised for one connection, until nothing more is.
func (p *loop) serve(c *stream) {
	t := c.t.(*loopTransport)
	for {
		events := c.events.Swap(0)
		if t.ended {
			return // without evParked: nothing is posted any more
		}
		t.serve(c, events)
		if t.ended || c.events.CompareAndSwap(0, evParked) {
			return
		}
	}
}

func (p *loop) serveReady() {
	for _, e := range p.epoll.ready() {
		c := p.table[e.Fd]
		if c == nil {
			continue // closed while its event was on the way
		}
		t := c.t.(*loopTransport)
		if e.Events&syscall.EPOLLOUT != 0 {
			t.writableEdge(c)
		}
		if e.Events&^uint32(syscall.EPOLLOUT) != 0 {
			t.readable = true
			t.hup = t.hup || e.Events&^uint32(syscall.EPOLLOUT|syscall.EPOLLIN) != 0
			p.read(c)
		}
	}
}

// read makes one round, or throws away what comes while the connection lingers.
func (p *loop) read(c *stream) {
	t := c.t.(*loopTransport)
	if t.ended || !t.readable || !t.lingering && (c.paused.Load() || c.order.Load() != nil) {
		return
	}
	room := c.in.space()
	room = room[:min(len(room), callBytesMax)]
	n, err := t.readFd(room)
	if err == errAgain {
		t.readable = false
		c.in.settle()
		return
	}
	if err != nil {
		c.in.settle()
		c.readEOF = true
		if t.lingering {
			t.end(c)
			return
		}
		c.Shutdown(err, c.cfg.CloseLinger)
		return
	}
	// Less than was asked for: nothing is left, and an edge will tell of more;
	// unless the end of the stream has arrived with it.
	t.readable = n == len(room) || t.hup
	if !t.lingering {
		c.in.k.w += n
		c.round()
	}
	if t.readable {
		p.again = append(p.again, c)
	}
}

// adopt takes a connection over. The socket leaves Go's poller for the loop's.
func (p *loop) adopt(c *stream, nc net.Conn, accept Accept) bool {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := s.SyscallConn()
	if err != nil {
		return false
	}
	fd := -1
	if rc.Control(func(old uintptr) { fd = dupCloexec(old) }) != nil || fd < 0 {
		return false
	}
	_ = nc.Close()
	c.t = &loopTransport{p: p, c: c, sock: descriptor{fd: int32(fd)}, accept: accept}
	c.events.Store(evParked)
	c.raise(evStart)
	return true
}

func dupCloexec(fd uintptr) int {
	n, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1
	}
	return int(n)
}

// start is the first thing that the loop does with a connection.
func (t *loopTransport) start(c *stream) {
	accept := t.accept
	t.accept = nil
	if c.handler = accept(c); c.handler == nil {
		c.l.stats.refuse(RefusedByHandler)
		t.end(c)
		return
	}
	t.p.table[t.sock.fd] = c
	if err := t.p.epoll.add(int(t.sock.fd), loopMask); err != nil {
		c.Shutdown(err, 0)
		return
	}
	c.early()
}

// serve handles events on the loop.
func (t *loopTransport) serve(c *stream, events uint32) {
	if events&evStart != 0 {
		t.start(c)
	}
	if events&evPump != 0 {
		t.pump(c)
	}
	if c.handler != nil {
		c.serveEvents(events &^ evParked)
		if events&evResume != 0 {
			t.p.read(c)
		}
	}
	order := c.order.Load()
	if order == nil || t.ended {
		return
	}
	switch {
	case c.handler != nil:
		t.finish(c, order)
	case events&evExpire != 0:
		t.end(c)
	case events&(evDrained|evClose) != 0:
		t.drained(c)
	}
}

// finish tells the handler and begins the linger.
func (t *loopTransport) finish(c *stream, order *closeOrder) {
	c.handler.OnClose(order.err)
	c.handler = nil
	c.Flush()
	if order.linger <= 0 {
		t.end(c)
		return
	}
	t.timer = time.AfterFunc(order.linger, func() { c.raise(evExpire) })
	t.drained(c)
}

// drained goes on with the end of a connection when nothing is left to write.
func (t *loopTransport) drained(c *stream) {
	c.mu.Lock()
	broken := c.flush.broken
	waiting := !broken && (c.flush.busy || c.out.size > 0)
	c.mu.Unlock()
	if waiting || t.lingering {
		return
	}
	if broken || c.readEOF || t.closeWrite() != nil {
		t.end(c)
		return
	}
	t.lingering, t.readable = true, true
	c.in.drop()
	c.in.want = 0
	t.p.read(c)
}

// end closes the socket and forgets the connection.
func (t *loopTransport) end(c *stream) {
	if t.ended {
		return
	}
	t.ended = true
	if t.timer != nil {
		t.timer.Stop()
	}
	if t.p.table[t.sock.fd] == c {
		delete(t.p.table, t.sock.fd)
		// A flusher may hold the descriptor open a moment longer.
		t.p.epoll.remove(int(t.sock.fd))
	}
	_ = t.close()
	c.release()
}
