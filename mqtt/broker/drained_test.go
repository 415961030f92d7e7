package broker

import (
	"testing"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// flushCounter counts what would be a write call.
type flushCounter struct {
	quietConn
	flushes int
}

func (c *flushCounter) Flush() { c.flushes++ }

// TestBurstIsWrittenOnce: publishes at QoS 0 that come from a node together are
// one write to a client, not one each, whichever clients they are for.
func TestBurstIsWrittenOnce(t *testing.T) {
	n := rig(t, 1).nodes[0]
	conns := []*flushCounter{{}, {}}
	for i, id := range []string{"a", "b"} {
		p := n.joinOver(t, id, conns[i])
		p.feed(t, packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte(id)}}}))
	}
	frame := func(topic string) []byte {
		return wire.AppendPublish(nil, &wire.Publish{Body: packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: []byte(topic), Payload: make([]byte, 128)})})
	}
	for burst := 1; burst <= 3; burst++ {
		before := [2]flushCounter{}
		for i, c := range conns {
			before[i].flushes, before[i].bytes = c.flushes, c.bytes
		}
		const many = 20
		for range many {
			for _, topic := range []string{"a", "b"} {
				if err := n.b.TakeFast(2, frame(topic)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, c := range conns {
			if c.flushes != before[i].flushes {
				t.Errorf("burst %d, client %d: written to before the burst was over", burst, i)
			}
		}
		n.b.Drained(2)
		for i, c := range conns {
			if got := c.flushes - before[i].flushes; got != 1 {
				t.Errorf("burst %d, client %d: %d writes, want 1", burst, i, got)
			}
			if got := c.bytes - before[i].bytes; got < many*128 {
				t.Errorf("burst %d, client %d: %d bytes", burst, i, got)
			}
		}
	}
	n.b.Drained(2) // with nothing put off
	n.b.Drained(3) // nor ever heard of
}
