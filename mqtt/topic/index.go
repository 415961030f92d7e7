package topic

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Defaults of Config.
const (
	cacheEntriesDefault = 1 << 14
	cacheHitsDefault    = 1 << 20
)

// The counters for invalidation (watch): several for each cached topic, so
// that few changes meet one by chance, at 8 bytes each.
const (
	watchPerEntry = 4
	watchMin      = 1 << 10
)

// exactShards is the number of tables for exact filters. A table that grows
// is filled anew while other writers wait; in a table of a million filters
// that would be a fifth of a second, in one of 256 parts it is nothing.
const exactShards = 256

// sweepStep is how many cells of the cache each unsubscribe looks through.
const sweepStep = 2

// Config sizes an Index.
type Config struct {
	// CacheEntries is how many topics have their result kept, rounded up to
	// a power of two; an entry takes about 250 bytes besides its hits. 0 takes
	// the default of 16,384; below 0 keeps none.
	CacheEntries int
	// CacheHits is how many hits all kept results may hold together, at 40
	// bytes each for a subscriber of one word. 0 takes the default of
	// 1,048,576.
	CacheHits int
}

// Index maps filters to subscribers. Safe for concurrent use: writers
// serialise on mu, readers take no lock (see the package comment). The zero
// Index is not usable.
type Index[S comparable] struct {
	mu    sync.Mutex // held by whoever writes; readers see only atomics
	kinds struct {
		exact kind[exact[S]]
		node  kind[node[S]]
	}
	exacts [exactShards]table[exact[S], *exact[S]]
	root   node[S]
	watch  watch
	cache  cache[S]
	nobody *Result[S] // the result of all topics that match nothing
	subs   atomic.Int64
	misses atomic.Uint64
}

// exact is a filter without wildcards. Written under the Index's mutex, read
// without a lock.
type exact[S comparable] struct {
	filter string
	place  place[S]
}

func (e *exact[S]) label() string { return e.filter }

// NewIndex returns an empty Index.
func NewIndex[S comparable](c Config) *Index[S] {
	if c.CacheEntries == 0 {
		c.CacheEntries = cacheEntriesDefault
	}
	if c.CacheHits <= 0 {
		c.CacheHits = cacheHitsDefault
	}
	seed := maphash.MakeSeed()
	x := &Index[S]{nobody: new(Result[S])}
	x.kinds.exact = kind[exact[S]]{seed: seed, dead: new(exact[S])}
	x.kinds.node = kind[node[S]]{seed: seed, dead: new(node[S])}
	x.watch = newWatch(seed, powerOfTwo(max(c.CacheEntries*watchPerEntry, watchMin)))
	if c.CacheEntries > 0 {
		x.cache.cells = make([]atomic.Pointer[entry[S]], powerOfTwo(max(c.CacheEntries, ways)))
		x.cache.hitsMax = int64(c.CacheHits)
	}
	return x
}

func powerOfTwo(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// Match returns the subscribers of a topic. The result is shared: the caller
// must not write to it. It is never nil.
func (x *Index[S]) Match(name []byte) *Result[S] {
	hash := maphash.Bytes(x.watch.seed, name)
	if e := x.cache.get(hash, name); e != nil && x.watch.current(&e.stamp) {
		return e.result
	}
	return x.lookup(name, hash)
}

// lookup is Match for a topic that is not in the cache. The stamp is taken
// first: what changes during the search moves a counter after it, and the
// entry is over before anyone could rely on the change being in it.
func (x *Index[S]) lookup(name []byte, hash uint64) *Result[S] {
	x.misses.Add(1)
	s := x.watch.stampOf(name, hash)
	var buf [16]*leaf[S]
	found := buf[:0]
	shard := &x.exacts[hash>>56]
	if e := shard.getHashed(&x.kinds.exact, hash, name); e != nil {
		if l := e.place.Load(); l != nil {
			found = append(found, l)
		}
	}
	wild := len(name) == 0 || name[0] != '$' // [MQTT-4.7.2-1]
	found = x.root.search(&x.kinds.node, name, wild, found)
	r := x.nobody
	if len(found) > 0 {
		r = assemble(found)
	}
	x.cache.put(&x.watch, hash, name, s, r)
	return r
}

// Subscribe adds a subscription, or replaces the options of the one that
// this subscriber has with this filter. The Index keeps f: it should not be
// a piece of something larger.
func (x *Index[S]) Subscribe(f Filter, s S, o Options) (replaced bool) {
	return x.join("", f, s, o)
}

// SubscribeShared is Subscribe for a member of a group, which is not "".
func (x *Index[S]) SubscribeShared(group string, f Filter, s S, o Options) (replaced bool) {
	return x.join(group, f, s, o)
}

// Unsubscribe removes a subscription and reports whether there was one.
func (x *Index[S]) Unsubscribe(f Filter, s S) bool { return x.part("", f, s) }

// UnsubscribeShared is Unsubscribe for a member of a group, which is not "".
func (x *Index[S]) UnsubscribeShared(group string, f Filter, s S) bool {
	return x.part(group, f, s)
}

func (x *Index[S]) join(group string, f Filter, s S, o Options) bool {
	name, wild := []byte(f), hasWildcard(string(f))
	x.mu.Lock()
	defer x.mu.Unlock()
	var p *place[S]
	if wild {
		p = x.root.grow(&x.kinds.node, name)
	} else {
		p = x.exactPlace(string(f), name)
	}
	done := join(p, group, f, sub[S]{s: s, o: o})
	if done.new {
		x.watch.moved(name, wild)
	}
	if !done.had {
		x.subs.Add(1)
	}
	return done.had
}

// exactPlace returns the place of an exact filter, made if it is not there.
func (x *Index[S]) exactPlace(f string, name []byte) *place[S] {
	hash := maphash.Bytes(x.watch.seed, name)
	shard := &x.exacts[hash>>56]
	e := shard.getHashed(&x.kinds.exact, hash, name)
	if e == nil {
		e = &exact[S]{filter: f}
		shard.add(&x.kinds.exact, e)
	}
	return &e.place
}

func (x *Index[S]) part(group string, f Filter, s S) bool {
	name, wild := []byte(f), hasWildcard(string(f))
	remove := func(p *place[S]) bool { return part(p, group, s) }
	x.mu.Lock()
	defer x.mu.Unlock()
	if wild {
		if !x.root.prune(&x.kinds.node, name, remove) {
			return false
		}
	} else if !x.pruneExact(name, remove) {
		return false
	}
	x.watch.moved(name, wild)
	x.cache.sweep(&x.watch, sweepStep)
	x.subs.Add(-1)
	return true
}

func (x *Index[S]) pruneExact(name []byte, remove func(*place[S]) bool) bool {
	hash := maphash.Bytes(x.watch.seed, name)
	shard := &x.exacts[hash>>56]
	e := shard.getHashed(&x.kinds.exact, hash, name)
	if e == nil || !remove(&e.place) {
		return false
	}
	if e.place.Load() == nil {
		shard.remove(&x.kinds.exact, e)
	}
	return true
}

// Len returns the number of subscriptions.
func (x *Index[S]) Len() int { return int(x.subs.Load()) }

// Misses returns how many calls of Match had to search.
func (x *Index[S]) Misses() uint64 { return x.misses.Load() }

// Each calls yield for every subscription until it returns false: exact
// filters first, then those with wildcards, each in order of levels; under a
// filter the plain ones (group "") before the shared ones.
//
// It holds no lock, copies no table and stops no writer. A subscription that
// is there from beginning to end is seen exactly once; one that comes or goes
// meanwhile may be seen or not.
func (x *Index[S]) Each(yield func(f Filter, group string, s S, o Options) bool) {
	for _, e := range x.sortedExacts() {
		if l := e.place.Load(); l != nil && !eachOf(Filter(e.filter), l, yield) {
			return
		}
	}
	x.root.each(&x.kinds.node, "", func(f Filter, l *leaf[S]) bool {
		return eachOf(f, l, yield)
	})
}

func (x *Index[S]) sortedExacts() []*exact[S] {
	var all []*exact[S]
	for i := range x.exacts {
		x.exacts[i].all(&x.kinds.exact, func(e *exact[S]) bool {
			all = append(all, e)
			return true
		})
	}
	slices.SortFunc(all, func(a, b *exact[S]) int { return strings.Compare(a.filter, b.filter) })
	return all
}

// eachOf yields the subscriptions of one leaf.
func eachOf[S comparable](f Filter, l *leaf[S], yield func(Filter, string, S, Options) bool) bool {
	if l.crowd == nil {
		return yield(f, "", l.only.s, l.only.o)
	}
	for s := range l.crowd.direct.all {
		if !yield(f, "", s.s, s.o) {
			return false
		}
	}
	for g := range l.crowd.groups.all {
		for s := range g.members.all {
			if !yield(f, g.name, s.s, s.o) {
				return false
			}
		}
	}
	return true
}
