package queue

import (
	"errors"
	"fmt"
)

// ErrGeneration is a generation that may not be, beside those that are stored.
var ErrGeneration = errors.New("generation out of order")

// memoriesKept is how many older generations stay known after their last message
// went, so that a node that crashed before it heard so does not bring them back.
// What comes back of a generation that is not known is delivered again.
const memoriesKept = 8

// beginLocked makes a generation the one that takes what is appended; 0 leaves
// it as it is.
func (s *Store) beginLocked(l *lane, generation uint64) error {
	last := l.current
	switch {
	case generation == 0 || generation == last.generation:
		return nil
	case generation < last.generation || l.strand(generation) != nil:
		return fmt.Errorf("%d after %d: %w", generation, last.generation, ErrGeneration)
	}
	g := s.groupLocked(0)
	// Nothing is appended to the one before any more.
	last.lease, last.changed = last.tail, true
	l.current = l.add(generation)
	if m := l.moving; m != nil {
		// What came in during an earlier stay may have gone since, and comes back.
		m.appended, m.imported, m.order, m.next = nil, nil, nil, 0
	}
	s.nameLocked(g, l)
	s.cursorLocked(g, l)
	s.pruneLocked(g, l)
	return nil
}

// nameLocked has the name tell which generation is current, if it is not the
// last: after a split, the home that won may have the older one.
func (s *Store) nameLocked(g *group, l *lane) {
	tell := l.current != l.strands[len(l.strands)-1]
	if !tell && !l.named {
		return
	}
	l.named = tell
	current := uint64(0)
	if tell {
		current = l.current.generation
	}
	g.batch.Put(nameKey(l.name), appendName(nil, l.id, current))
}

// unsettled says whether something is on its way into an older generation, which
// a State must not leave out: nobody would be told of it.
func (l *lane) unsettled() bool {
	for _, st := range l.strands {
		if st == l.current {
			continue
		}
		if st.committed != st.tail || len(st.arriving) > 0 {
			return true
		}
	}
	return false
}

// pruneLocked forgets older generations that hold nothing, but for some.
func (s *Store) pruneLocked(g *group, l *lane) {
	idle := 0
	for _, st := range l.strands {
		if st != l.current && st.idle() {
			idle++
		}
	}
	var k key
	kept := l.strands[:0]
	for _, st := range l.strands {
		if st != l.current && idle > memoriesKept && st.idle() && !st.changed {
			idle--
			g.batch.Delete(k.cursor(l.id, st.generation))
			continue
		}
		kept = append(kept, st)
	}
	clear(l.strands[len(kept):])
	l.strands = kept
}
