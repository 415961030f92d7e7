package topic

import (
	"sync"
	"sync/atomic"
)

// Config sizes an Index.
type Config struct {
	CacheEntries int // results kept; 0 takes the default, below 0 keeps none
	CacheHits    int // hits kept that results do not share; 0 takes the default
}

// Index maps filters to subscribers. Guarded by mu.
type Index[S comparable] struct {
	mu struct {
		sync.RWMutex
		subs []thin[S]
	}
}

type thin[S comparable] struct {
	f     Filter
	group string
	s     S
	o     Options
}

// NewIndex returns an empty Index.
func NewIndex[S comparable](c Config) *Index[S] { return &Index[S]{} }

func (x *Index[S]) Subscribe(f Filter, s S, o Options) (replaced bool) {
	return x.SubscribeShared("", f, s, o)
}

func (x *Index[S]) Unsubscribe(f Filter, s S) bool { return x.UnsubscribeShared("", f, s) }

func (x *Index[S]) SubscribeShared(group string, f Filter, s S, o Options) (replaced bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, t := range x.mu.subs {
		if t.f == f && t.group == group && t.s == s {
			x.mu.subs[i].o = o
			return true
		}
	}
	x.mu.subs = append(x.mu.subs, thin[S]{f, group, s, o})
	return false
}

func (x *Index[S]) UnsubscribeShared(group string, f Filter, s S) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, t := range x.mu.subs {
		if t.f == f && t.group == group && t.s == s {
			x.mu.subs = append(x.mu.subs[:i], x.mu.subs[i+1:]...)
			return true
		}
	}
	return false
}

func (x *Index[S]) Match(name []byte) *Result[S] {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r := &Result[S]{}
	for _, t := range x.mu.subs {
		if !Matches(t.f, Name(name)) {
			continue
		}
		h := Hit[S]{Sub: t.s, Options: t.o}
		if t.group == "" {
			r.Direct = append(r.Direct, h)
		} else {
			r.Shared = append(r.Shared, Group[S]{Name: t.group, Filter: t.f, Members: []Hit[S]{h}, turn: new(atomic.Uint64)})
		}
	}
	return r
}

// Len returns the number of subscriptions.
func (x *Index[S]) Len() int { x.mu.RLock(); defer x.mu.RUnlock(); return len(x.mu.subs) }

func (x *Index[S]) Each(f func(f Filter, group string, s S, o Options) bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, t := range x.mu.subs {
		if !f(t.f, t.group, t.s, t.o) {
			return
		}
	}
}
