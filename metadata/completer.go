package metadata

import (
	"context"
	"sync"
)

// completion is one answer that is owed.
type completion struct {
	done func(error)
	err  error
}

// completer calls the done functions, one after the other, from a goroutine of
// its own, so that a slow one delays other answers and never a commit. Guarded
// by mu. Its length is bounded by the writes that callers have outstanding.
type completer struct {
	ready chan struct{}
	mu    struct {
		sync.Mutex
		list  []completion
		ended bool
	}
}

func newCompleter() *completer { return &completer{ready: make(chan struct{}, 1)} }

func (c *completer) add(list []completion) {
	c.mu.Lock()
	ended := c.mu.ended
	if !ended {
		c.mu.list = append(c.mu.list, list...)
	}
	c.mu.Unlock()
	if ended {
		go call(list)
		return
	}
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// call answers each of list. After run has ended add does so from a goroutine
// for each refusal, so that an answer never comes from inside Write.
func call(list []completion) {
	for i := range list {
		if list[i].done != nil {
			list[i].done(list[i].err)
		}
	}
}

// run calls what is owed until ctx ends, then what is left.
func (c *completer) run(ctx context.Context) {
	var spare []completion
	for {
		ended := ctx.Err() != nil
		c.mu.Lock()
		list := c.mu.list
		c.mu.list = spare[:0]
		c.mu.ended = ended && len(list) == 0
		c.mu.Unlock()
		call(list)
		clear(list)
		spare = list
		if len(list) > 0 {
			continue
		}
		if ended {
			return
		}
		select {
		case <-c.ready:
		case <-ctx.Done():
		}
	}
}
