package link

import (
	"context"
	"sync"
	"time"

	"tombolo/internal/wire"
)

// run runs everything of a peer that is not a connection the peer has dialled.
func (p *peer) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	p.stop = cancel
	gone := p.mu.gone
	p.mu.Unlock()
	if gone { // before it could begin
		cancel()
		return
	}
	var mine sync.WaitGroup
	goes := func(fn func()) {
		mine.Add(1)
		p.m.goes(func() {
			defer mine.Done()
			fn()
		})
	}
	goes(func() { p.spools(ctx) })
	goes(func() {
		if p.after != nil {
			<-p.after // so that its end is not told after this one's beginning
		}
		p.events(ctx)
	})
	for s := streamFirst; s < streamEnd; s++ {
		goes(func() { p.messages(ctx, s) })
	}
	if p.m.config.Node < p.id {
		for plane := range wire.Planes {
			goes(func() { p.dials(ctx, plane) })
		}
	}
	p.m.goes(func() {
		<-ctx.Done()
		p.mu.Lock()
		conns := p.mu.conns
		p.mu.Unlock()
		for _, c := range conns {
			if c != nil {
				c.close("stopped")
			}
		}
		mine.Wait()
		p.mu.Lock()
		down := p.mu.gone && p.mu.told.up
		p.mu.Unlock()
		if down {
			p.m.config.Handler.Down(p.id, "removed")
		}
		p.lose()
		close(p.ended)
	})
}

// messages hands on what a stream brings.
func (p *peer) messages(ctx context.Context, s wire.Stream) {
	p.mu.Lock()
	in := p.mu.inboxes[s]
	p.mu.Unlock()
	for {
		select {
		case <-in.wake:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			message, ok := p.pop(in)
			if !ok {
				break
			}
			p.m.config.Handler.Message(message)
		}
	}
}

// pop takes the next message, once the handler has heard of the process that
// sent it.
func (p *peer) pop(in *inbox) (Message, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in.busy = false
	if len(in.list) == 0 || p.mu.told.incarnation != in.list[0].Incarnation {
		return Message{}, false
	}
	in.busy = true
	m := in.list[0]
	in.list[0] = Message{}
	in.list = in.list[1:]
	if len(in.list) == 0 {
		in.list = nil
	}
	return m, true
}

// events tells the handler of the peer's coming and going, and of what was lost.
func (p *peer) events(ctx context.Context) {
	for {
		select {
		case <-p.event:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		lost, info, reason, told := p.mu.lost, p.mu.info, p.mu.parted, p.mu.told
		p.mu.lost = nil
		now := toldState{ups: p.mu.ups, incarnation: info.Incarnation,
			up: p.mu.conns[wire.Control] != nil && p.mu.conns[wire.Bulk] != nil}
		if !now.up {
			now.incarnation = told.incarnation // not told before it stands
		}
		p.mu.Unlock()
		for _, e := range lost {
			e.ticket.Ended(p.id, e.result, e.reason)
		}
		if len(lost) > 0 {
			p.m.config.Handler.Drained(p.id)
		}
		if told.up && (!now.up || now.ups != told.ups) {
			p.m.config.Handler.Down(p.id, reason)
		}
		if now.up && (!told.up || now.ups != told.ups) {
			p.m.config.Handler.Up(info, now.incarnation != told.incarnation)
		}
		p.mu.Lock()
		p.mu.told = now
		for s := streamFirst; s < streamEnd; s++ {
			signal(p.mu.inboxes[s].wake)
		}
		p.mu.Unlock()
	}
}

// spools serves the lane's jobs and looks at the age of its window.
func (p *peer) spools(ctx context.Context) {
	timer := p.m.config.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-p.spool:
		case <-timer.C():
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			p.mu.Lock()
			j := p.mu.lane.nextJob(p.m.now())
			p.mu.Unlock()
			if j == nil {
				break
			}
			p.do(j)
			p.mu.Lock()
			told := p.mu.lane.finish(j, p.m.now(), nil)
			c := p.mu.conns[wire.Bulk]
			p.mu.Unlock()
			for i := range told {
				told[i].ticket.Ended(p.id, told[i].result, 0)
			}
			if len(told) > 0 {
				p.m.config.Handler.Drained(p.id)
			}
			if c != nil {
				c.nudge(false)
			}
			if j.addErr != nil || j.otherErr != nil {
				break
			}
		}
		p.mu.Lock()
		wait := p.mu.lane.wait(p.m.now())
		p.mu.timed = wait > 0
		c := p.mu.conns[wire.Bulk]
		more := p.mu.lane.pending()
		p.mu.Unlock()
		if more && c != nil {
			c.nudge(false)
		}
		if wait > 0 {
			timer.Reset(wait)
		}
	}
}

// wait is after how long nextJob may have something to do by time alone; 0 never.
func (l *lane) wait(now int64) time.Duration {
	at := int64(0)
	earlier := func(t int64) {
		if at == 0 || t < at {
			at = t
		}
	}
	if l.config.durable && len(l.entries) > 0 {
		for i := range l.entries {
			if e := &l.entries[i]; e.place == 0 && !e.writing {
				earlier(max(e.pushedAt+l.config.confirmWait, l.failedUntil))
				break
			}
		}
	}
	if len(l.parked) > 0 {
		earlier(max(now+int64(time.Millisecond), l.retryAt))
	}
	soon := now + int64(time.Millisecond)
	if len(l.waiting) > 0 {
		earlier(max(soon, l.failedUntil))
	}
	if len(l.removals) > 0 || l.mayRead() { // a spool that is full is emptied by reading, so that does not wait for it
		earlier(max(soon, l.readAfter))
	}
	if at == 0 {
		return 0
	}
	return max(time.Duration(at-now), time.Millisecond)
}

// do asks the spool.
func (p *peer) do(j *spoolJob) {
	s := p.m.config.Spool
	if len(j.remove) > 0 {
		j.otherErr = s.Remove(p.id, j.remove)
	}
	if len(j.add) > 0 {
		j.addErr = s.Append(p.id, j.add)
	}
	if j.read && j.otherErr == nil {
		j.got, j.otherErr = s.Read(p.id, j.after, j.count, j.bytes)
	}
	for _, err := range []error{j.addErr, j.otherErr} {
		if err != nil {
			p.m.stats.spoolErrors.Add(1)
			p.m.config.Log("spool for node " + p.name() + ": " + err.Error())
		}
	}
}

// name is what an operator knows the peer by.
func (p *peer) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return nameOf(p.mu.info.Name, p.id)
}
