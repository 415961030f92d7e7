package broker

import (
	"fmt"

	"tombolo/metadata"
)

// stuckCheck names a session in the log that has waited for long for older parts of
// its queue, which a node that can be reached does not send. Its old home says the
// same of what it cannot send (source.run); but it may not know that it is waited
// for. A value.
type stuckCheck struct {
	c     *client
	epoch metadata.Epoch // of the move
}

func (b *Broker) watchStuck(c *client, epoch metadata.Epoch) {
	b.wheel.at(b.cfg.Now().Add(stuckReport).UnixMilli(), stuckCheck{c, epoch})
}

func (t stuckCheck) due(now int64) int64 {
	c, b := t.c, t.c.mount.broker
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shift.Load()
	if c.ended || s == nil || s.epoch != t.epoch || len(c.awaits) == 0 || !c.queue.Moving() {
		return 0
	}
	var from []string
	for _, id := range sortedIDs(c.awaits) {
		from = append(from, fmt.Sprintf("%016x", uint64(id)))
	}
	b.cfg.Log.Warn("a session waits for older messages of its queue", "client", c.key.ClientID, "from", from, "newer", c.queue.Len())
	return now + stuckReport.Milliseconds()
}
