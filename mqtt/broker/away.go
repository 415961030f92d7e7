package broker

import (
	"context"
	"math"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/topic"
)

// awaySession is a persistent session that lives on another node, and what it
// subscribes to, as it was last put into the index. Guarded by remotes.mu.
type awaySession struct {
	home    wire.NodeID
	seen    uint32              // the connect counter of the last record
	since   uint64              // the generation of this node's routes from which it is there
	filters map[string]struct{} // as they were sent
}

// tables are the watches from which the routes to persistent sessions are
// derived (R5), and the subscriptions of this node's sessions kept in line. Set
// by Load, then owned by the goroutine that follows them.
type tables struct {
	sessions, subscriptions *metadata.Watch
	late                    map[Key]struct{} // sessions that are to be compared again
	unknown                 map[Key]struct{} // sessions of this node that it may not know
}

// beginWatch begins to remember changes of the tables. Load calls it; from then
// on watchTables keeps what is derived from them.
func (b *Broker) beginWatch() {
	if b.cfg.Cluster == nil {
		return
	}
	b.tables.sessions = b.cfg.Metadata.Watch(metadata.TableSession, nil)
	b.tables.subscriptions = b.cfg.Metadata.Watch(metadata.TableSubscription, nil)
	b.tables.late, b.tables.unknown = map[Key]struct{}{}, map[Key]struct{}{}
}

// rederiveAfter is how long a failed read of the tables rests.
const rederiveAfter = time.Second

// watchTables follows the tables until ctx ends.
func (b *Broker) watchTables(ctx context.Context) {
	t := &b.tables
	if t.sessions == nil {
		return
	}
	defer t.sessions.Close()
	defer t.subscriptions.Close()
	var again, later <-chan time.Time
	for {
		failed := false
		if later == nil && len(t.late)+len(t.unknown) > 0 {
			later = time.After(realignAfter)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.sessions.Ready():
			failed = !b.takeSessions()
		case <-t.subscriptions.Ready():
			failed = !b.takeSubscriptions()
		case <-again:
			again = nil
			failed = !b.readAll()
		case <-later:
			later = nil
			b.alignLate()
			b.turnUpLate()
		case s := <-b.audit.suspects:
			failed = !b.examine(s)
		}
		if failed {
			again = time.After(rederiveAfter)
		}
	}
}

// takeSessions follows changes of sessions; false if all must be read again.
func (b *Broker) takeSessions() bool {
	events, resync, err := b.tables.sessions.Take()
	if err != nil || resync {
		return b.readAll()
	}
	for i := range events {
		k, ok := metadata.ParseSessionKey(events[i].Key)
		if !ok {
			continue
		}
		var v *metadata.Session
		if !events[i].Deleted {
			if v, err = metadata.DecodeSession(events[i].Value); err != nil {
				b.cfg.Log.Error("session cannot be read", "client", k.ClientID, "error", err)
				continue
			}
		}
		if b.derive(Key{k.Mountpoint, k.ClientID}, v) != nil {
			return false
		}
	}
	return true
}

// takeSubscriptions follows changes of subscriptions.
func (b *Broker) takeSubscriptions() bool {
	events, resync, err := b.tables.subscriptions.Take()
	if err != nil || resync {
		return b.readAll()
	}
	for i := range events {
		k, filter, ok := metadata.ParseSubscriptionKey(events[i].Key)
		if !ok {
			continue
		}
		key := Key{k.Mountpoint, k.ClientID}
		b.alignEvent(key, filter, &events[i])
		// Of a session that is not known yet everything is read when it is.
		if !b.isAway(key) {
			continue
		}
		_, live, err := b.cfg.Metadata.GetSubscription(k, filter)
		if err != nil {
			return false
		}
		b.remotes.mu.Lock()
		if a := b.remotes.mu.away[key]; a != nil {
			b.wantLocked(a, key.Mountpoint, filter, live)
		}
		b.remotes.mu.Unlock()
	}
	return true
}

func (b *Broker) isAway(k Key) bool {
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	return b.remotes.mu.away[k] != nil
}

// readAll reads the tables from end to end; false if that failed.
func (b *Broker) readAll() bool {
	if b.deriveAll() != nil {
		return false
	}
	b.alignEvery()
	return true
}

// deriveAll derives the routes to all persistent sessions of other nodes.
func (b *Broker) deriveAll() error {
	if b.cfg.Cluster == nil {
		return nil
	}
	seen := map[Key]bool{}
	var failed error
	err := b.cfg.Metadata.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		key := Key{k.Mountpoint, k.ClientID}
		seen[key] = true
		failed = b.derive(key, v)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		b.cfg.Log.Error("routes to persistent sessions could not be derived", "error", err)
		return err
	}
	var gone []Key
	b.remotes.mu.Lock()
	for k := range b.remotes.mu.away {
		if !seen[k] {
			gone = append(gone, k)
		}
	}
	b.remotes.mu.Unlock()
	for _, k := range gone {
		_ = b.derive(k, nil) // reads nothing
	}
	return nil
}

// awayHome is the other node that a record names as the home of a live session,
// or 0.
func (b *Broker) awayHome(v *metadata.Session) wire.NodeID {
	if v == nil || v.Over() || v.Home == b.cfg.NodeID {
		return 0
	}
	return wire.NodeID(v.Home)
}

// derive brings the index up to date with the record of one session; nil is
// none. A session that moves is routed to its new home before it is no longer
// routed to the old one.
func (b *Broker) derive(k Key, v *metadata.Session) error {
	home := b.awayHome(v)
	var filters map[string]struct{}
	if home != 0 {
		filters = map[string]struct{}{}
		err := b.cfg.Metadata.ClientSubscriptions(k.meta(), func(f string, _ *metadata.Subscription) bool {
			filters[f] = struct{}{}
			return true
		})
		if err != nil {
			return err
		}
	}
	b.remotes.mu.Lock()
	old := b.remotes.mu.away[k]
	was, since, missed := wire.NodeID(0), uint64(0), false
	if old != nil {
		was, since = old.home, old.since
		// Homes between the last record and this one were never seen.
		missed = v != nil && v.Connects > old.seen+1
	}
	if home != 0 {
		next := &awaySession{home: home, filters: map[string]struct{}{}}
		if old != nil && old.home == home {
			next = old
		}
		for f := range filters {
			b.wantLocked(next, k.Mountpoint, f, true)
		}
		for f := range next.filters {
			if _, still := filters[f]; !still {
				b.wantLocked(next, k.Mountpoint, f, false)
			}
		}
		b.remotes.mu.away[k] = next
		next.seen = v.Connects
	} else {
		delete(b.remotes.mu.away, k)
	}
	b.remotes.mu.Unlock()
	before := b.generation.Load()
	b.fenceMove(k, v, was, missed)
	if was != 0 && was != home {
		b.remotes.mu.Lock()
		for f := range old.filters {
			b.wantLocked(old, k.Mountpoint, f, false)
		}
		b.remotes.mu.Unlock()
	}
	b.homeApplied(k, v, was)
	b.alignSession(k, v, was != 0 && home == 0)
	b.moved(leaving{k: k, from: was, since: since, cut: b.generation.Load()}, before, v)
	b.turnsUp(k, v)
	return nil
}

// moved sees to what waits for the node that a session has left. before is the
// generation of the routes up to then.
func (b *Broker) moved(s leaving, before uint64, v *metadata.Session) {
	if s.cut == before {
		s.cut = math.MaxUint64 // nothing tells what was matched before
	} else if s.from != 0 || b.ready.Load() {
		// What an earlier process here has in the spool may be for this session.
		b.remotes.mu.Lock()
		if a := b.remotes.mu.away[s.k]; a != nil {
			a.since = s.cut
		}
		b.remotes.mu.Unlock()
	}
	if v != nil && s.from != wire.NodeID(v.Home) {
		b.redirectLater(s)
	}
}

// wantLocked notes that a session of another node has a filter, or has it no
// more.
func (b *Broker) wantLocked(a *awaySession, mountpoint, filter string, wants bool) {
	if _, had := a.filters[filter]; had == wants {
		return
	}
	n := b.nodeLocked(a.home)
	group, f, _, err := topic.SplitShare(filter)
	if err != nil {
		return
	}
	at := nodeRoute{mountpoint, group, f}
	if wants {
		a.filters[filter] = struct{}{}
		n.durable[at]++
	} else {
		delete(a.filters, filter)
		n.durable[at]--
	}
	count := n.durable[at]
	if count == 0 {
		delete(n.durable, at)
	}
	if group != "" || count == 0 || wants && count == 1 {
		b.enterLocked(b.standInLocked(n, mountpoint, true), at, counts{members: count})
	}
}
