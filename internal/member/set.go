package member

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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

// Node is one that gossip knows to be alive. A value.
type Node struct {
	ID                          wire.NodeID
	Name, Link, Gossip, Version string
	Member                      bool
}

// Set is this node's end of the durable member set. Safe for concurrent use;
// its fields are immutable once built but for those that say who owns them.
type Set struct {
	config  Config
	begun   time.Time
	kept    kept // until Run begins
	table   *table
	gossip  *gossip // nil: none
	mailbox *mailbox
	status  atomic.Pointer[Status]
	nodes   atomic.Pointer[[]Node]
	facts   chan []byte // the newest; owned by the loop on one side, the finder on the other
	mu      struct {
		sync.Mutex
		seeds  []string
		faults map[string]string // why a seed does not answer
		calls  map[uint64]chan error
		number uint64
		over   bool
	}
}

// New makes a Set; it reads what is kept of the member set, and nothing else.
func New(c Config) (*Set, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.defaults()
	s := &Set{config: c, table: newTable(c.Store), mailbox: newMailbox(), facts: make(chan []byte, 1)}
	s.begun = c.Clock.Now()
	s.mu.seeds, s.mu.calls, s.mu.faults = slices.Clone(c.Seeds), map[uint64]chan error{}, map[string]string{}
	if err := s.load(); err != nil {
		return nil, err
	}
	if c.Gossip.Bind != "" {
		s.gossip = newGossip(&s.config)
	}
	first := newCore(settings{}, c.Self, s.kept)
	first.seek.on = s.hasSeeds() && !first.formed() // until Run knows better it is not by itself (R7)
	s.status.Store(first.status())
	s.nodes.Store(&[]Node{})
	return s, nil
}

// hasSeeds reports whether the node was given others to look for.
func (s *Set) hasSeeds() bool {
	c := &s.config
	return s.gossip != nil && slices.ContainsFunc(c.Seeds, func(seed string) bool { return seed != c.Self.Gossip && seed != c.Gossip.Bind })
}

// load reads what is kept: the file, and where that is behind or lost, the table.
func (s *Set) load() error {
	shared, err := s.table.read()
	if err != nil {
		return err
	}
	c := &s.config
	mine := shared.Version != 0 && shared.has(c.Self.ID)
	s.kept, err = load(c.Path)
	if errors.Is(err, errDamaged) && mine {
		c.Log(slog.LevelWarn, fmt.Sprintf("%v; it is set aside as %s, and the member set is taken from the tables", err, c.Path+damagedSuffix))
		err = os.Rename(c.Path, c.Path+damagedSuffix)
	}
	old := &s.kept.record
	switch {
	case err != nil:
		return err
	case old.Version == 0 && mine:
		// What this node has voted on the next version is gone, so it has no vote on it.
		s.kept = kept{record: shared, abstains: true}
		return keep(c.Path, &s.kept)
	case old.Version != 0 && shared.Version != 0 && old.Origin != shared.Origin:
		return fmt.Errorf("member: %s is of the cluster that node %s founded, the tables are of that of node %s: they are not of one node; restore both from one backup",
			c.Path, idText(old.Origin), idText(shared.Origin))
	case old.Version != 0 && shared.above(old):
		s.kept = kept{record: shared}
	}
	return nil
}

// Listen opens the gossip port, so that it is known and a fault is told before
// Run, which has to follow. A node that was removed opens none.
func (s *Set) Listen() error {
	if s.gossip == nil || s.Status().Standing == Removed {
		return nil
	}
	address, err := s.gossip.listen()
	if err == nil && s.config.Self.Gossip == "" {
		s.config.Self.Gossip = address
	}
	return err
}

// GossipAddress is what others are told, once Listen has succeeded.
func (s *Set) GossipAddress() string { return s.config.Self.Gossip }

// Current returns the version in effect and its members by id; 0 and this node
// alone if there is none.
func (s *Set) Current() (version uint64, list []wire.Member) {
	st := s.status.Load()
	return st.Record.Version, copyOf(st.Record.Members)
}

// Status returns where this node stands.
func (s *Set) Status() Status {
	st := *s.status.Load()
	st.Record.Members = copyOf(st.Record.Members)
	return st
}

// Nodes returns the other nodes that gossip knows to be alive, by id, members
// or not. It says nothing about links.
func (s *Set) Nodes() []Node { return slices.Clone(*s.nodes.Load()) }

// Receive takes a frame of a linked node. It copies what it keeps and never
// blocks; while many wait it drops the frame, which will be sent again.
func (s *Set) Receive(from wire.NodeID, m *wire.Members) {
	own := *m
	own.List = copyOf(m.List)
	s.mailbox.frame(func(c *core) { c.receive(from, &own) })
}

// PeerUp says that the link to a node stands, member or not.
func (s *Set) PeerUp(id wire.NodeID) { s.mailbox.add(func(c *core) { c.up(id) }) }

// PeerDown says that the link is gone.
func (s *Set) PeerDown(id wire.NodeID) { s.mailbox.add(func(c *core) { c.down(id) }) }

// SetView tells what the detector sees: the members that are reachable by
// verdict, this node included, and the primary group (R25). Dead members are
// marked by it, and this node's own mark is cleared.
func (s *Set) SetView(reachable, group []wire.NodeID) {
	reachable, group = slices.Clone(reachable), slices.Clone(group)
	s.mailbox.add(func(c *core) { c.sees(reachable, group) })
}

// Exchanged says that an exchange of metadata with a member, begun since its
// link stood, completed in both directions. When that is so for every member
// that is not itself stopped or absent, and all of them are in the primary group
// with this node, its own mark is cleared (R27).
func (s *Set) Exchanged(id wire.NodeID) {
	s.mailbox.add(func(c *core) { c.view.exchanged[id] = true })
}

// Join makes this node a member of the cluster that the seeds (gossip
// addresses) belong to, and waits until it is. Joining where it is a member
// already is nothing.
func (s *Set) Join(ctx context.Context, seeds []string) error {
	if s.gossip == nil {
		return errors.New("member: gossip is off, so that seeds cannot be asked: set cluster.gossip_listen")
	}
	if st := s.Status(); st.Standing == Alone {
		what, err := s.table.history()
		if err != nil {
			return err
		}
		if what != "" {
			return errors.New("member: " + historyText(what))
		}
	}
	s.mu.Lock()
	for _, seed := range seeds {
		if !slices.Contains(s.mu.seeds, seed) {
			s.mu.seeds = append(s.mu.seeds, seed)
		}
	}
	s.mu.Unlock()
	select {
	case <-s.gossip.started:
	case <-ctx.Done():
		return fmt.Errorf("member: join: gossip has not started: %w", ctx.Err())
	}
	if err := s.contactOne(seeds); err != nil {
		return err
	}
	s.mailbox.add(s.look)
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go s.watchRefusals(ctx, giveUp)
	err := s.call(ctx, "join", func(c *core, id uint64) { c.join(id) })
	var why refusal
	if err != nil && errors.As(context.Cause(ctx), &why) {
		return fmt.Errorf("member: join: %w", why)
	}
	return err
}

// SetState changes this node's own state and waits until every member that is
// linked holds the change (R27). A node that is in no cluster has none.
func (s *Set) SetState(ctx context.Context, state wire.MemberState) error {
	self := s.config.Self.ID
	return s.call(ctx, "set state "+stateNames[state], func(c *core, id uint64) {
		c.stopping = state == wire.MemberStopped
		r := &request{id: id, everywhere: true, change: change{kind: changeState, member: wire.Member{ID: self, State: state}}}
		if !c.formed() {
			c.end(r, nil)
			return
		}
		c.request(r)
	})
}

// SetDeadMemberTimeout changes after how long a member that is not reachable is
// marked absent; 0 never.
func (s *Set) SetDeadMemberTimeout(d time.Duration) {
	s.mailbox.add(func(c *core) { c.settings.deadAfter = d.Milliseconds() })
}

// MarkAbsent says that a member is gone for so long that it gates no more;
// only the primary side may (R24).
func (s *Set) MarkAbsent(ctx context.Context, nameOrID string) error {
	m, err := lookUp(&s.status.Load().Record, nameOrID)
	if err != nil {
		return fmt.Errorf("member: %w", err)
	}
	return s.call(ctx, "mark "+m.Name+" absent", func(c *core, id uint64) { c.request(c.absence(m.ID, id)) })
}

// Remove takes a member out of the set for good. force does it without a
// majority: GivesUp says what may come of it.
func (s *Set) Remove(ctx context.Context, nameOrID string, force bool) error {
	m, err := lookUp(&s.status.Load().Record, nameOrID)
	if err != nil {
		return fmt.Errorf("member: %w", err)
	}
	return s.call(ctx, "remove "+m.Name, func(c *core, id uint64) { c.remove(id, m, force) })
}

// GivesUp says in words what removing a member gives up, and with force what
// may diverge.
func (s *Set) GivesUp(nameOrID string, force bool) (string, error) {
	r := &s.status.Load().Record
	m, err := lookUp(r, nameOrID)
	if err != nil {
		return "", fmt.Errorf("member: %w", err)
	}
	text := fmt.Sprintf("%s (%s) will be no member any more. Queued messages that only its disk holds are given up, unless tombolo queue hand-over brings them from there; its sessions and their "+
		"subscriptions go on at the other members, with what is queued there. Started again, it serves no client: its data directory has to be moved away.", m.Name, idText(m.ID))
	if force {
		text += fmt.Sprintf(" Forced, this takes effect without %d of the %d members confirming it. If members that this node does not reach are alive, there are two "+
			"member sets until they meet: both sides may be open under 'majority', grant one client id twice and remove each other. When they meet, the set with the "+
			"higher version wins (of equal ones the higher nonce), and what the other side changed in its set is lost. Be sure that %s is down for good.", r.majority(), len(r.Members), m.Name)
	}
	return text, nil
}

// SetCut makes gossip from and to these nodes vanish, and no other: a rehearsal
// of a split.
func (s *Set) SetCut(ids []wire.NodeID) {
	if s.gossip == nil || s.gossip.transport == nil {
		return
	}
	for _, m := range s.status.Load().Record.Members {
		s.gossip.transport.know(m.ID, m.Gossip)
	}
	s.gossip.transport.setCut(ids)
}

// call hands a request to the core and waits for its end.
func (s *Set) call(ctx context.Context, what string, fn func(c *core, id uint64)) error {
	done := make(chan error, 1)
	s.mu.Lock()
	if s.mu.over {
		s.mu.Unlock()
		return fmt.Errorf("member: %s: %w", what, errStopped)
	}
	s.mu.number++
	id := s.mu.number
	s.mu.calls[id] = done
	s.mu.Unlock()
	s.mailbox.add(func(c *core) { fn(c, id) })
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		s.mailbox.add(func(c *core) { c.cancel(id) })
		select {
		case err = <-done:
		case <-time.After(time.Second): // Run has not begun
			err = ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("member: %s: %w", what, err)
	}
	return nil
}

// errStopped is told to callers after Run has ended.
var errStopped = errors.New("this node is stopping")

// answer ends a call.
func (s *Set) answer(id uint64, err error) {
	s.mu.Lock()
	done := s.mu.calls[id]
	delete(s.mu.calls, id)
	s.mu.Unlock()
	if done != nil {
		done <- err
	}
}

// systemRand draws nonces: they must differ from those of every other node.
func systemRand() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("member: the system gives no randomness: " + err.Error())
	}
	return binary.LittleEndian.Uint64(b[:])
}
