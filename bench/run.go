package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"tombolo/mqtt/packet"
)

const (
	readBytes = 256 << 10 // the shared read buffer
	readMin   = 64 << 10  // of it for one read
	tickEvery = int64(250 * time.Millisecond)
)

// run is one run of a scenario with messages: its event loop and everything
// the loop owns. Times are nanoseconds since epoch.
type run struct {
	cfg   *Config
	id    uint32
	name  string // id as it stands in topics
	poll  *poller
	epoch time.Time
	now   int64
	ends  []*endpoint
	pubs  []*publisher
	subs  []*subscriber
	dirty []*endpoint  // have bytes to write
	eager []*publisher // may have something to send

	read    []byte // shared by all endpoints, used within one call
	payload []byte
	in, out packet.Publish
	ackIn   packet.Ack
	ackOut  packet.Ack

	phase     phase
	since     int64  // if set, latency counts from here for all messages
	began     int64  // of the figures
	ended     int64  // of the figures
	scheduled uint64 // messages whose time has come, at a fixed rate
	progress  int64  // when a message last came
	ticked    int64
	pinged    int64
	total     tally
	atBegin   mark
	atEnd     mark
	latency   recorder
	lag       recorder
	written   recorder // latency without lag
	series    series
	pool      []stream // of the publishers, when a message has one receiver of many
	err       error
}

type phase uint8

const (
	warmingUp phase = iota
	measuring
	draining
	finished
	stepping // within drive: no clock decides
)

var phaseNames = [...]string{"warming up", "measuring", "draining", "finished", "stepping"}

// tally counts over the whole run.
type tally struct {
	sent, received, duplicated, reordered, refused, foreign, stalls, unsent uint64
}

// mark is the state at one end of the measured interval.
type mark struct {
	at        int64
	tally     tally
	broker    usage
	generator time.Duration
}

// Run connects, puts the load on, and returns what came of it. Load that the
// broker did not bear is a result, not an error.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Tick == nil {
		cfg.Tick = func(Progress) {}
	}
	if cfg.Scenario == Idle {
		return runIdle(ctx, &cfg)
	}
	r, err := newRun(&cfg)
	if err != nil {
		return nil, err
	}
	defer r.close()
	switch cfg.Scenario {
	case Connect:
		return r.storm(ctx)
	case Retained:
		return r.retained(ctx)
	case Offline, Migrate:
		return r.offline(ctx)
	}
	return r.steady(ctx)
}

// steady runs the scenarios whose load is the same all the time.
func (r *run) steady(ctx context.Context) (*Result, error) {
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	var subscribed *SubscribeFigures
	if r.cfg.Filters > 0 {
		var err error
		if subscribed, err = r.subscribeAll(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.loop(ctx); err != nil {
		return nil, err
	}
	res := r.result()
	res.Subscribe = subscribed
	res.Share = r.share()
	if r.cfg.Persistent {
		return res, r.forget(ctx)
	}
	return res, nil
}

// forget removes the sessions of subscribers that outlive their connections.
func (r *run) forget(ctx context.Context) error {
	for _, e := range r.ends {
		r.leave(e)
	}
	clients := make([]client, r.cfg.Subscribers)
	for i := range clients {
		clients[i] = r.subscriberClient(i)
		clients[i].keeps, clients[i].filter = false, ""
	}
	return r.visit(ctx, clients)
}

func newRun(cfg *Config) (*run, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	id := rand.Uint32()
	return &run{
		cfg: cfg, id: id, name: fmt.Sprintf("%08x", id), poll: poll, epoch: time.Now(),
		read: make([]byte, readBytes), payload: make([]byte, cfg.PayloadSize),
		latency: newRecorder(), lag: newRecorder(), written: newRecorder(),
	}, nil
}

func (r *run) close() {
	for _, e := range r.ends {
		r.leave(e)
	}
	r.poll.close()
}

// leave closes a connection of ours.
func (r *run) leave(e *endpoint) {
	if !e.gone {
		e.gone = true
		closeFD(e.fd)
	}
}

func (r *run) clock() int64 { return int64(time.Since(r.epoch)) }

// receivers is how many subscribers each message has.
func (r *run) receivers() int {
	if r.cfg.Scenario == FanOut {
		return r.cfg.Subscribers
	}
	return 1
}

// touch has e flushed at the end of the round.
func (r *run) touch(e *endpoint) {
	if !e.dirty && !e.blocked && !e.gone {
		e.dirty = true
		r.dirty = append(r.dirty, e)
	}
}

// want has p send in this round.
func (r *run) want(p *publisher) {
	if !p.eager {
		p.eager = true
		r.eager = append(r.eager, p)
	}
}

func (r *run) sentOne(at int64) {
	r.total.sent++
	if r.cfg.Rate > 0 && r.phase == measuring {
		r.lag.record(r.now - at)
	}
}

// receivedOne records a first arrival. Latency counts for what was sent, or
// due, within the measured interval.
func (r *run) receivedOne(sentAt, writtenAt int64) {
	r.total.received++
	r.progress = r.now
	if r.since > 0 {
		sentAt = r.since
	}
	if r.phase != warmingUp && sentAt >= r.began && (r.phase == measuring || sentAt < r.ended) {
		r.latency.record(r.now - sentAt)
		r.series.record(r.now - sentAt)
		if writtenAt >= 0 && r.since == 0 {
			r.written.record(r.now - writtenAt)
		}
	}
}
