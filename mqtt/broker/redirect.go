package broker

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
	"tombolo/queue"
)

// SpoolReader is what a Cluster is as well if it spools for nodes that are away.
type SpoolReader interface {
	// Spooled calls fn for the bodies of the publishes that wait for a node,
	// in order, until it returns false. A body is valid during the call.
	Spooled(to wire.NodeID, fn func(body []byte) bool) error
}

const (
	// redirectAfter is how long after a session has a new home the spool for its
	// old one is read: what was matched before has been sent by then.
	redirectAfter = 500 * time.Millisecond
	// spooledMax is how long a spool may take to have what was sent.
	spooledMax = 30 * time.Second
	// leftFor is how long a session that has left a node is remembered, in ms: as
	// long as it may take until the node has all that was sent to it before, or is
	// down.
	leftFor = 60_000
	leftMax = 1 << 16
)

// left are the sessions that have left a node lately. Safe for concurrent use.
// Bound: leftMax; of more the first are forgotten, and what waits for them is
// left to their old home.
type left struct {
	mu struct {
		sync.Mutex
		list []leaving
		due  map[wire.NodeID][]leaving // by the node that they have left; the spool for it is read soon
	}
}

// leaving is a session that has left a node. A value.
type leaving struct {
	k    Key
	from wire.NodeID
	at   int64 // unix ms
	// What this node matched under generations from since to below cut was for
	// the session there; the rest was for it elsewhere. What names the session was
	// sent on to there, whenever it was matched.
	since, cut uint64
}

// redirectLater sees to it that what waits for a session's old home goes to the
// new one as well, under the same message ids, if the old one is down or goes
// down: else it takes its share and moves it itself (R11).
func (b *Broker) redirectLater(s leaving) {
	if s.from == 0 || uint64(s.from) == b.cfg.NodeID {
		return
	}
	now := b.cfg.Now().UnixMilli()
	s.at = now
	if !b.cfg.Cluster.Reachable(s.from) {
		b.redirectOne(s, now)
		return
	}
	l := &b.left
	l.mu.Lock()
	defer l.mu.Unlock()
	old := 0
	for old < len(l.mu.list) && (l.mu.list[old].at < now-leftFor || len(l.mu.list)-old >= leftMax) {
		old++
	}
	l.mu.list = append(l.mu.list[old:], s)
}

// redirectFrom redirects what waits for a node that has gone down.
func (b *Broker) redirectFrom(from wire.NodeID) {
	now := b.cfg.Now().UnixMilli()
	var list []leaving
	l := &b.left
	l.mu.Lock()
	kept := l.mu.list[:0]
	for _, s := range l.mu.list {
		if s.from == from && s.at >= now-leftFor {
			list = append(list, s)
		} else {
			kept = append(kept, s)
		}
	}
	l.mu.list = kept
	l.mu.Unlock()
	for _, s := range list {
		b.redirectOne(s, now)
	}
}

func (b *Broker) redirectOne(s leaving, now int64) {
	spool, ok := b.cfg.Cluster.(SpoolReader)
	if !ok {
		return
	}
	l := &b.left
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.due == nil {
		l.mu.due = map[wire.NodeID][]leaving{}
	}
	list := l.mu.due[s.from]
	l.mu.due[s.from] = append(list, s)
	if len(list) == 0 {
		b.wheel.at(now+redirectAfter.Milliseconds(), redirection{s.from, b, spool})
	}
}

// redirectStored does what an earlier process here may have left undone (R11):
// what waits for the home before the one that a session has is sent to the new one
// as well, before any of it goes where it waits for. The old home may be there, but
// it did not wait for this node, which it could not reach, before it let the session
// go. What comes to the new home a second time is known by its id.
func (b *Broker) redirectStored() {
	spool, ok := b.cfg.Cluster.(SpoolReader)
	if !ok {
		return
	}
	waits := map[wire.NodeID]bool{}
	for _, id := range b.others() {
		err := spool.Spooled(id, func([]byte) bool { waits[id] = true; return false })
		if err != nil {
			b.cfg.Log.Error("messages that wait for a node could not be looked for", "node", uint64(id), "error", err)
		}
	}
	if len(waits) == 0 {
		return
	}
	left := map[wire.NodeID][]leaving{}
	err := b.cfg.Metadata.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		if from := wire.NodeID(v.From); waits[from] && !v.Over() && v.From != v.Home {
			left[from] = append(left[from], leaving{k: Key{k.Mountpoint, k.ClientID}, from: from, cut: b.started})
		}
		return true
	})
	if err != nil {
		b.cfg.Log.Error("messages for sessions that moved could not be looked for", "error", err)
	}
	for _, from := range slices.Sorted(maps.Keys(left)) {
		redirection{from, b, spool}.read(left[from], true)
	}
}

// redirection sends what waits for a node to the new homes of the sessions that
// have left it. A value.
type redirection struct {
	from  wire.NodeID
	b     *Broker
	spool SpoolReader
}

func (t redirection) due(int64) int64 {
	t.b.spawn(t.run)
	return 0
}

// moved is a session that has left a node, and its new home. Immutable, but for what
// is told of copies.
type moved struct {
	leaving
	home   wire.NodeID
	epoch  metadata.Epoch // of the new home
	copies int            // sent on; owned by who reads the spool
	failed atomic.Bool    // of what waits for the old home not all has gone to the new one
}

// run reads the spool for the sessions that have left the node lately.
func (t redirection) run() {
	l := &t.b.left
	l.mu.Lock()
	list := l.mu.due[t.from]
	delete(l.mu.due, t.from)
	l.mu.Unlock()
	t.read(list, t.spooled())
}

// spooled waits until what was sent to the node is in its spool, or there: a disk
// may take longer for it than redirectAfter. A fence for nobody goes behind it. False
// if that is not known.
func (t redirection) spooled() bool {
	b, there := t.b, make(ticket, 1)
	m := wire.Fence{Generation: b.generation.Load()}
	if b.cfg.Cluster.Send(t.from, wire.StreamPublish, wire.TypeFence, wire.AppendFence(nil, &m), there) != nil {
		return false // the spool has no room: what is sent to it now is not admitted
	}
	late := time.NewTimer(spooledMax)
	defer late.Stop()
	select {
	case res := <-there:
		return res == Stored || res == InSpool
	case <-late.C:
	case <-b.stop:
	}
	return false
}

// read reads the spool once for all sessions of a list. What is in there for a
// session is what one of its filters matches: whoever put it there saw to nothing
// else. whole says that nothing of what was sent to the node is on its way into it.
func (t redirection) read(list []leaving, whole bool) {
	b := t.b
	told := newPassage(t)                      // before any record is read
	wants := map[string]*topic.Index[*moved]{} // by mountpoint
	named := map[Key]*moved{}
	for _, s := range list {
		if err := t.wanted(s, wants, named); err != nil {
			b.cfg.Log.Error("messages for a session that moved could not be redirected", "client", s.k.ClientID, "error", err)
		}
	}
	if len(named) == 0 {
		return
	}
	err := t.spool.Spooled(t.from, func(body []byte) bool {
		t.one(body, wants, named, told)
		return true
	})
	if err != nil {
		b.cfg.Log.Error("messages for sessions that moved could not be redirected", "error", err)
	}
	again := t.movedOn(named)
	if whole && err == nil {
		told.read(named)
	}
	if len(again) > 0 {
		t.read(again, whole)
	}
}

// movedOn are those of some sessions that have another home than what was sent on for
// them went to: that one may have had this node's fence first, and let them go.
func (t redirection) movedOn(named map[Key]*moved) (list []leaving) {
	for k, m := range named {
		v, found, err := t.b.cfg.Metadata.GetSession(k.meta())
		if err == nil && found && wire.NodeID(v.Home) != m.home {
			m.failed.Store(true)
			list = append(list, m.leaving)
		}
	}
	return list
}

// wanted notes what a session wants of what is in the spool.
func (t redirection) wanted(s leaving, wants map[string]*topic.Index[*moved], named map[Key]*moved) error {
	b := t.b
	v, found, err := b.cfg.Metadata.GetSession(s.k.meta())
	if err != nil || !found || v.Over() || wire.NodeID(v.Home) == t.from {
		return err // it has ended, or come back
	}
	x := wants[s.k.Mountpoint]
	if x == nil {
		x = topic.NewIndex[*moved](topic.Config{CacheEntries: -1})
		wants[s.k.Mountpoint] = x
	}
	m := &moved{leaving: s, home: wire.NodeID(v.Home), epoch: v.Epoch}
	named[s.k] = m
	return b.plainFilters(s.k, func(f topic.Filter) { x.Subscribe(f, m, topic.Options{}) })
}

// one sends a message on to the homes of the sessions that it is for.
func (t redirection) one(body []byte, wants map[string]*topic.Index[*moved], named map[Key]*moved, told *passage) {
	var f wire.Publish
	var p packet.Publish
	if wire.ParsePublish(body, &f) != nil || session.DecodeBody(f.Body, &p) != nil {
		return // not for us; who sends it will hear what is wrong with it
	}
	to := map[wire.NodeID][]*moved{}
	eachMeant(&f, p.Topic, wants, named, func(m *moved) {
		switch {
		case f.Targets == wire.ToSessions || f.Generation >= m.since && f.Generation < m.cut:
			to[m.home] = append(to[m.home], m)
		case f.Generation < m.since:
			m.failed.Store(true) // whose it is the old home decides
		}
	})
	for _, home := range slices.Sorted(maps.Keys(to)) {
		list := to[home]
		f.Targets, f.Sessions, f.Groups = wire.ToSessions, nil, nil
		for _, m := range list {
			f.Sessions = append(f.Sessions, []byte(m.k.ClientID))
			m.copies++
		}
		t.b.count.redirected.Add(uint64(len(list)))
		t.b.sendOn(home, &f, told.copyOf(list))
	}
}

// eachMeant calls fn for those of some sessions that a frame is for: the ones that it
// names, or by what they want of its mountpoint.
func eachMeant[S comparable](f *wire.Publish, name []byte, wants map[string]*topic.Index[S], named map[Key]S, fn func(S)) {
	switch x := wants[string(f.Mountpoint)]; {
	case x == nil || f.Targets == wire.ToGroups:
	case f.Targets == wire.ToSessions:
		for _, id := range f.Sessions {
			if s, found := named[Key{string(f.Mountpoint), string(id)}]; found {
				fn(s)
			}
		}
	default:
		res := x.Match(name)
		for i := range res.Direct {
			fn(res.Direct[i].Sub)
		}
	}
}

// sendOn sends a redirected message to a home of its sessions; then is called once,
// with whether that has it, or this node's spool for it.
func (b *Broker) sendOn(home wire.NodeID, f *wire.Publish, then func(arrived bool)) {
	if uint64(home) == b.cfg.NodeID {
		r := b.arrivals.begin()
		defer b.arrivals.end()
		pub := publication{
			peer: home, id: queue.MessageID{Ingress: f.ID.Ingress, N: f.ID.N},
			done: func(res wire.Result, _ uint8) { then(res == wire.Stored) },
		}
		b.arrive(&pub, f, r)
		return
	}
	b.sendCopy(home, f, func(res Result) { then(res == Stored || res == InSpool) })
}

// sendCopy sends a message to another node; then is called once, with how it ended.
func (b *Broker) sendCopy(home wire.NodeID, f *wire.Publish, then func(Result)) {
	s := &sentOn{b: b, frame: wire.AppendPublish(nil, f), then: then}
	s.send(home)
}

// sentOn is a copy of a message on its way to the new home of a session. Owned by
// the link; its original stays where it is.
type sentOn struct {
	b     *Broker
	frame []byte
	then  func(Result)
	tries int
}

func (s *sentOn) send(to wire.NodeID) {
	if s.b.cfg.Cluster.Send(to, wire.StreamPublish, wire.TypePublish, s.frame, s) != nil {
		s.b.count.unsent.Inc()
		s.then(Lost)
	}
}

// Ended sends it again if it was lost.
func (s *sentOn) Ended(to wire.NodeID, res Result, _ uint8) {
	switch {
	case res != Lost:
		s.then(res)
	case s.tries == resendMax:
		s.b.count.unsent.Inc()
		s.then(Lost)
	default:
		s.tries++
		s.send(to)
	}
}
