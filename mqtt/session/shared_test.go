package session

import (
	"bytes"
	"testing"

	"tombolo/mqtt/packet"
)

// sent is what the connection gets of a step.
func sent(e *Effects) []byte {
	var all []byte
	from := 0
	for _, b := range e.Bodies {
		all = append(append(all, e.Out[from:b.At]...), b.Payload...)
		from = b.At
	}
	return append(all, e.Out[from:]...)
}

// A large payload for several receivers goes out beside Out, once for all; what
// arrives is the same as for one receiver, whose payload is copied.
func TestSharedPayload(t *testing.T) {
	payload := bytes.Repeat([]byte("payload."), ShareBytesMin/8)
	for name, c := range map[string]struct {
		connect string
		ids     []uint32
	}{
		"3.1.1":             {connect: "connect v=4 id=c"},
		"5":                 {connect: "connect v=5 id=c"},
		"5 with identifier": {connect: "connect v=5 id=c", ids: []uint32{7}},
		"5 with alias":      {connect: "connect v=5 id=c aliases=5"},
	} {
		t.Run(name, func(t *testing.T) {
			var outs [2][]byte
			for i, receivers := range []int{1, 100} {
				w := newWorld()
				w.run(t, "limits topic_alias_max_client=2")
				w.run(t, c.connect)
				w.run(t, "attach")
				w.e.Reset()
				input := bytes.Clone(payload)
				var o Outgoing
				o.Set(&packet.Publish{Topic: []byte("t"), Payload: input}, 0)
				o.Share(receivers)
				w.session.Deliver0(&o, true, c.ids, w.now, &w.e)
				w.session.Deliver0(&o, true, c.ids, w.now, &w.e)
				outs[i] = sent(&w.e)
				if shares := len(w.e.Bodies) == 2; shares != (receivers > 1) {
					t.Fatalf("%d receivers: %d payloads beside Out", receivers, len(w.e.Bodies))
				}
				if receivers > 1 && &w.e.Bodies[0].Payload[0] != &w.e.Bodies[1].Payload[0] {
					t.Error("two deliveries have two copies")
				}
				clear(input) // it was a view that dies with the round
				if receivers > 1 && !bytes.Equal(sent(&w.e), outs[i]) {
					t.Error("the shared payload is not a copy")
				}
			}
			if !bytes.Equal(outs[0], outs[1]) || len(outs[0]) < 2*len(payload) {
				t.Errorf("%d bytes with a copy, %d shared, or other ones", len(outs[0]), len(outs[1]))
			}
		})
	}
}

// At QoS 1 the payload is that of the queued message, and the limit of the
// client counts it.
func TestSharedPayloadQueued(t *testing.T) {
	w := newWorld()
	w.run(t, "connect v=5 id=c")
	w.run(t, "attach")
	big := string(bytes.Repeat([]byte{'x'}, ShareBytesMin))
	w.run(t, "deliver topic=t qos=1 payload="+big)
	if len(w.e.Bodies) != 1 || string(w.e.Bodies[0].Payload) != big {
		t.Fatalf("%d payloads beside Out", len(w.e.Bodies))
	}
	var p packet.Publish
	f, _, err := packet.Split(sent(&w.e), 0)
	if err != nil || packet.DecodePublish(f, packet.V5, &p) != nil || string(p.Payload) != big || p.ID != 1 {
		t.Errorf("the packet is not whole: %v, id %d, %d bytes of payload", err, p.ID, len(p.Payload))
	}
	w.session.packetMax = ShareBytesMin
	w.e.Reset()
	var o Outgoing
	o.Set(&packet.Publish{Topic: []byte("t"), Payload: []byte(big)}, 0)
	o.Share(2)
	w.session.Deliver0(&o, false, nil, w.now, &w.e)
	if len(w.e.Out)+len(w.e.Bodies) != 0 || w.e.Dropped != 1 {
		t.Errorf("%d + %d sent, %d dropped of a packet above the client's limit", len(w.e.Out), len(w.e.Bodies), w.e.Dropped)
	}
}
