package bench

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"tombolo/mqtt/packet"
)

// StoredFigures are those of messages that a broker keeps, retained or queued
// for sessions that are away, and gives out later. Latency counts from the
// subscription, or from the first session's return.
type StoredFigures struct {
	Messages       int     `json:"messages"`
	PerSecond      float64 `json:"stored_per_second"`
	PerCPU         float64 `json:"stored_per_cpu_second,omitempty"`
	BytesEach      float64 `json:"resident_bytes_per_message,omitempty"`
	ResidentBefore int64   `json:"resident_bytes_before"`
	ResidentAfter  int64   `json:"resident_bytes_after"`
	GivenIn        float64 `json:"given_out_in_seconds"`          // 0 if not all came
	ReturnedIn     float64 `json:"returned_in_seconds,omitempty"` // until the last session had its CONNACK
	GivenPerCPU    float64 `json:"given_out_per_cpu_second,omitempty"`
	Forgotten      int     `json:"sessions_forgotten"` // that the broker had not when they returned
}

// bitset is the messages of one publisher that came, in whatever order.
type bitset []uint64

func newBitset(n uint64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) arrive(n uint64) arrival {
	bit := uint64(1) << (n % 64)
	if b[n/64]&bit != 0 {
		return duplicated
	}
	b[n/64] |= bit
	return inOrder
}

// part gives publisher i its part of total messages.
func part(total, publishers, i int) uint64 {
	n := total / publishers
	if i < total%publishers {
		n++
	}
	return uint64(n)
}

// publishers connects those of the run; each sends its part of total.
func (r *run) publishers(ctx context.Context, total int) error {
	clients := make([]client, r.cfg.Publishers)
	for i := range clients {
		clients[i] = r.publisherClient(i)
	}
	sessions, err := r.open(ctx, clients)
	if err != nil {
		return err
	}
	for i, s := range sessions {
		r.addPublisher(clients[i], s, i)
		r.pubs[i].limit = part(total, r.cfg.Publishers, i)
	}
	return r.err
}

// store has the publishers send everything and waits for the broker's word
// for each message.
func (r *run) store(ctx context.Context, phase string, f *StoredFigures) error {
	before := r.mark()
	r.begins()
	complete, err := r.drive(ctx, phase, r.wake())
	if err != nil {
		return err
	}
	r.over()
	if !complete {
		return fmt.Errorf("the broker stopped acknowledging while %s", phase)
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	after := r.mark()
	f.PerSecond = perSecond(uint64(f.Messages), time.Duration(r.atEnd.at-r.atBegin.at))
	f.ResidentBefore, f.ResidentAfter = before.broker.Resident, after.broker.Resident
	if len(r.cfg.PIDs) > 0 {
		f.PerCPU = perSecond(uint64(f.Messages), r.atEnd.broker.CPU-r.atBegin.broker.CPU)
		f.BytesEach = round(float64(f.ResidentAfter-f.ResidentBefore) / float64(f.Messages))
	}
	return r.err
}

// wake gives every publisher its turn and returns when all is acknowledged.
func (r *run) wake() (done func() bool) {
	for _, p := range r.pubs {
		r.want(p)
	}
	return func() bool {
		for _, p := range r.pubs {
			if p.acked < p.limit {
				return false
			}
		}
		return true
	}
}

// giveOut takes what was stored; ask asks for it.
func (r *run) giveOut(ctx context.Context, phase string, f *StoredFigures, ask func() error) error {
	begin := r.mark()
	r.since, r.began, r.ended = begin.at, begin.at, math.MaxInt64
	r.series.begin(r, 0)
	if err := ask(); err != nil {
		return err
	}
	complete, err := r.drive(ctx, phase, func() bool { return r.total.received >= r.expected() })
	if err != nil {
		return err
	}
	end := r.mark()
	r.fault(r.series.end(r))
	if complete {
		f.GivenIn = round(time.Duration(end.at - begin.at).Seconds())
	}
	if len(r.cfg.PIDs) > 0 {
		f.GivenPerCPU = perSecond(r.total.received, end.broker.CPU-begin.broker.CPU)
	}
	// What is given twice or too much comes within a moment, if at all.
	return r.settle(ctx)
}

// storedResult is the result with the rates of both steps.
func (r *run) storedResult(f *StoredFigures) *Result {
	res := r.result()
	res.Stored = f
	if f.GivenIn > 0 {
		res.Rates.Delivered = round(float64(r.total.received) / f.GivenIn)
	}
	if f.Forgotten > 0 {
		res.Warnings = append(res.Warnings, fmt.Sprintf("the broker had forgotten %d sessions", f.Forgotten))
	}
	return res
}

// retained sets cfg.Messages retained messages; then one client subscribes to
// all of them. In the end they are cleared.
func (r *run) retained(ctx context.Context) (*Result, error) {
	f := &StoredFigures{Messages: r.cfg.Messages}
	if err := r.publishers(ctx, r.cfg.Messages); err != nil {
		return nil, err
	}
	s := &subscriber{}
	for i, p := range r.pubs {
		p.retain = true
		limit := p.limit
		p.address = func(n uint64, topic []byte) ([]byte, uint32) {
			return r.appendRetained(topic, i, n%limit), 0
		}
		s.seen = append(s.seen, newBitset(limit))
	}
	s.streams = make([]stream, len(r.pubs))
	if err := r.store(ctx, "setting", f); err != nil {
		return nil, err
	}
	cl := client{target: r.cfg.Targets[0], id: fmt.Sprintf("b%s-s", r.name)}
	sessions, err := r.open(ctx, []client{cl})
	if err != nil {
		return nil, err
	}
	e := r.adopt(cl, sessions[0])
	e.role = s
	err = r.giveOut(ctx, "reading", f, func() error {
		filter := packet.Subscription{Filter: fmt.Appendf(nil, "bench/%s/retained/#", r.name), QoS: r.cfg.QoS}
		e.out = packet.AppendSubscribe(e.out, r.cfg.Version, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{filter}})
		r.touch(e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	res := r.storedResult(f)
	r.leave(e)
	for _, p := range r.pubs {
		p.limit *= 2
		p.empty = true // which clears
	}
	if _, err := r.drive(ctx, "clearing", r.wake()); err != nil {
		return nil, err
	}
	return res, nil
}

func (r *run) appendRetained(dst []byte, publisher int, n uint64) []byte {
	dst = append(dst, "bench/"...)
	dst = append(dst, r.name...)
	dst = append(dst, "/retained/"...)
	dst = strconv.AppendInt(dst, int64(publisher), 10)
	dst = append(dst, '/')
	dst = strconv.AppendUint(dst, n/devices, 10)
	dst = append(dst, '/')
	return strconv.AppendUint(dst, n%devices, 10)
}
