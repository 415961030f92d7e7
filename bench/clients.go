package bench

import (
	"context"
	"fmt"
	"time"
)

// topic names the n-th topic of this run.
func (r *run) topic(n int) string {
	return fmt.Sprintf("bench/%08x/%s/%d", r.id, r.cfg.Scenario, n)
}

// one reports whether all publishers use one topic.
func (r *run) one() bool { return r.cfg.Scenario == FanIn || r.cfg.Scenario == FanOut }

// filter is what subscriber i subscribes to as it connects, "" for nothing.
func (r *run) filter(i int) string {
	switch r.cfg.Scenario {
	case FanIn, FanOut:
		return r.topic(0)
	case Shared:
		return fmt.Sprintf("$share/b%08x/bench/%08x/%s/+", r.id, r.id, r.cfg.Scenario)
	case Subscribe, Match, Retained:
		return ""
	}
	return r.topic(i)
}

func (r *run) subscriberClient(i int) client {
	at := i
	if r.cfg.Cross {
		at++
	}
	return client{target: r.cfg.Targets[at%len(r.cfg.Targets)], id: fmt.Sprintf("b%08x-s%d", r.id, i),
		filter: r.filter(i), keeps: r.cfg.Persistent || r.cfg.Scenario == Offline || r.cfg.Scenario == Migrate}
}

func (r *run) publisherClient(i int) client {
	return client{target: r.cfg.Targets[i%len(r.cfg.Targets)], id: fmt.Sprintf("b%08x-p%d", r.id, i)}
}

// connect makes the subscribers' connections, then the publishers'.
func (r *run) connect(ctx context.Context) error {
	clients := make([]client, 0, r.cfg.Subscribers+r.cfg.Publishers)
	for i := range r.cfg.Subscribers {
		clients = append(clients, r.subscriberClient(i))
	}
	for i := range r.cfg.Publishers {
		clients = append(clients, r.publisherClient(i))
	}
	sessions, err := r.open(ctx, clients)
	if err != nil {
		return err
	}
	for i, s := range sessions[:r.cfg.Subscribers] {
		r.addSubscriber(clients[i], s, i)
	}
	for i, s := range sessions[r.cfg.Subscribers:] {
		r.addPublisher(clients[r.cfg.Subscribers+i], s, i)
	}
	return r.err
}

// open connects the clients.
func (r *run) open(ctx context.Context, clients []client) ([]session, error) {
	return connectAll(ctx, r.cfg, clients, func(done int) {
		r.cfg.Tick(Progress{Phase: "connecting", Elapsed: time.Since(r.epoch), Clients: done})
	})
}

// adopt gives a connection to the event loop.
func (r *run) adopt(cl client, s session) *endpoint {
	e := &endpoint{key: len(r.ends), fd: s.fd, id: cl.id, in: s.rest}
	r.ends = append(r.ends, e)
	r.fault(r.poll.add(e.fd, e.key))
	return e
}

func (r *run) addPublisher(cl client, s session, i int) {
	p := newPublisher(uint32(i), r.cfg, r.topic(i), r.receivers(), s.receiveMax)
	if r.one() {
		p.topic = []byte(r.topic(0))
	}
	if r.cfg.Filters > 0 {
		p.address = r.filterAddress(i)
	}
	e := r.adopt(cl, s)
	p.end, e.role = e, p
	p.gather(r)
	r.pubs = append(r.pubs, p)
}

func (r *run) addSubscriber(cl client, conn session, i int) {
	s := &subscriber{index: uint32(i), first: uint32(i)}
	switch r.cfg.Scenario {
	case Shared, Subscribe, Match:
		if r.pool == nil {
			r.pool = make([]stream, r.cfg.Publishers)
		}
		s.first, s.streams, s.pooled = 0, r.pool, true
		s.newest = make([]uint64, r.cfg.Publishers)
	case FanIn:
		s.first, s.streams = 0, make([]stream, r.cfg.Publishers)
	case FanOut:
		s.first, s.streams = 0, make([]stream, 1)
	default:
		s.streams = make([]stream, 1)
	}
	r.adopt(cl, conn).role = s
	r.subs = append(r.subs, s)
}

// ShareFigures tell how a group shared its messages.
type ShareFigures struct {
	Members int     `json:"members"`
	Least   uint64  `json:"least"` // messages of the member that had fewest
	Most    uint64  `json:"most"`
	Mean    float64 `json:"mean"`
}

func (r *run) share() *ShareFigures {
	if r.cfg.Scenario != Shared {
		return nil
	}
	f := &ShareFigures{Members: len(r.subs), Least: r.subs[0].received}
	for _, s := range r.subs {
		f.Least, f.Most = min(f.Least, s.received), max(f.Most, s.received)
	}
	f.Mean = round(float64(r.total.received) / float64(len(r.subs)))
	return f
}
