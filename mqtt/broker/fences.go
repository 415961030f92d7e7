package broker

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// What a fence says has to outlive the process that took it: its sender does not
// say it again. So both homes of a session that moves have their shift on the disk,
// and a fence ends on its stream when it is there; one that had not ended comes
// again, in its place. What an old home or a new one takes after it was started
// again is then what it would have taken if it had gone on. The node's own part
// needs no memory: what it matched before has ended with it, and it matches by
// tables that name the new home.
//
// A fence that had not left its sender is lost when that ends. Nothing of its
// generation has left it either, so that the next process sets the cut anew, ahead
// of all it sends itself and behind what is in the spool (fenceLater).

// append appends s and what went before it: all numbers are uvarints, each shift is
// the epoch's two, bits (1 target, 2 open, 4 passed), the number of cuts, and of each
// the node, the cut, and whether it is sure; with bit 4 the number of nodes that have
// passed on what waited there, and of each the node and the generation.
func (s *shift) append(dst []byte) []byte {
	for ; s != nil; s = s.before {
		bits := uint64(0)
		if s.target {
			bits |= 1
		}
		if s.open {
			bits |= 2
		}
		if len(s.passed) > 0 {
			bits |= 4
		}
		for _, n := range []uint64{s.epoch.HLC, s.epoch.Node, bits, uint64(len(s.cuts))} {
			dst = binary.AppendUvarint(dst, n)
		}
		for _, id := range sortedIDs(s.cuts) {
			dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(id)), s.cuts[id])
			sure := uint64(0)
			if s.sure[id] {
				sure = 1
			}
			dst = binary.AppendUvarint(dst, sure)
		}
		if len(s.passed) > 0 {
			dst = appendCuts(dst, s.passed)
		}
	}
	return dst
}

func appendCuts(dst []byte, cuts map[wire.NodeID]uint64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(cuts)))
	for _, id := range sortedIDs(cuts) {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(id)), cuts[id])
	}
	return dst
}

var errShift = errors.New("what is known of who publishes for which home cannot be read")

// decodeShift reads what append wrote.
func decodeShift(v []byte) (*shift, error) {
	bad := false
	next := func() uint64 {
		n, size := binary.Uvarint(v)
		if size <= 0 {
			bad = true
			return 0
		}
		v = v[size:]
		return n
	}
	var list []*shift
	for len(v) > 0 && len(list) <= shiftsMax {
		s := &shift{epoch: metadata.Epoch{HLC: next(), Node: next()}, cuts: map[wire.NodeID]uint64{}, sure: map[wire.NodeID]bool{}}
		bits := next()
		s.target, s.open = bits&1 != 0, bits&2 != 0
		for n := next(); n > 0 && !bad; n-- {
			id := wire.NodeID(next())
			s.cuts[id] = next()
			if next() != 0 {
				s.sure[id] = true
			}
		}
		if bits&4 != 0 {
			s.passed = map[wire.NodeID]uint64{}
			for n := next(); n > 0 && !bad; n-- {
				id := wire.NodeID(next())
				s.passed[id] = next()
			}
		}
		list = append(list, s)
	}
	if bad || len(v) > 0 {
		return nil, errShift
	}
	var s *shift
	for _, next := range slices.Backward(list) {
		next.before, s = s, next
	}
	return s, nil
}

// loadedShift is what an earlier process knew of c's moves, without those to this
// node that never came to be: it ended before the record said so.
func (b *Broker) loadedShift(c *client, v []byte) *shift {
	s, err := decodeShift(v)
	if err != nil {
		b.cfg.Log.Error(err.Error(), "client", c.key.ClientID)
		return nil
	}
	for s != nil && s.target && c.record.Epoch.Less(s.epoch) {
		s = s.before
	}
	return s
}

// loadArriving has a session that is at home here go on with a move. Of a node whose
// fence had not come it takes everything at first: that node may have been started
// again meanwhile, too, and the new home knows a second copy by its id. moving says
// that a part of the queue is elsewhere.
func (b *Broker) loadArriving(c *client, v []byte, moving bool) {
	s := b.loadedShift(c, v)
	switch {
	case s != nil && !s.target: // a peer has told that it has left
	case !moving:
		if len(v) > 0 {
			b.cfg.Queue.Fences(c.qid, nil, nil)
		}
		return
	default:
		next := shift{epoch: c.record.Epoch, target: true}
		if s != nil {
			next = *s
		}
		next.open = true
		s = &next
		b.wheel.at(b.cfg.Now().Add(cutsMax).UnixMilli(), shiftCheck{c, s.epoch})
		b.watchStuck(c, s.epoch)
	}
	c.setShift(s)
}

// noted counts the shifts that a frame of fences changes until they are on the
// disk. Shared by those who store them.
type noted struct {
	left   atomic.Int32
	failed atomic.Bool
	done   func(wire.Result, uint8)
}

// settle ends one of them, or the frame's own part.
func (n *noted) settle(err error) {
	if err != nil {
		n.failed.Store(true)
	}
	switch {
	case n.left.Add(-1) > 0:
	case n.failed.Load():
		n.done(wire.Refused, uint8(packet.ServerBusy))
	default:
		n.done(wire.Stored, 0)
	}
}

// youngFor is how old a move may be, in ms, of which a node that starts says again
// what it may not have said: by then the new home does without (cutsMax).
const youngFor = 60_000

// fencesMax bounds the sessions in one frame, and leftMax those of which a node
// that starts says anything.
const fencesMax = 500

// again are the fences that this process says first of all, since the one before may
// have ended before its own had left it. Written by Load alone.
type again struct{ list []wire.Fenced }

// fenceLater is fence for a node that loads: it has published nothing yet, there is
// no stream, and nobody waits. Sessions that are on their way from here or to here
// are among them, and those that moved of late.
func (b *Broker) fenceLater(e wire.Fenced, c *client) {
	m := wire.Fence{Generation: b.started, List: []wire.Fenced{e}}
	b.takeOwnFence(&m)
	b.takeOwnFence(&m) // nothing was before
	young := int64(e.Epoch.HLC>>16) > b.cfg.Now().UnixMilli()-youngFor
	if (c != nil || young) && len(b.again.list) < leftMax {
		b.again.list = append(b.again.list, e)
	}
}

// fenceAgain tells a node that it has become known of, ahead of anything else: the
// first fence, and that nothing of this process was before it.
func (b *Broker) fenceAgain(to wire.NodeID) {
	for range 2 {
		for list := range slices.Chunk(b.again.list, fencesMax) {
			m := wire.Fence{Generation: b.started, List: list}
			if b.cfg.Cluster.Send(to, wire.StreamPublish, wire.TypeFence, wire.AppendFence(nil, &m), noTicket{}) != nil {
				b.count.unsent.Inc()
			}
		}
	}
}

// takeOwnFence takes what this node says itself. It need not be on the disk: what
// was matched here before ends with the process.
func (b *Broker) takeOwnFence(m *wire.Fence) {
	b.TakeFence(wire.NodeID(b.cfg.NodeID), m, nobodyWaits)
}

// with is the same shift with one more cut. A cut is never moved up: what came
// after the first one was sent by the same rule.
func (s *shift) with(from wire.NodeID, cut uint64) *shift {
	next := *s
	next.cuts = copyWith(s.cuts, from, cut)
	return &next
}

// surely is the same shift after a later fence of a node whose cut is known.
func (s *shift) surely(from wire.NodeID) *shift {
	if s.sure[from] {
		return s
	}
	next := *s
	next.sure = copyWith(s.sure, from, true)
	return &next
}

func copyWith[V any](m map[wire.NodeID]V, id wire.NodeID, v V) map[wire.NodeID]V {
	next := make(map[wire.NodeID]V, len(m)+1)
	maps.Copy(next, m)
	next[id] = v
	return next
}
