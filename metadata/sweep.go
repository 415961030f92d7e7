package metadata

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/metadata/replica"
)

// sweepPause is how many keys are swept before the queue is given a moment.
const sweepPause = 256

// sweepLoop removes from time to time what no reader sees any more: it is
// filtered at every read before (R31), so that the pace does not matter.
func (s *Store) sweepLoop(ctx context.Context) {
	timer := s.config.Clock.NewTimer(s.config.SweepEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		}
		// An error is one of reading the database; whoever reads next reports it.
		_ = s.Sweep(ctx)
		timer.Reset(s.config.SweepEvery)
	}
}

// Sweep deletes the subscriptions below their session's floor and the sessions
// that have ended, if this node is their home, and the retained messages that
// have expired, if this node is their owner by rendezvous. A floor or an end has
// to be causally stable: then no node can still write under what it closed
// without knowing of it. Each delete is made only if the value is still the one
// that was judged.
func (s *Store) Sweep(ctx context.Context) error {
	stable, err := s.stable(ctx)
	if err != nil {
		return err
	}
	w := &sweeper{Store: s, ctx: ctx, stable: stable, now: s.config.Steady.Now()}
	if err := w.sessions(); err != nil {
		return err
	}
	return w.retained()
}

// stable asks the core what all members have seen.
func (s *Store) stable(ctx context.Context) (dvv.VV, error) {
	answer := make(chan dvv.VV, 1)
	s.inbox.add(false, func(r *replica.Replica, now time.Time) { answer <- r.Stable(now) })
	select {
	case v := <-answer:
		return v, nil
	case <-ctx.Done():
		return dvv.VV{}, ctx.Err()
	}
}

// sweeper is one run of Sweep. Owned by it.
type sweeper struct {
	*Store
	ctx     context.Context
	stable  dvv.VV
	now     time.Time
	pending []op
}

// doom queues the delete of a key that holds value.
func (w *sweeper) doom(t Table, key, value []byte) error {
	full := append(appendTable([]byte{areaObject}, t), key...)
	w.pending = append(w.pending, op{Key: full, Delete: true, Expect: slices.Clone(value)})
	if len(w.pending) < sweepPause {
		return nil
	}
	return w.flush()
}

// flush commits what is queued and waits for it, so that a sweep never fills the
// write queue. The overlay does not show these deletes: they may not happen.
func (w *sweeper) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	done := make(chan error, 1)
	one := write{ops: w.pending, bytes: 64 * len(w.pending), done: func(err error) { done <- err }}
	w.pending = nil
	if err := w.queue.add(one, func(uint64) {}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

func (w *sweeper) sessions() error {
	var fault error
	err := w.Range(TableSession, nil, nil, func(key, value []byte) bool {
		v, err := decodeSession(value)
		k, ok := parseClientKey(key)
		if err != nil || !ok || v.Home != w.config.Node || v.Floor.IsZero() && v.Ended.IsZero() || !w.settled(key) {
			return fault == nil
		}
		ended := v.Over()
		fault = w.subscriptions(k, func(e Epoch) bool {
			return e.Less(v.Floor) || ended && !v.Ended.Less(e)
		})
		if fault == nil && ended {
			fault = w.doom(TableSession, key, value)
		}
		return fault == nil && w.ctx.Err() == nil
	})
	if fault == nil {
		fault = w.flush()
	}
	if fault != nil {
		return fault
	}
	return err
}

// settled says whether every member has seen the session's record.
func (w *sweeper) settled(key []byte) bool {
	record, err := w.db.Get(append(appendTable([]byte{areaObject}, TableSession), key...))
	if err != nil {
		return false
	}
	values, err := replica.Siblings(record)
	if err != nil {
		return false
	}
	for _, v := range values {
		if !w.stable.Covers(v.Dot) {
			return false
		}
	}
	return true
}

func (w *sweeper) subscriptions(k ClientKey, dead func(Epoch) bool) error {
	var fault error
	err := w.Range(TableSubscription, clientPrefix(k, 0), nil, func(key, value []byte) bool {
		if v, err := decodeSubscription(value); err == nil && dead(v.Epoch) {
			fault = w.doom(TableSubscription, bytes.Clone(key), value)
		}
		return fault == nil
	})
	if fault != nil {
		return fault
	}
	return err
}

func (w *sweeper) retained() error {
	var fault error
	now := w.now.UnixMilli()
	err := w.Range(TableRetained, nil, nil, func(key, value []byte) bool {
		if v, err := decodeRetained(value); err == nil && v.Expired(now) && w.owns(key) {
			fault = w.doom(TableRetained, bytes.Clone(key), value)
		}
		return fault == nil && w.ctx.Err() == nil
	})
	if fault == nil {
		fault = w.flush()
	}
	if fault != nil {
		return fault
	}
	return err
}

// owns says whether this node is the rendezvous owner of key among the members.
func (w *sweeper) owns(key []byte) bool {
	weight := func(node uint64) uint64 {
		var b [8]byte
		for i := range b {
			b[i] = byte(node >> (8 * i))
		}
		return xxhash.Sum64(append(b[:], key...))
	}
	mine := weight(w.config.Node)
	members := w.members.Load()
	if members == nil {
		return true
	}
	for _, m := range *members {
		if m.ID != w.config.Node && !m.Absent && weight(m.ID) > mine {
			return false
		}
	}
	return true
}
