package link

import (
	"time"

	"tombolo/internal/wire"
)

// outgoing is the state of writing on one connection: whoever sets busy fills
// buf and writes it, the writer's goroutine or one that has something to send.
// Guarded by peer.mu, except for buf, which belongs to who set busy.
type outgoing struct {
	busy  bool   // somebody writes
	again bool   // more came meanwhile
	rest  []byte // of buf: the socket did not take it, and busy is handed to the writer
	buf   []byte
	last  int64 // when the last batch was put together
	due   int64 // when the next one would be, at an even pace

	moved, movedBytes int // messages in the batch that is put together, and the bytes of datagrams

	many    bool // the last batch was of so many messages that more would come in a longer wait
	patient bool // and nobody waits for an answer to them
}

// busyFrames is how many datagrams in one batch, and nothing else, show that more
// would come in a longer one; it waits stretch times as long. Each batch costs
// both ends some 20 µs, and nobody waits for an answer to a datagram. crowdFrames
// is the same for messages of which many wait already.
const (
	busyFrames  = 4
	crowdFrames = 16
	stretch     = 3
	// burst is how many batches may follow each other without a delay after a
	// pause. A timer for a part of a millisecond is late by most of one when
	// nothing else runs, so lone messages had better not meet one.
	burst = 8
)

// delay is the least time between batches, but for a burst. The caller holds
// peer.mu.
func (c *connection) delayLocked() int64 {
	d := int64(c.m.config.BatchDelay)
	if c.out.many {
		d *= stretch
	}
	return d
}

// mayLocked says whether a batch may be written at once.
func (c *connection) mayLocked(now int64) bool {
	d := c.delayLocked()
	if c.out.many || now < c.out.last {
		return now-c.out.last >= d
	}
	return c.out.due-now <= (burst-1)*d
}

// begunLocked notes that a batch is on its way.
func (c *connection) begunLocked(now int64) {
	c.out.last = now
	c.out.due = max(c.out.due, now) + c.delayLocked()
}

// nudge has the writer look; urge has it wait no longer for more.
func (c *connection) nudge(urge bool) {
	signal(c.wake)
	if urge {
		signal(c.full)
	}
}

// flushTurnsMax bounds how often one goroutine goes round for others.
const flushTurnsMax = 4

// flush writes what waits in the caller's goroutine, if nobody else writes and
// the last batches were not just now; else the writer does. It never blocks.
func (c *connection) flush() {
	raw, ok := c.raw.(*cuttable)
	if !ok || !raw.short() {
		c.nudge(false)
		return
	}
	for range flushTurnsMax {
		now := c.m.now()
		c.p.mu.Lock()
		switch {
		case c.out.busy:
			c.out.again = true
			c.p.mu.Unlock()
			return
		case !c.mayLocked(now):
			some := c.pendingLocked()
			c.p.mu.Unlock()
			if some {
				c.nudge(false)
			}
			return
		}
		c.out.buf = c.fillLocked(c.out.buf[:0])
		batch := c.out.buf
		if len(batch) == 0 {
			c.p.mu.Unlock()
			return
		}
		c.out.busy = true
		c.begunLocked(now)
		c.p.mu.Unlock()
		n, err := raw.tryWrite(batch)
		if err != nil {
			c.close(reasonOf(err))
			return // busy for ever: nothing is written any more
		}
		if c.count(batch); !c.wrote(batch[n:]) {
			return
		}
	}
	c.nudge(false)
}

// wrote ends a turn of writing; true says that there is more. What the socket
// did not take is the writer's.
func (c *connection) wrote(rest []byte) (more bool) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if len(rest) > 0 {
		c.out.rest = rest
		signal(c.wake)
		return false
	}
	more = c.out.again
	c.out.busy, c.out.again = false, false
	return more
}

func (c *connection) count(batch []byte) {
	c.m.stats.sentBytes.Add(uint64(len(batch)))
	c.m.stats.batches.Add(1)
}

// claim gives the writer's goroutine what it is to write; nil if there is
// nothing, or somebody else writes.
func (c *connection) claim() []byte {
	now := c.m.now()
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if rest := c.out.rest; rest != nil {
		c.out.rest = nil
		return rest
	}
	if c.out.busy {
		c.out.again = true
		return nil
	}
	c.out.buf = c.fillLocked(c.out.buf[:0])
	if len(c.out.buf) == 0 {
		return nil
	}
	c.out.busy = true
	c.begunLocked(now)
	return c.out.buf
}

// wait is how long the writer's goroutine waits for more.
func (c *connection) wait() time.Duration {
	now := c.m.now()
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.out.rest != nil || c.mayLocked(now) {
		return 0
	}
	return time.Duration(c.out.last + c.delayLocked() - now)
}

// write sends batches: at once after a pause, else no sooner than the batch
// delay after the last one, unless enough has come together.
func (c *connection) write() {
	timer := c.m.config.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	// A peer that the detector does not know yet gets no heartbeats, and is to
	// be told from a dead one all the same.
	quiet := c.m.config.SilenceMax / 4
	idle := c.m.config.Clock.NewTimer(quiet)
	defer idle.Stop()
	for {
		select {
		case <-c.wake:
		case <-idle.C():
			idle.Reset(quiet)
			c.keepAlive(quiet)
		case <-c.gone:
			return
		}
		if wait := c.wait(); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C():
			case <-c.full:
			case <-c.gone:
				return
			}
		}
		for {
			batch := c.claim()
			if len(batch) == 0 {
				break
			}
			if _, err := c.raw.Write(batch); err != nil {
				c.close(reasonOf(err))
				return
			}
			c.count(batch)
			if more := c.wrote(nil); more {
				signal(c.wake)
			}
			if len(batch) < batchBytes {
				break // that was all; what came meanwhile waits its time, with a signal
			}
		}
	}
}

// keepAlive makes the next batch an acknowledgement at least, if there was none
// for a while.
func (c *connection) keepAlive(quiet time.Duration) {
	now := c.m.now()
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if now-c.out.last < int64(quiet) {
		return
	}
	s := wire.StreamPublish
	if c.plane == wire.Control {
		s = wire.StreamControl
	}
	c.p.mu.receivers[s].ackDue = true
}

// pendingLocked says whether a batch would have anything in it.
func (c *connection) pendingLocked() bool {
	if len(c.urgent) > 0 || c.datagramAt < len(c.datagrams) {
		return true
	}
	for s := streamFirst; s < streamEnd; s++ {
		if s.Plane() == c.plane && (c.p.mu.receivers[s].ackDue || c.p.mu.senders[s].pending()) {
			return true
		}
	}
	return false
}

// fillLocked puts the next batch together and notes what kind it is.
func (c *connection) fillLocked(buf []byte) []byte {
	if buf == nil {
		buf = make([]byte, 0, batchBytes+wire.BodyBytesMax+wire.HeaderBytes)
	}
	o := &c.out
	o.moved, o.movedBytes = 0, 0
	buf = c.gatherLocked(buf)
	o.patient = o.moved >= busyFrames && o.movedBytes == len(buf)
	o.many = c.plane == wire.Bulk && (o.patient || o.moved >= crowdFrames)
	return buf
}

// gatherLocked puts a batch together: what is urgent, acknowledgements, cancels,
// and then in turns one of QoS 0, publishes and migration.
func (c *connection) gatherLocked(buf []byte) []byte {
	buf = append(buf, c.urgent...)
	c.urgent, c.queued = c.urgent[:0], 0
	p := c.p
	h := c.header()
	for s := streamFirst; s < streamEnd; s++ {
		r := p.mu.receivers[s]
		if s.Plane() == c.plane && r.ackDue {
			var a wire.Ack
			r.ack(&a)
			buf = appendFrame(buf, h, wire.TypeAck, func(dst []byte) []byte { return wire.AppendAck(dst, &a) })
		}
	}
	if c.plane == wire.Control {
		c.turn++
		if c.turn%2 == 0 {
			return c.takeDatagramsLocked(p.mu.senders[wire.StreamControl].fill(buf, batchBytes, &h))
		}
		return p.mu.senders[wire.StreamControl].fill(c.takeDatagramsLocked(buf), batchBytes, &h)
	}
	buf = p.mu.senders[wire.StreamHead].fill(buf, batchBytes, &h)
	c.turn++
	for i := range 3 {
		switch (c.turn + i) % 3 {
		case 0:
			buf = c.takeDatagramsLocked(buf)
		case 1:
			s := p.mu.senders[wire.StreamPublish]
			at := s.cursor
			buf = s.fill(buf, batchBytes, &h)
			c.out.moved += int(s.cursor - at)
		default:
			buf = p.mu.senders[wire.StreamMigration].fill(buf, batchBytes, &h)
		}
	}
	return buf
}

// fullLocked reports whether a datagram finds no room. A client's message may exceed
// the bound if nothing else waits.
func (c *connection) fullLocked(s wire.Stream, body []byte) bool {
	waits := len(c.datagrams) - c.datagramAt
	return (waits > 0 || s != wire.StreamFast) && waits+len(body) > c.m.config.DatagramMax
}

// addDatagramLocked encodes a datagram, in chunks if it is long.
func (c *connection) addDatagramLocked(s wire.Stream, kind wire.Type, body []byte) {
	h := c.header()
	h.Type, h.Stream, h.Flags = kind, s, wire.FlagFirst
	for {
		part := body[:min(len(body), wire.BodyBytesMax)]
		body = body[len(part):]
		if len(body) == 0 {
			h.Flags |= wire.FlagLast
		}
		h.Length = uint32(len(part))
		c.datagrams = append(wire.AppendHeader(c.datagrams, &h), part...)
		c.datagramFrames++
		c.queued += wire.HeaderBytes + len(part)
		if len(body) == 0 {
			return
		}
		h.Flags = 0
	}
}

// addRunLocked takes the publishes of a run and returns how many found no room. The
// headers of frames differ in their lengths alone, which are there.
func (c *connection) addRunLocked(run []byte) (dropped int) {
	whole := len(run) <= wire.BodyBytesMax && len(c.datagrams)-c.datagramAt+len(run) <= c.m.config.DatagramMax
	for at := 0; at < len(run); {
		frame := run[at:][:wire.FrameSize(run[at:])]
		at += len(frame)
		body := frame[wire.HeaderBytes:]
		copy(frame, c.stamp[:])
		switch {
		case whole:
			c.datagramFrames++
		case c.fullLocked(wire.StreamFast, body):
			dropped++
		default:
			c.addDatagramLocked(wire.StreamFast, wire.TypePublish, body)
		}
	}
	if whole {
		c.datagrams = append(c.datagrams, run...)
		c.queued += len(run)
	}
	return dropped
}

// stampBytes is how much of a header stands before the length.
const stampBytes = wire.HeaderBytes - 4

// stampOf is how the frames of all publishes on wire.StreamFast begin that need no
// chunks.
func (c *connection) stampOf() (stamp [stampBytes]byte) {
	h := c.header()
	h.Type, h.Stream, h.Flags = wire.TypePublish, wire.StreamFast, wire.FlagFirst|wire.FlagLast
	copy(stamp[:], wire.AppendHeader(nil, &h))
	return stamp
}

// takeDatagramsLocked moves frames to a batch.
func (c *connection) takeDatagramsLocked(buf []byte) []byte {
	if rest := c.datagrams[c.datagramAt:]; len(buf)+len(rest) <= batchBytes {
		c.out.moved += c.datagramFrames
		c.out.movedBytes += len(rest)
		c.datagramAt, c.datagramFrames = len(c.datagrams), 0
		buf = append(buf, rest...)
	}
	for c.datagramAt < len(c.datagrams) && len(buf) < batchBytes {
		rest := c.datagrams[c.datagramAt:]
		n := wire.FrameSize(rest)
		buf = append(buf, rest[:n]...)
		c.datagramAt += n
		c.datagramFrames--
		c.out.moved++
		c.out.movedBytes += n
	}
	if c.datagramAt == len(c.datagrams) {
		c.datagrams, c.datagramAt = c.datagrams[:0], 0
		if cap(c.datagrams) > 2*c.m.config.DatagramMax {
			c.datagrams = nil // one was larger than all that may wait together
		}
	} else if c.datagramAt > len(c.datagrams)/2 {
		n := copy(c.datagrams, c.datagrams[c.datagramAt:])
		c.datagrams, c.datagramAt = c.datagrams[:n], 0
	}
	return buf
}
