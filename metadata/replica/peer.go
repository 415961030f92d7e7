package replica

import (
	"time"

	"tombolo/dvv"
)

// Member is one of the durable member set.
type Member struct {
	ID     uint64
	Absent bool // the operator said not to wait for it (R24)
}

// peer is what this store knows of another member. Owned by the Replica. The
// fields up to proofs are durable.
type peer struct {
	id       uint64
	absent   bool
	known    uint64    // the nonce of its last opening that we heard of (R30)
	actor    dvv.Actor // who writes there
	need     dvv.VV    // dots up to here were collected without its knowledge (R32)
	row      dvv.Clock // what it is known to have, and we have as well: K of the reference
	rowNonce uint64    // the opening that row is of
	heard    int64     // unix ms

	proofs []proof // under which of its actors who was allowed to go on, the latest last

	up         bool      // the link stands
	nonce      uint64    // of the session that was agreed; 0: none
	heardAt    time.Time // last frame of the session
	past       []uint64  // nonces that were superseded, the latest few
	helloAt    time.Time // when to say hello again
	challenge  uint64    // of the last hello; 0: answered
	candidate  dvv.Clock // what it says it has, until we have it as well
	clock      dvv.Clock // the last whole clock that it sent
	retiredSum uint64    // hash of the retired actors that it knows
	offset     time.Duration
	offsets    bool // offset is known
	capped     bool // collection went on without it, and that was said
	proved     bool // it agreed that our actor may go on
	joining    bool // it said that it owes a full join itself

	outgoing *outgoing
	request  request // the last that it made: one that comes twice must not begin twice
	incoming *incoming
	parts    assembly
	haveOwn  uint64 // the last counter of our actor that it has made durable, in this session
	meeting  meeting

	frames   uint64    // the highest type of frame that it knows; 0: from before it said so
	served   *ranging  // the comparison by range that it asked for
	rangesAt time.Time // when to ask it for the next one
	apart    bool      // the last one found two stores that hold what they ought to, and not the same
}

// request is which transfer an opening of a member asked for last. Immutable.
type request struct{ id, opening uint64 }

// proof is the opening that was last allowed to go on as an actor. Immutable.
type proof struct {
	actor   dvv.Actor
	opening uint64
}

// proofsMax is how many actors of a member are remembered beside those that are retired.
const proofsMax = 8

// proof is what was said about actor, nil if nothing was.
func (p *peer) proof(actor dvv.Actor) *proof {
	for i := range p.proofs {
		if p.proofs[i].actor == actor {
			return &p.proofs[i]
		}
	}
	return nil
}

func (p *peer) established() bool { return p.up && p.nonce != 0 }

// header begins a frame; what follows takes some ten bytes in the frames that only
// ask or answer, and a clock or more in the others.
func (p *peer) header(r *Replica, kind uint64) []byte {
	room := frameRoom + r.known.told()
	switch kind {
	case frameProbe, frameSame, frameHave, frameNext, frameMend:
		room = frameRoomSmall
	}
	return r.begins(p, kind, room)
}

// begins is header for a frame of about room bytes.
func (r *Replica) begins(p *peer, kind uint64, room int) []byte {
	return appendHeader(r.frames.room(room), header{kind: kind, from: r.nonce, to: p.nonce, fields: frameFields[kind]})
}

func (p *peer) wasPast(nonce uint64) bool {
	for _, n := range p.past {
		if n == nonce {
			return true
		}
	}
	return false
}

// pastMax is how many superseded nonces are remembered.
const pastMax = 8

func (p *peer) supersede(nonce uint64) {
	if nonce == 0 || p.wasPast(nonce) {
		return
	}
	if len(p.past) == pastMax {
		p.past = p.past[1:]
	}
	p.past = append(p.past, nonce)
}

// endTransfer lets go of the snapshot that the peer reads from.
func (p *peer) endTransfer() {
	if p.outgoing != nil {
		p.outgoing.close()
		p.outgoing = nil
	}
}

// reset forgets the session.
func (p *peer) reset() {
	p.endTransfer()
	p.endRanges()
	p.incoming, p.nonce, p.proved, p.offsets = nil, 0, false, false
	p.helloAt, p.challenge = time.Time{}, 0
	p.parts = assembly{}
	p.haveOwn, p.meeting = 0, meeting{}
}

// noteRow takes in that p has what c has, and of its own writes no more. The row
// counts for collection only once we have all of it too: then every write that did
// not know of a stable dot has reached us.
func (r *Replica) noteRow(p *peer, c dvv.Clock) {
	switch {
	case p.row.Descends(c):
	case r.clock.Descends(c):
		p.row = p.row.Join(c) // of the opening that checkRow noted
	case p.candidate.IsEmpty():
		p.candidate = c // an earlier one is kept: under steady writes the latest is never reached
	}
	r.ripen(p)
}

// ripen turns the candidate into the row once we have all of it.
func (r *Replica) ripen(p *peer) {
	if !p.candidate.IsEmpty() && r.clock.Descends(p.candidate) {
		p.row, p.candidate = p.row.Join(p.candidate), dvv.Clock{} // the session may have ended meanwhile
	}
}

// anyoneUp says whether somebody would receive a push.
func (r *Replica) anyoneUp() bool {
	for _, p := range r.peers {
		if p.established() {
			return true
		}
	}
	return false
}

func (r *Replica) allMembers(holds func(p *peer) bool) bool {
	for _, p := range r.peers {
		if !holds(p) {
			return false
		}
	}
	return true
}
