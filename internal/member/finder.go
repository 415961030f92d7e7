package member

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"tombolo/internal/wire"
)

// target is a node to be found again. A value.
type target struct {
	id      wire.NodeID // 0 for a seed
	address string
}

// finds runs gossip, and looks again and again for every durable member that is
// not alive and, while one is missing or none is known, for the seeds:
// memberlist by itself never finds a node again after a cut.
func (s *Set) finds(ctx context.Context) error {
	defer s.gossip.stop()
	select { // what we say of ourselves is needed first
	case f := <-s.facts:
		s.gossip.facts.Store(&f)
	case <-ctx.Done():
		return nil
	}
	if err := s.gossip.start(ctx, &s.config.Self); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	timer := s.config.Clock.NewTimer(0)
	defer timer.Stop()
	round := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-s.facts:
			s.gossip.tell(f)
		case <-timer.C():
			s.rejoin(ctx, round)
			round++
			d := s.config.Gossip.RejoinInterval
			if s.Status().Standing == Seeking {
				d /= 4
			}
			timer.Reset(s.jittered(d))
		}
		if s.Status().Standing == Removed {
			s.gossip.leave()
			return nil
		}
	}
}

// jittered is d, up to a quarter more or less, so that nodes do not all try at
// once.
func (s *Set) jittered(d time.Duration) time.Duration {
	quarter := uint64(d / 4)
	if quarter == 0 {
		return d
	}
	return d - time.Duration(quarter) + time.Duration(s.config.Rand()%(2*quarter))
}

// rejoin tries one that is not there.
func (s *Set) rejoin(ctx context.Context, round int) {
	list := s.missing()
	if len(list) == 0 {
		return
	}
	t := list[round%len(list)]
	err := s.gossip.contact(t.id, t.address)
	if err != nil && ctx.Err() == nil {
		s.config.Log(slog.LevelDebug, fmt.Sprintf("gossip: %s is not found: %v", t.address, err))
	}
	if t.id == 0 && ctx.Err() == nil {
		s.noteSeed(t.address, err)
	}
}

// noteSeed keeps why a seed does not answer, for whoever asks what this node waits for.
func (s *Set) noteSeed(seed string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.faults, seed)
	if err != nil && len(s.mu.faults) < addressesMax {
		s.mu.faults[seed] = s.explain(seed, err).Error()
	}
}

// explained adds to the core's word on what a node waits for what only contact with
// others tells: why it is refused, or why no seed answers.
func (s *Set) explained(st *Status) *Status {
	if st.Standing != Seeking || s.gossip == nil {
		return st
	}
	if s.config.Refused != nil {
		if why := s.config.Refused(); why != "" {
			st.Text = "no node takes this one: " + why
			return st
		}
	}
	if len(s.gossip.nodes()) > 0 {
		return st
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.faults) > 0 {
		st.Text = "no other node is found: " + strings.Join(slices.Sorted(maps.Values(s.mu.faults)), "; ")
	}
	return st
}

// missing lists whom to look for.
func (s *Set) missing() (list []target) {
	alive := s.gossip.nodes()
	is := func(id wire.NodeID) bool {
		return slices.ContainsFunc(alive, func(h heard) bool { return h.id == id })
	}
	r := s.status.Load().Record
	for _, m := range r.Members {
		if m.ID != s.config.Self.ID && m.Gossip != "" && !is(m.ID) {
			list = append(list, target{m.ID, m.Gossip})
		}
	}
	if r.Version > 0 && len(list) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seed := range s.mu.seeds {
		known := slices.ContainsFunc(alive, func(h heard) bool { return h.address == seed })
		if seed != s.config.Self.Gossip && !known {
			list = append(list, target{0, seed})
		}
	}
	return list
}
