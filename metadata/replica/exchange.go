package replica

import (
	"fmt"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/metadata/internal/pack"
)

// The bounds of a transfer.
const (
	chunkKeysMax    = 512
	chunkWindow     = 8 // chunks on their way without an answer: what one sync of the asker may take in; 16 is not faster, and holds the donor's writers up
	heldMax         = 2 * chunkWindow
	snapshotAgeMax  = 30 * time.Second // a snapshot holds back compaction
	transferStalled = 3 * time.Second
	transferYields  = time.Second // another peer is asked when this one is silent for so long
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
	f := pack.AppendUint(p.header(r, frameProbe), clockHash(r.clock))
	f = pack.AppendUint(f, r.digest)
	f = pack.AppendUint(f, retiredSum(r.retired))
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
	case hash != clockHash(r.clock) || retired != retiredSum(r.retired):
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
	if hash == clockHash(r.clock) {
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
	f := pack.AppendBytes(p.header(r, frameClock), r.clock.Append(nil))
	f = appendRetired(f, r.retired)
	r.send(p, pack.AppendBool(f, ask))
}

func (r *Replica) differs(now time.Time, p *peer, rd *pack.Reader) {
	clock, retired, ask := readClock(rd), readRetired(rd), rd.Bool()
	if rd.Err() != nil {
		return
	}
	r.learnRetired(retired)
	p.retiredSum = retiredSum(retired)
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
	r.requestPull(p, r.clock)
}

// requestPull asks p for what a store with clock lacks: our own, or more than that
// while we catch up.
func (r *Replica) requestPull(p *peer, clock dvv.Clock) {
	f := pack.AppendUint(p.header(r, framePull), p.incoming.id)
	f = pack.AppendBytes(f, clock.Append(nil))
	r.send(p, pack.AppendBool(f, p.incoming.catchUp))
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
	next     uint64           // the chunk that is due
	held     map[uint64]chunk // chunks that came early, at most heldMax
	progress time.Time
}

// outgoing is a transfer that a peer asked for: one for each peer, a new one
// ends the one before. Owned by the Replica.
type outgoing struct {
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
	clock := readClock(rd)
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
	if !full && !clock.Descends(r.clock.Clip(p.need)) {
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
		s, err = decodeState(raw)
	}
	if err != nil {
		snapshot.Release()
		return nil, state{}, err
	}
	o := &outgoing{id: id, full: full, request: request, snapshot: snapshot, bases: s.clock.Bases(), opened: now, progress: now}
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
		c := chunk{id: o.id, seq: o.sent, bases: o.bases}
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
		r.send(p, appendChunk(p.header(r, frameChunk), &c))
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
		w, ok, err := o.deltaRecord(e, deleted)
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
func (o *outgoing) deltaRecord(e indexEntry, deleted bool) (w wireRecord, ok bool, err error) {
	w.key = e.name
	raw, err := o.snapshot.Get(objectKey(w.key))
	if err != nil && !isNotFound(err) {
		return w, false, err
	}
	w.raw, err = raw, nil
	if deleted {
		w.deletes = []dvv.Dot{e.dot}
	} else if ok, err := o.goesWith(w.raw, e.dot); err != nil || !ok {
		return w, false, err
	}
	if o.lasting {
		w.raw, err = wholeIn(o.snapshot, w.key, w.raw)
	}
	return w, err == nil, err
}

// goesWith says whether d is the first live dot of an object that the other lacks: one
// record brings them all.
func (o *outgoing) goesWith(raw []byte, d dvv.Dot) (bool, error) {
	if len(raw) == 0 {
		return false, nil
	}
	object, err := decodeObject(raw)
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
		if in == nil || now.Sub(in.progress) <= transferStalled || r.join != nil && r.join.chunk != nil {
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
