package sim

import (
	"maps"
	"slices"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/sim/twin"
)

// TwinMaker makes cores of the naive replica, with bugs or without.
func TwinMaker(bugs twin.Bug) Maker {
	return func(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error) {
		t := &twinCore{}
		if c.Joins {
			c.Members = Members{}
		}
		r, err := twin.Open(db, twin.Config{
			Node: twin.Node(c.Node), Members: twinMembers(c.Members), Seeds: twinNodes(c.Seeds), Rand: c.Rand,
			ChunkKeys: 2, DeletesMax: 12, AbsentMax: 60 * time.Second, Bugs: bugs,
		}, now, &t.buf)
		t.r = r
		t.flush(out)
		return t, err
	}
}

// twinCore adapts a twin. Owned by the World.
type twinCore struct {
	r   *twin.Replica
	buf twin.Output
}

func twinNodes(ids []NodeID) []twin.Node {
	out := make([]twin.Node, len(ids))
	for i, id := range ids {
		out[i] = twin.Node(id)
	}
	return out
}

func twinMembers(m Members) twin.Members {
	return twin.Members{Version: m.Version, IDs: twinNodes(m.IDs)}
}

// step runs f; what f had sent before a power loss inside it is out.
func (t *twinCore) step(out *Output, f func() error) error {
	defer t.flush(out)
	return f()
}

func (t *twinCore) flush(out *Output) {
	for _, o := range t.buf.Send {
		out.Send = append(out.Send, Packet{To: NodeID(o.To), Body: o.M, Trace: twinTrace(o.M), Bytes: twinBytes(o.M)})
	}
	for _, a := range t.buf.Acks {
		out.Acks = append(out.Acks, Ack(a))
	}
	t.buf.Send, t.buf.Acks = t.buf.Send[:0], t.buf.Acks[:0]
}

func (t *twinCore) Tick(now time.Duration, out *Output) error {
	return t.step(out, func() error { return t.r.Tick(now, &t.buf) })
}

func (t *twinCore) Receive(now time.Duration, _ NodeID, body any, out *Output) error {
	return t.step(out, func() error { return t.r.Receive(now, body.(twin.Message), &t.buf) })
}

func (t *twinCore) Write(now time.Duration, op Op, out *Output) error {
	return t.step(out, func() error { return t.r.Write(now, twin.Op(op), &t.buf) })
}

func (t *twinCore) Link(now time.Duration, peer NodeID, up bool, out *Output) error {
	if !up {
		return nil // it has its own deadlines
	}
	return t.step(out, func() error { return t.r.Exchange(now, twin.Node(peer), &t.buf) })
}

func (t *twinCore) SetMembers(now time.Duration, m Members, out *Output) error {
	return t.step(out, func() error { return t.r.SetMembers(now, twinMembers(m), &t.buf) })
}

func (t *twinCore) Stop(_ time.Duration, out *Output) error {
	return t.step(out, func() error { return t.r.Close() })
}

func (t *twinCore) Phase() Phase { return Phase(t.r.View().Phase) }

func (t *twinCore) View() View {
	v := t.r.View()
	ids := make([]NodeID, len(v.Members.IDs))
	for i, id := range v.Members.IDs {
		ids[i] = NodeID(id)
	}
	retired := map[dvv.Actor]bool{}
	for a := range v.Retired {
		retired[a] = true
	}
	return View{Phase: Phase(v.Phase), Actor: v.Actor, Clock: v.Clock, Objects: v.Objects, Digest: v.Digest, HLC: v.HLC,
		Members: Members{Version: v.Members.Version, IDs: ids}, Retired: retired, Horizon: v.Horizon,
		NeedsFull: v.NeedsFull, FullJoins: v.Counts.FullJoins, Conflicts: v.Counts.Conflicts, Residual: v.Residual}
}

func (t *twinCore) EachIndex(fn func(d dvv.Dot, key string, del bool)) { t.r.EachIndex(fn) }
func (t *twinCore) Floor(key string) uint64                            { return t.r.Floor(key) }
func (t *twinCore) Verify(bool) string                                 { return soundness(t.View(), t.r) }

// soundness holds a store against itself: live values, clock, index and digest
// are of one batch.
func soundness(v View, r *twin.Replica) string {
	var digest uint64
	index := map[dvv.Dot]string{}
	r.EachIndex(func(d dvv.Dot, key string, del bool) {
		if !del {
			index[d] = key
		}
	})
	for _, key := range slices.Sorted(maps.Keys(v.Objects)) {
		for _, sib := range v.Objects[key].Siblings() {
			digest ^= twin.DotHash(key, sib)
			if !v.Clock.Has(sib.Dot) {
				return "I5: " + key + " holds " + sib.Dot.String() + ", which the clock has not seen"
			}
			if index[sib.Dot] != key {
				return "I7: " + sib.Dot.String() + " of " + key + " is not in the index"
			}
			delete(index, sib.Dot)
		}
	}
	for d, key := range index {
		return "I6: the index names " + d.String() + " in " + key + ", where it is not live"
	}
	if digest != v.Digest {
		return "I32: the digest does not fit the values"
	}
	return ""
}

func twinTrace(m twin.Message) *Trace {
	switch m := m.(type) {
	case *twin.Replicate:
		var del []dvv.Dot
		if m.Delete {
			del = []dvv.Dot{m.Dot}
		}
		return &Trace{Kind: KindReplicate, Items: []TraceItem{{m.Key, m.Object, del}}}
	case *twin.Request:
		return &Trace{Kind: KindRequest, Transfer: m.Transfer, Clock: m.Clock, Full: m.Full}
	case *twin.Chunk:
		t := &Trace{Kind: KindChunk, Transfer: m.Transfer, Seq: m.Seq, Last: m.Last, Full: m.Full, Clock: m.Clock,
			Snapshot: m.Objects, Horizon: m.Horizon}
		for _, it := range m.Items {
			t.Items = append(t.Items, TraceItem(it))
		}
		return t
	}
	return nil
}

// twinBytes is about what a frame would take.
func twinBytes(m twin.Message) int {
	switch m := m.(type) {
	case *twin.Request:
		return 64 + 24*len(m.Clock.Actors())
	case *twin.Chunk:
		n := 64 + 24*len(m.Clock.Actors())
		for _, it := range m.Items {
			n += len(it.Key) + 48*len(it.Object.Siblings()) + 16*len(it.Deletes)
		}
		return n
	}
	return 100
}
