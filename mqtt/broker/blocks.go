package broker

import (
	"math/bits"

	"tombolo/metadata"
	"tombolo/mqtt/session"
)

// blocks is how a session chooses the packet ids of its connections (R19). A client
// that has not released an id of QoS 2 takes a new message with it for the old one;
// so that ids come from a block without such, wherever the session is. Guarded by
// the client's lock.
type blocks struct {
	chosen uint8 // of the present connection
	open   bool  // the record counts it as one in which ids may be outstanding
	anew   bool  // none was free: the client is told that it has no session
	gaveUp bool  // what a former home knows of ids outstanding is not waited for any more
	lost   uint8 // what is counted as lost until that has come after all
	found  uint8 // of which it has
}

// complete notes that nothing of the session is at a former home any more.
func (s *blocks) complete() {
	s.found |= s.lost
	s.gaveUp, s.lost = false, 0
}

// give makes what the record knows of former homes count as lost.
func (s *blocks) give(rec *metadata.Session) {
	if !s.gaveUp {
		return
	}
	s.gaveUp = false
	s.lost |= rec.Blocks &^ rec.BlocksLost
	rec.BlocksLost |= rec.Blocks
	rec.Blocks = 0
}

// chooseBlock chooses the block for a connection whose record is about to be
// written, and notes in it what may be outstanding from then on.
func (b *Broker) chooseBlock(c *client, rec *metadata.Session, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known, coming := &c.blocks, uint8(0), uint8(0)
	if s.anew = false; fresh {
		*s = blocks{}
		rec.Blocks, rec.BlocksLost = 0, 0
	}
	if c.durable {
		b.cfg.Queue.PacketIDs(c.qid, func(id uint16) { known |= 1 << session.BlockOf(id) })
		rec.BlocksLost &^= s.found
		s.found = 0
		s.give(rec)
		if c.queue.Moving() {
			coming = rec.Blocks
		}
	}
	first := int((rec.Connects - 1) % session.Blocks)
	avoid := known | coming | rec.BlocksLost
	if avoid == 1<<session.Blocks-1 {
		avoid = coming | rec.BlocksLost // of those that are known here none is given twice
	}
	if avoid == 1<<session.Blocks-1 {
		s.anew, s.lost = true, 0
		avoid, coming, rec.BlocksLost = 0, 0, 0
	}
	free := bits.RotateLeft8(^avoid, -first)
	s.chosen = uint8((first + bits.TrailingZeros8(free)) % session.Blocks)
	rec.Blocks = known | coming | 1<<s.chosen
	s.open = true
}

// leaveBlock takes the block of a connection that has ended out of the record, unless
// something of it is outstanding: a client that moves from node to node faster than its
// queue would run out of blocks else. The caller holds c.mu.
func (b *Broker) leaveBlock(c *client, rec *metadata.Session) {
	if !c.blocks.open || !c.durable {
		return
	}
	c.blocks.open = false
	used := false
	b.cfg.Queue.PacketIDs(c.qid, func(id uint16) { used = used || session.BlockOf(id) == c.blocks.chosen })
	if !used {
		rec.Blocks &^= 1 << c.blocks.chosen
	}
}
