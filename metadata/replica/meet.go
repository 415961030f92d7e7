package replica

import (
	"time"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// The pace of meetings.
const (
	meetEvery   = time.Second            // after one has ended
	meetAskMin  = 50 * time.Millisecond  // before a meeting that nobody answers is asked for again
	meetAskMax  = 500 * time.Millisecond // the same, later on
	meetPullGap = 200 * time.Millisecond // between two tries to pull what a meeting waits for
)

// meeting is how far this node and a peer have come in showing each other that
// both have pulled what the other had (R28). Either side holds its own: it says
// what it has, is answered once the other has that as well, with what the other
// has by then, and has met the other once that is here. What the asker shows and
// what it gets are both of after the time it began. Owned by the Replica.
type meeting struct {
	round   uint64 // 0: none is under way
	began   time.Time
	nextAsk time.Time
	asks    int
	full    bool // the hash of our clock told the peer nothing
	reached bool // the peer has what we had
	has     bool // goal is set
	goal    dvv.Clock
	pull    time.Time // when to try to pull again
	next    time.Time // when to begin anew

	theirs    uint64 // the peer's round that is owed an answer; 0: none
	theirGoal dvv.Clock
	theirPull time.Time
}

// Met is that this node and a peer have each pulled a clock that the other took
// after Began. It counts once the Ready after it is durable. Immutable.
type Met struct {
	Peer  uint64
	Began time.Time
}

// Meet goes on with the meetings of all peers that the store has a session with,
// and says which have ended. A shell that wants them calls it after frames came
// in and a few times a second; one that does not call it still answers.
func (r *Replica) Meet(now time.Time) (met []Met) {
	if r.rebuild != nil {
		return nil
	}
	r.flushOwn()
	for _, p := range r.peers {
		if !p.established() {
			continue
		}
		r.answerMeeting(now, p)
		if r.phase == Serving && r.meet(now, p) {
			met = append(met, Met{Peer: p.id, Began: p.meeting.began})
		}
	}
	return met
}

// meet goes on with this node's meeting with p and says whether it has ended.
func (r *Replica) meet(now time.Time, p *peer) (ended bool) {
	m := &p.meeting
	switch {
	case m.round == 0 && now.Before(m.next):
		return false
	case m.round == 0:
		*m = meeting{round: r.nextID(), began: now, theirs: m.theirs, theirGoal: m.theirGoal, theirPull: m.theirPull}
	case m.reached && m.has && r.clock.Descends(m.goal):
		m.round, m.next = 0, now.Add(meetEvery)
		return true
	}
	if m.has && !now.Before(m.pull) {
		m.pull = now.Add(meetPullGap)
		r.compare(now, p, m.goal)
	}
	if (!m.reached || !m.has) && !now.Before(m.nextAsk) {
		r.askMeeting(now, p)
	}
	return false
}

// askMeeting shows p our clock, its hash alone if p had the same when it last
// said.
func (r *Replica) askMeeting(now time.Time, p *peer) {
	m := &p.meeting
	m.full = m.full || m.asks > 0 || !p.clock.Equal(r.clock)
	m.nextAsk = now.Add(min(meetAskMin<<min(m.asks, 8), meetAskMax))
	m.asks++
	f := pack.AppendUint(p.header(r, frameMeet), m.round)
	f = pack.AppendUint(pack.AppendBool(f, r.phase == Joining), r.clockHash())
	r.send(p, r.appendMeetClock(f, m.full))
}

func (r *Replica) appendMeetClock(f []byte, full bool) []byte {
	if !full {
		return pack.AppendBytes(f, nil)
	}
	return pack.AppendBytes(f, r.clockBytes())
}

// readMeetClock reads a clock or nil.
func (k *known) readMeetClock(rd *pack.Reader) (c dvv.Clock, full bool) {
	b := rd.Bytes()
	if b == nil || rd.Err() != nil {
		return c, false
	}
	c, rest, err := k.decode(b)
	if err != nil || len(rest) > 0 {
		rd.Fail(dvv.ErrMalformed)
	}
	return c, true
}

// meetAsked takes in what p had when it asked.
func (r *Replica) meetAsked(now time.Time, p *peer, rd *pack.Reader) {
	round, joining, hash := rd.Uint(), rd.Bool(), rd.Uint()
	clock, full := r.known.readMeetClock(rd)
	if rd.Err() != nil || round == 0 {
		return
	}
	p.joining = joining
	if !full {
		same := hash == r.clockHash()
		r.sendMet(p, round, same, !same)
		return
	}
	r.noteClock(now, p, clock)
	if m := &p.meeting; m.theirs != round { // else asked again: what is owed is what was asked for first
		m.theirs, m.theirGoal, m.theirPull = round, clock, time.Time{}
	}
	r.answerMeeting(now, p)
}

// answerMeeting answers p once we have what it had. A store that owes a join says
// so at once: it serves nobody before it has, and who waits for it would wait for
// a whole join.
func (r *Replica) answerMeeting(now time.Time, p *peer) {
	m := &p.meeting
	if m.theirs == 0 {
		return
	}
	reached := r.clock.Descends(m.theirGoal)
	if !reached && r.phase != Joining {
		if !now.Before(m.theirPull) {
			m.theirPull = now.Add(meetPullGap)
			r.compare(now, p, m.theirGoal)
		}
		return
	}
	r.sendMet(p, m.theirs, reached, !r.clock.Equal(m.theirGoal))
	m.theirs, m.theirGoal = 0, dvv.Clock{}
}

// sendMet answers round: whether we have what p had, and what we have, nil if it
// is the same.
func (r *Replica) sendMet(p *peer, round uint64, reached, full bool) {
	f := pack.AppendUint(p.header(r, frameMet), round)
	f = pack.AppendBool(pack.AppendBool(f, r.phase == Joining), reached)
	r.send(p, r.appendMeetClock(f, full))
}

// meetAnswered takes in that p has what we had, and what it has.
func (r *Replica) meetAnswered(now time.Time, p *peer, rd *pack.Reader) {
	round, joining, reached := rd.Uint(), rd.Bool(), rd.Bool()
	clock, full := r.known.readMeetClock(rd)
	if rd.Err() != nil {
		return
	}
	p.joining = joining
	if full {
		r.noteClock(now, p, clock)
	}
	m := &p.meeting
	if m.round == 0 || m.round != round {
		return
	}
	m.reached = m.reached || reached || joining
	if full || reached { // without a clock it is the one that we had
		m.has, m.goal = true, clock
	}
	if !m.reached {
		m.full, m.nextAsk = true, now // it was shown a hash
		if m.asks > 1 {
			m.nextAsk = now.Add(meetAskMin) // never in a circle
		}
	}
}
