package metadata

import (
	"slices"
	"time"

	"tombolo/dvv"
	"tombolo/metadata/replica"
)

// Exchange is that this node and a peer have each pulled a clock that the other
// took after Began, a moment of this link's life: what R28 asks for before a
// link counts as healed. While a link stands there is a new one about once a
// second. Immutable.
type Exchange struct {
	Peer         uint64
	Began, Ended time.Time
}

// Replicated calls done once every linked member (PeerUp) holds all writes that
// were acknowledged here before the call (R6, R8, R29), from the completion
// goroutine, never from inside the call. A member whose link goes down is not
// waited for any longer, one whose link comes up meanwhile is not waited for at
// all. Nor is a member that owes a full join, since it serves nobody, or one
// that has been linked for two seconds and has not said who it is: what either
// of them counts as an exchange holds what was acknowledged before. There is no
// timeout: that is the caller's. ErrBusy says that 65,536 callers wait.
func (s *Store) Replicated(done func(error)) {
	if s.waiting.Add(1) > waitsMax {
		s.waiting.Add(-1)
		s.completer.add([]completion{{done: done, err: ErrBusy}})
		return
	}
	status := s.status.Load()
	refused := func(err error) { s.answerWaits([]func(error){done}, err) }
	ok := s.inbox.put(entry{refused: refused, fn: func(r *replica.Replica, now time.Time) {
		s.waits.add(r, now, status, done)
	}})
	if !ok {
		refused(ErrClosed)
	}
}

// answerWaits answers callers of Replicated.
func (s *Store) answerWaits(dones []func(error), err error) {
	if len(dones) == 0 {
		return
	}
	s.waiting.Add(-int64(len(dones)))
	list := make([]completion, len(dones))
	for i := range dones {
		list[i] = completion{done: dones[i], err: err}
	}
	s.completer.add(list)
}

// refuseAsked answers those whom Run has not heard of, and all to come.
func (s *Store) refuseAsked(err error) {
	for _, e := range s.inbox.shut() {
		if e.refused != nil {
			e.refused(err)
		}
	}
}

// The bounds and times of waits.
const (
	waitsMax     = 1 << 16
	handshakeMax = 2 * time.Second        // how long a linked member may take to say who it is
	nudgeAfter   = 100 * time.Millisecond // without an answer: what was pushed may be lost
	waitTick     = 50 * time.Millisecond  // how often that is looked at while somebody waits
)

// waits is who waits for other members, and which are linked. Owned by Run.
//
// A later group waits for at least the writes and the peers that an earlier one
// still waits for, so that they end in order.
type waits struct {
	links   map[uint64]time.Time // since when
	changes uint64               // of links
	groups  []waitGroup
}

// waitGroup is those who wait for the same. Owned by waits.
type waitGroup struct {
	status  *Status // up to which commit
	changes uint64  // of links, when it began
	target  dvv.VV
	peers   []uint64
	dones   []func(error)
	nudge   time.Time
}

func newWaits() *waits { return &waits{links: map[uint64]time.Time{}} }

func (w *waits) linked(id uint64) bool {
	_, ok := w.links[id]
	return ok
}

func (w *waits) up(id uint64, now time.Time) {
	if !w.linked(id) {
		w.links[id] = now
		w.changes++
	}
}

func (w *waits) down(id uint64) {
	delete(w.links, id)
	w.changes++
	for i := range w.groups {
		g := &w.groups[i]
		g.peers = slices.DeleteFunc(g.peers, func(p uint64) bool { return p == id })
	}
}

// add has done wait for what was durable at status.
func (w *waits) add(r *replica.Replica, now time.Time, status *Status, done func(error)) {
	if n := len(w.groups); n > 0 && w.groups[n-1].status == status && w.groups[n-1].changes == w.changes {
		w.groups[n-1].dones = append(w.groups[n-1].dones, done)
		return
	}
	g := waitGroup{status: status, changes: w.changes, target: status.written(), nudge: now.Add(nudgeAfter)}
	for id := range w.links {
		if r.IsMember(id) {
			g.peers = append(g.peers, id)
		}
	}
	slices.Sort(g.peers)
	g.dones = append(g.dones, done)
	w.groups = append(w.groups, g)
}

// settle takes out those who need not wait any longer.
func (w *waits) settle(r *replica.Replica, now time.Time) (dones []func(error)) {
	n := 0
	for ; n < len(w.groups); n++ {
		g := &w.groups[n]
		g.peers = slices.DeleteFunc(g.peers, func(id uint64) bool {
			switch r.Holds(id, g.target) {
			case replica.HoldsAll:
				return true
			case replica.HoldsUnknown:
				return now.Sub(w.links[id]) >= handshakeMax
			}
			return false
		})
		if len(g.peers) > 0 {
			break
		}
		dones = append(dones, g.dones...)
	}
	w.groups = slices.Delete(w.groups, 0, n)
	return dones
}

// nudgeLate shows the members that the oldest group waits for what there is to
// pull, if that takes long.
func (w *waits) nudgeLate(r *replica.Replica, now time.Time) {
	if len(w.groups) == 0 || now.Before(w.groups[0].nudge) {
		return
	}
	g := &w.groups[0]
	g.nudge = now.Add(nudgeAfter)
	for _, id := range g.peers {
		r.Nudge(id)
	}
}

// clear takes out all.
func (w *waits) clear() (dones []func(error)) {
	for i := range w.groups {
		dones = append(dones, w.groups[i].dones...)
	}
	w.groups = nil
	return dones
}

// written is up to where this node's own writes are durable here.
func (s *Status) written() dvv.VV {
	dots := make([]dvv.Dot, 0, len(s.own))
	for _, a := range s.own {
		if n := s.Clock.Base(a); n > 0 {
			dots = append(dots, dvv.Dot{Actor: a, Counter: n})
		}
	}
	return dvv.NewVV(dots...)
}
