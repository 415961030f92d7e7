package queue

import "tombolo/internal/wire"

// Applied is the end of one frame of a peer's numbered stream (R2): it is
// recorded in the commit that holds the frame's effect, so that a frame that is
// sent again after a crash has no second one.
type Applied struct {
	Peer        uint64
	Incarnation uint64 // of the peer's process
	Stream      uint32
	Sequence    uint64
	Result      uint8 // as in an ack: wire.ResultStored and so on
	Reason      uint8
}

// Outcome is a frame that did not end as stored.
type Outcome = wire.Outcome

// Apply records the end of a frame that appended nothing. It is durable with the
// next commit, and asks for one only if done is not nil.
func (s *Store) Apply(a Applied, done Done) {
	s.mu.Lock()
	s.refuseLocked(done, errNotBuilt)
}

// AppliedThrough is the last frame of a peer's stream before which, itself
// included, all have ended, and which of the last wire.WindowFramesMax of these
// were not stored. Zero if nothing is known of this incarnation. Once the store
// was opened it tells exactly what is durable.
func (s *Store) AppliedThrough(peer, incarnation uint64, stream uint32) (through uint64, outcomes []Outcome) {
	return 0, nil
}
