package twin

import (
	"slices"
	"strings"
	"time"

	"tombolo/dvv"
)

// Receive takes a message of a peer.
func (r *Replica) Receive(now time.Duration, m Message, out *Output) error {
	r.begin(now, out)
	if r.failed != nil || r.phase == PhaseRefused {
		return r.failed
	}
	h := m.head()
	if !r.admit(h) {
		return r.commit()
	}
	r.hlc = max(r.hlc, h.HLC)
	r.adoptMembers(h.Members)
	r.learnRetired(h.Retired)
	switch m := m.(type) {
	case *Hello:
		r.receiveHello(m)
	case *Welcome:
		r.receiveWelcome(m)
	case *Replicate:
		r.receiveReplicate(m)
	case *Request:
		r.receiveRequest(m)
	case *Next:
		r.receiveNext(m)
	case *Chunk:
		r.receiveChunk(m)
	case *Probe:
		if m.Holder == r.nonce {
			r.send(m.From, &Alive{Head: r.newHead(), Number: m.Number})
		}
	case *Alive:
		if w := r.row(m.From); w.probe == m.Number && w.challenge != 0 {
			w.refused, w.challenge, w.probe = w.challenge, 0, 0
		}
	case *Conflict:
		if m.Actor == r.actor {
			r.amnesia()
		}
	}
	return r.commit()
}

// admit says whether a message comes from the one holder of its node id. A new
// opening takes the id over once the old one is silent; if the old one speaks
// after it, the new one is a copy and refused.
func (r *Replica) admit(h *Head) bool {
	w := r.row(h.From)
	switch {
	case w.nonce == 0 || r.bug(BugAcceptClone):
		w.nonce = h.Nonce
	case h.Nonce == w.nonce:
	case h.Nonce == w.refused:
		r.send(h.From, &Welcome{Head: r.newHead(), For: h.Nonce, Refused: true})
		return false
	case r.now-w.heard >= aliveFor || r.now < w.heard:
		w.broken = w.nonce != h.Prev
		w.nonce, w.challenge, w.refused = h.Nonce, 0, 0
	default:
		// What is still on its way from a dead opening proves nothing: only an
		// answer to a fresh question does.
		w.challenge, w.probe = h.Nonce, r.cfg.Rand()
		r.send(h.From, &Probe{Head: r.newHead(), Holder: w.nonce, Number: w.probe})
		return false
	}
	w.heard = r.now
	return true
}

func (r *Replica) receiveHello(m *Hello) {
	r.send(m.From, &Welcome{Head: r.newHead(), For: m.Nonce, Top: r.clock.Top(m.Actor), Broken: r.row(m.From).broken})
}

func (r *Replica) receiveWelcome(m *Welcome) {
	if m.For != r.nonce {
		return
	}
	if m.Refused {
		r.phase = PhaseRefused
		return
	}
	if m.Broken || m.Top > r.clock.Base(r.actor) {
		r.rolledBack()
	}
	if r.phase != PhaseAsking {
		return
	}
	r.answers[m.From] = true
	for _, p := range r.peers() {
		if !r.answers[p] {
			return
		}
	}
	r.settle()
}

// rolledBack is a peer that remembers a later opening than this store does:
// once for each opening.
func (r *Replica) rolledBack() {
	if r.restored {
		return
	}
	r.restored = true
	r.amnesia()
}

func (r *Replica) receiveRequest(m *Request) {
	w := r.row(m.From)
	w.actor = m.Actor
	if m.Full {
		w.broken = false
	}
	w.clock = w.clock.Join(m.Clock)
	w.noteAfter(m.Retired, m.Clock)
	if m.Clock.Top(r.actor) > r.clock.Base(r.actor) {
		r.amnesia()
	}
	if r.phase == PhaseAsking || r.phase == PhaseJoining && r.needFull && !r.alone(m) {
		return // nothing to give yet
	}
	clock := r.clock
	if r.bug(BugClockBeforeObjects) {
		clock, r.stale = r.stale, r.clock
	}
	full := m.Full || w.broken || !r.bug(BugForgetHorizon) && !m.Clock.Descends(r.horizon) ||
		m.Clock.Equal(clock) && m.Digest != r.digest && !r.bug(BugCapWithoutJoin|BugCollectEarly|BugDigestDrifts|BugReceiveTwice)
	if r.bug(BugReturnAsBefore|BugCapWithoutJoin) && len(r.clock.Actors()) > 0 && !m.Full {
		full = false
	}
	items := r.gather(m.Clock, clock, full)
	r.outs[m.From] = &outbound{id: m.Transfer, chunks: r.cut(m.Transfer, items, full, clock)}
	for _, c := range r.outs[m.From].chunks {
		c.Broken = w.broken
	}
	r.give(m.From, 0)
}

// alone says that both sides wait for a full join and nobody else can give one:
// then the one with the smaller id gives what it has.
func (r *Replica) alone(m *Request) bool { return r.cfg.Node < m.From }

// gather is what the asker lacks, by key: what the index holds in the ranges
// that its clock misses, or everything.
func (r *Replica) gather(theirs, fill dvv.Clock, full bool) []Item {
	byKey := map[string][]dvv.Dot{}
	if full || r.bug(BugSendEverything) {
		for k := range r.objects {
			byKey[k] = nil
		}
	}
	for d, e := range r.index {
		if !full && theirs.Has(d) {
			continue
		}
		list := byKey[e.key]
		if e.del {
			list = append(list, d)
		}
		byKey[e.key] = list
	}
	bases := fill.Bases()
	items := make([]Item, 0, len(byKey))
	for _, k := range sortedKeys(byKey) {
		slices.SortFunc(byKey[k], dvv.Dot.Compare)
		items = append(items, Item{Key: k, Object: r.objects[k].Fill(bases), Deletes: byKey[k]})
	}
	return items
}

// cut makes chunks of few keys, so that transfers have many.
func (r *Replica) cut(id uint64, items []Item, full bool, clock dvv.Clock) []*Chunk {
	matrix := map[Node]dvv.Clock{}
	for n, w := range r.rows {
		matrix[n] = w.clock
	}
	var chunks []*Chunk
	from := ""
	for {
		n := min(len(items), r.cfg.ChunkKeys)
		c := &Chunk{Head: r.newHead(), Transfer: id, Seq: len(chunks), Full: full, FromKey: from, Items: items[:n],
			Clock: clock, Objects: r.clock, Digest: r.digest, Horizon: r.horizon, Matrix: matrix, Actor: r.actor}
		items = items[n:]
		if len(items) > 0 {
			c.ToKey = items[0].Key
		}
		c.Last, from = len(items) == 0, c.ToKey
		chunks = append(chunks, c)
		if c.Last {
			return chunks
		}
	}
}

func (r *Replica) give(to Node, seq int) {
	o := r.outs[to]
	r.send(to, o.chunks[seq])
	if seq == len(o.chunks)-1 {
		delete(r.outs, to)
	}
}

func (r *Replica) receiveNext(m *Next) {
	if o := r.outs[m.From]; o != nil && o.id == m.Transfer && m.Seq < len(o.chunks) {
		r.give(m.From, m.Seq)
	}
}

func (r *Replica) receiveChunk(m *Chunk) {
	x := r.in[m.From]
	if x == nil || x.id != m.Transfer || x.seq != m.Seq {
		return
	}
	if m.Broken {
		r.rolledBack()
	}
	if m.Clock.Top(r.actor) > r.clock.Base(r.actor) {
		r.amnesia()
	}
	if m.Full {
		r.joinChunk(m)
	} else {
		for _, it := range m.Items {
			r.merge(it.Key, it.Object, it.Deletes, m.From)
		}
	}
	if r.bug(BugClaimSpans) && len(m.Items) > 0 {
		for _, s := range m.Clock.Missing(r.clock) {
			r.clock = r.clock.AddSpan(dvv.Span{Actor: s.Actor, First: s.First, Last: min(s.Last, s.First+2)})
		}
	}
	if r.bug(BugAdoptEarly) {
		r.clock = r.clock.Join(m.Clock)
	}
	x.seq++
	if !m.Last {
		r.grown()
		r.send(m.From, &Next{Head: r.newHead(), Transfer: m.Transfer, Seq: x.seq})
		return
	}
	delete(r.in, m.From)
	r.finish(m)
}

// finish adopts the responder's whole clock, which the last chunk makes true.
func (r *Replica) finish(m *Chunk) {
	if r.bug(BugAdoptOwnEntryOnly) {
		r.clock = r.clock.AddSpan(dvv.Span{Actor: m.Actor, First: 1, Last: m.Clock.Base(m.Actor)})
	} else {
		r.clock = r.clock.Join(m.Clock)
	}
	w := r.row(m.From)
	w.clock, w.actor, w.exchanged = w.clock.Join(m.Clock), m.Actor, true
	w.noteAfter(m.Retired, m.Clock)
	for n, c := range m.Matrix {
		if n != r.cfg.Node {
			v := r.row(n)
			v.clock = v.clock.Join(c)
		}
	}
	r.horizon = r.horizon.Join(m.Horizon)
	if m.Full {
		r.counts.FullJoins++
		r.needFull = false
	}
	if r.phase == PhaseJoining && !r.needFull && r.heardAll() {
		r.phase = PhaseReady
	}
	r.grown()
}

// heardAll says that an exchange with every member that answers was completed.
func (r *Replica) heardAll() bool {
	for _, p := range r.peers() {
		if w := r.row(p); !w.exchanged && r.now-w.heard < aliveFor {
			return false
		}
	}
	return true
}

// joinChunk merges one range of keys of a full join: what the other has seen
// and does not hold is gone, what it holds and this replica has not seen is new.
func (r *Replica) joinChunk(m *Chunk) {
	byKey := map[string]Item{}
	for _, it := range m.Items {
		byKey[it.Key] = it
	}
	for k := range r.objects {
		if _, told := byKey[k]; !told && k >= m.FromKey && (m.ToKey == "" || strings.Compare(k, m.ToKey) < 0) {
			byKey[k] = Item{Key: k, Object: dvv.Object{}.Fill(m.Clock.Bases())}
		}
	}
	for _, k := range sortedKeys(byKey) {
		it := byKey[k]
		if r.bug(BugFullJoinRevives) {
			r.revive(k, it.Object)
		}
		other := it.Object
		if r.bug(BugFullJoinDrops) {
			other = other.Fill(r.clock.Tops())
		}
		r.merge(k, other, it.Deletes, m.From)
	}
}

// revive is BugFullJoinRevives: it adds the other's values whatever was seen.
func (r *Replica) revive(k string, other dvv.Object) {
	mine := r.objects[k]
	r.set(k, dvv.NewObject(mine.Context(), append(slices.Clone(other.Siblings()), mine.Siblings()...)...))
}
