package broker

import (
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
	if spool, ok := b.cfg.Cluster.(SpoolReader); ok {
		b.wheel.at(now+redirectAfter.Milliseconds(), redirection{s, b, spool})
	}
}

// redirection is one session whose messages are to go to its home. A value.
type redirection struct {
	leaving
	b     *Broker
	spool SpoolReader
}

func (t redirection) due(int64) int64 {
	t.b.spawn(t.run)
	return 0
}

// run reads the spool. What is in there for the session is what one of its
// filters matches: whoever put it there saw to nothing else.
func (t redirection) run() {
	b := t.b
	v, found, err := b.cfg.Metadata.GetSession(t.k.meta())
	if err == nil && (!found || over(v) || wire.NodeID(v.Home) == t.from) {
		return // it has ended, or come back
	}
	var filters []topic.Filter
	if err == nil {
		err = b.cfg.Metadata.ClientSubscriptions(t.k.meta(), func(f string, _ *metadata.Subscription) bool {
			if group, plain, _, err := topic.SplitShare(f); err == nil && group == "" {
				filters = append(filters, plain)
			}
			return true
		})
	}
	if err == nil && len(filters) > 0 {
		err = t.spool.Spooled(t.from, func(body []byte) bool {
			t.one(body, wire.NodeID(v.Home), filters)
			return true
		})
	}
	if err != nil {
		b.cfg.Log.Error("messages for a session that moved could not be redirected", "client", t.k.ClientID, "error", err)
	}
}

// one sends a message on if it is for the session.
func (t redirection) one(body []byte, home wire.NodeID, filters []topic.Filter) {
	b := t.b
	var f wire.Publish
	var p packet.Publish
	if wire.ParsePublish(body, &f) != nil || session.DecodeBody(f.Body, &p) != nil || string(f.Mountpoint) != t.k.Mountpoint {
		return // not for us; who sends it will hear what is wrong with it
	}
	if f.Generation < t.since || f.Generation >= t.cut {
		return
	}
	switch f.Targets {
	case wire.ToGroups:
		return
	case wire.ToSessions:
		if !named(&f, t.k.ClientID) {
			return
		}
	default:
		if !anyMatches(filters, topic.Name(p.Topic)) {
			return
		}
	}
	f.Targets, f.Sessions, f.Groups = wire.ToSessions, [][]byte{[]byte(t.k.ClientID)}, nil
	b.count.redirected.Inc()
	if uint64(home) == b.cfg.NodeID {
		r := b.arrivals.begin()
		defer b.arrivals.end()
		pub := publication{
			peer: home, id: queue.MessageID{Ingress: f.ID.Ingress, N: f.ID.N}, done: func(wire.Result, uint8) {},
		}
		b.arrive(&pub, &f, r)
		return
	}
	s := &sentOn{b: b, frame: wire.AppendPublish(nil, &f)}
	if b.cfg.Cluster.Send(home, wire.StreamPublish, wire.TypePublish, s.frame, s) != nil {
		b.count.unsent.Inc()
	}
}

func anyMatches(filters []topic.Filter, name topic.Name) bool {
	for _, f := range filters {
		if topic.Matches(f, name) {
			return true
		}
	}
	return false
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
