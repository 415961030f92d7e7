package metadata

import (
	"errors"
	"time"
)

// Exchange is that this node and a peer have each pulled a clock that the other
// took after Began, the first contact of this link: what R28 asks for before a
// link counts as healed. Immutable.
type Exchange struct {
	Peer         uint64
	Began, Ended time.Time
}

// Replicated calls done once every linked member (PeerUp) holds all writes that
// were acknowledged here before the call (R6, R8, R29), from the completion
// goroutine, never from inside the call. A member whose link goes down is not
// waited for any longer, one whose link comes up meanwhile is not waited for at
// all; a member that owes a full join serves nobody and is not waited for
// either. There is no timeout: that is the caller's.
func (s *Store) Replicated(done func(error)) {
	s.completer.add([]completion{{done: done, err: errors.New("metadata: Replicated is not there yet")}})
}
