package broker

import (
	"context"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/topic"
)

// The audit of routes (R5). What a node routes by is derived: announced by
// others, or computed from the tables, and held in the topic index. So it can be
// checked against what it came from, and is, in the background, for as long as
// the node runs:
//
//	what a peer has announced     against the peer's own digest (CheckRoutes)
//	what the tables imply         against the tables (auditTables)
//	the topic index               against both (auditIndex)
//
// A difference is counted, logged and repaired; that it is found at all means
// that some other code is wrong.

// auditEvery is the time between two audits of a node's own index and tables.
const auditEvery = 10 * time.Minute

// RouteDigest sums up routes: how many there are, and a hash that does not
// depend on their order. Counts of clients are left out: they are soft (R13). A
// value.
type RouteDigest struct{ Count, Hash uint64 }

// The numbers of FNV-1a with 64 bits. Package hash/fnv would allocate for each
// string, and this is done for each route.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// hash is the share of one route in a digest: FNV-1a of its kind and of three
// strings, each behind its length in 3 bytes.
func (k *routeKey) hash() uint64 {
	h := uint64(fnvOffset)
	if k.persistent {
		h ^= 1
	}
	h *= fnvPrime
	for _, s := range [3]string{k.mountpoint, k.group, string(k.filter)} {
		for n, i := len(s), 0; i < 3; n, i = n>>8, i+1 {
			h = (h ^ uint64(byte(n))) * fnvPrime
		}
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * fnvPrime
		}
	}
	return mix(h) // so that shares can be added up
}

func (d *RouteDigest) add(k *routeKey) {
	d.Count++
	d.Hash += k.hash()
}

// remove takes out a route that was added.
func (d *RouteDigest) remove(k *routeKey) {
	d.Count--
	d.Hash -= k.hash()
}

// Digest calls fn with the digest of this node's routes, under the lock of the
// routes, so that each Announce falls before or after it. It is kept beside the
// routes: to go through a million under the lock held every SUBSCRIBE up for a
// tenth of a second a minute. What it is compared with is summed up anew.
func (b *Broker) Digest(fn func(RouteDigest)) {
	t := &b.routes
	t.mu.Lock()
	defer t.mu.Unlock()
	fn(t.mu.digest)
}

// CheckRoutes compares what a peer has announced up to here with the peer's own
// digest; called in the order of TakeRoutes. If they differ the peer has to send
// everything again.
func (b *Broker) CheckRoutes(from wire.NodeID, want RouteDigest) bool {
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	n := b.nodeLocked(from)
	if !n.whole || n.fresh != nil {
		return true // a snapshot is on its way anyhow
	}
	var have RouteDigest
	for at, s := range n.soft {
		for kind := range s {
			if s[kind].members > 0 {
				have.add(&routeKey{at.mountpoint, at.group, at.filter, kind == 1})
			}
		}
	}
	b.count.audits.Inc()
	if have == want {
		return true
	}
	b.count.auditDiffers["announced"].Inc()
	b.cfg.Log.Error("audit: the routes of another node are not what it has announced; it sends them again",
		"node", uint64(from), "here", have.Count, "announced", want.Count)
	return false
}

// audit is the state of the audit of one node. Owned by the goroutine that
// follows the tables, but for the channels.
type audit struct {
	suspects chan suspect
	now      chan chan struct{} // begins one at once, and is closed when it has ended; for tests
}

// suspect is a session whose routes seem to be wrong; done is closed when it has
// been looked at. A value.
type suspect struct {
	k    Key
	done chan struct{}
}

func newAudit() audit { return audit{suspects: make(chan suspect), now: make(chan chan struct{})} }

// runAudits audits until ctx ends.
func (b *Broker) runAudits(ctx context.Context) {
	timer := time.NewTicker(auditEvery)
	defer timer.Stop()
	for {
		var told chan struct{}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case told = <-b.audit.now:
		}
		b.auditTables(ctx)
		b.auditIndex()
		b.count.audits.Inc()
		if told != nil {
			close(told)
		}
	}
}

// auditTables looks for sessions of other nodes whose filters are not those of
// the tables. What it reads may be newer than what the follower has come to, so
// it only suspects; the follower decides.
func (b *Broker) auditTables(ctx context.Context) {
	tell := func(k Key) bool {
		s := suspect{k, make(chan struct{})}
		select {
		case b.audit.suspects <- s:
			<-s.done
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := b.cfg.Metadata.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		key := Key{k.Mountpoint, k.ClientID}
		same, err := b.derivedAlike(key, v)
		return err == nil && (same || tell(key)) && ctx.Err() == nil
	})
	if err != nil {
		b.cfg.Log.Error("audit: the tables cannot be read", "error", err)
		return
	}
	var gone []Key
	b.remotes.mu.Lock()
	for k := range b.remotes.mu.away {
		gone = append(gone, k)
	}
	b.remotes.mu.Unlock()
	for _, k := range gone {
		if _, found, err := b.cfg.Metadata.GetSession(k.meta()); err != nil || !found && !tell(k) {
			return
		}
	}
}

// derivedAlike reports whether what is derived for a session is what its record
// says; nil is none.
func (b *Broker) derivedAlike(k Key, v *metadata.Session) (bool, error) {
	home := b.awayHome(v)
	filters := map[string]struct{}{}
	if home != 0 {
		err := b.cfg.Metadata.ClientSubscriptions(k.meta(), func(f string, _ *metadata.Subscription) bool {
			filters[f] = struct{}{}
			return true
		})
		if err != nil {
			return false, err
		}
	}
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	a := b.remotes.mu.away[k]
	if a == nil || home == 0 {
		return a == nil && home == 0, nil
	}
	if a.home != home || len(a.filters) != len(filters) {
		return false, nil
	}
	for f := range filters {
		if _, ok := a.filters[f]; !ok {
			return false, nil
		}
	}
	return true, nil
}

// examine looks at a suspect once everything that the tables have told is
// applied, and derives its routes again if they are wrong. False if the tables
// could not be read. Called by the goroutine that follows the tables.
func (b *Broker) examine(s suspect) bool {
	defer close(s.done)
	if !b.takeSessions() || !b.takeSubscriptions() {
		return false
	}
	for try := 0; ; try++ {
		v, found, err := b.cfg.Metadata.GetSession(s.k.meta())
		if err != nil {
			return false
		}
		if !found {
			v = nil
		}
		same, err := b.derivedAlike(s.k, v)
		switch {
		case err != nil:
			return false
		case same:
			return true
		case try == 0: // it may have changed between the two
			if !b.takeSessions() || !b.takeSubscriptions() {
				return false
			}
			continue
		}
		b.count.auditDiffers["tables"].Inc()
		b.cfg.Log.Error("audit: the routes to a session of another node were not those of the tables; they are derived again", "client", s.k.ClientID)
		return b.derive(s.k, v) == nil
	}
}

// entryKey names a route of another node in the topic index, by hash. A value.
type entryKey struct {
	node    wire.NodeID
	route   uint64
	durable bool
}

func (c *client) entryKey(group string, f topic.Filter) entryKey {
	k := routeKey{c.mount.name, group, f, false}
	return entryKey{c.remote.node.id, k.hash(), c.remote.durable}
}

// auditIndex compares the topic index with the routes that it is to hold. It
// reads the index without stopping anybody, then goes through the routes under
// their lock, under which nobody changes what is compared.
func (b *Broker) auditIndex() {
	wanted := map[entryKey]struct{}{}
	b.remotes.mu.Lock()
	b.eachEntryLocked(func(c *client, at nodeRoute, _ counts) { wanted[c.entryKey(at.group, at.filter)] = struct{}{} })
	b.remotes.mu.Unlock()
	type entry struct {
		c  *client
		at nodeRoute
	}
	var extra []entry
	there := make(map[entryKey]struct{}, len(wanted))
	for _, m := range b.mounts() {
		m.index.Each(func(f topic.Filter, group string, c *client, _ topic.Options) bool {
			if c.remote != nil {
				k := c.entryKey(group, f)
				there[k] = struct{}{}
				if _, ok := wanted[k]; !ok {
					extra = append(extra, entry{c, nodeRoute{m.name, group, f}})
				}
			}
			return true
		})
	}
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	missing, superfluous := 0, 0
	clear(wanted)
	b.eachEntryLocked(func(c *client, at nodeRoute, sum counts) {
		k := c.entryKey(at.group, at.filter)
		wanted[k] = struct{}{}
		if _, ok := there[k]; !ok && !b.enterLocked(c, at, sum) {
			missing++
		}
	})
	for _, x := range extra {
		if _, ok := wanted[x.c.entryKey(x.at.group, x.at.filter)]; !ok && b.enterLocked(x.c, x.at, counts{}) {
			superfluous++
		}
	}
	if missing+superfluous == 0 {
		return
	}
	b.count.auditDiffers["index"].Add(uint64(missing + superfluous))
	b.cfg.Log.Error("audit: the topic index was not what it is made from; it is mended", "missing", missing, "superfluous", superfluous)
}

// eachEntryLocked calls fn for every entry that other nodes are to have in the
// topic index.
func (b *Broker) eachEntryLocked(fn func(c *client, at nodeRoute, sum counts)) {
	for _, n := range b.remotes.mu.nodes {
		for at, s := range n.soft {
			fn(b.standInLocked(n, at.mountpoint, false), at, counts{s[0].members + s[1].members, s[0].online + s[1].online})
		}
		for at, count := range n.durable {
			fn(b.standInLocked(n, at.mountpoint, true), at, counts{members: count})
		}
	}
}

// mounts lists the mountpoints.
func (b *Broker) mounts() []*mount {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []*mount
	for _, m := range b.mu.mounts {
		out = append(out, m)
	}
	return out
}
