package cluster

import (
	"time"

	"tombolo/internal/wire"
	"tombolo/netsplit"
)

// judge steps the detector for the mesh. Owned by the mesh's goroutine for it.
type judge struct {
	c       *Cluster
	d       *netsplit.Detector
	effects netsplit.Effects
	beat    wire.Heartbeat          // used again for each
	told    map[wire.NodeID]thought // as the mesh was told
	send    func(to wire.NodeID, h *wire.Heartbeat)
	ticks   int
	counted bool  // the split that lasts has been counted
	found   int64 // in ms, when this node opened into a split that nobody has counted yet; 0: it did not
	argued  int64 // in ms, since when those that this starting node reaches have not reached each other; 0: they do
	founds  bool  // the node has begun a cluster that nobody else is a member of yet
}

// countEvery is how many ticks pass between two looks at what the links count.
const countEvery = 8

// graceMin is how long a node that starts waits for members of whom it hears
// nothing, graceMax for those whose links stand but are not up yet (R7).
const (
	graceMin = 3 * time.Second
	graceMax = 15 * time.Second
)

// agreeMax is how long a node that starts, and reaches whom it waits for, waits for
// them to reach each other and to have heard of it: they see that a link is up one
// after the other, and who opens between them refuses clients for a moment.
const agreeMax = time.Second

// Heard implements link.Detector.
func (j *judge) Heard(from wire.NodeID, inc wire.Incarnation, h *wire.Heartbeat, now int64) {
	beat := fromWire(from, inc, h)
	j.d.Heard(&beat, now, &j.effects)
	j.apply()
}

// Tick implements link.Detector.
func (j *judge) Tick(now int64, send func(to wire.NodeID, h *wire.Heartbeat)) (wake int64) {
	j.d.Tick(now, &j.effects)
	wake = j.effects.Wake
	j.c.wake.Store(wake)
	j.send = send
	j.progress(now)
	j.apply()
	j.suspects()
	j.open(now)
	j.met(now)
	if j.ticks++; j.ticks%countEvery == 0 {
		j.c.count.show(j.c.mesh.Stats())
	}
	return wake
}

// progress tells the detector how far links have come. It is told again and
// again, since what it hears before a link is steady does not count.
func (j *judge) progress(now int64) {
	type step struct {
		id         wire.NodeID
		exchanged  time.Time
		registered bool
	}
	var list []step
	j.c.mu.Lock()
	for id, p := range j.c.mu.peers {
		if p.linked {
			list = append(list, step{id, p.exchanged, p.synced && p.here && j.c.feeds.fed(id)})
		}
	}
	j.c.mu.Unlock()
	for _, s := range list {
		if !s.exchanged.IsZero() {
			j.d.Exchanged(netsplit.NodeID(s.id), j.c.mesh.Millis(s.exchanged), now, &j.effects)
		}
		if s.registered {
			j.d.Registered(netsplit.NodeID(s.id), now, &j.effects)
		}
	}
}

// apply does what a step wants done, and makes room for the next one.
func (j *judge) apply() {
	e := &j.effects
	for i := range e.Send {
		if s := &e.Send[i]; j.send != nil {
			toWire(&s.Heartbeat, &j.beat)
			j.send(wire.NodeID(s.To), &j.beat)
		}
	}
	if e.Verdict != nil {
		j.c.reached(e.Verdict)
		j.c.refresh(e.Verdict)
		j.c.nudge()
	}
	for i := range e.Events {
		j.event(&e.Events[i])
	}
	*e = netsplit.Effects{Send: e.Send[:0], Events: e.Events[:0]}
}

// thought is what the mesh is told of a node. A value.
type thought struct{ suspect, down bool }

// suspects tells the mesh who is suspect or down (R9).
func (j *judge) suspects() {
	s := j.c.current.Load()
	if len(j.told) >= len(s.members) { // this node is never among them
		clear(j.told) // one has been removed, and may come again as a stranger
	}
	for i := range s.members {
		id := s.members[i].ID
		if id == j.c.config.Node {
			continue
		}
		now := thought{j.d.Suspect(netsplit.NodeID(id)), !s.reaches(id)}
		if was, told := j.told[id]; !told || was != now {
			j.told[id] = now
			j.c.mesh.SetJudgement(id, now.suspect, now.down)
		}
	}
}

// open ends the time in which a node that has started admits nothing (R7).
func (j *judge) open(now int64) {
	c := j.c
	s := c.current.Load()
	if c.opened.Load() || !s.member || !c.settled() {
		return
	}
	age := c.config.Clock.Now().Sub(*c.since.Load())
	if j.founds && s.alone && age < graceMin {
		return
	}
	for i := range s.members {
		m := &s.members[i]
		if m.ID == c.config.Node || m.State != wire.MemberJoined && !c.linked(m.ID) || s.reaches(m.ID) {
			continue
		}
		if age < graceMin || c.linked(m.ID) && age < graceMax {
			return
		}
	}
	if !j.agreed(s, now) {
		return
	}
	c.opened.Store(true)
	c.refresh(nil)
	c.nudge()
	if j.d.Verdict().Split {
		j.found = now
	}
}

// agreed reports whether those that this node reaches reach each other, or have not for
// so long that this is a split.
func (j *judge) agreed(s *state, now int64) bool {
	switch {
	case !s.argues():
		j.argued = 0
		return true
	case j.argued == 0:
		j.argued = now
	}
	return now-j.argued >= agreeMax.Milliseconds()
}

// met counts a split that was there before this node opened. While a cluster
// forms, its nodes reach each other one after the other: that is none.
func (j *judge) met(now int64) {
	switch {
	case j.found == 0:
	case !j.d.Verdict().Split:
		j.found = 0
	case now-j.found >= graceMin.Milliseconds():
		j.found = 0
		j.event(&netsplit.Event{Kind: netsplit.SplitBegan})
	}
}

// greet tells a peer whose connections stand that this node is there, without
// waiting for the next beat.
func (c *Cluster) greet(id wire.NodeID) {
	c.calls.add(func() {
		c.mesh.Judge(func(now int64) {
			c.judge.d.Greet(netsplit.NodeID(id), now, &c.judge.effects)
			c.judge.apply()
		})
	})
}

// closed tells the detector that a node has closed its connections: if it stops as
// planned, nobody waits for its silence (R27).
func (c *Cluster) closed(id wire.NodeID) {
	c.calls.add(func() {
		c.mesh.Judge(func(now int64) {
			if !c.linked(id) { // it was not back at once
				c.judge.d.Closed(netsplit.NodeID(id), now, &c.judge.effects)
				c.judge.apply()
			}
		})
	})
}

// linked reports whether the links to a node stand.
func (c *Cluster) linked(id wire.NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.mu.peers[id]
	return p != nil && p.linked
}

// event logs and counts what the detector has found. What a node finds while it
// starts is no netsplit yet.
func (j *judge) event(e *netsplit.Event) {
	c := j.c
	opened := c.opened.Load()
	s := c.current.Load()
	log := c.config.Log
	peer := s.name(wire.NodeID(e.Peer))
	switch e.Kind {
	case netsplit.LinkSuspect:
		c.count.suspects.Inc()
		log.Info("a member is silent", "member", peer, "for", e.For)
	case netsplit.LinkDown:
		c.count.downs.Inc()
		log.Warn("a member cannot be reached", "member", peer, "silent_for", e.For)
	case netsplit.LinkUp:
		c.count.ups.Inc()
		log.Info("a member is reached", "member", peer, "after", e.For)
	case netsplit.SplitBegan:
		if !opened || j.counted {
			return
		}
		j.counted = true
		c.count.detected.Inc()
		log.Warn("netsplit: members of the cluster do not reach each other", "pairs", s.pairs(s.verdict.Missing), "majority", s.verdict.Majority)
	case netsplit.SplitEnded:
		if !j.counted {
			log.Info("every member reaches every other", "after", e.For)
			return
		}
		j.counted = false
		c.count.resolved.Inc()
		log.Warn("netsplit is over: every member reaches every other", "lasted", e.For)
	case netsplit.Stalled:
		c.count.stalls.Inc()
		log.Warn("this node did not run for a while; nothing is admitted before each link has answered", "stalled_for", e.For)
	}
}

// pairs names those that do not reach each other, as tombolo cluster show does. It
// need not be this node that misses somebody.
func (s *state) pairs(list [][2]netsplit.NodeID) []string {
	var out []string
	for _, p := range list {
		a, b := s.name(wire.NodeID(p[0])), s.name(wire.NodeID(p[1]))
		out = append(out, min(a, b)+"-"+max(a, b))
	}
	return out
}
