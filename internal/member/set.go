package member

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"

	"tombolo/internal/wire"
)

// Standing is what a node is to its cluster.
type Standing uint8

// The standings.
const (
	Alone   Standing = iota // by itself, and looking for nobody
	Seeking                 // no member yet: it looks for a cluster to join, or for others to found one with
	Joined                  // a member
	Removed                 // once a member, removed since: it serves no client and looks for nobody
)

// String is the standing as it is shown.
func (s Standing) String() string { return [...]string{"alone", "seeking", "joined", "removed"}[s] }

// Status is what Set says of itself. Immutable.
type Status struct {
	Standing Standing
	Record   Record // Version 0: none; Members then holds this node alone
	Text     string // a sentence on what it waits for; "" if for nothing
}

// Set is this node's end of the durable member set. Safe for concurrent use.
type Set struct {
	config Config
	status atomic.Pointer[Status]
}

var errThin = errors.New("member: not built yet")

// New makes a Set; it reads what is kept of the member set, and nothing else.
func New(c Config) (*Set, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.defaults()
	s := &Set{config: c}
	s.status.Store(&Status{Record: Record{Members: []wire.Member{c.Self}}})
	return s, nil
}

// Listen opens the gossip port, so that it is known and a fault is told before
// Run.
func (s *Set) Listen() error { return errThin }

// GossipAddress is what others are told, once Listen has succeeded.
func (s *Set) GossipAddress() string { return s.config.Self.Gossip }

// Run serves until ctx ends, and returns when everything it started has.
func (s *Set) Run(ctx context.Context) error { return errThin }

// Current returns the version in effect and its members by id; 0 and this node
// alone if there is none.
func (s *Set) Current() (version uint64, list []wire.Member) {
	st := s.status.Load()
	return st.Record.Version, slices.Clone(st.Record.Members)
}

// Status returns where this node stands.
func (s *Set) Status() Status { return *s.status.Load() }

// Receive takes a frame of a linked node. It copies what it keeps, and blocks
// only while many wait.
func (s *Set) Receive(from wire.NodeID, m *wire.Members) {}

// PeerUp says that the link to a node stands, member or not.
func (s *Set) PeerUp(id wire.NodeID) {}

// PeerDown says that the link is gone.
func (s *Set) PeerDown(id wire.NodeID) {}

// SetView tells what the detector sees: the members that are reachable by
// verdict, this node included, and whether this node is in the primary group
// (R25). Dead members are marked by it.
func (s *Set) SetView(reachable []wire.NodeID, primary bool) {}

// Exchanged says that an exchange of metadata with a member, begun since this
// process started, completed in both directions. When that is so for every
// member that is not itself stopped or absent, this node's own mark is cleared
// (R27).
func (s *Set) Exchanged(id wire.NodeID) {}

// Join makes this node a member of the cluster that the seeds (gossip
// addresses) belong to, and waits until it is. Joining where it is a member
// already is nothing.
func (s *Set) Join(ctx context.Context, seeds []string) error { return errThin }

// SetState changes this node's own state and waits until every reachable member
// holds the change (R27).
func (s *Set) SetState(ctx context.Context, state wire.MemberState) error { return errThin }

// MarkAbsent says that a member is gone for so long that it gates no more;
// only the primary side may (R24).
func (s *Set) MarkAbsent(ctx context.Context, nameOrID string) error { return errThin }

// Remove takes a member out of the set for good. force does it without a
// majority: GivesUp says what may come of it.
func (s *Set) Remove(ctx context.Context, nameOrID string, force bool) error { return errThin }

// GivesUp says in words what removing a member gives up, and with force what
// may diverge.
func (s *Set) GivesUp(nameOrID string, force bool) (string, error) { return "", errThin }

// SetCut makes gossip from and to these nodes vanish, and no other: a rehearsal
// of a split.
func (s *Set) SetCut(ids []wire.NodeID) {}

// systemRand draws nonces: they must differ from those of every other node.
func systemRand() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("member: the system gives no randomness: " + err.Error())
	}
	return binary.LittleEndian.Uint64(b[:])
}
