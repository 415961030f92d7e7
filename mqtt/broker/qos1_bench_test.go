package broker

import (
	"testing"

	"tombolo/mqtt/packet"
)

// BenchmarkQoS1 brings messages from a publisher to a subscriber at QoS 1, each
// acknowledged, ten to a read, without sockets.
func BenchmarkQoS1(b *testing.B) {
	t := &testing.T{}
	n := rig(t, 1).nodes[0]
	sub, pub := n.join(t, "sub"), n.join(t, "pub")
	sub.feed(t, packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("a/b"), QoS: 1}}}))
	const batch = 10
	var messages []byte
	for i := range batch {
		messages = packet.AppendPublish(messages, packet.V311, &packet.Publish{Topic: []byte("a/b"), QoS: 1, ID: packet.ID(1 + i), Payload: make([]byte, 128)})
	}
	var acks []byte
	id := packet.ID(1)
	b.ReportAllocs()
	for range b.N {
		pub.feed(t, messages)
		acks = acks[:0]
		for range batch {
			acks = packet.AppendAck(acks, packet.V311, &packet.Ack{Type: packet.TypePuback, ID: id})
			if id++; id > 8191 {
				id = 1
			}
		}
		sub.feed(t, acks)
	}
}
