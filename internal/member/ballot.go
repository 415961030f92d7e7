package member

import (
	"fmt"
	"slices"
	"strings"

	"tombolo/internal/wire"
)

// How a version is decided (R24): the members of the version before vote on it,
// in ballots. Whoever has a change to make opens a ballot above all that it
// knows and asks for promises; with those of a majority it proposes the value
// that was taken in the highest lower ballot, if a promise tells of one, and
// its own change only if none does. A value that a majority has confirmed in
// one ballot is therefore the value of every later one, whoever died meanwhile.

// The bounds of rounds: a frame with a higher one is dropped, so that they never
// run out; and where a node begins that has forgotten its own.
const (
	roundMax    = 1 << 62
	roundRandom = 1 << 40
)

// attempt is our own ballot for requests[0]. Owned by the core.
type attempt struct {
	ballot    ballot
	own       *Record // what our change would make
	value     *Record // what is proposed; nil: promises are being gathered
	answered  []wire.NodeID
	best      ballot // the highest in which somebody had taken a value
	bestValue *Record
	sent      int64 // when those without an answer were last asked
	until     int64 // the ballot is given up then
	paused    bool  // it was given up: until is when the next one begins
	tries     int
	recovers  bool // it is for no request: this node is to have a vote again
}

// advance begins what can begin.
func (c *core) advance() {
	for c.attempt == nil && len(c.requests) > 0 {
		if r := c.requests[0]; c.ready(r) {
			c.open(r, 0)
		}
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(r *request) bool {
		if len(c.lacking(r.version)) > 0 {
			return false
		}
		c.end(r, nil)
		return true
	})
}

// ready ends the first request if there is nothing to do for it, or if it may
// not be done.
func (c *core) ready(r *request) bool {
	pop := func(err error) bool {
		c.requests = c.requests[1:]
		c.end(r, err)
		return false
	}
	if !c.member() {
		return pop(fmt.Errorf("this node is no member of a cluster"))
	}
	if err := c.mayMark(r); err != nil {
		return pop(err)
	}
	_, changed, err := r.change.apply(&c.kept.record, c.wall)
	switch {
	case err != nil:
		return pop(err)
	case !changed && r.everywhere:
		r.version = c.kept.record.Version
		c.waiting = append(c.waiting, r)
		c.requests = c.requests[1:]
		return false
	case !changed:
		return pop(nil)
	}
	return true
}

// request queues a change.
func (c *core) request(r *request) {
	r.since = c.now
	if len(c.requests) >= requestsMax {
		c.end(r, fmt.Errorf("%d changes of the member set are waiting: try again later", requestsMax))
		return
	}
	c.requests = append(c.requests, r)
}

// cancel ends a request whose caller waits no longer.
func (c *core) cancel(id uint64) {
	for i, r := range c.requests {
		if r.id == id {
			c.end(r, fmt.Errorf("%s; the change may still take effect", c.why()))
			c.drop(i)
			return
		}
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(r *request) bool {
		if r.id == id {
			c.end(r, fmt.Errorf("the change is in effect, but %s did not confirm in time", strings.Join(c.lacking(r.version), ", ")))
		}
		return r.id == id
	})
	c.cancelJoin(id)
}

func (c *core) drop(i int) {
	if i == 0 {
		c.attempt = nil
	}
	c.requests = slices.Delete(c.requests, i, i+1)
}

// expire ends what was asked for on others' behalf and took too long.
func (c *core) expire() {
	for i := 0; i < len(c.requests); i++ {
		if r := c.requests[i]; r.deadline != 0 && c.now >= r.deadline {
			c.end(r, fmt.Errorf("%s", c.why()))
			c.drop(i)
			i--
		}
	}
}

// why says what the first request waits for.
func (c *core) why() string {
	r := &c.kept.record
	if c.attempt != nil && c.attempt.tries > 3 && len(c.missing()) == 0 {
		return "another change of the member set is under way"
	}
	if missing := c.missing(); len(missing) > 0 {
		return fmt.Sprintf("a change of the member set needs %d of its %d members to confirm; no link to %s", r.majority(), len(r.Members), strings.Join(missing, ", "))
	}
	return fmt.Sprintf("a change of the member set waits for %d of its %d members to confirm", r.majority(), len(r.Members))
}

// missing names the members that are not linked.
func (c *core) missing() (names []string) {
	for _, m := range c.kept.record.Members {
		if m.ID != c.self.ID && c.peer(m.ID) == nil {
			names = append(names, m.Name)
		}
	}
	return names
}

// lacking names the linked members that do not hold a version yet.
func (c *core) lacking(version uint64) (names []string) {
	for _, m := range c.kept.record.Members {
		if p := c.peer(m.ID); p != nil && p.holds.Version < version {
			names = append(names, m.Name)
		}
	}
	return names
}

// open begins a ballot above all that are known.
func (c *core) open(r *request, tries int) {
	list, _, _ := r.change.apply(&c.kept.record, c.wall)
	c.ballot(list, &attempt{tries: tries})
}

// recover asks all others what they have voted, so that this node, which has
// forgotten what it has, may vote again.
func (c *core) recover() {
	if c.kept.abstains && c.member() && c.attempt == nil && len(c.missing()) == 0 {
		c.ballot(c.kept.record.Members, &attempt{recovers: true})
	}
}

// ballot begins a for a change to list.
func (c *core) ballot(list []wire.Member, a *attempt) {
	c.round = max(c.round, c.kept.promised.round) + 1
	if c.kept.abstains { // above every round that it may have begun and forgotten
		c.round = max(c.round, roundRandom+c.settings.rand()%roundRandom)
	}
	a.ballot, a.sent, a.until = ballot{c.round, c.self.ID}, c.now, c.now+8*c.settings.interval
	a.own = &Record{Version: c.kept.record.Version + 1, Nonce: c.settings.rand(), Origin: c.kept.record.Origin, Members: list}
	c.attempt = a
	c.kept.promised = a.ballot // so that no later round of ours is lower
	c.save()
	if c.kept.value != nil {
		a.best, a.bestValue = c.kept.accepted, c.kept.value
	}
	if !c.kept.abstains {
		a.answered = append(a.answered, c.self.ID)
	}
	c.ask()
	c.decide()
}

// ask sends the step that is under way to members without an answer.
func (c *core) ask() {
	a := c.attempt
	m := wire.Members{Step: wire.MembersPrepare, Version: a.own.Version, Round: a.ballot.round}
	if a.value != nil {
		m.Step, m.Nonce, m.List = wire.MembersPropose, a.value.Nonce, a.value.Members
	}
	for _, o := range c.kept.record.Members {
		if o.ID != c.self.ID && !slices.Contains(a.answered, o.ID) && c.peer(o.ID) != nil {
			c.send(o.ID, m)
		}
	}
}

// decide goes a step on if a majority has answered.
func (c *core) decide() {
	a := c.attempt
	if a == nil || a.paused {
		return
	}
	c.regain()
	if len(a.answered) < c.kept.record.majority() {
		return
	}
	if a.recovers {
		if !c.kept.abstains {
			c.attempt = nil
		}
		return
	}
	if a.value != nil {
		c.adopt(a.value)
		return
	}
	if c.kept.promised != a.ballot {
		c.pause() // we have promised another one meanwhile, and keep to it
		return
	}
	if a.value = a.bestValue; a.value == nil {
		a.value = a.own
	}
	a.answered = nil
	if !c.kept.abstains {
		c.kept.accepted, c.kept.value = a.ballot, a.value
		a.answered = []wire.NodeID{c.self.ID}
		c.save()
	}
	a.sent = c.now
	c.ask()
	c.decide()
}

// regain gives this node its vote back once all others have promised its ballot.
// What may have been decided with the vote that it forgot was confirmed by one of
// them as well, and is the value of the highest ballot that they tell of.
func (c *core) regain() {
	a := c.attempt
	if !c.kept.abstains || a.value != nil || len(a.answered) < len(c.kept.record.Members)-1 || c.kept.promised != a.ballot {
		return
	}
	c.kept.abstains = false
	c.kept.accepted, c.kept.value = a.best, a.bestValue
	a.answered = append(a.answered, c.self.ID)
	c.save()
}

// repeat asks again, and gives up a ballot that leads nowhere.
func (c *core) repeat() {
	a := c.attempt
	switch {
	case a == nil:
	case c.now >= a.until && a.recovers:
		c.attempt = nil
	case c.now >= a.until && a.paused:
		if r := c.requests[0]; c.ready(r) {
			c.open(r, a.tries)
		} else {
			c.attempt = nil
		}
	case c.now >= a.until:
		c.pause()
	case !a.paused && c.now-a.sent >= 2*c.settings.interval:
		a.sent = c.now
		c.ask()
	}
}

// pause lets others go first: for longer with each try, and not all alike.
func (c *core) pause() {
	a := c.attempt
	a.paused = true
	a.tries++
	steps := uint64(2 * min(a.tries, 8))
	a.until = c.now + int64(1+c.settings.rand()%steps)*c.settings.interval/2
}

// voter says whether we vote on what a member has sent; if one of us is behind,
// it is told.
func (c *core) voter(from wire.NodeID, m *wire.Members) bool {
	r := &c.kept.record
	switch {
	case !c.formed():
		return false // its link told it so, and it will send the record
	case m.Version <= r.Version:
		c.tell(from)
		return false
	case m.Version > r.Version+1:
		c.hold(from)
		return false
	}
	return !c.kept.abstains && r.has(c.self.ID) && r.has(from)
}

// prepared answers a ballot.
func (c *core) prepared(from wire.NodeID, m *wire.Members) {
	if !c.voter(from, m) || !c.promise(from, m) {
		return
	}
	answer := wire.Members{Step: wire.MembersPromise, Version: m.Version, Round: m.Round}
	if v := c.kept.value; v != nil {
		answer.Accepted, answer.AcceptedBy, answer.Nonce, answer.List = c.kept.accepted.round, c.kept.accepted.node, v.Nonce, v.Members
	}
	c.send(from, answer)
}

// promise takes part in the ballot of a frame unless a higher one was promised.
func (c *core) promise(from wire.NodeID, m *wire.Members) bool {
	b := ballot{m.Round, from}
	c.round = max(c.round, m.Round)
	if b.less(c.kept.promised) {
		c.send(from, wire.Members{Step: wire.MembersRefuse, Version: m.Version, Round: c.kept.promised.round})
		return false
	}
	if b != c.kept.promised {
		c.kept.promised = b
		c.save()
	}
	return true
}

// proposed confirms a value.
func (c *core) proposed(from wire.NodeID, m *wire.Members) {
	v := &Record{Version: m.Version, Nonce: m.Nonce, Origin: m.Origin, Members: slices.Clone(m.List)}
	if !c.voter(from, m) || v.Origin != c.kept.record.Origin {
		return
	}
	if err := v.check(); err != nil {
		c.log(warningLine, "member %s proposed %v", idText(from), err)
		return
	}
	if !c.promise(from, m) {
		return
	}
	if b := (ballot{m.Round, from}); c.kept.accepted != b {
		c.kept.accepted, c.kept.value = b, v
		c.save()
	}
	c.send(from, wire.Members{Step: wire.MembersConfirm, Version: m.Version, Round: m.Round})
}

// current says that an answer is for the ballot under way, from a member, and
// the first.
func (c *core) current(from wire.NodeID, m *wire.Members) bool {
	a := c.attempt
	return a != nil && !a.paused && m.Version == a.own.Version && m.Round == a.ballot.round &&
		c.kept.record.has(from) && !slices.Contains(a.answered, from)
}

// promised counts a promise and keeps the value of the highest ballot.
func (c *core) promised(from wire.NodeID, m *wire.Members) {
	if !c.current(from, m) || c.attempt.value != nil {
		return
	}
	a := c.attempt
	if m.Accepted != 0 {
		v := &Record{Version: m.Version, Nonce: m.Nonce, Origin: c.kept.record.Origin, Members: slices.Clone(m.List)}
		if err := v.check(); err != nil {
			c.log(warningLine, "member %s holds %v", idText(from), err)
			return
		}
		if b := (ballot{m.Accepted, m.AcceptedBy}); a.best.less(b) {
			a.best, a.bestValue = b, v
		}
	}
	a.answered = append(a.answered, from)
	c.decide()
}

// confirmed counts a confirmation.
func (c *core) confirmed(from wire.NodeID, m *wire.Members) {
	if !c.current(from, m) || c.attempt.value == nil {
		return
	}
	c.attempt.answered = append(c.attempt.answered, from)
	c.decide()
}

// refused hears that another ballot is above ours, or why a node will not do
// what it was asked.
func (c *core) refused(from wire.NodeID, m *wire.Members) {
	if m.Text != "" || m.Round == 0 {
		c.turnedDown(from, m)
		return
	}
	if a := c.attempt; a != nil && m.Version == a.own.Version && c.kept.record.has(from) {
		c.round = max(c.round, m.Round)
		if !a.paused && m.Round >= a.ballot.round {
			c.pause()
		}
	}
}
