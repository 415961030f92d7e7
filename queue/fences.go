package queue

import (
	"errors"
	"fmt"

	"tombolo/internal/kv"
)

// Fences notes what the home of a queue's session, or one that it has left, knows
// of when each node began to publish for which home (R21): State.Fences has it after
// a restart. The store does not look inside; nil forgets it. done may be nil.
func (s *Store) Fences(id QueueID, v []byte, done Done) {
	s.note(len(v), done, func(g *group) {
		l := s.mu.lanes[id]
		var k key
		switch {
		case l == nil || l.dropped || v == nil && l.fences == nil:
		case v == nil:
			g.batch.Delete(k.fences(id))
			l.fences = nil
		default:
			g.batch.Put(k.fences(id), append([]byte{formatVersion}, v...))
			l.fences = v
		}
	})
}

// loadFences reads what was noted for a queue. Without it the session's home takes
// what it is sent.
func (s *Store) loadFences(l *lane) error {
	var k key
	v, err := s.db.Get(k.fences(l.id))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	r := reader{rest: v}
	r.version()
	if err := r.failed("fences"); err != nil {
		s.c.Fault(fmt.Errorf("who publishes for which home of queue %q is lost: %w", l.name, err))
		return nil
	}
	l.fences = r.rest
	return nil
}
