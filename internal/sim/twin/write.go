package twin

import (
	"encoding/binary"
	"time"

	"tombolo/dvv"
)

// Op is an operation of a client of this node.
type Op struct {
	ID     uint64
	Key    string
	Delete bool
	Clean  bool // a clean start: raises the floor of a session record
}

// Value is what a put stores: who wrote it, when, and the floor it carries.
type Value struct {
	Op, HLC, Floor uint64
}

// Encode is 24 bytes, big endian.
func (v Value) Encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 24), v.Op)
	b = binary.BigEndian.AppendUint64(b, v.HLC)
	return binary.BigEndian.AppendUint64(b, v.Floor)
}

// DecodeValue reads what Encode wrote.
func DecodeValue(b []byte) Value {
	if len(b) != 24 {
		return Value{}
	}
	return Value{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
}

// Winner is the sibling that a register shows: the highest stamp, then actor.
func Winner(o dvv.Object) (v Value, ok bool) {
	var best dvv.Sibling
	for _, s := range o.Siblings() {
		n := DecodeValue(s.Value)
		if !ok || n.HLC > v.HLC || n.HLC == v.HLC && s.Dot.Actor > best.Dot.Actor {
			v, best, ok = n, s, true
		}
	}
	return v, ok
}

// Floor is the floor of a session record: the maximum, whoever wins.
func (r *Replica) Floor(key string) uint64 {
	if r.bug(BugFloorFromWinner) {
		v, _ := Winner(r.objects[key])
		return v.Floor
	}
	var floor uint64
	for _, s := range r.objects[key].Siblings() {
		floor = max(floor, DecodeValue(s.Value).Floor)
	}
	return floor
}

// Write is an operation at this node: batch and sync, then acknowledge, then
// replicate.
func (r *Replica) Write(now time.Duration, op Op, out *Output) error {
	r.begin(now, out)
	if r.failed != nil {
		return r.failed
	}
	if r.phase != PhaseReady || r.bug(BugOneExchange) && len(r.in) > 0 {
		out.Acks = append(out.Acks, Ack{Op: op.ID, Refused: true})
		return nil
	}
	d := dvv.Dot{Actor: r.actor, Counter: r.clock.Base(r.actor) + 1}
	hlc := r.stamp()
	ack := Ack{Op: op.ID, Dot: d, HLC: hlc}
	bases := r.clock.Bases()
	o := r.objects[op.Key].Fill(bases)
	floor := r.Floor(op.Key)
	if op.Clean {
		floor = hlc
	}
	seen := o.Context()
	if op.Delete {
		o = o.Delete(seen, d)
		if r.bug(BugDeleteForgets) {
			o = dvv.NewObject(dvv.NewVV(d))
		}
	} else {
		o = o.Put(seen, d, Value{op.ID, hlc, floor}.Encode())
	}
	r.clock = r.clock.Add(d)
	if op.Delete {
		r.indexDelete(d, op.Key)
	}
	r.set(op.Key, o)
	push := func() {
		sent := o
		if op.Delete && r.bug(BugDeleteWins) {
			sent = dvv.NewObject(r.everything().With(d))
		}
		for _, p := range r.peers() {
			r.send(p, &Replicate{Head: r.newHead(), Key: op.Key, Object: sent, Dot: d, Delete: op.Delete})
		}
	}
	if r.bug(BugSendBeforeCommit) {
		push()
	}
	if r.bug(BugAckBeforeCommit) {
		out.Acks = append(out.Acks, ack)
	}
	if err := r.commit(); err != nil {
		return err
	}
	if !r.bug(BugAckBeforeCommit) {
		out.Acks = append(out.Acks, ack)
	}
	if !r.bug(BugSendBeforeCommit) {
		push()
	}
	return nil
}

// everything covers what nobody has written yet, for BugDeleteWins.
func (r *Replica) everything() dvv.VV {
	v := r.clock.Tops()
	for _, w := range r.rows {
		if w.actor != 0 {
			v = v.With(dvv.Dot{Actor: w.actor, Counter: r.clock.Top(w.actor) + 50})
		}
	}
	return v
}

func (r *Replica) indexDelete(d dvv.Dot, key string) {
	if r.bug(BugNoDeleteDots) {
		return
	}
	r.index[d] = indexEntry{key: key, del: true}
	r.dirtyDots[d] = true
}

// set stores what is known of a key now, filled, and keeps index and digest in
// step with the live dots.
func (r *Replica) set(key string, o dvv.Object) {
	old := r.objects[key]
	for _, s := range old.Siblings() {
		if holds(o, s) {
			continue
		}
		if !r.bug(BugIndexKeepsDead) && !o.Live(s.Dot) {
			delete(r.index, s.Dot)
			r.dirtyDots[s.Dot] = true
		}
		if !r.bug(BugDigestDrifts) {
			r.digest ^= DotHash(key, s)
		}
	}
	for _, s := range o.Siblings() {
		if holds(old, s) {
			continue
		}
		if !r.bug(BugIndexLosesLive) || s.Dot.Counter%5 != 0 {
			r.index[s.Dot] = indexEntry{key: key}
			r.dirtyDots[s.Dot] = true
		}
		r.digest ^= DotHash(key, s)
	}
	if !r.bug(BugNoStrip) {
		o = o.Strip(r.clock.Bases())
	}
	if r.bug(BugSharedContext) {
		o = dvv.NewObject(dvv.VV{}, o.Siblings()...)
	}
	if o.IsEmpty() {
		delete(r.objects, key)
	} else {
		r.objects[key] = o
	}
	delete(r.residual, key)
	if o.Context().Len() > 0 {
		r.residual[key] = true
	}
	r.dirtyKeys[key] = true
}

// holds says whether o has this sibling with this value.
func holds(o dvv.Object, s dvv.Sibling) bool {
	for _, t := range o.Siblings() {
		if t.Dot == s.Dot {
			return string(t.Value) == string(s.Value)
		}
	}
	return false
}

// merge brings another replica's knowledge of a key in; other is filled with
// that replica's bases. deletes are delete dots that came with it.
func (r *Replica) merge(key string, other dvv.Object, deletes []dvv.Dot, from Node) {
	mine := r.objects[key].Fill(r.clock.Bases())
	if r.bug(BugSharedContext) {
		mine = mine.Fill(r.clock.Tops())
	}
	if dots := dvv.Conflicts(mine, other); len(dots) > 0 {
		r.counts.Conflicts += len(dots)
		for _, d := range dots {
			for n, w := range r.rows {
				if w.actor == d.Actor {
					r.send(n, &Conflict{Head: r.newHead(), Actor: d.Actor})
				}
			}
			if d.Actor == r.actor {
				r.amnesia()
			}
		}
	}
	o := dvv.Sync(mine, other)
	if r.bug(BugWallClockWins) && len(o.Siblings()) > 1 {
		v, _ := Winner(o)
		o = o.Drop(func(s dvv.Sibling) bool { return DecodeValue(s.Value) != v })
	}
	for _, s := range other.Siblings() {
		if !r.bug(BugClockLosesSibling) {
			r.clock = r.clock.Add(s.Dot)
		}
	}
	for _, d := range deletes {
		r.clock = r.clock.Add(d)
		r.indexDelete(d, key)
	}
	r.set(key, o)
}

// grown strips again what a grown clock says already.
func (r *Replica) grown() {
	bases := r.clock.Bases()
	for _, key := range sortedKeys(r.residual) {
		o := r.objects[key]
		if s := o.Strip(bases); s.Context().Len() < o.Context().Len() && !r.bug(BugNoStrip) {
			r.set(key, s)
		}
	}
}

func (r *Replica) receiveReplicate(m *Replicate) {
	if r.phase == PhaseRemoved {
		return
	}
	if _, gone := r.retired[m.Dot.Actor]; gone && !r.clock.Has(m.Dot) {
		return // only an exchange brings what a retired actor wrote
	}
	if r.clock.Has(m.Dot) && r.bug(BugReceiveTwice) {
		r.digest ^= uint64(m.Dot.Counter) // counted once more
	}
	var deletes []dvv.Dot
	known := r.clock.Has(m.Dot)
	if m.Delete && !known {
		deletes = []dvv.Dot{m.Dot}
	}
	r.merge(m.Key, m.Object, deletes, m.From)
	r.clock = r.clock.Add(m.Dot)
	r.set(m.Key, r.objects[m.Key].Fill(r.clock.Bases()))
	r.grown()
}

// amnesia is a peer that shows what this store should know and does not: a new
// actor, and a full join before the next write.
func (r *Replica) amnesia() {
	if r.bug(BugReuseActor) {
		return
	}
	r.mint()
	r.needFull = true
	for _, w := range r.rows {
		w.exchanged = false
	}
	if r.phase != PhaseRemoved {
		r.phase = PhaseJoining
	}
}
