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
		list []completion
	}
}

func newCompleter() *completer { return &completer{ready: make(chan struct{}, 1)} }

func (c *completer) add(list []completion) {
	c.mu.Lock()
	c.mu.list = append(c.mu.list, list...)
	c.mu.Unlock()
	select {
	case c.ready <- struct{}{}:
	default:
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
		c.mu.Unlock()
		for i := range list {
			if list[i].done != nil {
				list[i].done(list[i].err)
			}
		}
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
