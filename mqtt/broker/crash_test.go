package broker

import (
	"strconv"
	"testing"

	"tombolo/mqtt/packet"
)

// TestR22Crash: the source, or the target, of a migration loses its memory in
// the middle. The migration goes on when it is back, and nothing is lost.
func TestR22Crash(t *testing.T) {
	for _, victim := range []string{"source", "target"} {
		t.Run(victim, func(t *testing.T) {
			m := rig(t, 3, func(s *Settings) { s.DrainStep = 10 })
			a, b := m.nodes[0], m.nodes[1]
			s := a.dial(t, "s", lasting)
			s.subscribe(1, "t")
			s.Disconnect(packet.Success)
			pub := m.nodes[2].dial(t, "pub")
			const messages = 400
			for i := range messages {
				pub.send("t", strconv.Itoa(i), 1)
			}
			s = b.dial(t, "s", lasting)
			seen := map[string]int{}
			for range 15 {
				seen[string((<-s.Messages()).Payload)]++
			}
			if victim == "source" {
				a.restart(t)
			} else {
				b.restart(t)
				s.Close()
				<-s.ended
				for x := range s.Messages() {
					seen[string(x.Payload)]++
				}
				s = b.dial(t, "s", lasting)
			}
			pub.send("t", strconv.Itoa(messages), 1)
			eventually(t, "all messages", func() bool {
				for {
					select {
					case x := <-s.Messages():
						if x == nil {
							t.Fatal("the connection ended")
						}
						seen[string(x.Payload)]++
					default:
						return len(seen) == messages+1
					}
				}
			})
			eventually(t, "nothing is left at the old home", func() bool {
				_, stored := a.queue.Lookup(queueName(Key{ClientID: "s"}))
				return !stored
			})
		})
	}
}
