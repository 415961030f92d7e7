package replica

import (
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// helloEvery is how often a peer that is up and does not answer is greeted.
const helloEvery = time.Second

// PeerUp says that the link to id stands.
func (r *Replica) PeerUp(now time.Time, id uint64) {
	r.flushOwn()
	if p := r.peer(id); p != nil {
		if again := now.Add(askAgain); !p.up || p.challenge == 0 {
			p.up, p.helloAt = true, now
		} else if p.helloAt.After(again) {
			p.helloAt = again // p's Hello was here first, and ours went with the answer: a new one would make what p answers void
		}
		if r.rebuild == nil {
			r.tickSessions(now)
		}
	}
}

// PeerDown says that the link to id is gone, with all that was on its way.
func (r *Replica) PeerDown(_ time.Time, id uint64) {
	if p := r.peer(id); p != nil {
		p.reset()
		p.up = false
	}
}

// Receive takes in a frame of from. The core keeps no part of it.
func (r *Replica) Receive(now time.Time, from uint64, frame []byte) {
	r.flushOwn()
	if r.rebuild != nil {
		return
	}
	rd := pack.NewReader(frame)
	h := readHeader(&rd)
	if rd.Err() == nil && h.kind <= frameTypesMax && h.fields < frameFields[h.kind]-frameOptional[h.kind] {
		rd.Fail(pack.ErrShort)
	}
	if rd.Err() != nil {
		r.event(Event{Kind: EventBadFrame, Peer: from, Text: rd.Err().Error()})
		return
	}
	p := r.peer(from)
	if p == nil {
		if h.kind != frameRefuse {
			r.refuseNonce(from, h.from, refuseStranger)
		}
		return
	}
	if !r.passes(now, p, h) {
		return
	}
	r.dispatch(now, p, h, &rd)
	if h.from == p.nonce {
		p.heardAt, p.heard = now, now.UnixMilli()
	}
	if err := rd.Err(); err != nil {
		r.event(Event{Kind: EventBadFrame, Peer: from, Text: fmt.Sprintf("type %d: %v", h.kind, err)})
	}
}

// passes says whether the frame belongs to the session with p, or may make one.
func (r *Replica) passes(now time.Time, p *peer, h header) bool {
	switch {
	case h.kind == frameHello:
		return r.holds(now, p, h.from)
	case h.to != r.nonce:
		return false // meant for an opening of ours before this one
	case h.kind == frameRefuse || h.kind == frameWelcome || h.from == p.nonce:
		return true
	case p.wasPast(h.from):
		r.refuseNonce(p.id, h.from, refuseStale)
	case p.challenge == 0 || !now.Before(p.helloAt):
		r.hello(now, p) // its session does not stand here yet
	}
	return false
}

// holds says whether the opening nonce may speak for p's node id: not if it was
// superseded, nor while another one is heard of.
func (r *Replica) holds(now time.Time, p *peer, nonce uint64) bool {
	switch {
	case p.wasPast(nonce):
		r.refuseNonce(p.id, nonce, refuseStale)
		return false
	case p.nonce != 0 && p.nonce != nonce && now.Sub(p.heardAt) < r.config.SilenceMax:
		r.refuseNonce(p.id, nonce, refuseHolder)
		return false
	}
	return true
}

func (r *Replica) dispatch(now time.Time, p *peer, h header, rd *pack.Reader) {
	switch h.kind {
	case frameHello:
		r.helloed(now, p, h, rd)
	case frameWelcome:
		r.welcomed(now, p, h, rd)
	case frameRefuse:
		r.refused(now, p, rd.Uint())
	case framePush:
		r.pushed(now, p, rd)
	case frameProbe:
		r.probed(now, p, rd)
	case frameSame:
		r.same(now, p, rd)
	case frameClock:
		r.differs(now, p, rd)
	case framePull, frameJoin:
		r.asked(now, p, h.kind == frameJoin, h.fields, rd)
	case frameBegin:
		r.began(now, p, rd)
	case frameChunk:
		r.chunked(now, p, rd)
	case frameNext:
		r.credit(now, p, rd)
	case framePart:
		r.part(now, p, rd)
	case frameHave:
		r.have(p, rd)
	case frameMeet:
		r.meetAsked(now, p, rd)
	case frameMet:
		r.meetAnswered(now, p, rd)
	case frameRanges:
		r.rangesAsked(now, p, rd)
	case frameCut:
		r.cutCame(now, p, rd)
	case frameTouched:
		r.touchedCame(now, p, rd)
	case frameSums:
		r.sumsCame(now, p, rd)
	case frameMend:
		r.mendAsked(now, p, rd)
	case frameMended:
		r.mendCame(now, p, rd)
	}
}

// send queues frame for p, in parts if it is too long for one.
func (r *Replica) send(p *peer, frame []byte) {
	if len(frame) <= FrameBytesMax {
		r.out.Messages = append(r.out.Messages, Message{To: p.id, Frame: r.frames.keep(frame)})
		return
	}
	r.sendParts(p, frame)
}

// greeting is the body of Hello and of Welcome. A session stands on this side
// once a Welcome has come that answers our latest Hello: only a store that lives
// can know its challenge, so that frames of a dead opening, however late they
// come, make no session and supersede none.
type greeting struct {
	challenge uint64 // a Welcome returns the Hello's
	before    uint64 // nonce of the opening before
	actor     dvv.Actor
	wall      int64 // unix ms
	clock     dvv.Clock
	retired   []Retired
	joining   bool
	frames    uint64 // the highest type of frame that the sender knows; an earlier build leaves it out

	retiredSum uint64 // of retired, in one that was read

	// of a Welcome alone:
	counter uint64 // the highest counter of your actor that I know
	nonceOK bool   // I know of no other opening since your last one
	stolen  bool   // another member writes under your actor
}

func appendGreeting(dst []byte, g *greeting, welcome bool) []byte {
	dst = pack.AppendUint(dst, g.challenge)
	dst = pack.AppendUint(dst, g.before)
	dst = pack.AppendUint(dst, uint64(g.actor))
	dst = pack.AppendInt(dst, g.wall)
	var room [vectorRoom]byte
	dst = pack.AppendBytes(dst, g.clock.Append(room[:0]))
	dst = appendRetired(dst, g.retired)
	dst = pack.AppendBool(dst, g.joining)
	if welcome {
		dst = pack.AppendUint(dst, g.counter)
		dst = pack.AppendBool(dst, g.nonceOK)
		dst = pack.AppendBool(dst, g.stolen)
	}
	return pack.AppendUint(dst, g.frames)
}

func (k *known) readGreeting(r *pack.Reader, welcome bool, h header) (g greeting) {
	g.challenge = r.Uint()
	g.before, g.actor, g.wall = r.Uint(), dvv.Actor(r.Uint()), r.Int()
	g.clock = k.readClock(r)
	g.retired, g.retiredSum = k.readRetired(r)
	g.joining = r.Bool()
	if welcome {
		g.counter, g.nonceOK, g.stolen = r.Uint(), r.Bool(), r.Bool()
	}
	if h.fields >= frameFields[h.kind] {
		g.frames = r.Uint()
	}
	return g
}

func (r *Replica) greeting(now time.Time) greeting {
	return greeting{
		before: r.before, actor: r.actor, wall: now.UnixMilli(),
		clock: r.clock, retired: r.retired, joining: r.identity.joins, frames: frameTypesMax,
	}
}

func (r *Replica) hello(now time.Time, p *peer) {
	p.helloAt = now.Add(helloEvery)
	p.challenge = r.config.Rand() | 1
	g := r.greeting(now)
	g.challenge = p.challenge
	h := header{kind: frameHello, from: r.nonce, fields: frameFields[frameHello]}
	r.send(p, appendGreeting(appendHeader(r.frames.room(frameRoom+r.known.told()), h), &g, false))
}

// helloed answers with what we know of p.
func (r *Replica) helloed(now time.Time, p *peer, h header, rd *pack.Reader) {
	g := r.known.readGreeting(rd, false, h)
	if rd.Err() != nil {
		return
	}
	answer := r.greeting(now)
	answer.challenge, answer.counter = g.challenge, r.clock.Top(g.actor)
	answer.stolen = r.stolen(p, g.actor)
	answer.nonceOK = !answer.stolen && r.prove(p, g.actor, g.before, h.from)
	p.up = true
	if p.nonce == h.from {
		p.joining = g.joining
	}
	if (p.nonce != h.from || !p.proved || p.actor != g.actor) && (p.challenge == 0 || !now.Before(p.helloAt)) {
		r.hello(now, p) // unless one is out: a new one would make its answer void
	}
	f := appendHeader(r.frames.room(frameRoom+r.known.told()), header{kind: frameWelcome, from: r.nonce, to: h.from, fields: frameFields[frameWelcome]})
	r.send(p, appendGreeting(f, &answer, true)) // behind our Hello: what p asks once it has this comes after its own answer
}

// prove says whether the opening that names before may go on as actor. Of all
// that began with the same clean stop it is the first that asks: whom the answer
// goes to is durable before it leaves, since a copy of the directory can say all
// that the original says.
func (r *Replica) prove(p *peer, actor dvv.Actor, before, opening uint64) bool {
	ok := p.known == 0 || p.known == before || p.known == opening
	if f := p.proof(actor); f != nil {
		ok = f.opening == before || f.opening == opening
	}
	if ok {
		r.noteProof(p, proof{actor, opening})
	}
	return ok
}

// noteProof keeps f, and what was said about those actors that the member had before
// and that are not retired here: its directory may come back from when it wrote under
// one of them, and that it has given it up may be lost with what came later.
func (r *Replica) noteProof(p *peer, f proof) {
	if n := len(p.proofs); n > 0 && p.proofs[n-1] == f || f.actor == 0 || r.stolen(p, f.actor) {
		return
	}
	p.proofs = slices.DeleteFunc(p.proofs, func(o proof) bool { return o.actor == f.actor })
	p.proofs, r.dirty.peers = append(p.proofs, f), true
	if len(p.proofs) > proofsMax {
		r.retire(p.proofs[0].actor, p.id) // which forgets it here
	}
}

// welcomed makes the session with p and takes in who it is and what it knows of
// us.
func (r *Replica) welcomed(now time.Time, p *peer, h header, rd *pack.Reader) {
	g := r.known.readGreeting(rd, true, h)
	if rd.Err() != nil || g.challenge != p.challenge || !r.holds(now, p, h.from) {
		return
	}
	p.challenge, p.capped = 0, false
	if p.nonce != h.from {
		p.reset()
		p.nonce, p.up, p.candidate = h.from, true, dvv.Clock{}
	}
	if p.known != h.from || p.actor != g.actor {
		if p.known != h.from {
			p.supersede(p.known)
		}
		if p.actor != g.actor {
			r.retire(p.actor, p.id) // who lost its disk does not know of it any more
			if p.proof(g.actor) == nil {
				r.noteProof(p, proof{g.actor, h.from})
			}
		}
		p.known, p.actor, r.dirty.peers = h.from, g.actor, true
	}
	p.joining, p.frames = g.joining, g.frames
	r.checkRow(p, g.clock)
	r.learnRetired(g.retired)
	p.retiredSum = g.retiredSum
	r.noteWall(now, p, g.wall)
	r.noteClock(now, p, g.clock)
	r.verdict(now, p, &g)
	r.compare(now, p, g.clock)
}

// stolen says whether actor, which p presents, is that of somebody else.
func (r *Replica) stolen(p *peer, actor dvv.Actor) bool {
	if actor == r.actor {
		return true
	}
	for _, q := range r.peers {
		if q != p && q.actor == actor {
			return true
		}
	}
	return slices.ContainsFunc(r.retired, func(t Retired) bool { return t.Actor == actor })
}

// checkRow finds out whether p came back with less than it had: then it may
// lack what was collected because it had it, and joins anew.
func (r *Replica) checkRow(p *peer, c dvv.Clock) {
	if p.rowNonce != 0 && p.rowNonce != p.nonce && !c.Descends(p.row) {
		r.event(Event{Kind: EventRollback, Peer: p.id, Text: fmt.Sprintf("had %v, has %v", p.row, c)})
		p.need = p.need.Join(r.clock.Tops()).Join(p.row.Tops())
		p.row, p.candidate, r.dirty.peers = dvv.Clock{}, dvv.Clock{}, true
	}
	p.rowNonce = p.nonce
}

// noteClock takes in the whole clock of p.
func (r *Replica) noteClock(now time.Time, p *peer, c dvv.Clock) {
	p.clock = c
	r.noteRow(p, c)
	if c.Top(r.actor) > r.own && !r.isRetired(r.actor) {
		r.amnesia(now, p, c.Top(r.actor))
	}
}

// verdict takes in what p knows of us (R30).
func (r *Replica) verdict(now time.Time, p *peer, g *greeting) {
	p.proved = true
	p.helloAt = now.Add(time.Hour)
	bad := g.counter > r.own || g.stolen || !g.nonceOK && r.phase == Proving
	if bad {
		switch {
		case g.counter > r.own:
			r.amnesia(now, p, g.counter)
		case g.stolen:
			r.mint("another store writes under this actor")
		default:
			r.mint("a member remembers an opening that this directory does not know of")
		}
	}
	switch r.phase {
	case Refused:
		r.mint("another store held this node id")
		r.serve(now)
	case Proving:
		if bad || r.allMembers(func(p *peer) bool { return p.proved }) {
			r.serve(now)
		}
	}
}

// serve takes writes, unless a full join is owed.
func (r *Replica) serve(time.Time) {
	if r.identity.joins {
		r.phase = Joining
		return
	}
	r.phase = Serving
	r.event(Event{Kind: EventServing, Text: "under " + r.actor.String()})
}

// refuseNonce tells the opening nonce of id why it is not listened to.
func (r *Replica) refuseNonce(id, nonce, reason uint64) {
	h := header{kind: frameRefuse, from: r.nonce, to: nonce, fields: 1}
	frame := pack.AppendUint(appendHeader(make([]byte, 0, frameRoomSmall), h), reason)
	r.out.Messages = append(r.out.Messages, Message{To: id, Frame: frame})
}

func (r *Replica) refuse(p *peer, reason uint64) { r.refuseNonce(p.id, p.nonce, reason) }

// refused takes in why p does not listen to us.
func (r *Replica) refused(now time.Time, p *peer, reason uint64) {
	switch reason {
	case refuseStranger:
		r.event(Event{Kind: EventStranger, Peer: p.id})
	case refuseHolder, refuseStale:
		if r.phase == Proving && reason == refuseHolder {
			r.proveEnd = now.Add(r.config.ProveWait) // the one before may only just have died
		} else if r.phase != Refused {
			r.event(Event{Kind: EventRefused, Peer: p.id, Text: fmt.Sprintf("another live store holds node id %d", r.config.Node)})
			r.phase = Refused
		}
		p.nonce, p.proved, p.helloAt = 0, false, now.Add(helloEvery)
	case refuseNeedJoin:
		r.giveUpCatchUp(p)
		p.incoming = nil
		r.startJoin(now, p, "what "+fmt.Sprint(p.id)+" collected is not known here")
	case refuseBusy:
		p.incoming = nil
	case refuseMint:
		r.mint("a dot of this actor was seen with two values")
	}
}

// tickSessions greets who does not answer and ends the wait for a proof.
func (r *Replica) tickSessions(now time.Time) {
	silent := now.Add(-2*r.config.SilenceMax - 2*r.config.ExchangeEvery)
	for _, p := range r.peers {
		if p.established() && p.proved && p.heardAt.Before(silent) {
			p.proved, p.helloAt = false, now // it may have been opened anew
		}
		if p.up && (!p.proved || p.challenge != 0) && !now.Before(p.helloAt) {
			r.hello(now, p) // also one that told that our join has ended: who never hears of it asks us for none
		}
	}
	if r.phase == Proving && (len(r.peers) == 0 || !now.Before(r.proveEnd)) {
		if len(r.peers) > 0 {
			r.mint("not all members answered")
		}
		r.serve(now)
	}
}

// retiredSum is the hash of a list of retired actors.
func retiredSum(list []Retired) uint64 { return xxhash.Sum64(appendRetired(nil, list)) }
