package queue

import (
	"sync"

	"tombolo/internal/kv"
)

// gate is a database whose writes wait while it is shut, and fail once it has an
// error. Guarded by mu.
type gate struct {
	kv.DB
	mu struct {
		sync.Mutex
		sync.Cond
		closed bool
		err    error
		writes int
	}
}

func newGate(db kv.DB) *gate {
	g := &gate{DB: db}
	g.mu.L = &g.mu.Mutex
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.closed = true
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.closed = false
	g.mu.Broadcast()
}

func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.err = err
}

func (g *gate) Write(b *kv.Batch, sync bool) error {
	g.mu.Lock()
	for g.mu.closed {
		g.mu.Wait()
	}
	err := g.mu.err
	g.mu.writes++
	g.mu.Unlock()
	if err != nil {
		return err
	}
	return g.DB.Write(b, sync)
}
