package broker

import (
	"slices"
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/queue"
)

// settling tells up to which id this node's QoS 2 messages are confirmed
// everywhere, so that others may forget them (R3). It counts those that are not,
// by turns: those of a turn have ids from where it began on. turn and under are
// atomic, the rest is owned by the ticks, of which one runs at a time.
type settling struct {
	turn  atomic.Uint64
	under [2]atomic.Int64 // of this turn and of the one before, by its last bit
	used  atomic.Bool     // since the last mark
	begin queue.MessageID // where this turn began
	left  int             // marks that are still due

	told   queue.MessageID // the last mark that was told
	except []uint64        // what it excepted
}

// Unspooled is what a Cluster is as well if it can tell that nothing waits in its
// spools; of one that cannot nothing is settled.
type Unspooled interface{ Unspooled() bool }

// settleEvery is how often a mark is told at most, in ms.
const settleEvery = 1000

// enter counts a message whose id is not given yet; who gets the counter takes
// one from it when the message is confirmed.
func (s *settling) enter() *atomic.Int64 {
	for {
		turn := s.turn.Load()
		u := &s.under[turn&1]
		u.Add(1)
		if s.turn.Load() == turn {
			s.used.Store(true)
			return u
		}
		u.Add(-1)
	}
}

// mark ends a turn if all of the one before has been confirmed; below is what is
// settled then, zero if nothing new is.
func (s *settling) mark(next func() queue.MessageID, unspooled func() bool) (below queue.MessageID) {
	if s.used.Swap(false) {
		s.left = 2 // what has begun in this turn is below the second mark from now
	}
	turn := s.turn.Load()
	if s.left == 0 || s.under[(turn+1)&1].Load() > 0 || !unspooled() {
		return below
	}
	s.left--
	below = s.begin
	s.begin = next() // before the turn: who enters the new one gets a higher id
	s.turn.Add(1)
	return below
}

// settleTick tells marks to the others.
type settleTick struct{ b *Broker }

func (t settleTick) due(now int64) int64 {
	b := t.b
	if b.clustered() {
		b.tellSettled()
	}
	return now + settleEvery
}

// tellSettled is for the wheel: sending does not block. What has begun and is not
// known to be everywhere is not settled (R4): its publisher may send it again.
func (b *Broker) tellSettled() {
	u, ok := b.cfg.Cluster.(Unspooled)
	if !ok {
		return
	}
	s := &b.settling
	below := s.mark(b.cfg.Queue.NextID, u.Unspooled)
	switch {
	case below != (queue.MessageID{}):
		s.told = below
	case len(s.except) == 0:
		return
	}
	m := wire.Settled{Below: wire.MessageID{Ingress: s.told.Ingress, N: s.told.N}}
	for _, id := range b.cfg.Queue.Begun(s.told.Ingress) {
		if id.N >= m.Below.N {
			break
		}
		if len(m.Except) == wire.SettledMax {
			m.Below.N = id.N
			break
		}
		m.Except = append(m.Except, id.N)
	}
	if below == (queue.MessageID{}) && slices.Equal(m.Except, s.except) {
		return
	}
	s.except = m.Except
	body := wire.AppendSettled(nil, &m)
	for _, id := range b.others() {
		if b.cfg.Cluster.Reachable(id) {
			_ = b.cfg.Cluster.Send(id, wire.StreamControl, wire.TypeSettled, body, noTicket{}) // the next one says more
		}
	}
}

// TakeSettled takes the mark of an ingress: what is below it does not come again,
// but for what the mark excepts.
func (b *Broker) TakeSettled(m *wire.Settled) {
	b.cfg.Queue.Settled(queue.MessageID{Ingress: m.Below.Ingress, N: m.Below.N}, m.Except)
}

// again reports whether a message may come to this node a second time for the
// same receivers, so that its id has to be remembered: a will, and what another
// node sends at QoS 2. What is for sessions or groups that a frame names is not:
// others may be named later.
func (pub *publication) again() bool {
	return pub.targets == wire.ToMatching &&
		(pub.id.Ingress != 0 && pub.id.Derived() || pub.applied.Sequence != 0 && pub.packet.QoS == 2)
}
