package broker

import (
	"testing"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// BenchmarkCrossing is what either end of the broker does for a message that
// crosses nodes, without sockets: twenty in a read, each for one other node, and
// a hundred in what one read of a link brings, each for one client.
func BenchmarkCrossing(b *testing.B) {
	const read, batch = 20, 100
	for qos := range uint8(2) {
		name := string([]byte{'Q', 'o', 'S', '0' + qos})
		b.Run(name+"/leaves", func(b *testing.B) {
			n, c := countingRig(&testing.T{})
			pub := n.join(&testing.T{}, "pub")
			c.other = true
			n.b.MembersChanged([]wire.NodeID{1, 2})
			n.b.TakeRoutes(2, &wire.Routes{List: []wire.Route{{Filter: "far/x", Members: 1}}})
			var messages []byte
			for i := range read {
				messages = packet.AppendPublish(messages, packet.V311,
					&packet.Publish{Topic: []byte("far/x"), QoS: qos, ID: packet.ID(int(qos) * (i + 1)), Payload: make([]byte, 128)})
			}
			b.ReportAllocs()
			for i := 0; i < b.N; i += read {
				c.tickets = c.tickets[:0]
				pub.feed(&testing.T{}, messages)
				for _, tk := range c.tickets {
					tk.Ended(2, Stored, 0)
				}
				n.b.Drained(2)
			}
		})
		b.Run(name+"/arrives", func(b *testing.B) {
			n := rig(&testing.T{}, 1).nodes[0]
			sub := n.join(&testing.T{}, "sub")
			sub.feed(&testing.T{}, packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("far/x"), QoS: qos}}}))
			body := packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: []byte("far/x"), Payload: make([]byte, 128)})
			frame := wire.AppendPublish(nil, &wire.Publish{ID: wire.MessageID{Ingress: uint64(qos), N: uint64(qos)}, Generation: 1 << 56, Flags: qos, Body: body})
			b.ReportAllocs()
			id := packet.ID(1)
			var acks []byte
			for i := 0; i < b.N; i += batch {
				acks = acks[:0]
				for k := range batch {
					if qos == 0 {
						if err := n.b.TakeFast(2, frame); err != nil {
							b.Fatal(err)
						}
						continue
					}
					var p wire.Publish
					if err := wire.ParsePublish(frame, &p); err != nil {
						b.Fatal(err)
					}
					if _, _, ok := n.b.TakeInstant(2, 1, uint64(i+k+1), &p, nil); !ok {
						b.Fatal("not taken")
					}
					acks = packet.AppendAck(acks, packet.V311, &packet.Ack{Type: packet.TypePuback, ID: id})
					if id++; id > 8191 {
						id = 1
					}
				}
				n.b.Drained(2)
				if qos > 0 {
					sub.feed(&testing.T{}, acks)
				}
			}
		})
	}
}
