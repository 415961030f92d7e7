package queue

// Inspection is one open queue as the store sees it, for an operator.
type Inspection struct {
	ID          QueueID
	Name        string
	State       State
	Unwritten   int // acknowledgements that are not on disk yet
	Early       int // batches of ops that wait for one that was taken out before them
	Uncommitted int // messages that were handed in and are not on disk yet
}

// Inspect looks at an open queue; false if it is not open.
func (s *Store) Inspect(name string) (Inspection, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mu.names[name]
	if l == nil {
		return Inspection{}, false
	}
	in := Inspection{ID: l.id, Name: name, State: l.state(), Early: len(l.turns.early)}
	for _, st := range l.strands {
		in.Uncommitted += int(st.tail - st.committed + st.arriving.size(0, sequenceMax))
		for _, r := range st.gone {
			in.Unwritten += int(r.n)
		}
	}
	return in, true
}
