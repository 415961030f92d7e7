package session

import (
	"testing"

	"tombolo/mqtt/packet"
)

// TestR4Begun: a packet id whose message may have got everywhere or not: a PUBLISH
// with it is made again, a PUBREL ends it as if it had been acknowledged, since its
// client has the PUBREC.
func TestR4Begun(t *testing.T) {
	for _, first := range []string{"publish", "pubrel"} {
		w := newWorld()
		w.run(t, "connect v=5 id=c expiry=100 clean=0")
		w.run(t, "attach")
		w.session.durable = true
		w.session.Begun(7)
		w.e.Reset()
		if first == "publish" {
			step(t, w, packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: []byte("t"), QoS: 2, ID: 7, Dup: true}))
			if w.e.Request != RequestPublish {
				t.Fatalf("a PUBLISH asks for %v", w.e.Request)
			}
			w.session.PublishDone(w.e.Token, packet.Success, "", &w.e)
			w.e.Reset()
		}
		step(t, w, packet.AppendAck(nil, packet.V5, &packet.Ack{Type: packet.TypePubrel, ID: 7}))
		if w.e.Request != RequestForget || w.e.PacketID != 7 {
			t.Fatalf("after %s: a PUBREL asks for %v", first, w.e.Request)
		}
		token := w.e.Token
		w.e.Reset()
		w.session.Forgotten(token, &w.e)
		want := packet.AppendAck(nil, packet.V5, &packet.Ack{Type: packet.TypePubcomp, ID: 7})
		if got := sent(&w.e); string(got) != string(want) {
			t.Errorf("after %s: % x, want % x", first, got, want)
		}
	}
}

func step(t *testing.T, w *world, bytes []byte) {
	t.Helper()
	f, _, err := packet.Split(bytes, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.session.Packet(f, w.now, &w.e)
}
