package twin

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// Config is what a replica needs to know. All fields are needed but Bugs.
type Config struct {
	Node       Node
	Members    Members // of a new cluster; empty for a node that joins
	Seeds      []Node  // whom a joining node asks
	Rand       func() uint64
	ChunkKeys  int
	DeletesMax int           // above it members that stay away are not waited for
	AbsentMax  time.Duration // how long a member is waited for at all
	Bugs       Bug
}

// Phase is how far a replica is on its way to serve.
type Phase uint8

const (
	PhaseAsking  Phase = iota // asks the members whether its actor is still its own
	PhaseJoining              // its store lacks what others have
	PhaseReady
	PhaseRefused // another holder of this node id is alive
	PhaseRemoved // not a member any more
)

// timings of the protocol.
const (
	exchangeEvery = time.Second
	exchangeLimit = 3 * time.Second
	askLimit      = 5 * time.Second
	aliveFor      = 3 * time.Second
	hlcLease      = uint64(1000) << hlcShift // 1 s
	hlcShift      = 16                       // below it: the logical part of a millisecond
)

// indexEntry says what a dot did.
type indexEntry struct {
	key string
	del bool
}

// inbound is an exchange in which this replica pulls.
type inbound struct {
	id      uint64
	seq     int
	began   time.Duration
	request dvv.Clock
}

// outbound is an exchange in which a peer pulls from here.
type outbound struct {
	id     uint64
	chunks []*Chunk
}

// row is what is known of a member. Owned by the Replica.
type row struct {
	clock     dvv.Clock
	actor     dvv.Actor
	heard     time.Duration
	nonce     uint64                  // of the opening that holds this node id; durable
	challenge uint64                  // another opening that wants it
	probe     uint64                  // the number of the question whether the holder is alive
	refused   uint64                  // one that may not have it: the holder answered
	after     map[dvv.Actor]dvv.Clock // its clocks since it knows that an actor is retired
	broken    bool                    // the holder's store is older than what was heard of it
	exchanged bool                    // an exchange with it was completed since this opening
}

// Replica is one replica. Owned by the simulator's goroutine.
type Replica struct {
	cfg    Config
	db     kv.DB
	failed error
	now    time.Duration // of the local clock
	out    *Output

	// durable, in one batch
	actor    dvv.Actor
	clock    dvv.Clock
	objects  map[string]dvv.Object
	index    map[dvv.Dot]indexEntry
	digest   uint64
	lease    uint64 // the hybrid clock never went above it
	members  Members
	retired  map[dvv.Actor]Seal
	horizon  dvv.Clock
	nonce    uint64
	prev     uint64
	needFull bool
	clean    bool

	// volatile
	phase    Phase
	minted   bool // in this opening
	restored bool // a peer said in this opening that the store is old
	hello    time.Duration
	hlc      uint64
	rows     map[Node]*row
	asked    time.Duration
	answers  map[Node]bool
	in       map[Node]*inbound
	outs     map[Node]*outbound
	residual map[string]bool
	nextPull time.Duration
	turn     int
	counts   Counts
	stale    dvv.Clock // the clock of an earlier step: for BugClockBeforeObjects

	written      []byte // meta of the last batch
	writtenClock dvv.Clock

	dirtyKeys map[string]bool
	dirtyDots map[dvv.Dot]bool
}

// Counts is what the replica counts.
type Counts struct {
	Conflicts, FullJoins, Mints, Collected, Capped int
}

func (r *Replica) bug(b Bug) bool { return r.cfg.Bugs&b != 0 }

// Open starts a replica on its database. The wall is the local clock.
func Open(db kv.DB, c Config, wall time.Duration, out *Output) (*Replica, error) {
	r := &Replica{cfg: c, db: db, now: wall, out: out,
		objects: map[string]dvv.Object{}, index: map[dvv.Dot]indexEntry{}, retired: map[dvv.Actor]Seal{},
		rows: map[Node]*row{}, answers: map[Node]bool{}, in: map[Node]*inbound{}, outs: map[Node]*outbound{},
		residual: map[string]bool{}, dirtyKeys: map[string]bool{}, dirtyDots: map[dvv.Dot]bool{}}
	found, err := r.load()
	if err != nil {
		return nil, err
	}
	clean := r.clean
	r.clean = false
	r.prev, r.nonce = r.nonce, c.Rand()
	r.hlc = max(r.wall(), r.lease)
	if r.bug(BugForgetHLC) {
		r.hlc = r.wall()
	}
	if !found {
		r.members = c.Members
		r.needFull = !slices.Contains(c.Members.IDs, c.Node)
	}
	r.asked = wall
	switch {
	case r.bug(BugReuseActor) && found:
		r.settle()
	case !found:
		r.mint()
	case !clean && len(r.members.IDs) > 1:
		r.mint()
	}
	if !found || len(r.peers()) == 0 {
		r.settle()
	}
	if r.bug(BugJumpCounter) && found {
		r.clock = r.clock.Add(dvv.Dot{Actor: r.actor, Counter: r.clock.Base(r.actor) + 20})
	}
	r.commit()
	r.greet()
	return r, r.failed
}

// greet asks the members; again every second while answers are missing.
func (r *Replica) greet() {
	r.hello = r.now
	for _, p := range r.peers() {
		r.send(p, &Hello{Head: r.newHead(), Actor: r.actor})
	}
}

// Close marks an orderly stop.
func (r *Replica) Close() error {
	r.clean = true
	r.commit()
	return r.failed
}

// settle ends the asking: the actor is known to be ours alone.
func (r *Replica) settle() {
	if r.phase == PhaseRemoved {
		return
	}
	r.phase = PhaseReady
	if r.needFull && !r.bug(BugReadyEarly) {
		r.phase = PhaseJoining
	}
}

// mint takes a new actor and retires the old one.
func (r *Replica) mint() {
	old := r.actor
	r.actor = dvv.Actor(r.cfg.Rand())
	if r.bug(BugMintTwice) {
		one := dvv.Actor(uint64(r.cfg.Node)<<48 | 1)
		if r.actor = one; old == one {
			r.actor = one + 1
		}
	}
	r.counts.Mints++
	r.minted = true
	if old != 0 && old != r.actor {
		r.retire(old)
	}
}

func (r *Replica) retire(a dvv.Actor) {
	if _, done := r.retired[a]; done {
		return
	}
	r.setRetired(a, Seal{})
	if r.bug(BugForgetRetired) {
		r.clock = without(r.clock, a)
	}
}

// setRetired replaces the map, which messages share.
func (r *Replica) setRetired(a dvv.Actor, s Seal) {
	next := maps.Clone(r.retired)
	next[a] = s
	r.retired = next
}

// without is c as if a had never been heard of.
func without(c dvv.Clock, a dvv.Actor) dvv.Clock {
	var limit []dvv.Dot
	for _, d := range c.Tops().Entries() {
		if d.Actor != a {
			limit = append(limit, d)
		}
	}
	return c.Clip(dvv.NewVV(limit...))
}

// peers is whom this replica talks to.
func (r *Replica) peers() []Node {
	ids := r.members.IDs
	if len(ids) == 0 || !r.members.Has(r.cfg.Node) {
		ids = append(slices.Clone(r.cfg.Seeds), ids...)
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	var peers []Node
	for _, id := range ids {
		if id != r.cfg.Node {
			peers = append(peers, id)
		}
	}
	return peers
}

func (r *Replica) row(n Node) *row {
	w := r.rows[n]
	if w == nil {
		w = &row{heard: -time.Hour}
		r.rows[n] = w
	}
	return w
}

func (r *Replica) newHead() Head {
	return Head{From: r.cfg.Node, Nonce: r.nonce, Prev: r.prev, HLC: r.hlc, Members: r.members, Retired: r.retired}
}

func (r *Replica) send(to Node, m Message) { r.out.Send = append(r.out.Send, Outgoing{to, m}) }

// wall is the local clock as the hybrid clock counts.
func (r *Replica) wall() uint64 { return uint64(max(r.now, 0)/time.Millisecond) << hlcShift }

// stamp is a fresh reading of the hybrid clock.
func (r *Replica) stamp() uint64 {
	r.hlc = max(r.hlc+1, r.wall())
	if r.hlc > r.lease {
		r.lease = r.hlc + hlcLease
	}
	return r.hlc
}

// SetMembers is an operator's join or leave, given to one member.
func (r *Replica) SetMembers(now time.Duration, m Members, out *Output) error {
	r.begin(now, out)
	r.adoptMembers(m)
	return r.commit()
}

func (r *Replica) begin(now time.Duration, out *Output) { r.now, r.out = now, out }

func (r *Replica) adoptMembers(m Members) {
	if m.Version <= r.members.Version {
		return
	}
	was := r.members
	m.Gone = m.Gone || was.Gone
	for _, n := range was.IDs {
		m.Gone = m.Gone || !m.Has(n)
	}
	r.members = m
	for _, n := range was.IDs {
		if !m.Has(n) {
			if w := r.rows[n]; w != nil && w.actor != 0 {
				r.retire(w.actor)
			}
			delete(r.rows, n)
			delete(r.in, n)
		}
	}
	self := r.cfg.Node
	switch {
	case !m.Has(self) && was.Has(self):
		r.phase = PhaseRemoved
	case m.Has(self) && r.phase == PhaseRemoved:
		r.comeBack()
	}
}

// comeBack is a removed node that was taken in again: a full join with its old
// actor in its clock, then a new one.
func (r *Replica) comeBack() {
	if r.bug(BugReturnAsBefore) {
		r.phase = PhaseReady
		return
	}
	if r.bug(BugReturnForgets) {
		for _, key := range sortedKeys(r.objects) {
			r.set(key, r.objects[key].Drop(func(s dvv.Sibling) bool { return s.Dot.Actor == r.actor }))
		}
	}
	r.needFull = true
	r.mint()
	for _, w := range r.rows {
		w.exchanged = false
	}
	r.phase = PhaseJoining
}

// Tick lets time act: it begins exchanges and gives up slow ones.
func (r *Replica) Tick(now time.Duration, out *Output) error {
	r.begin(now, out)
	if r.failed != nil || r.phase == PhaseRefused {
		return r.failed
	}
	if r.phase == PhaseAsking && (r.now-r.asked > askLimit || r.now < r.asked) {
		if !r.minted {
			r.mint() // not all members answered
		}
		r.settle()
	}
	if r.phase == PhaseAsking && r.now-r.hello >= exchangeEvery {
		r.greet()
	}
	if !r.bug(BugOneExchange) {
		for n, x := range r.in {
			if r.now-x.began > exchangeLimit {
				delete(r.in, n)
			}
		}
	}
	if r.now >= r.nextPull || r.nextPull-r.now > exchangeEvery {
		r.nextPull = r.now + exchangeEvery
		r.pull()
	}
	r.collect()
	return r.commit()
}

// pull begins an exchange with the next peer in turn; while it joins, with all
// it has not heard out yet.
func (r *Replica) pull() {
	peers := r.peers()
	if len(peers) == 0 || r.phase == PhaseAsking {
		return
	}
	if r.phase == PhaseJoining {
		for _, p := range peers {
			if !r.row(p).exchanged {
				r.request(p)
			}
		}
		return
	}
	r.turn++
	r.request(peers[r.turn%len(peers)])
}

// Exchange begins an exchange with one peer now.
func (r *Replica) Exchange(now time.Duration, p Node, out *Output) error {
	r.begin(now, out)
	if r.failed == nil && r.phase != PhaseRefused && r.phase != PhaseAsking {
		r.request(p)
	}
	return r.commit()
}

func (r *Replica) request(p Node) {
	if r.in[p] != nil || r.bug(BugOneExchange) && len(r.in) > 0 {
		return
	}
	x := &inbound{id: r.cfg.Rand(), began: r.now, request: r.clock}
	r.in[p] = x
	r.send(p, &Request{Head: r.newHead(), Transfer: x.id, Actor: r.actor, Clock: r.clock, Digest: r.digest,
		Full: r.needFull})
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
