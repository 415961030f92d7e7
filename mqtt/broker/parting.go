package broker

import "time"

// Part waits, after Shutdown, while the sessions whose clients were connected
// follow these to the nodes where they connect next, so that what waits for a session
// is there before anything newer is. A client that does not connect, and a queue that
// is long, are waited for until limit is over: what is still here then follows at the
// next start, as that of sessions without a client does.
func (b *Broker) Part(limit time.Duration) {
	if !b.clustered() {
		return
	}
	for until := time.Now().Add(limit); b.parting() && time.Now().Before(until); {
		if !b.pause(idlePause) {
			return
		}
	}
}

// parting reports whether a session is on its way from here, or may be about to. One of
// which a peer has said that it has left, ahead of the tables, is not on its way yet.
func (b *Broker) parting() bool {
	left := b.parted[:0]
	for _, c := range b.parted {
		c.mu.Lock()
		if !c.ended {
			left = append(left, c)
		}
		c.mu.Unlock()
	}
	b.parted = left
	return len(left) > 0 || b.sources.moving() > 0
}
