package replica

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

func isNotFound(err error) bool { return errors.Is(err, kv.ErrNotFound) }

// joining is a full join of this store with a donor. What is durable of it lets
// a restarted store go on where it was. Owned by the Replica.
type joining struct {
	joinState
	chunk    *chunk // being merged, a piece in each step
	at       int    // the next record of chunk
	keysDone bool   // all keys are merged; deletes follow
}

// reflects says whether the object of name is already merged with the donor's.
func (j *joining) reflects(name []byte) bool {
	return j.keysDone || len(j.cursor) > 0 && bytes.Compare(name, j.cursor) <= 0
}

// basesOf is up to where our object of name, or that there is none, is the whole
// truth. During a full join that is more than the clock says for the keys that
// were merged: the donor's clock is adopted at the end, and what a third store
// brings of such a key meanwhile must not be something that the donor has seen
// gone. The key's own context cannot say so where nothing is left of the key.
func (r *Replica) basesOf(name []byte) dvv.VV {
	if r.join == nil || !r.join.reflects(name) {
		return r.bases
	}
	return r.bases.Join(r.join.basesOf(name))
}

// startJoin begins a full join with p, unless one is under way.
func (r *Replica) startJoin(now time.Time, p *peer, why string) {
	if r.join != nil {
		if q := r.peer(r.join.donor); q != nil && q.incoming != nil {
			return
		}
	}
	for _, q := range r.peers {
		if q.incoming != nil && q.incoming.full {
			q.incoming = nil // one donor at a time
		}
	}
	if r.join == nil || r.join.donor != p.id {
		r.join = &joining{joinState: joinState{donor: p.id}}
	}
	if r.ranging != nil { // what goes in a join leaves no trace
		r.endRanging(now, rangesAgain)
	}
	r.goals = nil // those of an earlier one: it has not been enough
	r.dirty.join = true
	r.event(Event{Kind: EventJoinBegan, Peer: p.id, Text: why})
	r.requestJoin(now, p)
}

// requestJoin asks p for all keys behind the cursor.
func (r *Replica) requestJoin(now time.Time, p *peer) {
	r.join.chunk, r.join.keysDone = nil, false
	if !p.established() {
		return
	}
	p.incoming = &incoming{id: r.nextID(), full: true, request: r.clock, progress: now}
	f := pack.AppendUint(p.header(r, frameJoin), p.incoming.id)
	f = pack.AppendBytes(f, r.join.cursor)
	r.send(p, pack.AppendBytes(f, r.clockBytes()))
}

// nobodyServes says that every member owes a full join. Some have to begin then, with
// each other: who lost its disk has not what it owes, but one that came back to an
// empty cluster has. As long as a single member may owe none, two that do would
// serve what neither has (I29).
func (r *Replica) nobodyServes() bool {
	return r.identity.joins && r.allMembers(func(p *peer) bool { return p.established() && p.proved && p.joining })
}

// seekJoin finds a donor for a join that is owed or was interrupted.
func (r *Replica) seekJoin(now time.Time) {
	if r.goals != nil || r.join == nil && !r.identity.joins {
		return
	}
	var donor *peer
	for _, p := range r.peers {
		if !p.established() || !p.proved || p.joining && !r.nobodyServes() {
			continue
		}
		if donor == nil || r.join != nil && p.id == r.join.donor {
			donor = p
		}
	}
	if donor != nil && donor.incoming == nil {
		r.startJoin(now, donor, "owed")
	}
}

// began takes in what a transfer that we asked for is about.
func (r *Replica) began(now time.Time, p *peer, rd *pack.Reader) {
	b := r.known.readBegin(rd)
	in := p.incoming
	if rd.Err() != nil || in == nil || in.id != b.id || in.begun || b.full != in.full {
		return
	}
	if b.clock.Top(r.actor) > r.own {
		r.amnesia(now, p, b.clock.Top(r.actor))
		return
	}
	r.learnRetired(b.retired)
	if in.full && (r.join == nil || r.join.donor != p.id) {
		p.incoming = nil
		return
	}
	in.begun, in.clock, in.progress = true, b.clock, now
	if b.full {
		r.beganJoin(p, &b)
	}
	r.drain(now, p)
}

// beganJoin takes over what the donor collected: we will not have it either.
func (r *Replica) beganJoin(p *peer, b *begin) {
	j := r.join
	why := ""
	switch {
	case len(j.cursor) > 0 && !b.clock.Descends(j.last):
		why = "the donor went back" // another state of it than the one whose keys we have
	case len(j.parts) >= joinPartsMax:
		why = "it broke off too often"
	}
	if why != "" {
		j.cursor, j.parts = nil, nil
		r.event(Event{Kind: EventGaveUp, Peer: p.id, Text: why + "; the join begins again"})
		p.incoming = nil
		return
	}
	if len(j.cursor) == 0 {
		j.clock, j.parts = b.clock, nil
	}
	j.last = b.clock
	j.goesOn(b.clock.Bases())
	r.trimmed = r.trimmed.Join(b.trimmed)
	r.state.collected = r.state.collected.Join(b.collected)
	for _, n := range b.needs {
		if q := r.peer(n.node); q != nil {
			q.need = q.need.Join(n.upTo)
		}
	}
	for _, q := range r.peers {
		// The donor may not count q as a member yet, and not have waited for it.
		if q != p && !q.row.Descends(b.clock.Clip(b.collected)) {
			q.need = q.need.Join(b.collected)
		}
	}
	r.dirty.state, r.dirty.peers, r.dirty.join = true, true, true
}

// chunked takes in a piece; early ones wait, so that each is merged in its turn.
func (r *Replica) chunked(now time.Time, p *peer, rd *pack.Reader) {
	c := r.known.readChunk(rd)
	in := p.incoming
	if rd.Err() != nil || in == nil || in.id != c.id || c.seq < in.next || len(in.held) >= heldMax {
		return
	}
	if !slices.ContainsFunc(in.held, func(h chunk) bool { return h.seq == c.seq }) {
		in.held = append(in.held, c)
	}
	r.drain(now, p)
}

// drain merges the chunks that are due.
func (r *Replica) drain(now time.Time, p *peer) {
	for in := p.incoming; in != nil && in == p.incoming && in.begun; {
		i := slices.IndexFunc(in.held, func(h chunk) bool { return h.seq == in.next })
		if i < 0 || (in.full || in.catchUp) && (r.join == nil || r.join.donor != p.id || r.join.chunk != nil) {
			return
		}
		c := in.held[i]
		in.held = slices.Delete(in.held, i, i+1)
		in.progress = now
		if in.full {
			due := c
			r.join.chunk, r.join.at = &due, 0
			return // Work goes on with it
		}
		r.mergeAll(now, p, c.bases, c.list)
		r.finishChunk(now, p, &c)
	}
}

// finishChunk answers for a chunk, and after the last one adopts the other's
// whole clock: all that it has and we lacked is merged (I20).
func (r *Replica) finishChunk(now time.Time, p *peer, c *chunk) {
	in := p.incoming
	if in == nil || in.id != c.id {
		return
	}
	in.next++
	f := pack.AppendUint(p.header(r, frameNext), c.id)
	r.send(p, pack.AppendUint(f, c.seq))
	if !c.last {
		return
	}
	p.incoming = nil
	if !r.clock.Descends(in.request) {
		r.event(Event{Kind: EventGaveUp, Peer: p.id, Text: "the clock went back during a transfer (I20)"})
		return
	}
	switch {
	case in.full:
		r.finishKeys(now, p)
	case in.catchUp:
		r.finishCatchUp(now, p, in.clock)
	default:
		r.adopt(now, p, in.clock)
	}
}

func (r *Replica) adopt(now time.Time, p *peer, clock dvv.Clock) {
	if clock.Top(r.actor) > r.own {
		r.amnesia(now, p, clock.Top(r.actor))
		return
	}
	r.setClock(r.clock.Join(clock))
	r.noteRow(p, clock)
	r.sendHave(p) // who waits for it may have pushed in vain
}

func (r *Replica) finishJoin(now time.Time, p *peer, clock dvv.Clock) {
	r.join, r.dirty.join = nil, true
	r.adopt(now, p, clock)
	if r.join != nil {
		return // amnesia began another one
	}
	r.event(Event{Kind: EventJoinEnded, Peer: p.id})
	r.goals = make([]goal, 0, len(r.peers))
	for _, q := range r.peers {
		if r.phase == Joining && q.established() {
			r.goals = append(r.goals, goal{node: q.id, nonce: q.nonce, clock: q.clock})
		}
	}
	r.reachGoals(now)
	r.sendClock(p, true) // what was written since, and what only we have
}

// goal is what another member had when a full join ended: the donor may have been
// behind it. Immutable.
type goal struct {
	node  uint64
	nonce uint64 // the opening that had it
	clock dvv.Clock
}

// reachGoals ends what began with a full join once what the members within reach
// had is here: then clients may be served (I29).
func (r *Replica) reachGoals(now time.Time) {
	if r.goals == nil {
		return
	}
	left := r.goals[:0]
	for _, g := range r.goals {
		if !r.reached(&g) {
			left = append(left, g)
		}
	}
	r.goals = left
	if len(r.goals) > 0 {
		return
	}
	r.goals = nil
	r.identity.joins, r.dirty.identity = false, true
	if r.phase != Joining {
		return
	}
	r.serve(now)
	for _, q := range r.peers {
		if q.established() {
			r.hello(now, q) // others may join from here now
		}
	}
}

// reached says whether g needs no more waiting: it is here, or the other member serves
// nobody itself and gives no join, so that two of its kind would wait for each other for
// ever. Who was opened anew may have lost what it had, and has to give what it has now.
func (r *Replica) reached(g *goal) bool {
	p := r.peer(g.node)
	if p == nil || !p.established() || p.joining && !r.nobodyServes() {
		return true
	}
	if p.nonce != g.nonce {
		g.nonce, g.clock = p.nonce, p.clock
	}
	return r.clock.Descends(g.clock)
}

// mergeChunk merges the next piece of a full join's chunk with our own keys in
// the same range: at most chunkKeysMax of either side.
func (r *Replica) mergeChunk(now time.Time) {
	j := r.join
	c, p := j.chunk, r.peer(j.donor)
	if p == nil || p.incoming == nil || p.incoming.id != c.id {
		j.chunk = nil
		return
	}
	p.incoming.progress = now
	if j.keysDone {
		for i := range c.list {
			w := &c.list[i]
			// After a break the donor's second snapshot has deletes of keys that
			// were merged from the first: those come with the catching up.
			w.deletes = slices.DeleteFunc(w.deletes, func(d dvv.Dot) bool { return !j.clock.Has(d) })
			if w.only {
				r.mergeDeletes(now, p, w)
			}
		}
		j.chunk = nil
		r.finishChunk(now, p, c)
		r.drain(now, p)
		return
	}
	upTo, whole, err := r.mergeKeys(now, p, c)
	if err != nil {
		r.event(Event{Kind: EventDamaged, Text: err.Error()})
		j.chunk, p.incoming = nil, nil
		return
	}
	if r.join != j { // amnesia
		return
	}
	j.cursor, r.dirty.join = upTo, true
	if !whole {
		return
	}
	j.chunk, j.keysDone = nil, c.upTo == nil
	r.finishChunk(now, p, c)
	r.drain(now, p)
}

// mergeKeys merges our keys behind the cursor, and those of the chunk, up to the
// end of the chunk or of the piece, whichever comes first.
func (r *Replica) mergeKeys(now time.Time, p *peer, c *chunk) (upTo []byte, whole bool, err error) {
	j := r.join
	own, more, err := r.keysBetween(j.cursor, c.upTo)
	if err != nil {
		return nil, false, err
	}
	upTo, whole = c.upTo, !more
	if more {
		upTo = own[len(own)-1]
	}
	if upTo == nil {
		upTo = j.cursor // the last keys there are; only whole chunks end so
	}
	before, list := j.cursor, make([]wireRecord, 0, len(c.list)-j.at+len(own))
	for len(own) > 0 || j.at < len(c.list) && (whole || bytes.Compare(c.list[j.at].key, upTo) <= 0) {
		var w *wireRecord
		if j.at < len(c.list) {
			w = &c.list[j.at]
		}
		switch {
		case w == nil || len(own) > 0 && bytes.Compare(own[0], w.key) < 0:
			w = &wireRecord{key: own[0]} // the donor has nothing: what it has seen goes
			own = own[1:]
		case len(own) > 0 && bytes.Equal(own[0], w.key):
			own = own[1:]
			j.at++
		default:
			// own would have it, if it comes in its order and within what own covers.
			w.fresh = bytes.Compare(w.key, before) > 0 && (c.upTo == nil || bytes.Compare(w.key, c.upTo) <= 0)
			j.at++
		}
		before = maxBytes(before, w.key)
		upTo = maxBytes(upTo, w.key)
		list = append(list, *w)
	}
	r.mergeAll(now, p, c.bases, list)
	return upTo, whole, nil
}

func maxBytes(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return b
	}
	return a
}

// keysBetween is at most chunkKeysMax of our keys behind from up to and with to
// (nil: to the end), those on their way to the disk included; more says that
// there are others.
func (r *Replica) keysBetween(from, to []byte) (keys [][]byte, more bool, err error) {
	area := kv.PrefixRange([]byte{AreaObject})
	if len(from) > 0 {
		area.Start = append(objectKey(from), 0)
	}
	if to != nil {
		area.Limit = append(objectKey(to), 0)
	}
	it := r.view.Iterator(area)
	defer it.Close()
	for it.Next() {
		if len(keys) == chunkKeysMax {
			more = true
			break
		}
		keys = append(keys, append([]byte{}, it.Key()[1:]...))
	}
	if err := it.Err(); err != nil {
		return nil, false, fmt.Errorf("own keys: %w", err)
	}
	limit := area.Limit
	if more {
		limit = append(objectKey(keys[len(keys)-1]), 0)
	}
	return r.withPending(keys, area.Start, limit), more, nil
}

// withPending adds the keys in start..limit that are on their way to the disk.
func (r *Replica) withPending(keys [][]byte, start, limit []byte) [][]byte {
	n := len(keys)
	for k, p := range r.objects {
		if p.raw != nil && k >= string(start) && (limit == nil || k < string(limit)) {
			keys = append(keys, []byte(k[1:]))
		}
	}
	if len(keys) > n {
		slices.SortFunc(keys, bytes.Compare)
		keys = slices.CompactFunc(keys, bytes.Equal)
	}
	return keys
}
