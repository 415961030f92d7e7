package broker

import (
	"maps"
	"slices"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/netsplit"
	"tombolo/queue"
)

// shift is how what is published at a node is shared out between the old and
// the new home of a session that moves (R21): what was matched under a lower
// generation than the node's cut belongs to the old one, the rest to the new
// one. A cut comes as a fence before anything of its generation does, so a node
// without one still publishes for the old home. Immutable.
type shift struct {
	epoch  metadata.Epoch // of the new home
	target bool           // this node is the new home
	// open says of a new home that was started again that a node without a cut may
	// publish for it: it takes what comes from there, and knows a second copy by its id.
	open bool
	cuts map[wire.NodeID]uint64
	// sure are the nodes of which nothing is on its way any more that they
	// matched below their cut.
	sure map[wire.NodeID]bool
	// passed has, for a node that sent on what waited for this one, the generation
	// below which nothing from there is this node's: of the last move alone.
	passed map[wire.NodeID]uint64
	// before is the part that this node had in an earlier move, and still has.
	before *shift
}

// takes reports whether what a node matched under a generation is this node's
// to store: the latest move of which the node's cut is not above it decides.
func (s *shift) takes(from wire.NodeID, generation uint64) bool {
	if generation < s.passed[from] {
		return false
	}
	for ; ; s = s.before {
		cut, known := s.cuts[from]
		switch {
		case known && generation >= cut:
			return s.target
		case !known && s.open:
			return true
		}
		if s.before == nil {
			return !s.target
		}
	}
}

// shiftsMax is how many moves of one session are told apart. Of earlier ones
// nothing can be on its way any more.
const shiftsMax = 8

// begun is a move that follows on s.
func (s *shift) begun(epoch metadata.Epoch, target bool) *shift {
	next := &shift{epoch: epoch, target: target, before: s}
	if s != nil {
		next.passed = s.passed
	}
	kept := s
	for depth := 1; kept != nil; depth++ {
		if depth == shiftsMax {
			last := *kept
			last.before = nil
			next.before = s.ending(&last)
			return next
		}
		kept = kept.before
	}
	return next
}

// ending is s up to a shift of its epoch, which takes that one's place.
func (s *shift) ending(last *shift) *shift {
	if s.epoch == last.epoch {
		return last
	}
	next := *s
	next.before = s.before.ending(last)
	return &next
}

// told is s with the cut of a node for the move to a home of an epoch: that of
// the latest move that is not above it. Nothing changes if the cut is known, or
// the move is not.
func (s *shift) told(from wire.NodeID, cut uint64, epoch metadata.Epoch, target bool) *shift {
	switch {
	case s == nil:
		return nil
	case s.target == target && !epoch.Less(s.epoch):
		old, known := s.cuts[from]
		switch {
		case known && old != 0 && cut >= old:
			// It says a second time, or of another session, that a later generation
			// began: what is below its cut is in its streams.
			return s.surely(from)
		case known && old != 0:
			return s
		}
		return s.with(from, cut)
	}
	before := s.before.told(from, cut, epoch, target)
	if before == s.before {
		return s
	}
	next := *s
	next.before = before
	return &next
}

// enter notes under which generation a publish is matched. It counts as under
// way until it is in every queue and stream that it goes to.
func (b *Broker) enter(pub *publication) {
	for {
		g := b.generation.Load()
		u := &b.under[g&1]
		u.Add(1)
		if b.generation.Load() == g {
			pub.generation, pub.under = g, u
			return
		}
		u.Add(-1)
	}
}

// quiet waits until nothing is under way in a generation that has ended.
func (b *Broker) quiet(generation uint64) bool {
	for b.under[generation&1].Load() > 0 {
		if !b.pause(time.Millisecond) {
			return false
		}
	}
	return true
}

// takesFrom reports whether c is to get what a node, which may be this one,
// matched under a generation of its routes.
func (b *Broker) takesFrom(c *client, from wire.NodeID, generation uint64) bool {
	s := c.shift.Load()
	return s == nil || s.takes(from, generation)
}

// leaving reports whether the session has another home, and is here only for
// what is still on its way. The caller holds c.mu.
func (c *client) leaving() bool {
	s := c.shift.Load()
	return s != nil && !s.target
}

// setShift shares out what comes for c from now on; nil ends that. The caller
// holds c.mu.
func (c *client) setShift(s *shift) { c.setShiftThen(s, nil) }

// setShiftThen is setShift that says when it is on the disk.
func (c *client) setShiftThen(s *shift, done queue.Done) {
	c.shift.Store(s)
	c.moving.Store(s != nil)
	c.mount.broker.cfg.Queue.Fences(c.qid, s.append(nil), done)
}

// fenceMove ends a generation of this node's routes if the record of a session
// names another home than this node published for so far.
func (b *Broker) fenceMove(k Key, v *metadata.Session, was wire.NodeID, missed bool) {
	if v == nil || v.Over() {
		return
	}
	to := wire.NodeID(v.Home)
	c := b.registry.get(k)
	switch {
	case was == to && !missed:
		return
	case uint64(to) == b.cfg.NodeID:
		// The new home may read of the old one and of itself at once.
		if c == nil || was == 0 && !c.moving.Load() {
			return
		}
	case was == 0 && c != nil && c.durable:
		was = wire.NodeID(b.cfg.NodeID)
	case was == 0 && v.Connects <= 1:
		return // a new session: nobody published for it before
	}
	e := wire.Fenced{
		Client: wire.Client{Mountpoint: k.Mountpoint, ID: k.ClientID},
		Epoch:  wire.Epoch{HLC: v.Epoch.HLC, Node: wire.NodeID(v.Epoch.Node)}, From: was, To: to,
	}
	if !b.ready.Load() {
		b.fenceLater(e, c)
		return
	}
	b.fence(e)
}

// fenceTries and fencePause bound how long a fence waits for room in a stream.
const (
	fenceTries = 200
	fencePause = 10 * time.Millisecond
)

// fence ends a generation of this node's routes: from the next one on, what is
// published here for a session goes to its new home. Called from the goroutine
// that follows the tables, after the new home's filters were added to the index
// and before the old one's are removed; the fence is in every stream before
// anything of the new generation is, and comes again when nothing of the old one
// is under way any more.
func (b *Broker) fence(e wire.Fenced) {
	generation := b.generation.Load() + 1
	b.quiet(generation) // of the one before the last
	m := wire.Fence{Generation: generation, List: []wire.Fenced{e}}
	b.sendFence(&m, e.From, e.To)
	b.generation.Store(generation)
	if b.quiet(generation - 1) {
		b.sendFence(&m, e.From, e.To)
	}
}

// sendFence tells it to all, this node included. For a node that is no member there
// may be no stream at all: nobody waits for room in it.
func (b *Broker) sendFence(m *wire.Fence, from, to wire.NodeID) {
	body := wire.AppendFence(nil, m)
	for _, id := range b.others() {
		if id != from && id != to && !b.cfg.Cluster.Reachable(id) {
			continue // it is told of what is its own only
		}
		for try := 0; b.cfg.Cluster.Send(id, wire.StreamPublish, wire.TypeFence, body, noTicket{}) != nil; try++ {
			if try == fenceTries || !b.isMember(id) || !b.pause(fencePause) {
				b.count.unsent.Inc()
				break
			}
		}
	}
	b.takeOwnFence(m)
}

// pause waits; false if the broker stops.
func (b *Broker) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-b.stop:
		return false
	}
}

// others lists the other nodes that are known, in order: members and, until this
// process ends, former ones.
func (b *Broker) others() []wire.NodeID {
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	return sortedIDs(b.remotes.mu.nodes)
}

// TakeFence takes a fence of a peer, or of this node itself (R21): what the peer
// sends under an earlier generation belongs to the old home of each session
// named, the rest to the new one. done is called once, when that is on the disk.
func (b *Broker) TakeFence(from wire.NodeID, f *wire.Fence, done func(wire.Result, uint8)) {
	n := &noted{done: done}
	n.left.Store(1)
	defer n.settle(nil)
	for i := range f.List {
		e := &f.List[i]
		k := Key{e.Client.Mountpoint, e.Client.ID}
		epoch := metadata.Epoch{HLC: e.Epoch.HLC, Node: uint64(e.Epoch.Node)}
		target, passed := uint64(e.To) == b.cfg.NodeID, e.To == 0
		b.strays.fenced(from, k, epoch, f.Generation, passed, n)
		c := b.registry.get(k)
		if c == nil || !c.durable {
			continue
		}
		c.mu.Lock()
		was := c.shift.Load()
		s := was
		gone := c.record == nil || c.record.Epoch.Less(epoch) // it has not come back here since
		if !target && gone && (s == nil || s.target && s.epoch.Less(epoch)) {
			// A peer knows before we do that the session has left.
			s = s.begun(epoch, false)
		}
		if passed {
			s = s.passedOn(from, f.Generation, epoch)
		} else {
			s = s.told(from, f.Generation, epoch, target)
		}
		if s != was {
			n.left.Add(1)
			c.setShiftThen(s, n.settle)
		}
		b.settledLocked(c)
		c.mu.Unlock()
	}
}

// hasLeft begins c's leave, unless it has begun, by a record of an epoch: that of its new
// home, which may have stored it again since it was the first after this one. What peers
// say of the move bears the epoch of then, so any above the stay here will do. The caller
// holds c.mu.
func (b *Broker) hasLeft(c *client, epoch metadata.Epoch) {
	s := c.shift.Load()
	if s != nil && !s.target {
		return
	}
	if own := c.record; own != nil && own.Home == b.cfg.NodeID {
		epoch = metadata.Epoch{HLC: own.Epoch.HLC, Node: own.Epoch.Node + 1}
	}
	c.setShift(s.begun(epoch, false))
}

// comeBack is for a session that goes on here, while a peer may have told that it
// has another home, of which this node's tables do not know yet: from each node's
// next fence on it is this one again. Called with the key held, before the record
// says so.
func (b *Broker) comeBack(c *client, epoch metadata.Epoch) {
	c.mu.Lock()
	s := c.shift.Load()
	left := s != nil && !s.target && s.epoch.Less(epoch)
	if left {
		c.setShift(s.begun(epoch, true))
	}
	c.mu.Unlock()
	if left {
		b.wheel.at(b.cfg.Now().Add(cutsMax).UnixMilli(), shiftCheck{c, epoch})
	}
}

// cutsMax is how long a node that can be reached may go without a fence: it had
// the record from before it started, and has nothing to say.
const cutsMax = 5 * time.Second

// shiftCheck goes on without the fences of a move that do not come. A value.
type shiftCheck struct {
	c     *client
	epoch metadata.Epoch // of the move's new home, which is this node
}

func (t shiftCheck) due(now int64) int64 {
	c, b := t.c, t.c.mount.broker
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shift.Load()
	if s == nil || c.ended || s.epoch != t.epoch {
		return 0 // it has moved since: what is taken here until a fence comes is taken nowhere else
	}
	if c.queue.Moving() && !b.awaitsSomebody(c, 0) {
		if !b.cfg.Gate.Now().Allows(netsplit.Register) {
			return now + 1000 // who is there is not known yet
		}
		// Its old home was down before this node started: no verdict tells of it.
		b.spawn(func() { b.lostBefore(c) })
	}
	for _, id := range append(b.others(), wire.NodeID(b.cfg.NodeID)) {
		if _, cut := s.cuts[id]; !cut {
			s = s.with(id, 0)
		}
		s = s.surely(id)
	}
	last := *s
	last.open, last.before = false, nil
	c.setShift(&last)
	b.settledLocked(c)
	return 0
}

// awaitsSomebody reports whether a node that can be reached, but one, may still
// send a part of c's queue. The caller holds c.mu.
func (b *Broker) awaitsSomebody(c *client, but wire.NodeID) bool {
	for id := range c.awaits {
		if id != but && b.cfg.Cluster.Reachable(id) {
			return true
		}
	}
	return false
}

// lostBefore is homeLost for one session.
func (b *Broker) lostBefore(c *client) {
	r := b.begin()
	defer b.end(r)
	r.lock(c)
	defer r.unlock(c)
	if !c.ended && !b.awaitsSomebody(c, 0) {
		b.goOnWithout(c)
		b.pump(c, b.settings.Load(), r)
	}
}

// settledLocked ends the shift of a session that has arrived: all that is
// published for it comes here, and nothing more that was the old home's. A node sends
// that to both as long as it knows of both, and it may come here behind all that the
// old home has sent. The caller holds c.mu.
func (b *Broker) settledLocked(c *client) bool {
	s := c.shift.Load()
	if s == nil || !s.target || len(c.awaits) > 0 || !b.sureEverywhere(s) {
		return false
	}
	c.setShift(nil)
	return true
}

// sureEverywhere reports whether nothing is on its way any more that was
// published for the old home.
func (b *Broker) sureEverywhere(s *shift) bool {
	if !s.sure[wire.NodeID(b.cfg.NodeID)] {
		return false
	}
	for _, id := range b.others() {
		if !s.sure[id] && b.cfg.Cluster.Reachable(id) {
			return false
		}
	}
	return true
}

// isMember reports whether another node is a member, as far as this one knows.
func (b *Broker) isMember(id wire.NodeID) bool {
	return b.isNode(id, func(n *otherNode) bool { return n.member.Load() })
}

func sortedIDs[V any](m map[wire.NodeID]V) []wire.NodeID { return slices.Sorted(maps.Keys(m)) }
