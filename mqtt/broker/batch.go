package broker

import "sync"

// batch is a round that many short steps share, so that what they write to
// connections goes out at once: a step that comes while the last ones are being
// written joins those that wait. It is for news from other nodes, of which
// nobody says where a run of them ends. Safe for concurrent use; the round is
// guarded by mu, which is taken before any client's lock.
type batch struct {
	b     *Broker
	mu    sync.Mutex
	r     *round
	ended bool // a worker will end the round
}

// begin takes the round; end must follow.
func (t *batch) begin() *round {
	t.mu.Lock()
	if t.r == nil {
		t.r = t.b.begin()
	} else {
		t.r.now = t.b.cfg.Now().UnixMilli()
	}
	return t.r
}

// end gives the round back. As long as there is nothing to write nobody is asked
// to: what waits for the disk is written by who hears from that.
func (t *batch) end() {
	if !t.ended && !t.r.idle() {
		t.ended = true
		t.b.spawn(t.finish)
	}
	t.mu.Unlock()
}

// finish ends the round, and with it what it has to write.
func (t *batch) finish() {
	t.mu.Lock()
	r := t.r
	t.r, t.ended = nil, false
	t.mu.Unlock()
	t.b.end(r)
}
