package conformance

import (
	"testing"

	"tombolo/mqtt/packet"
)

// TestUpgradeOutgoingQoS: with upgrade_outgoing_qos a message comes at the QoS of the
// subscription where that is above the publisher's, and waits like one that was sent
// so. It is against 5/3.8.4-8, which holds by default (TestDeliveryQoS).
func TestUpgradeOutgoingQoS(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		b := start(t, "upgrade_outgoing_qos=on")
		away := b.connect(t, v, "away", keep)
		away.subscribe("t 1")
		away.leave()
		s := b.connect(t, v, "s")
		s.subscribe("t 2")
		p := b.connect(t, v, "p")
		p.publish("t", "x", 0, nil)
		s.wantPrefix("PUBLISH t x qos2")
		b.resume(t, v, "away").wantPrefix("PUBLISH t x qos1")
	})
}

// TestQueueType: of what a full queue cannot keep fifo drops the new message and lifo
// the oldest one. What is kept comes in its order either way.
func TestQueueType(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		for kind, kept := range map[string][]string{"fifo": {"1", "2"}, "lifo": {"2", "3"}} {
			b := start(t, "queue_type="+kind, "max_offline_messages=2")
			away := b.connect(t, v, "away", keep)
			away.subscribe("t 1")
			away.leave()
			p := b.connect(t, v, "p")
			for _, payload := range []string{"1", "2", "3"} {
				p.publish("t", payload, 1, nil)
			}
			away = b.resume(t, v, "away")
			for _, payload := range kept {
				away.wantPrefix("PUBLISH t " + payload + " qos1")
			}
			away.nothing()
		}
	})
}

// TestPersistentClientExpiration: a session of MQTT 3, which names no time, ends after
// persistent_client_expiration, with what waited for it.
func TestPersistentClientExpiration(t *testing.T) {
	t.Parallel()
	b := start(t, "persistent_client_expiration=1s")
	away := b.connect(t, packet.V311, "away", keep)
	away.subscribe("t 1")
	away.leave()
	p := b.connect(t, packet.V311, "p")
	p.publish("t", "x", 1, nil)
	eventually(t, "the session has ended", func() bool { return b.counter(t, "sessions", "") == 1 })
	again := b.dial(t, packet.V311)
	again.send(hello(packet.V311, "away", keep))
	again.want("CONNACK 0x00")
	again.nothing()
}
