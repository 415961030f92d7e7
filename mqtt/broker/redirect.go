package broker

import (
	"maps"
	"slices"
	"sync"
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
	// old one is read: what was matched before is in there by then.
	redirectAfter = 500 * time.Millisecond
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
	// the session there; the rest was for it elsewhere.
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

// redirectStored begins what an earlier process here may have left undone, once
// it is known who is there: what waits for the home before the one that a session
// has is looked through once more if that is down, or goes down (R11). What goes
// there a second time is known by its id.
func (b *Broker) redirectStored() {
	err := b.cfg.Metadata.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		from := wire.NodeID(v.From)
		if !over(v) && v.From != v.Home {
			b.redirectLater(leaving{k: Key{k.Mountpoint, k.ClientID}, from: from, cut: b.started})
		}
		return true
	})
	if err != nil {
		b.cfg.Log.Error("messages for sessions that moved could not be looked for", "error", err)
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

// moved is a session that has left a node, and its new home. Immutable.
type moved struct {
	leaving
	home wire.NodeID
}

// run reads the spool once for all sessions. What is in there for a session is
// what one of its filters matches: whoever put it there saw to nothing else.
func (t redirection) run() {
	b := t.b
	l := &b.left
	l.mu.Lock()
	list := l.mu.due[t.from]
	delete(l.mu.due, t.from)
	l.mu.Unlock()
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
		t.one(body, wants, named)
		return true
	})
	if err != nil {
		b.cfg.Log.Error("messages for sessions that moved could not be redirected", "error", err)
	}
}

// wanted notes what a session wants of what is in the spool.
func (t redirection) wanted(s leaving, wants map[string]*topic.Index[*moved], named map[Key]*moved) error {
	b := t.b
	v, found, err := b.cfg.Metadata.GetSession(s.k.meta())
	if err != nil || !found || over(v) || wire.NodeID(v.Home) == t.from {
		return err // it has ended, or come back
	}
	x := wants[s.k.Mountpoint]
	if x == nil {
		x = topic.NewIndex[*moved](topic.Config{CacheEntries: -1})
		wants[s.k.Mountpoint] = x
	}
	m := &moved{s, wire.NodeID(v.Home)}
	named[s.k] = m
	return b.cfg.Metadata.ClientSubscriptions(s.k.meta(), func(f string, _ *metadata.Subscription) bool {
		if group, plain, _, err := topic.SplitShare(f); err == nil && group == "" {
			x.Subscribe(plain, m, topic.Options{})
		}
		return true
	})
}

// one sends a message on to the homes of the sessions that it is for.
func (t redirection) one(body []byte, wants map[string]*topic.Index[*moved], named map[Key]*moved) {
	var f wire.Publish
	var p packet.Publish
	if wire.ParsePublish(body, &f) != nil || session.DecodeBody(f.Body, &p) != nil {
		return // not for us; who sends it will hear what is wrong with it
	}
	to := map[wire.NodeID][][]byte{}
	add := func(m *moved) {
		if m != nil && f.Generation >= m.since && f.Generation < m.cut {
			to[m.home] = append(to[m.home], []byte(m.k.ClientID))
		}
	}
	switch x := wants[string(f.Mountpoint)]; {
	case x == nil || f.Targets == wire.ToGroups:
	case f.Targets == wire.ToSessions:
		for _, id := range f.Sessions {
			add(named[Key{string(f.Mountpoint), string(id)}])
		}
	default:
		res := x.Match(p.Topic)
		for i := range res.Direct {
			add(res.Direct[i].Sub)
		}
	}
	for _, home := range slices.Sorted(maps.Keys(to)) {
		f.Targets, f.Sessions, f.Groups = wire.ToSessions, to[home], nil
		t.b.count.redirected.Add(uint64(len(to[home])))
		t.b.sendOn(home, &f)
	}
}

// sendOn sends a redirected message to a home of its sessions.
func (b *Broker) sendOn(home wire.NodeID, f *wire.Publish) {
	if uint64(home) == b.cfg.NodeID {
		r := b.arrivals.begin()
		defer b.arrivals.end()
		pub := publication{
			peer: home, id: queue.MessageID{Ingress: f.ID.Ingress, N: f.ID.N}, done: func(wire.Result, uint8) {},
		}
		b.arrive(&pub, f, r)
		return
	}
	s := &sentOn{b: b, frame: wire.AppendPublish(nil, f)}
	if b.cfg.Cluster.Send(home, wire.StreamPublish, wire.TypePublish, s.frame, s) != nil {
		b.count.unsent.Inc()
	}
}

// sentOn is a redirected message on its way. Owned by the link; its original
// stays in the spool.
type sentOn struct {
	b     *Broker
	frame []byte
	tries int
}

// Ended sends it again if it was lost.
func (s *sentOn) Ended(to wire.NodeID, res Result, _ uint8) {
	if res != Lost {
		return
	}
	if s.tries++; s.tries > resendMax || s.b.cfg.Cluster.Send(to, wire.StreamPublish, wire.TypePublish, s.frame, s) != nil {
		s.b.count.unsent.Inc()
	}
}
