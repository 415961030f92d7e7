package conn

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// endMask leaves out EPOLLIN: bytes that come do not wake the watcher. The kernel
// adds EPOLLERR and EPOLLHUP by itself.
const endMask = syscall.EPOLLRDHUP | epollET

// sleepMask tells once of anything that there is to read, also of what has come
// already.
const sleepMask = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT

// watchTick is how often the watcher looks for connections that have gone silent,
// and the unit in which silence is told.
const watchTick = 2 * time.Second

// watchBatch bounds how many connections are looked at under one hold of the lock.
const watchBatch = 256

// watcher tells connections what happens at their sockets where their drivers do
// not look, in an epoll set of its own. A socket stands in it for one of two things.
//
// The end of the stream, for a driver that reads. A read that brings less than its
// buffer holds has emptied the socket, and an edge tells of what comes later. The
// exception is an end of the stream that arrived with the last bytes: their edge was
// the last one, and Go's poller does not say what an edge was for. A second read
// after each message would find it, and costs every message a call. Here no message
// is looked at twice and no end is missed.
//
// Anything at all, for a connection that sleeps (see stream.drive): it has no driver
// until something is raised for it.
//
// The goroutine of run owns epoll, that of sweep the ticks; table is guarded by mu.
// Bound: one entry a connection.
type watcher struct {
	epoll *epoll
	done  sync.WaitGroup
	ended chan struct{}
	ticks atomic.Uint32
	mu    struct {
		sync.Mutex
		table   []*stream // by descriptor
		stopped bool
	}
}

func startWatcher() (*watcher, error) {
	e, err := newEpoll()
	if err != nil {
		return nil, err
	}
	w := &watcher{epoll: e, ended: make(chan struct{})}
	w.done.Add(2)
	go w.run()
	go w.tick()
	return w, nil
}

// stop ends the watch and waits for it.
func (w *watcher) stop() {
	w.mu.Lock()
	w.mu.stopped = true
	w.mu.Unlock()
	close(w.ended)
	w.epoll.wake()
	w.done.Wait()
	w.epoll.close()
}

// now is the watcher's coarse clock.
func (w *watcher) now() uint32 { return w.ticks.Load() }

func (w *watcher) run() {
	defer w.done.Done()
	for {
		w.mu.Lock()
		stopped := w.mu.stopped
		w.mu.Unlock()
		if stopped {
			return
		}
		if err := w.epoll.wait(); err != nil {
			// The descriptor is ours alone and open until run has ended.
			panic(fmt.Sprintf("BUG: waiting for sockets: %v", err))
		}
		for _, e := range w.epoll.ready() {
			// A descriptor that was given out again meanwhile: its connection reads
			// once for nothing.
			if c := w.at(e.Fd); c != nil {
				c.raise(eventsOf(e.Events))
			}
		}
	}
}

func eventsOf(mask uint32) (events uint32) {
	if mask&syscall.EPOLLIN != 0 {
		events = evReadable
	}
	if mask&^uint32(syscall.EPOLLIN) != 0 {
		events |= evHangup
	}
	return events
}

func (w *watcher) at(fd int32) *stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int(fd) >= len(w.mu.table) {
		return nil
	}
	return w.mu.table[fd]
}

func (w *watcher) tick() {
	defer w.done.Done()
	ticker := time.NewTicker(watchTick)
	defer ticker.Stop()
	for {
		select {
		case <-w.ended:
			return
		case <-ticker.C:
			w.ticks.Add(1)
			w.sweep()
		}
	}
}

// sweep sends the drivers to sleep that have had nothing to read for some ticks.
func (w *watcher) sweep() {
	var batch [watchBatch]*stream
	for from := 0; ; from += watchBatch {
		w.mu.Lock()
		n := 0
		if from < len(w.mu.table) {
			n = copy(batch[:], w.mu.table[from:])
		}
		w.mu.Unlock()
		if n == 0 {
			return
		}
		for _, c := range batch[:n] {
			if c != nil && c.events.Load() == evParked && c.silent() {
				c.raise(evRest)
			}
		}
	}
}

// watch has told of c what mask says. The caller is c's driver, and calls forget
// before the descriptor is closed; known says that it was watched before. False says
// that the kernel has no room for another entry.
func (w *watcher) watch(c *stream, fd int32, mask uint32, known bool) bool {
	op := syscall.EPOLL_CTL_MOD
	if !known {
		op = syscall.EPOLL_CTL_ADD
		w.mu.Lock()
		for int(fd) >= len(w.mu.table) {
			w.mu.table = append(w.mu.table, nil)
		}
		w.mu.table[fd] = c
		w.mu.Unlock()
	}
	if w.epoll.control(op, int(fd), mask) == nil {
		return true
	}
	if !known {
		w.forget(c, fd)
	}
	return false
}

// forget ends watch. The kernel drops its entry when the descriptor is closed.
func (w *watcher) forget(c *stream, fd int32) {
	w.mu.Lock()
	if w.mu.table[fd] == c {
		w.mu.table[fd] = nil
	}
	w.mu.Unlock()
}
