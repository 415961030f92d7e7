package broker

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/netsplit"
)

// The pace at which sessions of lost members are adopted, beside adoptedAtOnce
// and pacePause.
const (
	// lostAfter is how long a home that was never seen to be a member has to be
	// none before its sessions are adopted: the record of a session may come before
	// the news that its home has joined. For as long the sessions of any lost home
	// are looked for: their records may come after the news that it is none.
	lostAfter = 2 * time.Second
	// adoptAgain is when a round that left something is repeated. It doubles up to
	// adoptAgainMax, as what is left may be another node's to adopt.
	adoptAgain    = time.Second
	adoptAgainMax = 30 * time.Second
	// adoptListMax is how many sessions are listed at a time.
	adoptListMax = 4096
)

// heirs see to the sessions whose home is an absent member or none (R23). The
// members are guarded by mu, the rest is owned by the goroutine of adoptLost.
type heirs struct {
	wake chan struct{} // capacity 1: members, or who is reachable, have changed
	mu   struct {
		sync.Mutex
		present map[wire.NodeID]bool // members that are not absent; nil: not known
	}
	since map[wire.NodeID]int64 // unix ms at which a home was first seen to be lost
}

// MembersPresent tells which of the members are not marked absent, this node
// included. The sessions of all other homes are adopted by those that are
// present, each by one of them (R23).
func (b *Broker) MembersPresent(ids []wire.NodeID) {
	present := map[wire.NodeID]bool{}
	for _, id := range ids {
		present[id] = true
	}
	h := &b.heirs
	h.mu.Lock()
	h.mu.present = present
	h.mu.Unlock()
	h.nudge()
}

func (h *heirs) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// lost returns what tells a lost home from others; nil if this node is to adopt
// nothing.
func (b *Broker) lost() func(home wire.NodeID) bool {
	h := &b.heirs
	h.mu.Lock()
	present := h.mu.present
	h.mu.Unlock()
	if !present[wire.NodeID(b.cfg.NodeID)] {
		return nil
	}
	return func(home wire.NodeID) bool {
		return home != 0 && !present[home] && !b.cfg.Cluster.Reachable(home)
	}
}

// hasMet reports whether a node was a member in the time of this process.
func (b *Broker) hasMet(id wire.NodeID) bool {
	return b.isNode(id, func(n *otherNode) bool { return n.met })
}

// asLeft is a record that says when its client has left, also if the home is lost
// and could not say so: then it was with the home. While that can merely not be
// reached it may still have its client.
func (b *Broker) asLeft(rec *metadata.Session) *metadata.Session {
	if rec.DisconnectedAt != 0 {
		return rec
	}
	if lost := b.lost(); lost == nil || !lost(wire.NodeID(rec.Home)) {
		return rec
	}
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	n := b.remotes.mu.nodes[wire.NodeID(rec.Home)]
	if n == nil || n.downAt == 0 {
		return rec
	}
	out := *rec
	out.DisconnectedAt = n.downAt
	return &out
}

// adoptLost adopts until ctx ends. What it knows it has from the tables and the
// members, so that it goes on after a restart.
func (b *Broker) adoptLost(ctx context.Context) {
	if b.cfg.Cluster == nil {
		return
	}
	b.heirs.since = map[wire.NodeID]int64{}
	var again <-chan time.Time
	pause := adoptAgain
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.heirs.wake:
			pause = adoptAgain
		case <-again:
			pause = min(2*pause, adoptAgainMax)
		}
		again = nil
		if b.adoptRound(ctx) {
			again = time.After(pause)
		}
	}
}

// adoptRound adopts those sessions of lost homes that fall to this node; left
// says that there are others, or that some could not be adopted now.
func (b *Broker) adoptRound(ctx context.Context) (left bool) {
	lost := b.lost()
	if lost == nil {
		return false
	}
	if !b.ready.Load() || !b.cfg.Gate.Now().Allows(netsplit.Register) {
		return true
	}
	mine, others, err := b.listLost(lost)
	if err != nil {
		b.cfg.Log.Error("sessions of members that are gone could not be read", "error", err)
		return true
	}
	done, failed := 0, 0
	for len(mine) > 0 && ctx.Err() == nil {
		n := min(len(mine), adoptedAtOnce)
		bad, why := b.adoptSome(ctx, mine[:n])
		mine, done, failed = mine[n:], done+n-bad, failed+bad
		if why != nil && failed == bad {
			b.cfg.Log.Warn("a session of a member that is gone could not be adopted, it is tried again", "error", why)
		}
		if !b.pause(pacePause) {
			return false
		}
	}
	if done > 0 {
		b.cfg.Log.Info("sessions of members that are gone are this node's now", "sessions", done, "failed", failed)
	}
	return others || failed > 0
}

// orphan is a session whose home is lost. A value.
type orphan struct {
	k    Key
	home wire.NodeID
}

// listLost lists the sessions of lost homes that this node is the heir of.
// others says that there are more: another node's, or not due yet, or too many.
func (b *Broker) listLost(lost func(wire.NodeID) bool) (mine []orphan, others bool, err error) {
	now := b.cfg.Now().UnixMilli()
	since := b.heirs.since
	seen := map[wire.NodeID]bool{} // homes, and whether their sessions are due
	err = b.cfg.Metadata.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		home := wire.NodeID(v.Home)
		due, known := seen[home]
		if !known {
			if lost(home) {
				if since[home] == 0 {
					since[home] = now
				}
				settled := now-since[home] >= lostAfter.Milliseconds()
				due = settled || b.hasMet(home)
				others = others || !settled
			} else {
				delete(since, home)
			}
			seen[home] = due
		}
		if !due || v.Over() {
			return true
		}
		key := Key{k.Mountpoint, k.ClientID}
		if len(mine) == adoptListMax || b.heirOf(key) != wire.NodeID(b.cfg.NodeID) {
			others = true
			return len(mine) < adoptListMax
		}
		mine = append(mine, orphan{key, home})
		return true
	})
	return mine, others, err
}

// adoptSome adopts some sessions at once; failed is how many could not be, and
// why the first of them.
func (b *Broker) adoptSome(ctx context.Context, list []orphan) (failed int, why error) {
	var wg sync.WaitGroup
	errs := make([]error, len(list))
	for i, o := range list {
		wg.Go(func() { errs[i] = b.Adopt(ctx, o.k, o.home) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			failed++
			if why == nil {
				why = err
			}
		}
	}
	return failed, why
}

// heirOf is the one of the nodes in reach that acts for a lost home: that with
// the highest hash of node and client.
func (b *Broker) heirOf(k Key) (best wire.NodeID) {
	top := uint64(0)
	for _, id := range append(b.others(), wire.NodeID(b.cfg.NodeID)) {
		if uint64(id) != b.cfg.NodeID && !b.cfg.Cluster.Reachable(id) {
			continue
		}
		h := fnv.New64a()
		_, _ = h.Write([]byte{byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24), byte(id >> 32), byte(id >> 40), byte(id >> 48), byte(id >> 56)})
		_, _ = h.Write([]byte(queueName(k)))
		if w := mix(h.Sum64()); best == 0 || w > top || w == top && id < best {
			best, top = id, w
		}
	}
	return best
}
