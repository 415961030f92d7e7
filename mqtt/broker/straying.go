package broker

import (
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// sendStrays sends a message of a peer on to the sessions that were let go before
// the peer had heard of it. What pub says when it ends waits for them.
func (b *Broker) sendStrays(pub *publication, p *wire.Publish, now int64) {
	// By the tables of now, and ahead of the fences of what they say next: a home
	// that lets the session go waits for those.
	var way publication
	b.enter(&way)
	defer way.under.Add(-1)
	to := map[wire.NodeID][][]byte{}
	for _, k := range b.strays.match(pub, p, now) {
		v, found, err := b.cfg.Metadata.GetSession(k.meta())
		switch {
		case err != nil:
			b.cfg.Log.Error("where a session has gone cannot be read", "client", k.ClientID, "error", err)
		case !found || v.Over() || v.Home == b.cfg.NodeID:
			b.strays.drop(pub.peer, k) // it has ended, or come back
		default:
			to[wire.NodeID(v.Home)] = append(to[wire.NodeID(v.Home)], []byte(k.ClientID))
		}
	}
	if len(to) == 0 {
		return
	}
	s := &straying{done: pub.done}
	s.left.Store(int32(len(to)) + 1)
	pub.done = s.here
	f := *p
	for _, home := range sortedIDs(to) {
		f.Targets, f.Sessions, f.Groups = wire.ToSessions, to[home], nil
		b.count.redirected.Add(uint64(len(to[home])))
		b.sendCopy(home, &f, func(res Result) { s.there(res != Lost) })
	}
}

// straying is a message of a peer that is on its way to sessions which were let go.
// Shared by those who see to a part of it.
type straying struct {
	done   func(wire.Result, uint8)
	left   atomic.Int32
	failed atomic.Bool
	result wire.Result // of what was for this node; written before its part ends
	reason uint8
}

// here ends the part of this node.
func (s *straying) here(result wire.Result, reason uint8) {
	s.result, s.reason = result, reason
	s.end()
}

// there ends a copy.
func (s *straying) there(arrived bool) {
	if !arrived {
		s.failed.Store(true)
	}
	s.end()
}

func (s *straying) end() {
	if s.left.Add(-1) > 0 {
		return
	}
	switch {
	case s.result == wire.Refused:
		s.done(s.result, s.reason)
	case s.failed.Load():
		s.done(wire.Refused, uint8(packet.ServerBusy))
	case s.reason == 0: // no group was missed
		s.done(wire.Stored, 0)
	default:
		s.done(s.result, s.reason)
	}
}
