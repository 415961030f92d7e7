package registrar

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"tombolo/internal/wire"
)

// Times.
const (
	AnswerMax = 4500 * time.Millisecond // Register answers within
	TickEvery = 50 * time.Millisecond   // between two calls of Tick while Waiting

	viewPatience = 2 * time.Second        // for a leader to come into our view (R16)
	viewLasts    = 3 * time.Second        // a view this old will not be joined soon
	viewGivenUp  = 300 * time.Millisecond // and then the patience is this
	viewRetry    = 100 * time.Millisecond // between two tries meanwhile
	resendAfter  = 400 * time.Millisecond // what is not answered is sent again
	decideMax    = 4 * time.Second        // a leader decides within
	pullAfter    = 200 * time.Millisecond // a listing that does not come is asked for
	fenceKept    = time.Minute            // how long a node knows what it gave away: far above AnswerMax
)

// Bounds.
const (
	asksMax   = 100_000 // registrations under way here; above it they are denied
	lineMax   = 64      // registrations of one id that wait at its leader; likewise
	fencesMax = 100_000 // ids given away that are remembered; the oldest is forgotten
	chunkMax  = 256     // clients in one message of a listing
)

// At is the time of a step: unix ms, and a reading of the hybrid logical clock
// that is above all before it.
type At struct {
	Now   int64
	Stamp uint64
}

func (a At) after(d time.Duration) int64 { return a.Now + d.Milliseconds() }

// View is what a node holds to be true of the cluster. Immutable.
type View struct {
	Reachable []wire.NodeID // members that are reachable by verdict, this node among them, by id
	Members   int           // of the durable member set: the denominator of a majority
	Split     bool          // a pair of members is cut from each other, be it not from this node
	Open      bool          // registering is admitted at the moment
	Quorum    bool          // the policy is majority: more than half of the members accept (R25)
	Tie       wire.NodeID   // half of the members are enough if this one is among them (R24); 0: nobody
}

// weighs is how much a member's acceptance counts. Where the members can be split
// evenly the tiebreaker counts twice, so that of two halves one is more than
// half of all, and never both.
func (v *View) weighs(id wire.NodeID) int {
	if id == v.Tie && v.Members%2 == 0 {
		return 2
	}
	return 1
}

// enough reports whether an acceptance of that weight is more than half.
func (v *View) enough(weight int) bool {
	all := v.Members
	if v.Tie != 0 && v.Members%2 == 0 {
		all++
	}
	return 2*weight > all
}

// reaches is the weight of those who are reachable.
func (v *View) reaches() (weight int) {
	for _, id := range v.Reachable {
		weight += v.weighs(id)
	}
	return weight
}

// hash names the set of the reachable members.
func (v *View) hash() uint64 {
	h := uint64(14695981039346656037)
	for _, id := range v.Reachable {
		h = mix(h ^ uint64(id))
	}
	return max(h, meetingView+1)
}

func (v *View) has(id wire.NodeID) bool {
	_, ok := slices.BinarySearch(v.Reachable, id)
	return ok
}

// leader is the member with the highest hash of (member, id); ids are given, so
// that equal hashes, if ever, fall to the smaller id on every node.
func (v *View) leader(c wire.Client) wire.NodeID {
	f := fnv.New64a()
	_, _ = f.Write([]byte(c.Mountpoint))
	_, _ = f.Write([]byte{0})
	_, _ = f.Write([]byte(c.ID))
	of := f.Sum64()
	var best wire.NodeID
	top := uint64(0)
	for _, id := range v.Reachable {
		if w := mix(of ^ mix(uint64(id))); best == 0 || w > top {
			best, top = id, w
		}
	}
	return best
}

// mix spreads the bits of x (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Message is something for a peer.
type Message struct {
	To   wire.NodeID
	Type wire.Type
	Body []byte
}

// Releasing asks the broker of this node to close a client.
type Releasing struct {
	Token   uint64
	Client  wire.Client
	Epoch   wire.Epoch
	NewHome wire.NodeID
}

// Answer ends a registration. Denied is nil if it was granted.
type Answer struct {
	Call   uint64
	Client wire.Client
	Grant  Grant
	Denied *Denied
}

// Effects are what a step wants done, in this order. Owned by the caller.
type Effects struct {
	Send    []Message
	Release []Releasing
	Answers []Answer
	Synced  []wire.NodeID
}

// Stats are counts for an operator.
type Stats struct {
	Granted, Denied uint64 // as a leader
	Released        uint64 // clients closed here because another node has their id
	Duplicates      uint64 // of those, found without anybody asking
	Unsent, Strange uint64 // messages that the link did not take; that made no sense
	Asking, Leading int    // registrations under way; ids with a connected client that this node leads
	Reachable       int    // members in the view
	Listed          bool   // the listing of every member of the view is here
}

// Core is the registrar of one node. Owned by the goroutine that steps it.
//
// Invariants, checked by check:
//
//	(1) every ask has a deadline that is not further away than AnswerMax
//	(2) a seat has a job if anybody waits in its line
//	(3) a job waits for members of the view only
//	(4) an id that is held here has an epoch above the one it was given away at
type Core struct {
	self    wire.NodeID
	view    View
	hash    uint64
	since   int64  // unix ms, of the view
	lastHLC uint64 // of the last epoch that was granted
	asker   asker
	holder  holder
	leader  leader
	meeting meeting
	stats   Stats
}

// NewCore makes the core of a node that is by itself.
func NewCore(self wire.NodeID) *Core {
	c := &Core{self: self, view: View{Reachable: []wire.NodeID{self}, Members: 1, Open: true}}
	c.hash = c.view.hash()
	c.asker.asks = make(map[uint64]*ask)
	c.asker.calls = make(map[uint64]uint64)
	c.holder.mine = make(map[wire.Client]held)
	c.holder.fences = make(map[wire.Client]fence)
	c.holder.releases = make(map[uint64]*releasing)
	c.meeting.peers = make(map[wire.NodeID]*met)
	c.leader.reset(&c.view, 0)
	return c
}

// SetView takes a new view. With another set of reachable members all that was
// known as a leader is void, and everybody lists its clients again (R16).
func (c *Core) SetView(v View, at At, e *Effects) {
	v.Reachable = slices.Clone(v.Reachable)
	slices.Sort(v.Reachable)
	if !v.has(c.self) {
		v.Reachable = slices.Insert(v.Reachable, 0, c.self)
		slices.Sort(v.Reachable)
	}
	same := slices.Equal(v.Reachable, c.view.Reachable)
	before := c.view
	c.view, c.hash = v, v.hash()
	if same {
		return
	}
	c.since = at.Now
	c.abandonJobs(at, e)
	c.partFromMeetings(&before)
	c.leader.reset(&c.view, at.after(pullAfter))
	c.listAll(at, e)
	c.askAgain(at, e)
}

// Tick lets time pass; to be called every TickEvery while Waiting.
func (c *Core) Tick(at At, e *Effects) {
	c.tickAsks(at, e)
	c.tickJobs(at, e)
	c.tickHolder(at)
	c.tickMeetings(at, e)
}

// Waiting reports whether anything waits for time to pass.
func (c *Core) Waiting() bool {
	return len(c.asker.asks) > 0 || len(c.leader.jobs) > 0 || !c.leader.complete() || len(c.holder.fences) > 0 || c.meetingSomebody()
}

// Unsent counts a message that the link did not take. It is as one that is
// lost: what matters is sent again.
func (c *Core) Unsent() { c.stats.Unsent++ }

// Stats returns the counts.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Asking, s.Leading, s.Listed = len(c.asker.asks), len(c.leader.seats), c.leader.complete()
	s.Reachable = len(c.view.Reachable)
	return s
}

// Receive takes a message of a peer.
func (c *Core) Receive(from wire.NodeID, m any, at At, e *Effects) {
	switch m := m.(type) {
	case *wire.Register:
		c.takeRegister(from, m, at, e)
	case *wire.Grant:
		c.takeGrant(from, m, at, e)
	case *wire.Deny:
		c.takeDeny(from, m, at, e)
	case *wire.Release:
		c.takeRelease(from, m, at, e)
	case *wire.Released:
		c.takeReleased(from, m, at, e)
	case *wire.Clients:
		c.takeClients(from, m, at, e)
	default:
		c.stats.Strange++
	}
}

// Parse reads a message as Receive takes it.
func Parse(t wire.Type, b []byte) (m any, err error) {
	switch t {
	case wire.TypeRegister:
		v := &wire.Register{}
		m, err = v, wire.ParseRegister(b, v)
	case wire.TypeGrant:
		v := &wire.Grant{}
		m, err = v, wire.ParseGrant(b, v)
	case wire.TypeDeny:
		v := &wire.Deny{}
		m, err = v, wire.ParseDeny(b, v)
	case wire.TypeRelease:
		v := &wire.Release{}
		m, err = v, wire.ParseRelease(b, v)
	case wire.TypeReleased:
		v := &wire.Released{}
		m, err = v, wire.ParseReleased(b, v)
	case wire.TypeClients:
		v := &wire.Clients{}
		m, err = v, wire.ParseClients(b, v)
	default:
		err = wire.ErrType
	}
	return m, err
}

func (e *Effects) send(to wire.NodeID, t wire.Type, body []byte) {
	e.Send = append(e.Send, Message{To: to, Type: t, Body: body})
}

// compare orders epochs: the higher clock, then the higher node, is later.
func compare(a, b wire.Epoch) int {
	if n := cmp.Compare(a.HLC, b.HLC); n != 0 {
		return n
	}
	return cmp.Compare(a.Node, b.Node)
}

func later(a, b wire.Epoch) wire.Epoch {
	if compare(a, b) < 0 {
		return b
	}
	return a
}

// epochAbove makes an epoch that was never granted and is above seen. The node
// in it is the leader's, whose clock it is.
func (c *Core) epochAbove(seen wire.Epoch, at At) wire.Epoch {
	c.lastHLC = max(c.lastHLC+1, at.Stamp, seen.HLC+1)
	return wire.Epoch{HLC: c.lastHLC, Node: c.self}
}
