package replica

import (
	"fmt"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// The bounds of a transfer.
const (
	chunkKeysMax    = 512
	chunkWindow     = 8 // chunks on their way without an answer: what one sync of the asker may take in; 16 is not faster, and holds the donor's writers up
	heldMax         = 2 * chunkWindow
	snapshotAgeMax  = 30 * time.Second // a snapshot holds back compaction
	transferStalled = 3 * time.Second
	transferYields  = time.Second            // another peer is asked when this one is silent for so long
	askAgain        = 250 * time.Millisecond // what is not answered goes out anew: a session need not stand at both ends at once
)

// tickExchange probes the next peer by turns.
func (r *Replica) tickExchange(now time.Time) {
	if now.Before(r.nextExchange) {
		return
	}
	r.nextExchange = now.Add(r.config.ExchangeEvery)
	for range r.peers {
		r.turn++
		p := r.peers[r.turn%len(r.peers)]
		if p.established() && p.proved {
			r.probe(now, p)
			break
		}
	}
	r.reachGoals(now)
	r.seekJoin(now)
}

// probe asks p whether it has the same.
func (r *Replica) probe(now time.Time, p *peer) {
	f := pack.AppendUint(p.header(r, frameProbe), r.clockHash())
	f = pack.AppendUint(f, r.digest)
	f = pack.AppendUint(f, r.retiredSum())
	r.send(p, pack.AppendInt(f, now.UnixMilli()))
}

func (r *Replica) probed(now time.Time, p *peer, rd *pack.Reader) {
	hash, digest, retired, wall := rd.Uint(), rd.Uint(), rd.Uint(), rd.Int()
	if rd.Err() != nil {
		return
	}
	r.noteWall(now, p, wall)
	p.retiredSum = retired
	switch {
	case hash != r.clockHash() || retired != r.retiredSum():
		r.sendClock(p, true)
	case digest != r.digest:
		r.event(Event{Kind: EventDigest, Peer: p.id, Text: fmt.Sprintf("%016x here, %016x there", r.digest, digest)})
		if soon := now.Add(rangesAgain); p.frames < frameTypesMax {
			r.refuse(p, refuseNeedJoin)
		} else if p.rangesAt.After(soon) {
			p.rangesAt = soon // a disk that lost something must not be the donor of a join
		}
	default:
		r.noteSame(p)
		f := pack.AppendUint(p.header(r, frameSame), hash)
		f = pack.AppendUint(f, retired)
		r.send(p, pack.AppendInt(f, now.UnixMilli()))
	}
}

func (r *Replica) same(now time.Time, p *peer, rd *pack.Reader) {
	hash, retired, wall := rd.Uint(), rd.Uint(), rd.Int()
	if rd.Err() != nil {
		return
	}
	r.noteWall(now, p, wall)
	p.retiredSum = retired
	if hash == r.clockHash() {
		r.noteSame(p)
	}
}

// noteSame takes in that p has seen what we have.
func (r *Replica) noteSame(p *peer) {
	p.clock = r.clock
	r.noteRow(p, r.clock)
}

// sendClock tells p what we have; ask says that its own is wanted in return.
func (r *Replica) sendClock(p *peer, ask bool) {
	f := pack.AppendBytes(p.header(r, frameClock), r.clockBytes())
	f = append(f, r.retiredBytes()...)
	r.send(p, pack.AppendBool(f, ask))
}

func (r *Replica) differs(now time.Time, p *peer, rd *pack.Reader) {
	clock := r.known.readClock(rd)
	retired, sum := r.known.readRetired(rd)
	ask := rd.Bool()
	if rd.Err() != nil {
		return
	}
	r.learnRetired(retired)
	p.retiredSum = sum
	r.noteClock(now, p, clock)
	if ask {
		r.sendClock(p, false)
	}
	r.compare(now, p, clock)
}

// compare pulls from p if it has what we lack.
func (r *Replica) compare(now time.Time, p *peer, clock dvv.Clock) {
	if r.clock.Descends(clock) || p.incoming != nil || r.join != nil && r.join.donor == p.id {
		return
	}
	if r.phase == Joining && r.goals == nil {
		r.seekJoin(now) // which brings the same, in the order of the keys
		return
	}
	for _, q := range r.peers {
		if q.incoming != nil && now.Sub(q.incoming.progress) < transferYields {
			return // one after the other: most of it would come twice
		}
	}
	p.incoming = &incoming{id: r.nextID(), request: r.clock, progress: now}
	r.requestPull(now, p)
}

// requestPull asks p for what a store with the clock of the request lacks: our own, or
// more than that while we catch up. Who has the request already does not heed it again.
func (r *Replica) requestPull(now time.Time, p *peer) {
	in, clock := p.incoming, p.incoming.request
	if in.catchUp && r.join != nil {
		clock = clock.Join(r.join.clock)
	}
	in.asked = now
	f := pack.AppendUint(p.header(r, framePull), in.id)
	var room [vectorRoom]byte
	f = pack.AppendBytes(f, clock.Append(room[:0]))
	r.send(p, pack.AppendBool(f, in.catchUp))
}

// nextID numbers the transfers of this opening.
func (r *Replica) nextID() uint64 {
	r.transfers++
	return r.transfers
}

// incoming is a transfer that this store asked for. Owned by the Replica.
type incoming struct {
	id       uint64
	full     bool
	catchUp  bool      // the end of a full join that was resumed
	request  dvv.Clock // what we had when we asked
	clock    dvv.Clock // what the other had when it took its snapshot
	begun    bool
	next     uint64  // the chunk that is due
	held     []chunk // that came and are not merged, each once, at most heldMax
	progress time.Time
	asked    time.Time // when the request went out last
}

// outgoing is a transfer that a peer asked for: one for each peer, a new one
// ends the one before. Owned by the Replica.
type outgoing struct {
	known    *known
	id       uint64
	full     bool
	request  dvv.Clock
	snapshot kv.Snapshot
	lasting  bool     // there are lasting contexts in it
	bases    dvv.VV   // of the clock in the snapshot
	dots     *dotWalk // of a delta
	it       kv.Iterator
	keys     *walk // of a full join that has not gone through all of them
	sent     uint64
	acked    uint64
	done     bool
	opened   time.Time
	progress time.Time
}

func (o *outgoing) close() {
	if o.it != nil {
		o.it.Close()
		o.it = nil
	}
	if o.dots != nil {
		o.dots.close()
	}
	if o.keys != nil {
		o.keys.close()
		o.keys = nil
	}
	o.snapshot.Release()
}

// asked begins a transfer to p. The clock that goes out stands in the snapshot
// itself: batch and clock are one write, so that they are one cut.
func (r *Replica) asked(now time.Time, p *peer, full bool, fields int, rd *pack.Reader) {
	id := rd.Uint()
	var cursor []byte
	if full {
		cursor = rd.Bytes()
	}
	clock := r.known.readClock(rd)
	catchUp := !full && fields > 2 && rd.Bool() // else from before there was catching up
	if rd.Err() != nil || p.request.opening == p.nonce && id <= p.request.id {
		return // come again: its chunks would mix with those of the first
	}
	p.request = request{id, p.nonce}
	if catchUp { // p has not all of it, and may give the join up: no row
		if clock.Top(r.actor) > r.own && !r.isRetired(r.actor) {
			r.amnesia(now, p, clock.Top(r.actor))
		}
	} else {
		r.noteClock(now, p, clock)
	}
	// The need is never forgotten: who meets it now may come back from an older
	// directory, and nothing durable would say then that it had met it.
	if !full && !clock.DescendsUpTo(p.need, r.clock) {
		r.refuse(p, refuseNeedJoin)
		return
	}
	if full && r.identity.joins && !r.nobodyServes() {
		r.refuse(p, refuseBusy)
		return
	}
	p.endTransfer()
	o, theirs, err := r.openTransfer(now, id, full, clock, cursor)
	if err != nil {
		r.event(Event{Kind: EventDamaged, Peer: p.id, Text: err.Error()})
		r.refuse(p, refuseBusy)
		return
	}
	p.outgoing = o
	r.send(p, appendBegin(p.header(r, frameBegin), r.beginOf(o, theirs)))
	r.sendChunks(now, p)
}

func (r *Replica) openTransfer(now time.Time, id uint64, full bool, request dvv.Clock, cursor []byte) (*outgoing, state, error) {
	snapshot, err := r.view.Snapshot()
	if err != nil {
		return nil, state{}, err
	}
	raw, err := snapshot.Get(metaState)
	var s state
	if err == nil {
		s, err = decodeState(raw, r.known)
	}
	if err != nil {
		snapshot.Release()
		return nil, state{}, err
	}
	o := &outgoing{known: r.known, id: id, full: full, request: request, snapshot: snapshot, bases: r.bases, opened: now, progress: now}
	if !s.clock.HasBases(o.bases) {
		o.bases = s.clock.Bases()
	}
	if full {
		o.keys = newWalk(snapshot, cursor) // the key behind cursor is the first that was not sent
	} else {
		o.dots, o.lasting = newDotWalk(snapshot, request, &s), hasLasting(snapshot)
	}
	return o, s, nil
}

func (r *Replica) beginOf(o *outgoing, s state) *begin {
	b := &begin{id: o.id, full: o.full, clock: s.clock, digest: s.digest, collected: s.collected, retired: r.retired, trimmed: s.trimmed}
	for _, p := range r.peers {
		if p.need.Len() > 0 {
			b.needs = append(b.needs, need{node: p.id, upTo: p.need})
		}
	}
	return b
}

// sendChunks fills the window.
func (r *Replica) sendChunks(now time.Time, p *peer) {
	o := p.outgoing
	for !o.done && o.sent-o.acked < chunkWindow {
		c := chunk{id: o.id, seq: o.sent, bases: o.bases, list: r.sending[:0]}
		var err error
		if o.full {
			err = r.fillFull(o, &c)
		} else {
			err = r.fillDelta(o, &c)
		}
		if err != nil {
			r.event(Event{Kind: EventDamaged, Peer: p.id, Text: "transfer: " + err.Error()})
			p.endTransfer()
			r.refuse(p, refuseBusy)
			return
		}
		o.sent, o.done, o.progress = o.sent+1, c.last, now
		r.send(p, appendChunk(r.begins(p, frameChunk, c.size()), &c))
		r.keepRoom(c.list)
	}
}

// credit takes in that p has merged a chunk and made it durable.
func (r *Replica) credit(now time.Time, p *peer, rd *pack.Reader) {
	id, seq := rd.Uint(), rd.Uint()
	o := p.outgoing
	if rd.Err() != nil || o == nil || o.id != id || seq >= o.sent || seq < o.acked {
		return
	}
	o.acked, o.progress = seq+1, now
	if o.done && o.acked == o.sent {
		p.endTransfer()
		return
	}
	r.sendChunks(now, p)
}

// fillDelta fills c with the keys behind the next dots that the other lacks. The
// cost is that of the live dots and unstable deletes in the spans, and of what was
// overwritten there since the index was trimmed last; that of all keys for who lacks
// what every member was known to have.
func (r *Replica) fillDelta(o *outgoing, c *chunk) error {
	for size := 0; size < r.config.ChunkBytes && len(c.list) < chunkKeysMax; {
		e, deleted, more, err := o.dots.next()
		if err != nil {
			return err
		}
		if !more {
			c.last = !o.dots.paused()
			return nil
		}
		w, ok, err := r.deltaRecord(o, e, deleted)
		if err != nil {
			return err
		}
		if ok {
			c.list, size = append(c.list, w), size+w.size()
		}
	}
	return nil
}

// deltaRecord is the record of the key that e names; ok is false when the dot was
// overwritten, or when the key goes out with another of its dots.
func (r *Replica) deltaRecord(o *outgoing, e indexEntry, deleted bool) (w wireRecord, ok bool, err error) {
	w.key = e.name
	r.sought = append(append(r.sought[:0], AreaObject), w.key...)
	raw, err := o.snapshot.Get(r.sought)
	if err != nil && !isNotFound(err) {
		return w, false, err
	}
	w.raw, err = raw, nil
	if deleted {
		w.deletes = []dvv.Dot{e.dot}
	} else if ok, err := o.goesWith(w.key, w.raw, e.dot); err != nil || !ok {
		return w, false, err
	}
	if o.lasting {
		w.raw, err = wholeIn(o.snapshot, w.key, w.raw)
	}
	return w, err == nil, err
}

// goesWith says whether d is the first live dot of an object that the other lacks: one
// record brings them all.
func (o *outgoing) goesWith(name, raw []byte, d dvv.Dot) (bool, error) {
	if len(raw) == 0 {
		return false, nil
	}
	object, err := o.known.object(name, raw)
	if err != nil {
		return false, err
	}
	for _, s := range object.Siblings() {
		if !o.request.Has(s.Dot) {
			return s.Dot == d, nil
		}
	}
	return false, nil
}

// tickTransfers gives up what stands still.
func (r *Replica) tickTransfers(now time.Time) {
	for _, p := range r.peers {
		if o := p.outgoing; o != nil && (now.Sub(o.progress) > r.config.TransferIdleMax || now.Sub(o.opened) > snapshotAgeMax) {
			p.endTransfer()
		}
		in := p.incoming
		if in == nil {
			continue
		}
		if !in.full && !in.begun && p.established() && now.Sub(in.asked) >= askAgain {
			r.requestPull(now, p)
		}
		if now.Sub(in.progress) <= transferStalled || r.join != nil && r.join.chunk != nil {
			continue
		}
		p.incoming = nil
		if in.full && r.join != nil {
			r.requestJoin(now, p) // goes on behind the cursor
		} else if !in.full {
			r.event(Event{Kind: EventGaveUp, Peer: p.id, Text: "the other side fell silent"})
		}
	}
}
