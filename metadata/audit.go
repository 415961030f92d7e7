package metadata

import (
	"context"
	"time"

	"tombolo/metadata/replica"
)

// auditLoop reads the whole store from time to time and holds digest and counts
// to what is on disk. The peers compare digests every few seconds; this shows
// that a digest still speaks for the disk (R32).
func (s *Store) auditLoop(ctx context.Context) {
	timer := s.config.Clock.NewTimer(s.config.AuditEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		}
		_ = s.Audit(ctx) // an error of reading, or the end
		timer.Reset(s.config.AuditEvery)
	}
}

// Audit recomputes digest and counts. Where they differ, something changed the
// database behind our back: the store begins anew with what is left, under a new
// actor, takes no writes meanwhile, and refills from its peers.
func (s *Store) Audit(ctx context.Context) error {
	snapshot, err := s.db.Snapshot()
	if err != nil {
		return err
	}
	defer snapshot.Release()
	delta, err := replica.Recount(ctx, snapshot, policy{})
	if err != nil || delta.IsZero() {
		return err
	}
	s.inbox.add(false, func(r *replica.Replica, _ time.Time) { r.Distrust(delta) })
	return nil
}
