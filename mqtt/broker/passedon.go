package broker

import (
	"cmp"
	"slices"
	"sync/atomic"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// What waits in a node's spool for a home that is down goes to the session's new home
// (redirect.go), and stays in the spool: others at the old home want it. When the old
// home is back it comes there as well, and if the client is back there, too, it would
// get all of it again: the new home has delivered it, and forgotten that when it was
// acknowledged.
//
// So the node says to the old home what it has passed on: nothing that it matched
// below a generation is that one's for the session. It says so in a fence that names no
// new home, on the stream of migrations: not behind the spool, but ahead of it. That
// stream goes on as soon as a connection stands, the spool when the tables have met
// (R28). It is said when the last of the copies is stored at the new home, or in the
// spool for it; if one was not, or the spool could not be read from end to end, it is
// not, and copies come rather than nothing.

// passage counts the copies that one reading of a spool sends on. Shared by who
// reads and who stores them.
type passage struct {
	t          redirection
	generation uint64 // of this node's routes; what was matched below it for the sessions is in the spool. Immutable
	left       atomic.Int64
	list       []*moved // the sessions; set before the reading's own part ends
}

// newPassage begins with the part of who reads. Called before the homes of the
// sessions are looked up: what is published for a home that they get later is matched
// under a later generation.
func newPassage(t redirection) *passage {
	r := &passage{t: t, generation: t.b.generation.Load()}
	r.left.Store(1)
	return r
}

// copyOf adds a copy for some sessions. What it returns is called once, when that has
// arrived or will not.
func (r *passage) copyOf(list []*moved) (then func(arrived bool)) {
	r.left.Add(1)
	return func(arrived bool) {
		if !arrived {
			for _, m := range list {
				m.failed.Store(true)
			}
		}
		r.end()
	}
}

// read ends the part of who reads: everything in the spool has been looked at.
func (r *passage) read(named map[Key]*moved) {
	for _, m := range named {
		if m.copies > 0 {
			r.list = append(r.list, m)
		}
	}
	slices.SortFunc(r.list, func(x, y *moved) int {
		return cmp.Or(cmp.Compare(x.k.Mountpoint, y.k.Mountpoint), cmp.Compare(x.k.ClientID, y.k.ClientID))
	})
	r.end()
}

// end tells the old home when all has arrived.
func (r *passage) end() {
	if r.left.Add(-1) > 0 {
		return
	}
	var list []wire.Fenced
	for _, m := range r.list {
		if !m.failed.Load() {
			list = append(list, wire.Fenced{
				Client: wire.Client{Mountpoint: m.k.Mountpoint, ID: m.k.ClientID},
				Epoch:  wire.Epoch{HLC: m.epoch.HLC, Node: wire.NodeID(m.epoch.Node)}, From: r.t.from,
			})
		}
	}
	b := r.t.b
	for some := range slices.Chunk(list, fencesMax) {
		m := wire.Fence{Generation: r.generation, List: some}
		if b.cfg.Cluster.Send(r.t.from, wire.StreamMigration, wire.TypeFence, wire.AppendFence(nil, &m), noTicket{}) != nil {
			b.count.unsent.Inc()
		}
	}
}

// passedOn is s after a node has said that it passed on, to the home of an epoch or a
// later one, all that it matched below a generation. A home that waits for nothing
// else from there need not wait for what is in its spool.
func (s *shift) passedOn(from wire.NodeID, generation uint64, epoch metadata.Epoch) *shift {
	if s == nil || s.passed[from] >= generation {
		return s
	}
	next := *s
	next.passed = copyWith(s.passed, from, generation)
	if s.target || epoch.Less(s.epoch) {
		return &next
	}
	return next.surely(from)
}
