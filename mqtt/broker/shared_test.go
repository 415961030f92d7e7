package broker

import (
	"runtime"
	"testing"

	"tombolo/mqtt/packet"
)

// TestSharedPayloadCost: a payload of 64 KiB for many subscribers is copied
// once, not for each of them, and every byte counts as sent.
func TestSharedPayloadCost(t *testing.T) {
	if raceEnabled {
		return // it allocates on its own account
	}
	const receivers, size, rounds = 20, 64 << 10, 20
	n := rig(t, 1).nodes[0]
	var quiet [receivers]*quietConn
	for i := range quiet {
		quiet[i] = &quietConn{}
		sub := n.joinOver(t, "sub"+string(rune('a'+i)), quiet[i])
		qos := uint8(i % 2)
		sub.feed(t, packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("large"), QoS: qos}}}))
		quiet[i].bytes, quiet[i].copied = 0, 0
	}
	pub := n.join(t, "pub")
	message := packet.AppendPublish(nil, packet.V311, &packet.Publish{Topic: []byte("large"), QoS: 0, Payload: make([]byte, size)})
	pub.feed(t, message)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		pub.feed(t, message)
	}
	runtime.ReadMemStats(&after)
	got := (after.TotalAlloc - before.TotalAlloc) / rounds
	t.Logf("%d bytes allocated for a message to %d", got, receivers)
	if got > 2*size {
		t.Errorf("%d bytes allocated for a message of %d to %d subscribers: it is to be copied once", got, size, receivers)
	}
	for i, c := range quiet {
		if c.bytes != (1+rounds)*len(message) {
			t.Errorf("subscriber %d was sent %d bytes of %d", i, c.bytes, (1+rounds)*len(message))
		}
		if c.copied > (1+rounds)*(len(message)-size) {
			t.Errorf("subscriber %d: %d bytes were copied", i, c.copied)
		}
	}
}
