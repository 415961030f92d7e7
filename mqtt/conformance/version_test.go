package conformance

import (
	"testing"

	"tombolo/mqtt/packet"
)

// TestVersion31: MQTT 3.1 (MQIsdp), which no normative statements are numbered
// for: no session present flag, no empty client id, DUP on PUBREL and SUBSCRIBE
// is allowed, a publish that is not permitted is acknowledged.
func TestVersion31(t *testing.T) {
	t.Parallel()
	const v = packet.V31
	topic := name(t, "t")
	s := shared.connect(t, v, name(t, "s"), keep)
	s.subscribe(topic+" 2", topic+"/never 1")
	s.sendHex("8a 06 00 09 00 01 7a 00") // SUBSCRIBE with DUP
	s.want("SUBACK id9 0x00")
	p := shared.connect(t, v, name(t, "p"))
	s.caughtUp(p)
	p.publish(topic, "0", 0, retained)
	p.publish(topic, "1", 1, nil)
	p.send(p.pub(topic, "2", 2, 5, nil))
	p.want("PUBREC id5 0x00")
	p.sendHex("6a 02 00 05") // PUBREL with DUP
	p.want("PUBCOMP id5 0x00")
	p.publish("$no", "x", 1, nil)
	s.want("PUBLISH " + topic + " 0 qos0")
	one := s.wantPublish("PUBLISH " + topic + " 1 qos1")
	two := s.wantPublish("PUBLISH " + topic + " 2 qos2")
	s.drop()
	s = shared.connect(t, v, name(t, "s"), keep) // "CONNACK 0x00": there is no flag to say more
	s.want("PUBLISH "+topic+" 1 qos1 "+idText(one)+" dup", "PUBLISH "+topic+" 2 qos2 "+idText(two)+" dup")
	s.send(s.ack(packet.TypePuback, one), s.ack(packet.TypePubrec, two))
	s.want("PUBREL " + idText(two) + " 0x00")
	s.send(s.ack(packet.TypePubcomp, two))
	s.leave()
	empty := shared.dial(t, v)
	empty.send(hello(v, ""))
	empty.want("CONNACK 0x02", closed)
}

// TestVersionsOfAListener: each listener takes the versions that it is
// configured for.
func TestVersionsOfAListener(t *testing.T) {
	t.Parallel()
	b := start(t, "listener.tcp.default=127.0.0.1:0", "listener.tcp.default.allowed_protocol_versions=5")
	b.connect(t, packet.V5, "five").leave()
	for v, want := range map[packet.Version]string{packet.V31: "CONNACK 0x01", packet.V311: "CONNACK 0x01"} {
		c := b.dial(t, v)
		c.send(hello(v, "old"))
		c.want(want, closed)
	}
	old := start(t, "listener.tcp.default=127.0.0.1:0", "listener.tcp.default.allowed_protocol_versions=3,4")
	c := old.dial(t, packet.V5)
	c.send(hello(packet.V5, "new"))
	c.wantPrefix("CONNACK 0x84")
	c.want(closed)
}

// TestVersionsMeet: a message passes between versions as far as each can carry
// it.
func TestVersionsMeet(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	all := []packet.Version{packet.V31, packet.V311, packet.V5}
	var subs []*client
	for _, v := range all {
		s := shared.connect(t, v, name(t, "s"+v.String()), keep)
		s.subscribe(topic + " 2")
		subs = append(subs, s)
	}
	for _, v := range all {
		p := shared.connect(t, v, name(t, "p"))
		for qos := range uint8(3) {
			p.publish(topic, "from "+v.String(), qos, func(p *packet.Publish) {
				if v == packet.V5 {
					p.Properties = everything
				}
			})
			for _, s := range subs {
				s.wantPrefix("PUBLISH " + topic + " from " + v.String() + " qos" + string('0'+rune(qos)))
			}
		}
		p.leave()
	}
}
