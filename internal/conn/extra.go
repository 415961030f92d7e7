package conn

// drained says that no layer keeps bytes that came and were not given out. What
// it keeps of a record or frame that is not complete needs more to come anyway.
func (x *extra) drained() bool {
	return x.tls == nil || !x.tls.more && x.tls.raw.len() == 0
}

// fill reads through the layers. It returns 0 bytes without an error when what
// came was for a layer alone.
func (x *extra) fill(c *stream) (int, error) {
	if x.tls == nil {
		n, err := c.t.read(&c.in)
		if n == 0 {
			return 0, err
		}
		return x.decode(c, n)
	}
	n, err := x.tls.fill(c)
	if x.tls.pending() {
		x.send(c)
	}
	if n == 0 {
		return 0, err
	}
	n, frameErr := x.decode(c, n)
	if frameErr != nil {
		err = frameErr
	}
	return n, err
}

// decode takes the frames off the last n bytes of the inbox, in place.
func (x *extra) decode(c *stream, n int) (int, error) {
	if x == nil || x.ws == nil {
		return n, nil
	}
	k := c.in.k
	m, err := x.ws.decode(k.buf[k.w-n : k.w])
	k.w += m - n
	if len(x.ws.replies) > 0 {
		x.send(c)
	}
	if m == 0 {
		c.in.settle()
	}
	return m, err
}

// send has the flusher look at what the layers have to say.
func (x *extra) send(c *stream) {
	c.mu.Lock()
	c.flush.urgent = true
	if x.ws != nil {
		x.ws.queueLocked()
	}
	c.mu.Unlock()
	c.Flush()
}

// takeLocked moves the outbox to the flusher, framed.
func (x *extra) takeLocked(c *stream) {
	to := &c.flush.wire
	if x.tls != nil {
		to = &x.tls.plain
		// After the order to close nothing is appended any more.
		x.tls.last = x.tls.closing
	}
	if x.ws != nil {
		x.ws.takeLocked(&c.out, to)
	} else {
		to.take(&c.out)
	}
	c.flush.wireBytes = c.flush.wire.size
	if x.tls != nil {
		c.flush.wireBytes += to.size
	}
}

// sendClose asks the layers for what they say at the end of a connection.
func (c *stream) sendClose(order *closeOrder) {
	if c.ext == nil {
		return
	}
	c.mu.Lock()
	if c.ext.ws != nil {
		c.ext.ws.closeLocked(order.err)
		c.flush.urgent = true
	}
	if c.ext.tls != nil {
		c.ext.tls.closing = true
		c.flush.urgent = true
	}
	c.mu.Unlock()
}
