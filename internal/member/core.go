package member

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tombolo/internal/wire"
)

// severity is how much a line of the log matters.
type severity uint8

const (
	noteLine severity = iota
	warningLine
	faultLine
)

// effects is what a step wants done, in the order of the fields: what is kept
// has to be durable before a frame leaves or a caller hears. Owned by the
// caller of the step.
type effects struct {
	save    bool     // core.kept has changed
	changed []Record // and in it the record in effect: each that was, in order
	send    []envelope
	ended   []ended
	log     []line
}

type envelope struct {
	to wire.NodeID
	m  wire.Members
}

// ended is how a request ended.
type ended struct {
	request uint64
	err     error
}

type line struct {
	severity severity
	text     string
}

// settings are the core's figures; times in ms. Immutable.
type settings struct {
	interval       int64
	requestTimeout int64
	deadAfter      int64 // 0: never
	expected       int
	rand           func() uint64
}

// requestsMax bounds what waits to be proposed; one more is refused.
const requestsMax = 64

// request is a change that somebody waits for. Owned by the core.
type request struct {
	id         uint64 // 0: nobody waits
	change     change
	absent     bool        // it marks another one absent: only the primary side may
	everywhere bool        // it ends when all that are linked hold it
	deadline   int64       // 0: the caller cancels it
	asker      wire.NodeID // a node that wants to join
	since      int64
	version    uint64 // where it took effect, while it waits for everywhere
}

// peer is a node that a link stands to. Owned by the core.
type peer struct {
	id    wire.NodeID
	holds Record // version and nonce are known
	told  int64  // when it was last sent the record in effect
}

// core is the member set as a value that is stepped: frames, links, requests
// and time in, effects out. Owned by one goroutine.
type core struct {
	settings  settings
	self      wire.Member
	kept      kept
	peers     []*peer // by id
	requests  []*request
	waiting   []*request // in effect, and not yet everywhere
	attempt   *attempt   // of requests[0]
	round     uint64     // the highest heard of for the version that is next
	seek      seek
	view      view
	stopping  bool // this process has asked for its stop mark
	complaint struct {
		text string
		at   int64
	}

	now  int64 // ms that only go forward
	wall int64 // unix ms
	out  *effects
}

func newCore(s settings, self wire.Member, k kept) *core {
	c := &core{settings: s, self: self, kept: k}
	c.seek.settled = true
	c.view.exchanged = map[wire.NodeID]bool{}
	c.view.gone = map[wire.NodeID]int64{}
	return c
}

// step runs one input and what follows from it.
func (c *core) step(now, wall int64, out *effects, input func()) {
	c.now, c.wall, c.out = max(now, c.now), wall, out
	input()
	c.advance()
	c.out = nil
}

// tick lets time pass.
func (c *core) tick() {
	c.expire()
	c.repeat()
	c.recover()
	c.spread()
	c.seekOn()
	c.keepOwn()
	c.markDead()
}

func (c *core) formed() bool { return c.kept.record.Version > 0 }

// member says that this node has a part in deciding.
func (c *core) member() bool { return c.formed() && c.kept.record.has(c.self.ID) }

func (c *core) standing() Standing {
	switch {
	case c.member():
		return Joined
	case c.formed():
		return Removed
	case c.seek.on || c.kept.pledge != 0:
		return Seeking
	}
	return Alone
}

// status is what the shell publishes.
func (c *core) status() *Status {
	s := &Status{Standing: c.standing(), Record: c.kept.record}
	if !c.formed() {
		s.Record.Members = []wire.Member{c.self}
	}
	switch {
	case s.Standing == Removed:
		s.Text = removedText
	case s.Standing == Seeking:
		s.Text = c.seekText()
	case len(c.requests) > 0 && c.attempt != nil && c.attempt.tries > 0:
		s.Text = c.why()
	}
	return s
}

const removedText = "this node was removed from its cluster: it serves no client and looks for nobody. What it holds is not lost: " +
	"to use the node again, stop it, move its data directory away and start it with an empty one; it then joins as a new node"

func (c *core) log(s severity, format string, args ...any) {
	c.out.log = append(c.out.log, line{s, fmt.Sprintf(format, args...)})
}

func (c *core) send(to wire.NodeID, m wire.Members) {
	if c.formed() {
		m.Origin = c.kept.record.Origin
	}
	c.out.send = append(c.out.send, envelope{to, m})
}

func (c *core) save() { c.out.save = true }

func (c *core) end(r *request, err error) {
	if r.id != 0 {
		c.out.ended = append(c.out.ended, ended{r.id, err})
	} else if err != nil && r.asker == 0 {
		c.complain(err.Error())
	}
	if err != nil && r.asker != 0 {
		c.send(r.asker, wire.Members{Step: wire.MembersRefuse, Text: clip(err.Error())})
	}
}

// complaintAgain is after how many ms a change of our own that is tried again and
// again, and refused for the same reason, is complained of again.
const complaintAgain = 60_000

func (c *core) complain(text string) {
	if text == c.complaint.text && c.now-c.complaint.at < complaintAgain {
		return
	}
	c.complaint.text, c.complaint.at = text, c.now
	c.log(warningLine, "%s", text)
}

// clip keeps a sentence within the frame's bound.
func clip(s string) string { return s[:min(len(s), 1000)] }

func (c *core) peer(id wire.NodeID) *peer {
	i, ok := slices.BinarySearchFunc(c.peers, id, func(p *peer, id wire.NodeID) int { return cmp.Compare(p.id, id) })
	if !ok {
		return nil
	}
	return c.peers[i]
}

// up begins anew with a linked node: it hears what we hold.
func (c *core) up(id wire.NodeID) {
	c.down(id)
	i, _ := slices.BinarySearchFunc(c.peers, id, func(p *peer, id wire.NodeID) int { return cmp.Compare(p.id, id) })
	c.peers = slices.Insert(c.peers, i, &peer{id: id})
	c.hold(id)
}

func (c *core) down(id wire.NodeID) {
	c.peers = slices.DeleteFunc(c.peers, func(p *peer) bool { return p.id == id })
	delete(c.view.exchanged, id) // what it wrote since is unknown
}

// hold tells a node which version we have in effect.
func (c *core) hold(to wire.NodeID) {
	r := &c.kept.record
	c.send(to, wire.Members{Step: wire.MembersHeld, Version: r.Version, Nonce: r.Nonce})
}

// tell sends the record in effect.
func (c *core) tell(to wire.NodeID) {
	if p := c.peer(to); p != nil {
		p.told = c.now
	}
	r := &c.kept.record
	c.send(to, wire.Members{Step: wire.MembersEffective, Version: r.Version, Nonce: r.Nonce, Forced: r.Forced, List: r.Members})
}

// spread sends the record to all who are linked and do not hold it yet.
func (c *core) spread() {
	if !c.formed() {
		return
	}
	for _, p := range c.peers {
		ours := c.kept.record.has(p.id) || p.holds.Version > 0
		if ours && c.kept.record.above(&p.holds) && c.now-p.told >= 2*c.settings.interval {
			c.tell(p.id)
		}
	}
}

// receive takes a frame; lists in it are the core's from now on.
func (c *core) receive(from wire.NodeID, m *wire.Members) {
	if from == c.self.ID || m.Round > roundMax || m.Accepted > roundMax {
		return
	}
	if c.formed() && m.Origin != 0 && m.Origin != c.kept.record.Origin && m.Step != wire.MembersAsk {
		if m.Step == wire.MembersEffective || m.Step == wire.MembersHeld {
			c.foreign(from, m.Origin)
		}
		return
	}
	switch m.Step {
	case wire.MembersAsk:
		c.asked(from, m)
	case wire.MembersPrepare:
		c.prepared(from, m)
	case wire.MembersPromise:
		c.promised(from, m)
	case wire.MembersPropose:
		c.proposed(from, m)
	case wire.MembersConfirm:
		c.confirmed(from, m)
	case wire.MembersRefuse:
		c.refused(from, m)
	case wire.MembersEffective:
		c.effective(from, m)
	case wire.MembersHeld:
		c.held(from, m)
	}
}

// effective takes a record that a majority confirmed, or an operator forced.
func (c *core) effective(from wire.NodeID, m *wire.Members) {
	r := &Record{Version: m.Version, Nonce: m.Nonce, Origin: m.Origin, Forced: m.Forced, Members: slices.Clone(m.List)}
	if err := r.check(); err != nil {
		c.log(warningLine, "node %s sent %v", idText(from), err)
		return
	}
	c.heldBy(from, r)
	c.learn(r)
	if c.formed() {
		c.hold(from)
	}
}

// held notes what a node holds, and gives it ours if that is newer.
func (c *core) held(from wire.NodeID, m *wire.Members) {
	theirs := &Record{Version: m.Version, Nonce: m.Nonce}
	c.heldBy(from, theirs)
	switch {
	case c.formed() && c.kept.record.above(theirs):
		c.tell(from)
	case theirs.above(&c.kept.record) && m.Origin == c.kept.record.Origin:
		c.hold(from)
	}
}

func (c *core) heldBy(id wire.NodeID, r *Record) {
	if p := c.peer(id); p != nil && r.above(&p.holds) {
		p.holds = Record{Version: r.Version, Nonce: r.Nonce}
	}
}

// learn takes a well-formed record that is in effect somewhere, wherever it came
// from: another node, or the table that all nodes share.
func (c *core) learn(r *Record) {
	old := &c.kept.record
	switch {
	case !c.formed() && !r.has(c.self.ID):
		return // of a cluster that this node has no part in
	case c.formed() && r.Origin != old.Origin, c.formed() && !r.above(old):
		return
	}
	if r.Version == old.Version && !r.Forced && !old.Forced {
		c.log(faultLine, "BUG: two member sets of version %d (%x and %x): the second is kept", r.Version, old.Nonce, r.Nonce)
	}
	c.adopt(r)
}

// adopt makes a record the one in effect.
func (c *core) adopt(r *Record) {
	was := c.standing()
	c.kept = kept{record: *r}
	c.attempt, c.round = nil, 0
	c.save()
	c.out.changed = append(c.out.changed, *r)
	c.log(noteLine, "member set version %d: %s", r.Version, describe(r))
	if now := c.standing(); now != was && now == Removed {
		c.log(faultLine, "%s", removedText)
		c.abandon(errors.New(removedText))
	}
	c.seek.joined()
	for _, p := range c.peers {
		c.tell(p.id)
	}
}

// abandon ends all requests.
func (c *core) abandon(err error) {
	for _, r := range slices.Concat(c.requests, c.waiting) {
		c.end(r, err)
	}
	c.requests, c.waiting, c.attempt = nil, nil, nil
}

// describe is a record as a log shows it.
func describe(r *Record) string {
	list := make([]string, len(r.Members))
	for i, m := range r.Members {
		list[i] = m.Name
		if m.State != wire.MemberJoined {
			list[i] += " (" + stateNames[m.State] + ")"
		}
	}
	s := strings.Join(list, ", ")
	if r.Forced {
		s += "; forced by an operator"
	}
	return s
}

var stateNames = [...]string{"joined", "absent", "stopped", "leaving"}
