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
	err       error
}

type phase uint8

const (
	warmingUp phase = iota
	measuring
	draining
	finished
)

var phaseNames = [...]string{"warming up", "measuring", "draining", "finished"}

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
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if err := r.loop(ctx); err != nil {
		return nil, err
	}
	return r.result(), nil
}

func newRun(cfg *Config) (*run, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &run{
		cfg: cfg, id: rand.Uint32(), poll: poll, epoch: time.Now(),
		read: make([]byte, readBytes), payload: make([]byte, cfg.PayloadSize),
		latency: newRecorder(), lag: newRecorder(),
	}, nil
}

func (r *run) close() {
	for _, e := range r.ends {
		closeFD(e.fd)
	}
	r.poll.close()
}

func (r *run) clock() int64 { return int64(time.Since(r.epoch)) }

// connect makes the subscribers' connections, then the publishers'.
func (r *run) connect(ctx context.Context) error {
	cfg := r.cfg
	clients := make([]client, 0, cfg.Subscribers+cfg.Publishers)
	topic := func(i int) string { return fmt.Sprintf("bench/%08x/%s/%d", r.id, cfg.Scenario, i) }
	shared := cfg.Scenario == FanIn || cfg.Scenario == FanOut
	for i := range cfg.Subscribers {
		at := i
		if cfg.Cross {
			at++
		}
		filter := topic(i)
		if shared {
			filter = topic(0)
		}
		clients = append(clients, client{cfg.Targets[at%len(cfg.Targets)], fmt.Sprintf("b%08x-s%d", r.id, i), filter})
	}
	for i := range cfg.Publishers {
		clients = append(clients, client{cfg.Targets[i%len(cfg.Targets)], fmt.Sprintf("b%08x-p%d", r.id, i), ""})
	}
	sessions, err := connectAll(ctx, cfg, clients, func(done int) {
		cfg.Tick(Progress{Phase: "connecting", Elapsed: time.Since(r.epoch), Clients: done})
	})
	if err != nil {
		return err
	}
	for i, s := range sessions {
		e := &endpoint{key: i, fd: s.fd, id: clients[i].id, in: s.rest}
		r.ends = append(r.ends, e)
		if i < cfg.Subscribers {
			r.addSubscriber(e, i)
			continue
		}
		at := i - cfg.Subscribers
		p := newPublisher(uint32(at), cfg, topic(at), r.receivers(), s.receiveMax)
		if shared {
			p.topic = []byte(topic(0))
		}
		p.end, e.role = e, p
		r.pubs = append(r.pubs, p)
	}
	for _, e := range r.ends {
		if err := r.poll.add(e.fd, e.key); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) addSubscriber(e *endpoint, i int) {
	s := &subscriber{first: uint32(i), streams: make([]stream, 1)}
	switch r.cfg.Scenario {
	case FanIn:
		s.first, s.streams = 0, make([]stream, r.cfg.Publishers)
	case FanOut:
		s.first = 0
	}
	e.role = s
	r.subs = append(r.subs, s)
}

// receivers is how many subscribers each message has.
func (r *run) receivers() int {
	if r.cfg.Scenario == FanOut {
		return r.cfg.Subscribers
	}
	return 1
}

// touch has e flushed at the end of the round.
func (r *run) touch(e *endpoint) {
	if !e.dirty && !e.blocked {
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
func (r *run) receivedOne(sentAt int64) {
	r.total.received++
	r.progress = r.now
	if r.phase != warmingUp && sentAt >= r.began && (r.phase == measuring || sentAt < r.ended) {
		r.latency.record(r.now - sentAt)
	}
}
