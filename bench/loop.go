package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

// loop puts the load on until the run is finished. A round waits for sockets
// and for the clock, acts on all of them, and writes once for each connection.
func (r *run) loop(ctx context.Context) error {
	r.epoch = time.Now()
	r.now, r.ticked, r.pinged, r.progress, r.phase = 0, 0, 0, 0, warmingUp
	r.began = int64(r.cfg.WarmUp)
	r.ended = r.began + int64(r.cfg.Duration)
	for _, p := range r.pubs {
		if r.cfg.Rate == 0 {
			r.want(p)
		}
	}
	ready := r.ready // bound once: the loop allocates nothing
	for r.err == nil && r.phase != finished {
		r.advance(ctx)
		r.publish()
		r.flush()
		if r.err != nil || r.phase == finished {
			break
		}
		if err := r.poll.wait(r.patience(), ready); err != nil {
			return err
		}
		r.now = r.clock()
	}
	return r.err
}

// ready acts on one socket.
func (r *run) ready(key int, readable, writable bool) {
	e := r.ends[key]
	if readable && r.err == nil {
		r.fail(e, e.readable(r))
	}
	if writable && r.err == nil {
		r.fail(e, e.flush(r))
	}
}

func (r *run) fail(e *endpoint, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("client %s, %v into the run (%s): %w", e.id,
			time.Duration(r.now).Round(time.Millisecond), phaseNames[r.phase], err)
	}
}

// publish sends what is due and what the windows allow.
func (r *run) publish() {
	if r.phase >= draining {
		r.eager = r.eager[:0]
		return
	}
	for r.cfg.Rate > 0 && r.dueAt(r.scheduled) <= r.now {
		r.pubs[r.scheduled%uint64(len(r.pubs))].due(r, r.dueAt(r.scheduled))
		r.scheduled++
	}
	r.publishEager()
}

// publishEager gives every publisher that asked for it its turn.
func (r *run) publishEager() {
	for _, p := range r.eager {
		p.eager = false
		if r.cfg.Rate == 0 {
			p.fill(r)
		} else {
			p.catchUp(r)
		}
	}
	r.eager = r.eager[:0]
}

// dueAt is the time of the n-th message of the run at its fixed rate.
func (r *run) dueAt(n uint64) int64 {
	return int64(float64(n) * float64(time.Second) / r.cfg.Rate)
}

// flush writes every connection that has something to write. Publishers that
// become free by it have their turn in the next round, at once.
func (r *run) flush() {
	dirty := r.dirty
	r.dirty = r.dirty[:0]
	for _, e := range dirty {
		if r.err == nil {
			r.fail(e, e.flush(r))
		}
	}
}

// patience is how long a round may wait.
func (r *run) patience() time.Duration {
	if len(r.eager) > 0 && r.phase != draining {
		for _, p := range r.eager {
			if p.room(r) {
				return 0
			}
		}
	}
	until := r.ticked + tickEvery
	if r.phase == stepping {
		return time.Duration(max(until-r.clock(), 0))
	}
	switch r.phase {
	case warmingUp:
		until = min(until, r.began)
	case measuring:
		until = min(until, r.ended)
	}
	if r.cfg.Rate > 0 && r.phase < draining {
		until = min(until, r.dueAt(r.scheduled))
	}
	return time.Duration(max(until-r.clock(), 0))
}

// advance moves the phases on, and does four times a second what is not worth
// doing in every round.
func (r *run) advance(ctx context.Context) {
	if r.phase == warmingUp && r.now >= r.began {
		r.begin()
	}
	if r.phase == measuring && r.now >= r.ended {
		r.stop()
	}
	if r.phase == draining && (r.total.received >= r.expected() && r.answered() || r.now-max(r.progress, r.ended) >= int64(r.cfg.Drain)) {
		r.phase = finished
	}
	if !r.tick(ctx, phaseNames[r.phase]) {
		return
	}
	for _, p := range r.pubs {
		if r.phase != draining && p.giveUp(r) {
			r.total.stalls++
		}
	}
}

// tick does four times a second what every run needs, and reports whether it
// was time for it.
func (r *run) tick(ctx context.Context, phase string) bool {
	if r.now-r.ticked < tickEvery {
		return false
	}
	r.ticked = r.now
	if ctx.Err() != nil && r.err == nil {
		r.err = context.Cause(ctx)
	}
	r.keepAlive()
	r.fault(r.series.sample(r))
	r.cfg.Tick(Progress{Phase: phase, Elapsed: time.Duration(r.now),
		Sent: r.total.sent, Received: r.total.received, Clients: len(r.ends)})
	return true
}

// fault ends the run for a reason that is no client's.
func (r *run) fault(err error) {
	if err != nil && r.err == nil {
		r.err = err
	}
}

// begin starts the measured interval.
func (r *run) begin() {
	r.phase = measuring
	r.atBegin = r.mark()
	r.began = r.atBegin.at
	r.series.begin(r, r.cfg.Duration)
	r.ended = r.began + int64(r.cfg.Duration)
}

// stop ends it, and the sending with it.
func (r *run) stop() {
	r.fault(r.series.end(r))
	r.atEnd = r.mark()
	r.ended = r.atEnd.at
	r.phase = draining
	for _, p := range r.pubs {
		r.total.unsent += uint64(len(p.waiting))
		if p.gathers {
			r.fault(readableFrom(p.end.fd, 1))
		}
	}
}

// answered reports whether all publishers have the answers that they wait for.
func (r *run) answered() bool {
	for _, p := range r.pubs {
		if !p.answered() {
			return false
		}
	}
	return true
}

func (r *run) mark() mark {
	broker, err := readUsage(r.cfg.PIDs)
	if err != nil {
		r.fault(fmt.Errorf("measuring the broker: %w", err))
	}
	return mark{at: r.clock(), tally: r.total, broker: broker, generator: ownCPU()}
}

// expected is the number of deliveries owed for what was sent.
func (r *run) expected() uint64 { return r.total.sent * uint64(r.receivers()) }

// keepAlive pings on every connection twice in each keep-alive time: a
// subscriber at QoS 0 says nothing of itself.
func (r *run) keepAlive() {
	every := int64(r.cfg.KeepAlive / 2)
	if every == 0 || r.now-r.pinged < every {
		return
	}
	r.pinged = r.now
	for _, e := range r.ends {
		e.ping(r)
	}
}

// room reports whether p would send something if it had its turn.
func (p *publisher) room(r *run) bool {
	if !p.clear(r) {
		return false
	}
	if p.limit > 0 {
		return p.next < p.limit
	}
	if p.remaining != nil {
		return p.next < p.base+uint64(len(p.remaining))
	}
	return len(p.waiting) > 0
}

// perSecond is n over d, 0 for no time.
func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return round(float64(n) / d.Seconds())
}

// round keeps figures readable in JSON: three decimals.
func round(x float64) float64 { return math.Round(x*1e3) / 1e3 }
