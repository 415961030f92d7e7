package metadata

import (
	"slices"
	"sync"
	"time"

	"tombolo/dvv"
	"tombolo/metadata/replica"
)

// Transport carries frames to the other members. Send must not block and may
// lose a frame: the exchange makes up for it. It keeps the frame.
type Transport interface {
	Send(to uint64, frame []byte)
}

// Member is one of the durable member set.
type Member = replica.Member

// ReplicaEvent is what the replica found worth counting; see replica.Event.
type ReplicaEvent = replica.Event

// inboxFramesMax bounds the frames that wait for the core; one more is dropped
// and counted, as if the link had lost it.
const inboxFramesMax = 1024

// inbox holds what came from outside for the core. Guarded by mu. Frames are
// bounded by inboxFramesMax, those who wait for the other members by
// waitsMax; what is left is one entry for each change of a link or of the
// member set.
type inbox struct {
	ready chan struct{}
	mu    struct {
		sync.Mutex
		list   []entry
		frames int
		closed bool
	}
}

// entry is one thing to do with the core. Immutable.
type entry struct {
	frame   bool
	fn      func(r *replica.Replica, now time.Time)
	refused func(error) // not nil: called instead of fn if the store ends before
}

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

func (b *inbox) add(isFrame bool, fn func(r *replica.Replica, now time.Time)) bool {
	return b.put(entry{frame: isFrame, fn: fn})
}

func (b *inbox) put(e entry) bool {
	b.mu.Lock()
	if b.mu.closed || e.frame && b.mu.frames >= inboxFramesMax {
		b.mu.Unlock()
		return false
	}
	if e.frame {
		b.mu.frames++
	}
	b.mu.list = append(b.mu.list, e)
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
	return true
}

// take removes the oldest, nil if there is none.
func (b *inbox) take() func(r *replica.Replica, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.list) == 0 {
		return nil
	}
	e := b.mu.list[0]
	b.mu.list[0] = entry{}
	b.mu.list = b.mu.list[1:]
	if e.frame {
		b.mu.frames--
	}
	if len(b.mu.list) > 0 {
		select {
		case b.ready <- struct{}{}:
		default:
		}
	}
	return e.fn
}

// shut refuses all further entries and returns those that wait.
func (b *inbox) shut() []entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := b.mu.list
	b.mu.closed, b.mu.list, b.mu.frames = true, nil, 0
	return rest
}

// Deliver takes in a frame of another member; the store keeps it. At the bound
// it is dropped and counted. A frame may come before PeerUp and after PeerDown:
// the two ends of a link do not see it stand in the same instant.
func (s *Store) Deliver(from uint64, frame []byte) {
	s.counters.received.Add(uint64(len(frame)))
	if !s.inbox.add(true, func(r *replica.Replica, now time.Time) { r.Receive(now, from, frame) }) {
		s.counters.overrun.Inc()
	}
}

// PeerUp says that the link to a node stands, whether it is a member yet or not.
// Twice is once.
func (s *Store) PeerUp(id uint64) {
	s.inbox.add(false, func(r *replica.Replica, now time.Time) {
		s.waits.up(id, now)
		r.PeerUp(now, id)
	})
}

// PeerDown says that the link to a node is gone, with all that was on its way.
func (s *Store) PeerDown(id uint64) {
	s.inbox.add(false, func(r *replica.Replica, now time.Time) {
		s.waits.down(id)
		r.PeerDown(now, id)
	})
}

// SetMembers replaces the durable member set; a lower version than the last one
// is ignored. This node may be in the list or not.
func (s *Store) SetMembers(version uint64, members []Member) {
	list := slices.Clone(members)
	s.inbox.add(false, func(r *replica.Replica, now time.Time) {
		_, before := r.Members()
		r.SetMembers(now, version, list)
		_, current := r.Members()
		s.members.Store(&current)
		for _, m := range current {
			known := slices.ContainsFunc(before, func(b Member) bool { return b.ID == m.ID })
			if s.waits.linked(m.ID) && !known {
				r.PeerUp(now, m.ID) // its link stood before it was a member
			}
		}
	})
}

// ServeAnyway takes writes although a full join is owed and nobody is there to
// join from: an operator's decision, with the risk that deleted values return.
func (s *Store) ServeAnyway() {
	s.inbox.add(false, func(r *replica.Replica, _ time.Time) { r.ServeAnyway() })
}

// Status is the state as of the last commit.
func (s *Store) Status() Status { return *s.status.Load() }

// Digest is the order-free sum over all visible values.
func (s *Store) Digest() uint64 { return s.status.Load().Digest }

// Clock is what the store has seen.
func (s *Store) Clock() dvv.Clock { return s.status.Load().Clock }

// Inspect reads what the store says about itself, and the sizes of its areas on
// disk. It reads through the index: seconds for millions of keys.
func (s *Store) Inspect() (*replica.Inspection, error) {
	snapshot, err := s.db.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snapshot.Release()
	return replica.Inspect(snapshot)
}

// Verify computes index, counts and digest anew and reports what does not
// agree; see replica.Verify.
func (s *Store) Verify() ([]string, error) {
	snapshot, err := s.db.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snapshot.Release()
	return replica.Verify(snapshot, policy{})
}
