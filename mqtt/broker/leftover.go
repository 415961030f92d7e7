package broker

import (
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// awaitLeftover has what an earlier process here left of the queue of a session that
// comes back go to the home between first, until a moment at most: it comes back with
// the rest. When a node is killed, it may have stored messages whose senders had not heard
// so; they have passed them on to that home, which has delivered them, and knows them by
// their ids as long as it waits for what is here (R21). Nobody waits who has nothing
// here, or was here since this process began. What is known here of packet ids of the
// client's own publishing goes first whenever it is from: the home between knows which
// of them are of the past. The caller holds the key.
func (b *Broker) awaitLeftover(c *client, between *metadata.Session, until time.Time) {
	home := wire.NodeID(between.Home)
	if c == nil || !c.durable || !b.cfg.Cluster.Reachable(home) {
		return
	}
	c.mu.Lock()
	rest := c.connectedAt == 0 && c.queue.Len()+c.queue.InFlight() > 0
	ids := c.core.Remembers()
	c.mu.Unlock()
	if !rest && !ids {
		return
	}
	b.moveAway(c, between) // unless it is under way
	t := &b.sources
	t.mu.Lock()
	j := t.mu.jobs[c.key]
	t.mu.Unlock()
	for j != nil && (rest && !j.given.Load() || ids && !j.ids.Load()) && b.cfg.Now().Before(until) {
		select {
		case <-j.ended:
			return
		default:
		}
		if !b.cfg.Cluster.Reachable(home) || !b.pause(time.Millisecond) {
			return
		}
	}
}
