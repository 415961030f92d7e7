package broker

import (
	"maps"
	"slices"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/netsplit"
)

// shift is how what is published at a node is shared out between the old and
// the new home of a session that moves (R21): what was matched under a lower
// generation than the node's cut belongs to the old one, the rest to the new
// one. A cut comes as a fence before anything of its generation does, so a node
// without one still publishes for the old home. Immutable.
type shift struct {
	epoch  metadata.Epoch // of the new home
	target bool           // this node is the new home
	// open says that nobody knows who has sent what, since this node was started
	// again: it takes everything, and the new home knows a second copy by its id.
	open bool
	cuts map[wire.NodeID]uint64
	// sure are the nodes of which nothing is on its way any more that they
	// matched below their cut.
	sure map[wire.NodeID]bool
	// before is the part that this node had in an earlier move, and still has.
	before *shift
}

// takes reports whether what a node matched under a generation is this node's
// to store: the latest move of which the node's cut is not above it decides.
func (s *shift) takes(from wire.NodeID, generation uint64) bool {
	for ; ; s = s.before {
		if s.open {
			return true
		}
		if cut, known := s.cuts[from]; known && generation >= cut {
			return s.target
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
	kept := s
	for depth := 1; kept != nil; depth++ {
		if depth == shiftsMax {
			last := *kept
			last.before = nil
			return &shift{epoch: epoch, target: target, before: s.ending(&last)}
		}
		kept = kept.before
	}
	return &shift{epoch: epoch, target: target, before: s}
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
		if known && old == cut {
			return s.surely(from)
		}
		if known && old != 0 {
			return s
		}
		return s.with(from, cut)
	}
	next := *s
	next.before = s.before.told(from, cut, epoch, target)
	return &next
}

// with is the same shift with one more cut. A cut is never moved up: what came
// after the first one was sent by the same rule.
func (s *shift) with(from wire.NodeID, cut uint64) *shift {
	next := *s
	next.cuts = maps.Clone(s.cuts)
	if next.cuts == nil {
		next.cuts = map[wire.NodeID]uint64{}
	}
	next.cuts[from] = cut
	return &next
}

// surely is the same shift after a node's second fence.
func (s *shift) surely(from wire.NodeID) *shift {
	next := *s
	next.sure = maps.Clone(s.sure)
	if next.sure == nil {
		next.sure = map[wire.NodeID]bool{}
	}
	next.sure[from] = true
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
func (c *client) setShift(s *shift) {
	c.shift.Store(s)
	c.moving.Store(s != nil)
}

// fenceMove ends a generation of this node's routes if the record of a session
// names another home than this node published for so far.
func (b *Broker) fenceMove(k Key, v *metadata.Session, was wire.NodeID, missed bool) {
	if v == nil || over(v) {
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
	b.fence(k, v.Epoch, was, to)
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
func (b *Broker) fence(k Key, epoch metadata.Epoch, from, to wire.NodeID) {
	generation := b.generation.Load() + 1
	b.quiet(generation) // of the one before the last
	m := wire.Fence{Generation: generation, List: []wire.Fenced{{
		Client: wire.Client{Mountpoint: k.Mountpoint, ID: k.ClientID},
		Epoch:  wire.Epoch{HLC: epoch.HLC, Node: wire.NodeID(epoch.Node)}, From: from, To: to,
	}}}
	b.sendFence(&m, from, to)
	b.generation.Store(generation)
	if b.quiet(generation - 1) {
		b.sendFence(&m, from, to)
	}
}

// sendFence tells it to all, this node included.
func (b *Broker) sendFence(m *wire.Fence, from, to wire.NodeID) {
	body := wire.AppendFence(nil, m)
	for _, id := range b.others() {
		if id != from && id != to && !b.cfg.Cluster.Reachable(id) {
			continue // it is told of what is its own only
		}
		for try := 0; b.cfg.Cluster.Send(id, wire.StreamPublish, wire.TypeFence, body, noTicket{}) != nil; try++ {
			// While the node loads there are no streams yet: peers do without (cutsMax).
			if try == fenceTries || !b.ready.Load() || !b.pause(fencePause) {
				b.count.unsent.Inc()
				break
			}
		}
	}
	b.TakeFence(wire.NodeID(b.cfg.NodeID), m)
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

// others lists the other members, in order.
func (b *Broker) others() []wire.NodeID {
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	return sortedIDs(b.remotes.mu.nodes)
}

// TakeFence takes a fence of a peer, or of this node itself (R21): what the peer
// sends under an earlier generation belongs to the old home of each session
// named, the rest to the new one.
func (b *Broker) TakeFence(from wire.NodeID, f *wire.Fence) {
	for i := range f.List {
		e := &f.List[i]
		c := b.registry.get(Key{e.Client.Mountpoint, e.Client.ID})
		if c == nil || !c.durable {
			continue
		}
		epoch := metadata.Epoch{HLC: e.Epoch.HLC, Node: uint64(e.Epoch.Node)}
		target := uint64(e.To) == b.cfg.NodeID
		c.mu.Lock()
		s := c.shift.Load()
		gone := c.record == nil || c.record.Epoch.Less(epoch) // it has not come back here since
		if !target && gone && (s == nil || s.target && s.epoch.Less(epoch)) {
			// A peer knows before we do that the session has left.
			s = s.begun(epoch, false)
		}
		if s != nil {
			c.setShift(s.told(from, f.Generation, epoch, target))
		}
		b.settledLocked(c)
		c.mu.Unlock()
	}
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
// published for it comes here. The caller holds c.mu.
func (b *Broker) settledLocked(c *client) bool {
	s := c.shift.Load()
	if s == nil || !s.target || len(c.awaits) > 0 || !b.cutEverywhere(s) {
		return false
	}
	c.setShift(nil)
	return true
}

// cutEverywhere reports whether every node that can be reached has said from
// when on it publishes for the new home.
func (b *Broker) cutEverywhere(s *shift) bool {
	if _, own := s.cuts[wire.NodeID(b.cfg.NodeID)]; !own {
		return false
	}
	for _, id := range b.others() {
		if _, cut := s.cuts[id]; !cut && b.cfg.Cluster.Reachable(id) {
			return false
		}
	}
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

func sortedIDs[V any](m map[wire.NodeID]V) []wire.NodeID { return slices.Sorted(maps.Keys(m)) }
