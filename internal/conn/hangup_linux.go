package conn

import (
	"fmt"
	"sync"
	"syscall"
)

// hangupMask leaves out EPOLLIN: bytes that come do not wake the watch. The kernel
// adds EPOLLERR and EPOLLHUP by itself.
const hangupMask = syscall.EPOLLRDHUP | epollET

// hangups tells connections that the peer has closed or reset its side.
//
// A read that brings less than its buffer holds has emptied the socket, and an
// edge tells of what comes later. The exception is an end of the stream that
// arrived with the last bytes: their edge was the last one, and Go's poller does
// not say what an edge was for. A second read after each message would find it, and
// costs every message a call. Here the socket stands in a second epoll set, for its
// end alone, so that no message is looked at twice and no end is missed.
//
// The goroutine of run owns epoll; table is guarded by mu. Bound: one entry a
// connection.
type hangups struct {
	epoll *epoll
	done  chan struct{}
	mu    struct {
		sync.Mutex
		table   map[int32]*stream // by descriptor
		stopped bool
	}
}

func startHangups() (*hangups, error) {
	e, err := newEpoll()
	if err != nil {
		return nil, err
	}
	h := &hangups{epoll: e, done: make(chan struct{})}
	h.mu.table = map[int32]*stream{}
	go h.run()
	return h, nil
}

// stop ends the watch and waits for it.
func (h *hangups) stop() {
	h.mu.Lock()
	h.mu.stopped = true
	h.mu.Unlock()
	h.epoll.wake()
	<-h.done
	h.epoll.close()
}

func (h *hangups) run() {
	defer close(h.done)
	for {
		h.mu.Lock()
		stopped := h.mu.stopped
		h.mu.Unlock()
		if stopped {
			return
		}
		if err := h.epoll.wait(); err != nil {
			// The descriptor is ours alone and open until run has ended.
			panic(fmt.Sprintf("BUG: waiting for hang-ups: %v", err))
		}
		for _, e := range h.epoll.ready() {
			h.mu.Lock()
			c := h.mu.table[e.Fd]
			h.mu.Unlock()
			// A descriptor that was given out again meanwhile: its connection reads
			// once for nothing.
			if c != nil {
				c.raise(evHangup)
			}
		}
	}
}

// watch has the end of a connection raised as evHangup, also one that has come
// already. The caller holds a reference on the descriptor, and calls forget before
// it closes it. False says that the kernel has no room for another entry.
func (h *hangups) watch(c *stream, fd int) bool {
	h.mu.Lock()
	h.mu.table[int32(fd)] = c
	h.mu.Unlock()
	if h.epoll.add(fd, hangupMask) != nil {
		h.forget(c, fd)
		return false
	}
	return true
}

// forget ends watch. The kernel drops its entry when the descriptor is closed.
func (h *hangups) forget(c *stream, fd int) {
	h.mu.Lock()
	if h.mu.table[int32(fd)] == c {
		delete(h.mu.table, int32(fd))
	}
	h.mu.Unlock()
}
