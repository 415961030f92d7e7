package cluster

import (
	"context"
	"sync"
)

// calls runs what is to be called back, one after the other, with no lock held.
// Safe for concurrent use. It needs no bound of its own: each call stands for a
// client's packet that waits.
type calls struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		list []func()
	}
}

func newCalls() *calls { return &calls{wake: make(chan struct{}, 1)} }

func (q *calls) add(fn func()) {
	q.mu.Lock()
	q.mu.list = append(q.mu.list, fn)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run calls until ctx ends, and then what is left.
func (q *calls) run(ctx context.Context) {
	for {
		over := false
		select {
		case <-q.wake:
		case <-ctx.Done():
			over = true
		}
		for {
			q.mu.Lock()
			list := q.mu.list
			q.mu.list = nil
			q.mu.Unlock()
			if len(list) == 0 {
				break
			}
			for _, fn := range list {
				fn()
			}
		}
		if over {
			return
		}
	}
}
