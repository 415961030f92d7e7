package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"tombolo/mqtt/packet"
)

// Filter k of a run belongs to device k%1000 of site k/1000 and has one of
// three forms; a topic below it matches it and no other filter, so that each
// message has exactly one receiver:
//
//	bench/RUN/s<site>/+/d<device>       wildcard   …/s<site>/any/d<device>
//	bench/RUN/s<site>/d<device>/#       wildcard   …/s<site>/d<device>/any/state
//	bench/RUN/s<site>/d<device>/state   exact      itself
//
// It is subscribed to on connection k modulo their number.
const (
	devices      = 1000    // of a site
	batchMax     = 100     // filters in one SUBSCRIBE
	filterStride = 999_983 // prime: messages visit the filters far from each other
)

type form uint8

const (
	exact form = iota
	plus
	hash
)

func (c *Config) formOf(k int) form {
	switch {
	case k*37%100 >= c.Wildcards:
		return exact
	case k/2%2 == 0:
		return plus
	}
	return hash
}

// appendFilter appends filter k, or with topic a topic that matches it.
func (r *run) appendFilter(dst []byte, k int, topic bool) []byte {
	dst = append(dst, "bench/"...)
	dst = append(dst, r.name...)
	dst = append(dst, "/s"...)
	dst = strconv.AppendInt(dst, int64(k/devices), 10)
	form := r.cfg.formOf(k)
	if form == plus {
		if topic {
			dst = append(dst, "/any"...)
		} else {
			dst = append(dst, "/+"...)
		}
	}
	dst = append(dst, "/d"...)
	dst = strconv.AppendInt(dst, int64(k%devices), 10)
	switch {
	case form == exact:
		dst = append(dst, "/state"...)
	case form == hash && topic:
		dst = append(dst, "/any/state"...)
	case form == hash:
		dst = append(dst, "/#"...)
	}
	return dst
}

// filterAddress sends the messages of publisher i to filters all over.
func (r *run) filterAddress(i int) func(n uint64, topic []byte) ([]byte, uint32) {
	filters := uint64(r.cfg.Filters)
	stride := uint64(filterStride)
	if filters%stride == 0 {
		stride = 1
	}
	offset := uint64(i) * filters / uint64(r.cfg.Publishers)
	return func(n uint64, topic []byte) ([]byte, uint32) {
		k := int((offset + n%filters*stride) % filters)
		return r.appendFilter(topic, k, true), uint32(k%r.cfg.Subscribers) + 1
	}
}

// SubscribeFigures are those of making many subscriptions.
type SubscribeFigures struct {
	Filters        int          `json:"filters"`
	Wildcards      int          `json:"wildcards"`
	PerSecond      float64      `json:"subscribes_per_second"`
	PerCPU         float64      `json:"subscribes_per_cpu_second,omitempty"`
	BytesEach      float64      `json:"resident_bytes_per_subscription,omitempty"`
	ResidentBefore int64        `json:"resident_bytes_before"`
	ResidentAfter  int64        `json:"resident_bytes_after"`
	Latency        Distribution `json:"subscribe_latency"` // SUBSCRIBE of up to 100 filters to SUBACK
}

// subscribing makes the subscriptions of one connection, a packet at a time.
// Owned by the event loop.
type subscribing struct {
	next    int // filter
	sentAt  int64
	pending int // filters in the packet that is on its way
	figures *SubscribeFigures
	latency recorder
	left    *int // connections that are not done
}

// subscribeAll makes all subscriptions and measures it.
func (r *run) subscribeAll(ctx context.Context) (*SubscribeFigures, error) {
	f := &SubscribeFigures{Filters: r.cfg.Filters}
	for k := range r.cfg.Filters {
		if r.cfg.formOf(k) != exact {
			f.Wildcards++
		}
	}
	latency, left := newRecorder(), len(r.subs)
	before := r.mark()
	for i := range r.subs {
		s := &subscribing{next: i, figures: f, latency: latency, left: &left}
		r.ends[i].role = s
		s.send(r, r.ends[i])
	}
	complete, err := r.drive(ctx, "subscribing", func() bool { return left == 0 })
	if err != nil {
		return nil, err
	}
	if !complete {
		return nil, fmt.Errorf("the broker stopped answering SUBSCRIBE: %d of %d connections have not all their filters", left, len(r.subs))
	}
	after := r.mark()
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	settled := r.mark()
	f.PerSecond = perSecond(uint64(f.Filters), time.Duration(after.at-before.at))
	f.ResidentBefore, f.ResidentAfter = before.broker.Resident, settled.broker.Resident
	f.Latency = latency.distribution()
	if len(r.cfg.PIDs) > 0 {
		f.PerCPU = perSecond(uint64(f.Filters), after.broker.CPU-before.broker.CPU)
		f.BytesEach = round(float64(f.ResidentAfter-f.ResidentBefore) / float64(f.Filters))
	}
	for i, s := range r.subs {
		r.ends[i].role = s
	}
	return f, r.err
}

// send subscribes to the next filters of this connection, or is done.
func (s *subscribing) send(r *run, e *endpoint) {
	var p packet.Subscribe
	for s.next < r.cfg.Filters && len(p.Subscriptions) < batchMax {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: r.appendFilter(nil, s.next, false), QoS: r.cfg.QoS})
		s.next += len(r.subs)
	}
	s.pending = len(p.Subscriptions)
	if s.pending == 0 {
		*s.left--
		return
	}
	p.ID = 1
	e.out = packet.AppendSubscribe(e.out, r.cfg.Version, &p)
	s.sentAt = r.clock()
	r.touch(e)
}

func (s *subscribing) handle(r *run, e *endpoint, f packet.Frame) error {
	if f.Type != packet.TypeSuback {
		return e.other(r, f)
	}
	var ack packet.Suback
	if err := packet.DecodeSuback(f, r.cfg.Version, &ack); err != nil {
		return err
	}
	if len(ack.Reasons) != s.pending {
		return fmt.Errorf("SUBACK for %d filters has %d reason codes", s.pending, len(ack.Reasons))
	}
	for _, reason := range ack.Reasons {
		if reason != packet.ReasonCode(r.cfg.QoS) {
			return errNotGranted
		}
	}
	s.latency.record(r.now - s.sentAt)
	r.progress = r.now
	s.send(r, e)
	return nil
}

func (s *subscribing) drained(*run) {}
