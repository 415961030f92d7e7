package broker

import (
	"math/rand/v2"

	"tombolo/mqtt/topic"
)

// pick chooses the member of a shared subscription that gets a message. An
// online member comes first; among offline ones only a session that outlives
// its connection can be meant, and its queue keeps the message (R13).
func (b *Broker) pick(g *topic.Group[*client], policy SharePolicy) *topic.Hit[*client] {
	n := len(g.Members)
	if n == 0 {
		return nil
	}
	start := 0
	if policy == Random {
		start = rand.IntN(n)
	} else {
		start = int(g.Turn() % uint64(n))
	}
	for i := range n {
		if h := &g.Members[(start+i)%n]; h.Sub.online.Load() {
			return h
		}
	}
	return &g.Members[start]
}
