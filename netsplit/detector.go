package netsplit

import (
	"cmp"
	"slices"
	"time"
)

// Config is the detector's timing. Zero fields take the defaults, which are
// those of the promise P3.
type Config struct {
	Interval     time.Duration // between heartbeats on each plane; 250 ms
	JoinWithin   time.Duration // how long a member that is new may be silent, or be reached by some and not by all, before it gates; 3 s
	SuspectAfter time.Duration // silence that is counted and shown; 1 s
	DownAfter    time.Duration // silence after which a link is down; 2.5 s
	HealAfter    time.Duration // steadiness before a link is up again; 2 s
	LateAfter    time.Duration // own lateness above which deadlines are stretched by it; 500 ms
	StallAfter   time.Duration // own lateness above which every link must be proven afresh (R17); 1 s
	Tiebreaker   NodeID        // decides an even split for the half that holds it; 0 none
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&c.Interval, 250*time.Millisecond)
	set(&c.JoinWithin, 3*time.Second)
	set(&c.SuspectAfter, time.Second)
	set(&c.DownAfter, 2500*time.Millisecond)
	set(&c.HealAfter, 2*time.Second)
	set(&c.LateAfter, 500*time.Millisecond)
	set(&c.StallAfter, time.Second)
	return c
}

// Heartbeat is what nodes tell each other on every plane, four times a second.
type Heartbeat struct {
	From        NodeID
	Incarnation uint64 // of the sender's process
	Plane       Plane
	Seq         uint64 // rises by one with each heartbeat of the plane
	Echo        uint64 // the highest Seq of the receiver that the sender has heard on this plane
	Rows        []Row  // what the sender knows of everybody's links, its own among them
	Version     uint64 // of the sender's member set
}

// EventKind is what changed.
type EventKind uint8

// The events, in the order in which they matter to an operator.
const (
	LinkSuspect EventKind = iota + 1
	LinkDown
	LinkUp
	SplitBegan
	SplitEnded
	Stalled // this node did not run for a while
)

// Event is something worth a log line and a counter.
type Event struct {
	Kind EventKind
	Peer NodeID        // of link events
	For  time.Duration // how long the silence, the split or the stall lasted
}

// Effects are what a step wants done. Owned by the caller, who resets it.
type Effects struct {
	Send    []Sending
	Events  []Event
	Verdict *Verdict // set when it changed
	Wake    int64    // unix ms at which Tick is to be called next
}

// Sending is a heartbeat for one peer.
type Sending struct {
	To        NodeID
	Heartbeat Heartbeat
}

// Detector judges the links of one node. Owned by the goroutine that steps it.
//
// Invariants, checked by check:
//
//	(1) there is a link for every member but this node, by id, and no other
//	(2) a link that is up has a steadyFrom
//	(3) the verdict says split exactly if a pair of gating members is missing
type Detector struct {
	config      Config
	self        NodeID
	incarnation uint64
	members     *Members
	links       []*link // by id
	rows        []Row   // beside members; a zero Row is nothing known
	newcomers   newcomers
	primaryFrom int64 // since when this node is in a majority without a gap; 0: it is not
	smallerFrom int64 // since when the primary is smaller than the largest group; 0: it is not
	verdict     *Verdict
	nextBeat    int64
	news        bool  // our row changed and nobody was told
	expected    int64 // when Tick should have been called; 0: nothing ran yet
	ignored     uint64
}

// NewDetector judges for node self, whose process is named by incarnation.
// Every link begins as down: a node that starts admits nothing before it has
// found the others or knows that they are away.
func NewDetector(c Config, self NodeID, incarnation uint64, members *Members, now int64) *Detector {
	d := &Detector{config: c.withDefaults(), self: self, incarnation: incarnation, nextBeat: now}
	d.newcomers.met = map[[2]NodeID]bool{}
	d.adopt(members, now)
	if members.Len() == 1 {
		d.primaryFrom = now - millis(d.handover()) // nobody to take over from
	}
	d.own(now)
	d.verdict = d.judge(now)
	return d
}

func millis(d time.Duration) int64 { return d.Milliseconds() }

// adopt brings the links and rows in line with a member set.
func (d *Detector) adopt(m *Members, now int64) {
	d.welcome(d.members, m, now)
	d.members = m
	var links []*link
	m.Each(func(x Member) {
		if x.ID == d.self {
			return
		}
		l := d.link(x.ID)
		if l == nil {
			l = &link{id: x.ID, since: now}
			for i := range l.planes {
				l.planes[i].heardAt, l.planes[i].proven = now-millis(d.config.DownAfter)-1, now-millis(d.config.DownAfter)-1
			}
		}
		links = append(links, l)
	})
	rows := make([]Row, m.Len())
	for i := range rows {
		rows[i].Node = m.list[i].ID
		for _, old := range d.rows {
			if old.Node == rows[i].Node {
				rows[i] = old
			}
		}
	}
	d.links, d.rows = links, rows
}

// handover is how long a node that comes into the majority group waits before
// it opens: as long as a node that fell out of it may take to notice, because
// its links died or because it was told.
func (d *Detector) handover() time.Duration { return d.config.DownAfter + 3*d.config.Interval }

func (d *Detector) link(id NodeID) *link {
	i, ok := slices.BinarySearchFunc(d.links, id, func(l *link, id NodeID) int { return cmp.Compare(l.id, id) })
	if !ok {
		return nil
	}
	return d.links[i]
}

// SetTiebreaker names the member that decides an even split, 0 for none. It
// counts from the next step on.
func (d *Detector) SetTiebreaker(id NodeID) { d.config.Tiebreaker = id }

// Suspect reports whether a member has been silent for longer than
// SuspectAfter (R9).
func (d *Detector) Suspect(id NodeID) bool {
	l := d.link(id)
	return l != nil && l.suspect
}

// SetMembers takes a new member set.
func (d *Detector) SetMembers(m *Members, now int64, e *Effects) {
	d.adopt(m, now)
	d.settle(now, e)
}

// Heard takes a heartbeat.
func (d *Detector) Heard(h *Heartbeat, now int64, e *Effects) {
	l := d.link(h.From)
	if l == nil || h.Plane >= planes {
		d.ignored++
		return
	}
	if h.Incarnation != l.incarnation {
		l.restart(h.Incarnation)
	}
	if !l.planes[h.Plane].take(h.Seq, h.Echo, now) {
		d.ignored++
		return
	}
	l.closed = false
	if h.Plane == Control {
		d.learn(h.Rows)
	}
	before := l.steadyFrom
	d.settle(now, e)
	if before == 0 && l.steadyFrom > 0 {
		d.beatTo(l, slices.Clone(d.rows), now, e) // proven to us, and by this to the peer
		return
	}
	d.Greet(h.From, now, e)
}

// Closed tells that a peer's process has closed its connections. Of a member that
// has stopped as planned nobody waits for silence: who it served is served
// elsewhere at once. Of any other it says nothing.
func (d *Detector) Closed(peer NodeID, now int64, e *Effects) {
	if l := d.link(peer); l != nil {
		l.closed = true
		d.settle(now, e)
	}
}

// over reports whether the peer's process has ended as planned.
func (d *Detector) over(l *link) bool {
	m, ok := d.members.Get(l.id)
	return l.closed && ok && m.State == Stopped
}

// Exchanged tells that a metadata exchange with a peer ended that began at the
// given time, in both directions.
func (d *Detector) Exchanged(peer NodeID, began, now int64, e *Effects) {
	if l := d.link(peer); l != nil && l.steadyFrom > 0 && began >= l.steadyFrom {
		l.exchanged = true
		d.settle(now, e)
	}
}

// Registered tells that registries were exchanged with a peer and duplicate
// sessions resolved.
func (d *Detector) Registered(peer NodeID, now int64, e *Effects) {
	if l := d.link(peer); l != nil && l.steadyFrom > 0 {
		l.registered = true
		d.settle(now, e)
	}
}

// Tick sends heartbeats and lets time pass. It is to be called at Effects.Wake;
// when it is called later than that, this node was not running.
func (d *Detector) Tick(now int64, e *Effects) {
	if late := now - d.expected; d.expected != 0 && late > millis(d.config.LateAfter) {
		d.forgive(late, now, e)
	}
	if now >= d.nextBeat {
		d.beat(now, e)
		d.nextBeat = now + millis(d.config.Interval)
	}
	d.settle(now, e)
	d.expected = d.wake(now)
	e.Wake = d.expected
}

// wake is when time alone changes something.
func (d *Detector) wake(now int64) int64 {
	at := d.nextBeat
	soon := func(t int64) {
		if t > now {
			at = min(at, t)
		}
	}
	for _, l := range d.links {
		switch {
		case l.state == linkUp:
			soon(now - l.silence(now, millis(d.config.Interval)) + millis(d.config.DownAfter) + 1)
		case l.steadyFrom > 0:
			soon(l.steadyFrom + millis(d.config.HealAfter))
		}
	}
	return at
}

// forgive moves all evidence by the time in which we did not run: what came
// in meanwhile is still waiting to be read. After a long stall others may have
// given us up, so nothing is admitted before each link has answered anew.
func (d *Detector) forgive(late, now int64, e *Effects) {
	for _, l := range d.links {
		for i := range l.planes {
			l.planes[i].shift(late)
		}
		if l.steadyFrom > 0 {
			l.steadyFrom += late
		}
	}
	if late <= millis(d.config.StallAfter) {
		return
	}
	for _, l := range d.links {
		if l.state == linkUp {
			l.provenAfter = now
		}
	}
	e.Events = append(e.Events, Event{Kind: Stalled, For: time.Duration(late) * time.Millisecond})
}

// beat puts a heartbeat for every peer and plane into e.
func (d *Detector) beat(now int64, e *Effects) {
	rows := slices.Clone(d.rows) // rows are replaced, never changed
	for _, l := range d.links {
		d.beatTo(l, rows, now, e)
	}
}

func (d *Detector) beatTo(l *link, rows []Row, now int64, e *Effects) {
	l.beatAt = now
	for i := range l.planes {
		p := &l.planes[i]
		e.Send = append(e.Send, Sending{To: l.id, Heartbeat: Heartbeat{
			From: d.self, Incarnation: d.incarnation, Plane: Plane(i),
			Seq: p.send(now), Echo: p.heard, Rows: rows, Version: d.members.Version,
		}})
	}
}

// greetEvery is the time between two answers to a peer that is about to be
// proven, in ms: a peer that is heard and does not hear us is not to be flooded.
const greetEvery = 50

// Greet sends a peer a heartbeat now and not with the next beat: its connections
// stand, or it was heard and waits for our echo. A heal is shorter by that.
func (d *Detector) Greet(peer NodeID, now int64, e *Effects) {
	if l := d.link(peer); l != nil && l.state == linkDown && l.steadyFrom == 0 && now-l.beatAt >= greetEvery {
		d.beatTo(l, slices.Clone(d.rows), now, e)
	}
}

// settle moves every link to the state that the evidence gives it, and
// pronounces a verdict if that changed anything.
func (d *Detector) settle(now int64, e *Effects) {
	for _, l := range d.links {
		d.settleLink(l, now, e)
	}
	d.own(now)
	d.pronounce(d.judge(now), now, e)
	d.own(now) // its seat
	if d.news {
		// Who is not at the link that changed learns of it from us: at once, not
		// with the next beat, for a verdict waits for it.
		d.news = false
		d.beat(now, e)
	}
}

// pronounce makes v the verdict if it is another one.
func (d *Detector) pronounce(v *Verdict, now int64, e *Effects) {
	if v.same(d.verdict) {
		return
	}
	switch {
	case v.Split && !d.verdict.Split:
		e.Events = append(e.Events, Event{Kind: SplitBegan})
	case !v.Split && d.verdict.Split:
		e.Events = append(e.Events, Event{Kind: SplitEnded, For: time.Duration(now-d.verdict.Since) * time.Millisecond})
	}
	if v.Split == d.verdict.Split {
		v.Since = d.verdict.Since
	}
	d.verdict = v
	e.Verdict = v
}

func (d *Detector) settleLink(l *link, now int64, e *Effects) {
	silence := l.silence(now, millis(d.config.Interval))
	works := silence <= millis(d.config.DownAfter) && !d.over(l)
	suspect := silence > millis(d.config.SuspectAfter)
	if suspect && !l.suspect && l.state == linkUp && works {
		e.Events = append(e.Events, Event{Kind: LinkSuspect, Peer: l.id, For: time.Duration(silence) * time.Millisecond})
	}
	l.suspect = suspect
	switch {
	case !works:
		l.steadyFrom, l.exchanged, l.registered = 0, false, false
		if l.state == linkUp {
			l.state, l.since = linkDown, now
			d.newcomers.meet(d.self, l.id) // also if its own row never said so
			e.Events = append(e.Events, Event{Kind: LinkDown, Peer: l.id, For: time.Duration(silence) * time.Millisecond})
		}
	case suspect && l.state == linkDown:
		// Steadiness has no gaps: what is not up yet starts over.
		l.steadyFrom, l.exchanged, l.registered = 0, false, false
	case l.steadyFrom == 0 && !suspect:
		l.steadyFrom = now
	}
	if l.state == linkDown && l.steadyFrom > 0 && l.exchanged && l.registered && now-l.steadyFrom >= millis(d.config.HealAfter) {
		e.Events = append(e.Events, Event{Kind: LinkUp, Peer: l.id, For: time.Duration(now-l.since) * time.Millisecond})
		l.state, l.since, l.provenAfter = linkUp, now, 0
	}
}

// Verdict returns the current one.
func (d *Detector) Verdict() *Verdict { return d.verdict }

// Ignored counts heartbeats that made no sense.
func (d *Detector) Ignored() uint64 { return d.ignored }
