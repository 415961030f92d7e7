package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"tombolo/internal/link"
	"tombolo/internal/wire"
	"tombolo/mqtt/broker"
)

// The bounds of a feed. Beyond pendingMax changes that wait, a peer gets a
// snapshot instead of them.
const (
	stepRoutesMax = 1024
	pendingMax    = 1 << 16
	feedRetry     = 20 * time.Millisecond
)

// feeds bring this node's routes to every peer that is linked (R5): a snapshot
// after each new link, then changes in the order in which they were announced.
// Safe for concurrent use; what is sent, and when, is one goroutine's.
type feeds struct {
	c    *Cluster
	wake chan struct{}
	mu   struct {
		sync.Mutex
		position uint64 // how many changes were announced
		list     map[wire.NodeID]*feed
	}
}

// feed is what one peer has got. Guarded by feeds.mu.
//
// Invariant: a peer that has confirmed everything up to acked has in its index
// what was announced up to there.
type feed struct {
	id       wire.NodeID
	live     bool         // the link stands
	link     uint64       // counts the links; what was sent on another one proves nothing
	sequence uint64       // of the last step
	whole    bool         // it needs a snapshot
	pending  []wire.Route // not sent yet; behind a snapshot if first is set
	first    bool         // pending begins a snapshot
	snapshot int          // how many of pending belong to it
	through  uint64       // the position behind pending
	acked    uint64
	fed      bool                // the snapshot of this link was confirmed
	audit    *broker.RouteDigest // to be sent when what was pending at its time has gone; nil: none is due
	before   int                 // how many of pending go before it
}

// restart forgets what was to be sent: a snapshot, or nothing, comes instead.
func (p *feed) restart() {
	p.pending, p.first, p.snapshot, p.audit = nil, false, 0, nil
}

func newFeeds(c *Cluster) *feeds {
	f := &feeds{c: c, wake: make(chan struct{}, 1)}
	f.mu.list = map[wire.NodeID]*feed{}
	return f
}

func (f *feeds) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Announce implements broker.Cluster.
func (c *Cluster) Announce(r wire.Route) {
	f := c.feeds
	f.mu.Lock()
	f.mu.position++
	for _, p := range f.mu.list {
		if p.whole || !p.live {
			continue // the snapshot will have it
		}
		if len(p.pending) >= pendingMax {
			p.restart()
			p.whole = true
			continue
		}
		p.pending = append(p.pending, r)
		p.through = f.mu.position
	}
	f.mu.Unlock()
	f.nudge()
}

// linked begins anew with a peer.
func (f *feeds) linked(id wire.NodeID) {
	f.mu.Lock()
	p := f.mu.list[id]
	if p == nil {
		p = &feed{id: id}
		f.mu.list[id] = p
	}
	p.link++
	p.live, p.whole, p.fed, p.acked = true, true, false, 0
	p.restart()
	f.mu.Unlock()
	f.nudge()
}

// unlinked stops feeding a peer.
func (f *feeds) unlinked(id wire.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.mu.list[id]; p != nil {
		p.link++
		p.live, p.whole, p.fed, p.acked = false, false, false, 0
		p.restart()
	}
}

// fed reports whether a peer has taken in all routes of this node at one time
// since its link stands.
func (f *feeds) fed(id wire.NodeID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.mu.list[id]
	return p != nil && p.fed
}

// at is the position of what was announced last.
func (f *feeds) at() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.position
}

// confirmed is the position up to which a peer has taken in what was announced.
// A link that is new proves nothing before its snapshot, unless there is nothing
// to announce.
func (f *feeds) confirmed(id wire.NodeID) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.mu.list[id]; p != nil && p.fed {
		return p.acked
	}
	return 0
}

// run feeds until ctx ends.
func (f *feeds) run(ctx context.Context) {
	retry, audit := f.c.config.Clock.NewTimer(time.Hour), f.c.config.Clock.NewTimer(auditEvery)
	defer retry.Stop()
	defer audit.Stop()
	for {
		select {
		case <-f.wake:
		case <-retry.C():
		case <-audit.C():
			f.audit()
			audit.Reset(auditEvery)
		case <-ctx.Done():
			return
		}
		full := false
		for _, id := range f.ids() {
			full = !f.feed(id) || full
		}
		if full {
			retry.Reset(feedRetry)
		}
	}
}

// auditEvery is the time between two audits of what peers have of this node's
// routes (R5).
const auditEvery = time.Minute

// audit has every peer compare what it has with what was announced up to now.
func (f *feeds) audit() {
	f.c.parts.Broker.Digest(func(d broker.RouteDigest) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, p := range f.mu.list {
			if p.live && p.fed && !p.whole && p.audit == nil {
				p.audit, p.before = &d, len(p.pending)
			}
		}
	})
}

func (f *feeds) ids() []wire.NodeID {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []wire.NodeID
	for id := range f.mu.list {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// feed sends what waits for a peer; false if its window is full.
func (f *feeds) feed(id wire.NodeID) bool {
	f.takeSnapshot(id)
	for {
		step, tk, ok := f.next(id)
		if !ok {
			return true
		}
		err := f.c.mesh.Send(id, wire.StreamControl, wire.TypeRoutes, wire.AppendRoutes(nil, step), tk)
		if err == nil {
			continue
		}
		f.again(tk, step)
		return !errors.Is(err, link.ErrFull)
	}
}

// takeSnapshot fetches all routes for a peer that needs them. It runs under the
// broker's lock of the routes, so that no change falls between.
func (f *feeds) takeSnapshot(id wire.NodeID) {
	f.mu.Lock()
	p := f.mu.list[id]
	need := p != nil && p.whole
	f.mu.Unlock()
	if !need {
		return
	}
	f.c.parts.Broker.RouteSnapshot(func(list []wire.Route) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if p := f.mu.list[id]; p != nil && p.whole {
			p.whole, p.first, p.snapshot = false, true, len(list)
			p.pending, p.through = slices.Clone(list), f.mu.position
		}
	})
}

// next takes the next step out of what waits: a part of a snapshot, or changes.
func (f *feeds) next(id wire.NodeID) (*wire.Routes, *fedStep, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.mu.list[id]
	if p == nil || p.whole || len(p.pending) == 0 && !p.first && p.audit == nil {
		return nil, nil, false
	}
	if p.audit != nil && p.before == 0 {
		p.sequence++
		step := &wire.Routes{Sequence: p.sequence, Audit: true, Count: p.audit.Count, Hash: p.audit.Hash}
		p.audit = nil
		return step, &fedStep{f: f, id: id, link: p.link, audit: true}, true
	}
	n := min(len(p.pending), stepRoutesMax)
	if p.audit != nil {
		n = min(n, p.before)
		p.before -= n
	}
	snapshot := p.first || p.snapshot > 0
	if snapshot {
		n = min(n, p.snapshot)
	}
	p.sequence++
	step := &wire.Routes{Sequence: p.sequence, Snapshot: snapshot, First: p.first, List: p.pending[:n:n]}
	tk := &fedStep{f: f, id: id, link: p.link, through: p.through - uint64(len(p.pending)-n)}
	if snapshot {
		p.snapshot -= n
		step.Last = p.snapshot == 0
		tk.whole = step.Last
		if !step.Last {
			tk.through = 0 // proves nothing before its end
		} else {
			tk.through = p.through - uint64(len(p.pending)-n)
		}
	}
	p.first = false
	p.pending = p.pending[n:]
	return step, tk, true
}

// again puts back a step that was not taken.
func (f *feeds) again(tk *fedStep, step *wire.Routes) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.mu.list[tk.id]
	if p == nil || p.link != tk.link || p.whole {
		return
	}
	p.sequence--
	if step.Audit {
		return // there will be another one
	}
	if p.audit != nil {
		p.before += len(step.List)
	}
	p.pending = append(slices.Clone(step.List), p.pending...)
	if step.Snapshot {
		p.snapshot += len(step.List)
		p.first = step.First
	}
}

// fedStep is the ticket of a step. Immutable.
type fedStep struct {
	f       *feeds
	id      wire.NodeID
	link    uint64
	through uint64
	whole   bool // it ends a snapshot
	audit   bool // it changes nothing
}

// Ended implements link.Ticket.
func (t *fedStep) Ended(_ wire.NodeID, r link.Result, _ uint8) {
	f := t.f
	f.mu.Lock()
	p := f.mu.list[t.id]
	if p == nil || p.link != t.link {
		f.mu.Unlock()
		return
	}
	if t.audit {
		if r == link.Refused { // it has other routes than were announced: everything again
			p.restart()
			p.whole, p.fed, p.acked = true, false, 0
		}
		f.mu.Unlock()
		f.nudge()
		return
	}
	if r != link.Stored {
		// Refused: it did not understand. It gets everything again with the next
		// link, and counts as not fed until then.
		p.fed, p.acked, p.link = false, 0, p.link+1
		f.mu.Unlock()
		f.c.config.Log.Warn("a member did not take this node's routes", "member", f.c.current.Load().name(t.id), "result", r.String())
		return
	}
	p.acked = max(p.acked, t.through)
	p.fed = p.fed || t.whole
	f.mu.Unlock()
	f.c.waits.nudge()
}
