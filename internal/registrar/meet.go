package registrar

import (
	"time"

	"tombolo/internal/wire"
)

// meetingView stands in a listing for a peer that is linked and not in the view:
// it is compared with what the peer has, and kept by nobody (R28).
const meetingView = 0

// Times of a meeting.
const (
	meetAgain = 2 * time.Second        // after that a listing is sent again
	syncEvery = 500 * time.Millisecond // between two Synced for one peer
)

// met is the exchange with one peer that is linked. Owned by its Core.
type met struct {
	linked   bool
	begun    bool // our listing is sent
	heard    bool // theirs began
	all      bool // theirs is here
	done     bool // the peer has closed what ours asked for
	closing  int  // clients here that are being closed because of theirs
	againAt  int64
	listedAt int64 // when ours was sent; not twice a second, so that two nodes do not answer each other for ever
	saidAt   int64
}

// meeting is the exchange with peers outside the view. Owned by its Core.
type meeting struct {
	peers map[wire.NodeID]*met
}

// SetLinked tells that the control connection to a peer stands anew, or is lost.
func (c *Core) SetLinked(peer wire.NodeID, up bool, at At, e *Effects) {
	if !up {
		delete(c.meeting.peers, peer)
		return
	}
	p := &met{linked: true}
	if old := c.meeting.peers[peer]; old != nil {
		p.closing = old.closing
	}
	c.meeting.peers[peer] = p
	if !c.view.has(peer) {
		c.meet(peer, p, at, e)
		return
	}
	// The peer may have started again without anybody noticing. As a leader it
	// asks for what it lacks; what we know of it is asked for now.
	delete(c.leader.listing, peer)
	c.listFor(peer, e)
}

// partFromMeetings begins anew with every peer that came into the view or left
// it: what was agreed before is void when it leaves again.
func (c *Core) partFromMeetings(before *View) {
	for id, p := range c.meeting.peers {
		if before.has(id) != c.view.has(id) {
			c.meeting.peers[id] = &met{linked: p.linked, closing: p.closing}
		}
	}
}

// meet lists all clients here for a peer.
func (c *Core) meet(peer wire.NodeID, p *met, at At, e *Effects) {
	p.begun, p.done, p.againAt, p.listedAt = true, false, at.after(meetAgain), at.Now
	sendListing(peer, meetingView, c.sorted(func(wire.Client) bool { return true }), e)
}

// tellMeetings tells a change to those that have our listing.
func (c *Core) tellMeetings(list []wire.Connected, e *Effects) {
	if list[0].Gone {
		return
	}
	for _, id := range sortedPeers(c.meeting.peers) {
		if p := c.meeting.peers[id]; p.begun && !c.view.has(id) {
			e.send(id, wire.TypeClients, wire.AppendClients(nil, &wire.Clients{View: meetingView, List: list}))
		}
	}
}

// takeMeeting closes the clients here that the peer holds under a higher epoch.
// An empty last part without a first says that the peer has done the same.
func (c *Core) takeMeeting(from wire.NodeID, m *wire.Clients, at At, e *Effects) {
	p := c.meeting.peers[from]
	if p == nil {
		p = &met{linked: true}
		c.meeting.peers[from] = p
	}
	if m.Last && !m.First && len(m.List) == 0 {
		p.done = true
		return
	}
	if m.First {
		p.heard, p.all = true, false
		if !p.begun || (p.done || c.view.has(from)) && at.Now-p.listedAt >= time.Second.Milliseconds() {
			c.meet(from, p, at, e)
		}
	}
	for i := range m.List {
		t := &m.List[i]
		h, here := c.holder.mine[t.Client]
		if t.Gone || !here || compare(h.epoch, t.Epoch) >= 0 {
			continue
		}
		p.closing++
		c.release(t.Client, t.Epoch, from, asked{}, at, e)
		c.holder.releases[c.holder.token].forPeer = from
	}
	if m.Last && p.heard {
		p.all = true
		c.metAll(from, p, e)
	}
}

// metAll tells the peer that nothing is left here which it holds as well.
func (c *Core) metAll(peer wire.NodeID, p *met, e *Effects) {
	if p.all && p.closing == 0 {
		e.send(peer, wire.TypeClients, wire.AppendClients(nil, &wire.Clients{View: meetingView, Last: true}))
	}
}

func (c *Core) releasedForPeer(peer wire.NodeID, _ At, e *Effects) {
	if p := c.meeting.peers[peer]; p != nil && p.closing > 0 {
		p.closing--
		c.metAll(peer, p, e)
	}
}

func (c *Core) meetingSomebody() bool {
	for id := range c.meeting.peers {
		if !c.view.has(id) {
			return true
		}
	}
	return false
}

// tickMeetings begins meetings with peers that left the view, sends again what
// was not answered, and says who is met.
func (c *Core) tickMeetings(at At, e *Effects) {
	for _, id := range sortedPeers(c.meeting.peers) {
		p := c.meeting.peers[id]
		switch synced := p.all && p.done && p.closing == 0; {
		case c.view.has(id):
		case !p.begun, !synced && at.Now >= p.againAt:
			c.meet(id, p, at, e)
		case synced && at.Now-p.saidAt >= syncEvery.Milliseconds():
			p.saidAt = at.Now
			e.Synced = append(e.Synced, id)
		}
	}
}
