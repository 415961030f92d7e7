package broker

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/topic"
	"tombolo/queue"
)

// An old home lets a session go when every member that it can reach publishes for
// the new one. A member that it cannot reach, since that is cut off or stands still,
// may have messages for the old home on their way, and goes on publishing for it
// until it has heard of the move: they come when the old home knows nothing of the
// session any more. So that one remembers which members had not said their fence
// twice, and sends on what comes from them for the session to where that is now.
// It has ended when it is there: its publisher, or its spool, is answered then.
//
// Such a member may be away for days, and the old home be started again meanwhile. So
// all but the filters, which are in the tables, is on the disk, by member and session:
// written ahead of the commit that says that the session's queue is gone.

// strayFor is how long after a member was reached again its fences are waited for,
// in ms: they come in its stream, behind what waited in its spool. A member that was
// started again may say none.
const strayFor = 10 * 60_000

// strays are the sessions that this node has let go, by the members that may still
// publish for them here. Safe for concurrent use. Bound: leftMax for each member;
// more are not noted, which is logged.
type strays struct {
	store *queue.Store // has what is in mu; immutable
	some  atomic.Bool  // false: there are none
	mu    struct {
		sync.Mutex // before that of a topic index, and of the store
		of         map[wire.NodeID]*strayed
	}
}

// strayed are those of one member. Guarded by strays.mu.
type strayed struct {
	list  map[Key]*stray
	wants map[string]*topic.Index[*stray] // by mountpoint
	since int64                           // when the member was reached again, in unix ms; 0: it is not
}

// stray is a session that was let go. Guarded by strays.mu, except for what is
// immutable.
type stray struct {
	k       Key            // immutable
	epoch   metadata.Epoch // of the home that it was let go to; immutable
	filters []topic.Filter // immutable
	cut     uint64         // the first generation that is for the new home; 0 is not known
}

// letStray notes c for each member of which something may still come for it here.
// Called before c is forgotten.
func (b *Broker) letStray(c *client) {
	s := c.shift.Load()
	if s == nil {
		return
	}
	var list []topic.Filter
	for _, id := range b.others() {
		if s.sure[id] {
			continue
		}
		if list == nil {
			list = b.strayFilters(c.key)
		}
		if !b.strays.add(id, &stray{k: c.key, epoch: s.epoch, filters: list, cut: s.cuts[id]}, b.cfg.Cluster.Reachable(id), b.cfg.Now().UnixMilli(), b.counted) {
			b.cfg.Log.Warn("messages of a member that cannot be reached may end at the old home of a session; there are too many such sessions", "client", c.key.ClientID, "node", uint64(id))
		}
	}
}

// strayFilters are what a session that leaves, or has left, wants.
func (b *Broker) strayFilters(k Key) (list []topic.Filter) {
	if err := b.plainFilters(k, func(f topic.Filter) { list = append(list, f) }); err != nil {
		b.cfg.Log.Error("what a session wants that leaves this node cannot be read", "client", k.ClientID, "error", err)
	}
	return list
}

// loadStrays goes on with what an earlier process here had let go. Called before any
// member is known.
func (b *Broker) loadStrays() error {
	return b.cfg.Queue.EachStray(func(peer uint64, name string, v []byte) {
		k := queueKey(name)
		s, err := decodeStray(k, v)
		if err != nil {
			b.cfg.Log.Error(err.Error(), "client", k.ClientID, "node", peer)
			return
		}
		s.filters = b.strayFilters(s.k)
		b.strays.mu.Lock()
		defer b.strays.mu.Unlock()
		b.strays.putLocked(wire.NodeID(peer), s)
	})
}

// append appends what is stored of s: the epoch's two numbers, and the cut, as
// uvarints.
func (s *stray) append(dst []byte) []byte {
	for _, n := range []uint64{s.epoch.HLC, s.epoch.Node, s.cut} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

var errStray = errors.New("who may still publish here for a session that has left cannot be read")

// decodeStray reads what append wrote.
func decodeStray(k Key, v []byte) (*stray, error) {
	var list [3]uint64
	for i := range list {
		n, size := binary.Uvarint(v)
		if size <= 0 {
			return nil, errStray
		}
		list[i], v = n, v[size:]
	}
	return &stray{k: k, epoch: metadata.Epoch{HLC: list[0], Node: list[1]}, cut: list[2]}, nil
}

// plainFilters calls fn for what a session has subscribed to without a group.
func (b *Broker) plainFilters(k Key, fn func(topic.Filter)) error {
	return b.cfg.Metadata.ClientSubscriptions(k.meta(), func(f string, _ *metadata.Subscription) bool {
		if group, plain, _, err := topic.SplitShare(f); err == nil && group == "" {
			fn(plain)
		}
		return true
	})
}

// add notes a session for a member; false if there is no room. done is called when
// that is on the disk.
func (l *strays) add(id wire.NodeID, s *stray, up bool, now int64, done queue.Done) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.putLocked(id, s)
	if x == nil {
		return false
	}
	if x.since = 0; up {
		x.since = now
	}
	l.store.Stray(uint64(id), queueName(s.k), s.append(nil), done)
	return true
}

// putLocked notes a session in memory; nil if there is no room.
func (l *strays) putLocked(id wire.NodeID, s *stray) *strayed {
	if l.mu.of == nil {
		l.mu.of = map[wire.NodeID]*strayed{}
	}
	x := l.mu.of[id]
	if x == nil {
		x = &strayed{list: map[Key]*stray{}, wants: map[string]*topic.Index[*stray]{}}
		l.mu.of[id] = x
	}
	x.remove(s.k)
	if len(x.list) >= leftMax {
		return nil
	}
	i := x.wants[s.k.Mountpoint]
	if i == nil {
		i = topic.NewIndex[*stray](topic.Config{CacheEntries: -1})
		x.wants[s.k.Mountpoint] = i
	}
	x.list[s.k] = s
	for _, f := range s.filters {
		i.Subscribe(f, s, topic.Options{})
	}
	l.some.Store(true)
	return x
}

func (x *strayed) remove(k Key) {
	s := x.list[k]
	if s == nil {
		return
	}
	for _, f := range s.filters {
		x.wants[k.Mountpoint].Unsubscribe(f, s)
	}
	delete(x.list, k)
}

// share is what is still this node's of a session that was let go and comes back: what
// the members send that had not said otherwise, of all there are; nil if there is none.
// What they have for its stay here comes to no other home by itself.
func (l *strays) share(k Key, members []wire.NodeID) *shift {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &shift{cuts: map[wire.NodeID]uint64{}}
	found := false
	for _, id := range members {
		x := l.mu.of[id]
		if x == nil || x.list[k] == nil {
			s.cuts[id] = 1 // it has said so twice
			continue
		}
		found, s.epoch = true, x.list[k].epoch
		if cut := x.list[k].cut; cut != 0 {
			s.cuts[id] = cut
		}
	}
	if !found {
		return nil
	}
	return s
}

// drop forgets sessions of a member; all of them if none is named.
func (l *strays) drop(id wire.NodeID, keys ...Key) {
	if !l.some.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.mu.of[id]
	if x == nil {
		return
	}
	if len(keys) == 0 {
		keys = slices.Collect(maps.Keys(x.list))
	}
	for _, k := range keys {
		l.removeLocked(id, x, k, nil)
	}
}

// removeLocked forgets a session of a member.
func (l *strays) removeLocked(id wire.NodeID, x *strayed, k Key, done queue.Done) {
	if x.list[k] != nil {
		l.store.Stray(uint64(id), queueName(k), nil, done)
	}
	if x.remove(k); len(x.list) == 0 {
		delete(l.mu.of, id)
	}
	l.some.Store(len(l.mu.of) > 0)
}

// keep forgets what is noted for nodes that are no members any more.
func (l *strays) keep(member map[wire.NodeID]bool) {
	l.mu.Lock()
	ids := sortedIDs(l.mu.of)
	l.mu.Unlock()
	for _, id := range ids {
		if !member[id] {
			l.drop(id)
		}
	}
}

// reached notes whether a member is there.
func (l *strays) reached(id wire.NodeID, up bool, now int64) {
	if !l.some.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.mu.of[id]; x != nil {
		if x.since = 0; up {
			x.since = now
		}
	}
}

// fenced takes a member's word on a session: first from which generation on it
// publishes for a later home, then that nothing of an earlier one is on its way; or at
// once that it has passed on all there was (passed). n is told of what has to be on the
// disk before the word has been taken.
func (l *strays) fenced(id wire.NodeID, k Key, epoch metadata.Epoch, generation uint64, passed bool, n *noted) {
	if !l.some.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.mu.of[id]
	var s *stray
	if x != nil {
		s = x.list[k]
	}
	switch {
	case s == nil || epoch.Less(s.epoch):
	case s.cut == 0 && !passed:
		s.cut = generation
		n.left.Add(1)
		l.store.Stray(uint64(id), queueName(k), s.append(nil), n.settle)
	case generation >= s.cut:
		n.left.Add(1)
		l.removeLocked(id, x, k, n.settle)
	}
}

// has reports whether what comes from a member may be for a session that was let
// go.
func (l *strays) has(id wire.NodeID) bool {
	if !l.some.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.of[id] != nil
}

// match gives the sessions that a message of a member is for.
func (l *strays) match(pub *publication, p *wire.Publish, now int64) (list []Key) {
	l.mu.Lock()
	x := l.mu.of[pub.peer]
	late := x != nil && x.since != 0 && now-x.since > strayFor
	if x != nil && !late {
		eachMeant(p, pub.packet.Topic, x.wants, x.list, func(s *stray) {
			// What names the session was sent on, under the generation of another node.
			if s.cut == 0 || p.Targets == wire.ToSessions || p.Generation < s.cut {
				list = append(list, s.k)
			}
		})
	}
	l.mu.Unlock()
	if late {
		l.drop(pub.peer)
	}
	return list
}
