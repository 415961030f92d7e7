package conn

import "time"

// flushTurnsMax bounds how often one goroutine goes round for the others that
// asked for a flush meanwhile; then a writer of the connection's own takes over.
const flushTurnsMax = 16

// flushState is guarded by the connection's mu, except wire, which is owned by
// the goroutine that set busy.
type flushState struct {
	busy   bool // a flusher, or a writer waiting for the socket, is at work
	again  bool // Flush was called while busy
	urgent bool // a layer has bytes of its own to send
	high   bool // the outbox was above its high mark
	broken bool // a write failed: nothing is sent any more
	// wireBytes is what wire held when the flusher last looked.
	wireBytes int
	// idle is closed when nothing is left to write; nil unless someone waits.
	idle chan struct{}

	wire chunkList
}

func (c *stream) markHighLocked() {
	if c.cfg.OutboxHighMark > 0 && c.Buffered() > c.cfg.OutboxHighMark {
		c.flush.high = true
	}
}

func (c *stream) Flush() {
	c.mu.Lock()
	f := &c.flush
	if f.busy {
		// The one at work looks at again under mu before it ends, and what the
		// caller has appended is in out by then.
		f.again = true
		c.mu.Unlock()
		return
	}
	if c.out.size == 0 && !f.urgent || f.broken {
		c.mu.Unlock()
		return
	}
	f.busy = true
	c.takeLocked()
	c.mu.Unlock()
	c.pump()
}

// takeLocked hands the outbox over to the flusher, in the form that the layers
// give it.
func (c *stream) takeLocked() {
	f := &c.flush
	f.again, f.urgent = false, false
	if c.ext != nil {
		c.ext.takeLocked(c)
		return
	}
	f.wire.take(&c.out)
	f.wireBytes = f.wire.size
}

// pump writes as the flusher until nothing that was asked for is left, or hands
// over to a writer goroutine.
func (c *stream) pump() {
	for turn := 0; ; turn++ {
		err := c.seal()
		if err == nil {
			err = c.t.tryWrite(&c.flush.wire)
		}
		more, events := c.wrote(err, false)
		if events != 0 {
			c.raise(events)
		}
		if !more {
			return
		}
		if err != errAgain && turn < flushTurnsMax {
			continue
		}
		if w, ok := c.t.(writeWaiter); !ok {
			c.l.goWriter(c)
			return
		} else if !w.waitWritable(c, err) {
			return
		}
	}
}

// write is the goroutine that exists while the socket takes less than there is.
func (c *stream) write() {
	for {
		err := c.seal()
		if err == nil {
			err = c.t.writeAll(&c.flush.wire)
		}
		more, events := c.wrote(err, true)
		if events != 0 {
			c.raise(events)
		}
		if !more {
			return
		}
	}
}

// seal encrypts what the flusher has taken.
func (c *stream) seal() error {
	if c.ext == nil || c.ext.tls == nil {
		return nil
	}
	return c.ext.tls.seal(&c.flush.wire)
}

// wrote accounts for a write and says whether the flusher must go on. A writer
// (everything) goes on with all that is there; a flusher only with what a Flush
// has asked for, and leaves to its owner what is still being gathered.
func (c *stream) wrote(err error, everything bool) (more bool, events uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.flush
	f.wireBytes = f.wire.size
	if err != nil && err != errAgain {
		c.breakLocked(err)
		return false, evClose
	}
	if f.high && c.Buffered() <= c.cfg.OutboxLowMark {
		f.high = false
		events = evWritable
	}
	if err == errAgain {
		return true, events
	}
	if (everything || f.again || f.idle != nil) && (c.out.size > 0 || f.urgent) {
		c.takeLocked()
		return true, events
	}
	f.busy, f.again = false, false
	if f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
	if _, ok := c.t.(writeWaiter); ok && c.order.Load() != nil {
		events |= evDrained
	}
	return false, events
}

// breakLocked gives up sending after a failed write.
func (c *stream) breakLocked(err error) {
	f := &c.flush
	f.broken, f.busy, f.again, f.urgent, f.wireBytes = true, false, false, false, 0
	f.wire.drop()
	c.out.drop()
	if f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
	c.order.CompareAndSwap(nil, &closeOrder{err: err})
}

// finish ends the connection on its driver: the handler first, then what is
// still to be sent, then the socket.
func (c *stream) finish() {
	order := c.order.Load()
	c.handler.OnClose(order.err)
	c.handler = nil
	if order.linger > 0 {
		c.linger(order)
	} else {
		c.sendClose(order)
		c.Flush()
	}
	_ = c.t.close()
	c.release()
}

// linger sends what is buffered and waits for the peer to close, so that the
// kernel does not throw away, with a reset, what the peer has not read yet.
func (c *stream) linger(order *closeOrder) {
	timer := time.AfterFunc(order.linger, func() { _ = c.t.close() })
	defer timer.Stop()
	c.sendClose(order)
	idle := make(chan struct{})
	c.mu.Lock()
	if c.flush.broken || !c.flush.busy && c.out.size == 0 && !c.flush.urgent {
		close(idle)
	} else {
		c.flush.idle = idle
	}
	c.mu.Unlock()
	c.Flush()
	<-idle // a writer that is stuck ends when the timer closes the socket
	if c.t.closeWrite() != nil || c.readEOF {
		return
	}
	c.in.drop()
	c.in.want = 0
	c.t.restore()
	for {
		if _, err := c.t.read(&c.in); err != nil && !interrupted(err) {
			return
		} else if err != nil {
			c.t.restore()
		}
		c.in.k.r, c.in.k.w = 0, 0
	}
}

// refuse ends a connection that has no handler.
func (c *stream) refuse() {
	c.l.stats.refuse(RefusedByHandler)
	_ = c.t.close()
	c.release()
}

// release gives back all that the connection holds. A writer that still runs
// fails on the closed socket and drops its own list.
func (c *stream) release() {
	c.in.drop()
	c.mu.Lock()
	c.flush.broken = true
	c.out.drop()
	if !c.flush.busy {
		c.flush.wire.drop()
	}
	c.mu.Unlock()
	if c.ext != nil && c.ext.tls != nil {
		c.ext.tls.drop()
	}
	c.l.remove(c)
}
