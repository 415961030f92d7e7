package bench

import (
	"context"
	"fmt"
	"time"

	"tombolo/mqtt/packet"
)

// offline has sessions leave, publishes cfg.Messages for each, and has all of
// them return. In the end the sessions are removed. With
// Keep it ends when all is stored.
func (r *run) offline(ctx context.Context) (*Result, error) {
	sessions := make([]client, r.cfg.Subscribers)
	for i := range sessions {
		sessions[i] = r.subscriberClient(i)
	}
	if err := r.visit(ctx, sessions); err != nil {
		return nil, err
	}
	f := &StoredFigures{Messages: r.cfg.Messages * r.cfg.Subscribers}
	if err := r.publishers(ctx, f.Messages); err != nil {
		return nil, err
	}
	count := uint64(len(sessions))
	for _, p := range r.pubs {
		p.address = func(n uint64, topic []byte) ([]byte, uint32) {
			i := n % count
			return append(topic, sessions[i].filter...), uint32(i) + 1
		}
	}
	if err := r.store(ctx, "queueing", f); err != nil {
		return nil, err
	}
	if r.cfg.Keep {
		return r.storedResult(f), nil
	}
	if err := r.giveOut(ctx, "returning", f, func() error { return r.comeBack(ctx, sessions, f) }); err != nil {
		return nil, err
	}
	res := r.storedResult(f)
	for i := range sessions {
		sessions[i].keeps, sessions[i].filter = false, ""
	}
	for _, e := range r.ends[len(r.pubs):] {
		r.leave(e)
	}
	return res, r.visit(ctx, sessions)
}

// visit connects clients, subscribes where they have a filter, and leaves.
func (r *run) visit(ctx context.Context, clients []client) error {
	conns, err := r.open(ctx, clients)
	if err != nil {
		return err
	}
	bye := packet.AppendDisconnect(nil, r.cfg.Version, &packet.Disconnect{})
	for i, c := range conns {
		if _, _, werr := writeFD(c.fd, bye); werr != nil && err == nil {
			err = fmt.Errorf("client %s: leaving: %w", clients[i].id, werr)
		}
		closeFD(c.fd)
	}
	return err
}

// comeBack connects the sessions again, without subscribing; in migrate each at
// the next node.
func (r *run) comeBack(ctx context.Context, clients []client, f *StoredFigures) error {
	back := make([]client, len(clients))
	for i, cl := range clients {
		back[i] = cl
		back[i].filter = ""
		if r.cfg.Scenario == Migrate {
			back[i].target = r.cfg.Targets[(i+1)%len(r.cfg.Targets)]
		}
	}
	conns, err := r.open(ctx, back)
	if err != nil {
		return err
	}
	f.ReturnedIn = time.Duration(r.clock() - r.since).Seconds()
	for i, c := range conns {
		if !c.present {
			f.Forgotten++
		}
		e := r.adopt(back[i], c)
		e.role = &subscriber{index: uint32(i), streams: make([]stream, len(r.pubs)), every: uint64(len(clients))}
		r.fail(e, e.take(r, 0)) // what came behind CONNACK
	}
	return r.err
}
