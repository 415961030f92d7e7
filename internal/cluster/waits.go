package cluster

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"tombolo/internal/wire"
)

// waitMax is how long a SUBACK or an acknowledgement of a retained message waits
// for the other members: longer than a verdict takes, which releases those that
// are gone (R6).
const waitMax = 5 * time.Second

var (
	errWait    = errors.New("cluster: another member has not confirmed in time")
	errStopped = errors.New("cluster: the node stops")
)

// waits are those who wait for other members. Safe for concurrent use. Bound:
// one for each packet of a client that is being answered.
type waits struct {
	c    *Cluster
	wake chan struct{}
	mu   struct {
		sync.Mutex
		over bool
		list []*wait
	}
}

// wait is one that waits. Guarded by waits.mu, but for what says otherwise.
type wait struct {
	position uint64 // of routes; for those who wait for them
	routes   bool
	links    []peerLink // that stood when the store was asked; for those who wait for metadata
	asked    bool       // the store has not answered
	answered bool       // it has: all of links hold what this one waits for
	err      error
	done     func(error) // immutable
	until    time.Time   // immutable
	over     bool        // owned by run
}

// peerLink names one link of one peer. A value.
type peerLink struct {
	id   wire.NodeID
	link uint64
}

func newWaits(c *Cluster) *waits { return &waits{c: c, wake: make(chan struct{}, 1)} }

func (w *waits) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// look is nudge: reachability has changed.
func (w *waits) look() { w.nudge() }

// Announced implements broker.Cluster.
func (c *Cluster) Announced(done func(error)) {
	c.waits.add(&wait{routes: true, position: c.feeds.at(), done: done})
}

// Replicated implements broker.Cluster.
func (c *Cluster) Replicated(done func(error)) { c.waits.add(&wait{done: done}) }

// add takes one that waits.
func (w *waits) add(x *wait) {
	if w.c.Alone() {
		w.c.calls.add(func() { x.done(nil) })
		return
	}
	x.until = w.c.config.Clock.Now().Add(waitMax)
	w.mu.Lock()
	if w.mu.over {
		w.mu.Unlock()
		x.done(errStopped)
		return
	}
	w.mu.list = append(w.mu.list, x)
	w.mu.Unlock()
	w.nudge()
}

// waitTick is how often deadlines are looked at while somebody waits.
const waitTick = 100 * time.Millisecond

// run answers those who have waited until ctx ends.
func (w *waits) run(ctx context.Context) {
	timer := w.c.config.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-w.wake:
		case <-timer.C():
		case <-ctx.Done():
			return
		}
		if w.sweep() {
			timer.Reset(waitTick)
		}
	}
}

// sweep answers whom it can; more says that somebody still waits.
func (w *waits) sweep() (more bool) {
	s := w.c.current.Load()
	now := w.c.config.Clock.Now()
	links, whole := w.c.links(s)
	position := w.confirmed(s)
	var ask []*wait
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.mu.list {
		switch {
		case x.routes && x.position <= position, !x.routes && x.answered && x.err == nil && covers(x.links, links) && whole:
			w.answer(x, nil)
		case x.err != nil:
			w.answer(x, x.err)
		case now.After(x.until):
			w.answer(x, errWait)
		case !x.routes && !x.asked && whole:
			x.asked, x.answered, x.links = true, false, links
			ask = append(ask, x)
		}
	}
	w.mu.list = slices.DeleteFunc(w.mu.list, func(x *wait) bool { return x.over })
	if len(ask) > 0 { // one question for all of them
		w.c.parts.Metadata.Replicated(func(err error) { w.held(ask, err) }) // never calls back from inside
	}
	return len(w.mu.list) > 0
}

// held is the store's answer: the members that were linked all along hold it.
func (w *waits) held(list []*wait, err error) {
	w.mu.Lock()
	for _, x := range list {
		x.asked, x.answered, x.err = false, err == nil, err
	}
	w.mu.Unlock()
	w.nudge()
}

// covers reports whether all links of list are among asked: a link that stood
// when the store was asked, and still stands, was waited for.
func covers(asked, list []peerLink) bool {
	for _, l := range list {
		if !slices.Contains(asked, l) {
			return false
		}
	}
	return true
}

// links are the links of the reachable members; whole is false if one of them is
// not linked at the moment: either it comes back or the verdict says down.
func (c *Cluster) links(s *state) (out []peerLink, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	whole = true
	for _, id := range s.reachable {
		if id == c.config.Node {
			continue
		}
		p := c.mu.peers[id]
		if p == nil || !p.linked {
			whole = false
			continue
		}
		out = append(out, peerLink{id, p.link})
	}
	return out, whole
}

// confirmed is the position up to which every reachable member has taken in the
// routes.
func (w *waits) confirmed(s *state) uint64 {
	position := uint64(math.MaxUint64)
	for _, id := range s.reachable {
		if id != w.c.config.Node {
			position = min(position, w.c.feeds.confirmed(id))
		}
	}
	return position
}

func (w *waits) answer(x *wait, err error) {
	x.over = true
	w.c.calls.add(func() { x.done(err) })
}

// end answers everybody: the node stops.
func (w *waits) end() {
	w.mu.Lock()
	list := w.mu.list
	w.mu.list, w.mu.over = nil, true
	w.mu.Unlock()
	for _, x := range list {
		w.answer(x, errStopped)
	}
}
