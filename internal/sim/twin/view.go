package twin

import (
	"tombolo/dvv"
)

// View is a look inside. The maps are the replica's own: read, do not keep.
type View struct {
	Node      Node
	Phase     Phase
	Actor     dvv.Actor
	Clock     dvv.Clock
	Objects   map[string]dvv.Object
	Digest    uint64
	HLC       uint64
	Members   Members
	Retired   map[dvv.Actor]Seal
	Horizon   dvv.Clock
	Counts    Counts
	NeedsFull bool
	Residual  int
}

// View looks inside.
func (r *Replica) View() View {
	return View{Node: r.cfg.Node, Phase: r.phase, Actor: r.actor, Clock: r.clock, Objects: r.objects, Digest: r.digest,
		HLC: r.hlc, Members: r.members, Retired: r.retired, Horizon: r.horizon, Counts: r.counts, NeedsFull: r.needFull, Residual: len(r.residual)}
}

// EachIndex shows the index in no particular order.
func (r *Replica) EachIndex(fn func(d dvv.Dot, key string, del bool)) {
	for d, e := range r.index {
		fn(d, e.key, e.del)
	}
}

// InIndex says what a dot did, if the index holds it.
func (r *Replica) InIndex(d dvv.Dot) (key string, del, ok bool) {
	e, ok := r.index[d]
	return e.key, e.del, ok
}
