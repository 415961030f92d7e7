package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tombolo/mqtt/packet"
)

// TestInboundAtLeastOnce: every PUBLISH at QoS 1 is answered under its own id
// and in order; after PUBACK the id stands for a new message, whatever DUP
// says. Rules 3.1.1/4.3.2-2, 3.1.1/2.3.1-6, 3.1.1/4.6.0-2, 3.1.1/4.6.0-5,
// 3.1.1/4.6.0-6, 5/4.3.2-4, 5/4.3.2-5, 5/2.2.1-5, 5/4.6.0-2, 5/4.6.0-5,
// 5/4.6.0-6.
func TestInboundAtLeastOnce(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "t")
		for _, ws := range [][]with{nil, {keep}} { // in memory and on disk
			s := shared.connect(t, v, name(t, "s"), ws...)
			s.subscribe(topic + " 1")
			p := shared.connect(t, v, name(t, "p"))
			var batch []byte
			for i := range 20 {
				batch = append(batch, p.pub(topic, fmt.Sprint(i), 1, packet.ID(100-i), nil)...)
			}
			p.send(batch)
			for i := range 20 {
				p.want(fmt.Sprintf("PUBACK id%d 0x00", 100-i))
				s.send(s.ack(packet.TypePuback, s.wantPublish(fmt.Sprintf("PUBLISH %s %d qos1", topic, i))))
			}
			p.send(p.pub(topic, "again", 1, 100, func(p *packet.Publish) { p.Dup = true }))
			p.want("PUBACK id100 0x00")
			s.wantPublish("PUBLISH " + topic + " again qos1")
			p.leave()
			s.leave()
		}
	})
}

// TestInboundExactlyOnce: until PUBREL the same id is the same message. Rules
// 3.1.1/4.3.3-2, 3.1.1/4.6.0-3, 3.1.1/2.3.1-6, 5/4.3.3-8, 5/4.3.3-10,
// 5/4.3.3-11, 5/4.3.3-12, 5/4.6.0-3, 5/2.2.1-5.
func TestInboundExactlyOnce(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "t")
		for _, ws := range [][]with{nil, {keep}} {
			s := shared.connect(t, v, name(t, "s"))
			s.subscribe(topic)
			p := shared.connect(t, v, name(t, "p"), ws...)
			dup := func(p *packet.Publish) { p.Dup = true }
			p.send(p.pub(topic, "1", 2, 7, nil), p.pub(topic, "2", 2, 3, nil))
			p.want("PUBREC id7 0x00", "PUBREC id3 0x00")
			p.send(p.pub(topic, "1", 2, 7, dup))
			p.want("PUBREC id7 0x00")
			if len(ws) > 0 { // also across connections
				p.drop()
				p = shared.resume(t, v, name(t, "p"))
				p.send(p.pub(topic, "1", 2, 7, dup))
				p.want("PUBREC id7 0x00")
			}
			p.send(p.ack(packet.TypePubrel, 7), p.ack(packet.TypePubrel, 3))
			p.want("PUBCOMP id7 0x00", "PUBCOMP id3 0x00")
			p.send(p.pub(topic, "3", 2, 7, nil))
			p.want("PUBREC id7 0x00")
			p.send(p.ack(packet.TypePubrel, 7))
			p.want("PUBCOMP id7 0x00")
			s.want("PUBLISH "+topic+" 1 qos0", "PUBLISH "+topic+" 2 qos0", "PUBLISH "+topic+" 3 qos0")
			s.nothing()
			p.leave()
			s.leave()
		}
	})
}

// TestRefusedExactlyOnce: after a PUBREC that says no, the id is free. Rules
// 5/4.3.3-9.
func TestRefusedExactlyOnce(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	s, p := shared.connect(t, packet.V5, name(t, "s")), shared.connect(t, packet.V5, name(t, "p"))
	s.subscribe(topic)
	p.send(p.pub("$forbidden", "x", 2, 5, nil))
	p.wantPrefix("PUBREC id5 0x87")
	p.send(p.pub(topic, "new", 2, 5, nil))
	p.want("PUBREC id5 0x00")
	s.want("PUBLISH " + topic + " new qos0")
}

// TestOutboundFlows: what the broker sends has a fresh id and no DUP, is not
// sent again on the same connection, and follows the steps of its QoS. Rules
// 3.1.1/2.3.1-4, 3.1.1/4.3.2-1, 3.1.1/4.3.3-1, 5/2.2.1-4, 5/4.3.2-1, 5/4.3.2-2,
// 5/4.3.2-3, 5/4.3.3-1, 5/4.3.3-2, 5/4.3.3-3, 5/4.3.3-4, 5/4.3.3-5, 5/4.3.3-6.
func TestOutboundFlows(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "t")
		for _, ws := range [][]with{nil, {keep}} {
			s := shared.connect(t, v, name(t, "s"), ws...)
			s.subscribe(topic + " 2")
			p := shared.connect(t, v, name(t, "p"))
			seen := map[packet.ID]bool{0: true}
			var ones, twos []packet.ID
			for i := range 5 {
				p.publish(topic, fmt.Sprint(i), 1, nil)
				p.publish(topic, fmt.Sprint(i), 2, nil)
				one := s.wantPublish(fmt.Sprintf("PUBLISH %s %d qos1", topic, i))
				two := s.wantPublish(fmt.Sprintf("PUBLISH %s %d qos2", topic, i))
				if seen[one] || seen[two] || one == two {
					t.Fatalf("packet id %d or %d is in use", one, two)
				}
				seen[one], seen[two] = true, true
				ones, twos = append(ones, one), append(twos, two)
			}
			for i := range twos {
				s.send(s.ack(packet.TypePubrec, twos[i]))
				s.want("PUBREL " + idText(twos[i]) + " 0x00")
				s.send(s.ack(packet.TypePubrec, twos[i])) // again: PUBREL, never PUBLISH
				s.want("PUBREL " + idText(twos[i]) + " 0x00")
				s.send(s.ack(packet.TypePuback, ones[i]), s.ack(packet.TypePubcomp, twos[i]))
			}
			s.nothing()
			s.leave()
			p.leave()
		}
	})
}

// TestResend: a new connection gets what was not acknowledged again, in order,
// under the same ids and with DUP, PUBREL where PUBREC had come, and nothing
// else. Rules 3.1.1/4.4.0-1, 3.1.1/3.3.1-1, 3.1.1/2.3.1-3, 3.1.1/4.6.0-1,
// 3.1.1/4.6.0-4, 5/4.4.0-1, 5/4.4.0-2, 5/3.3.1-1, 5/4.6.0-1, 5/4.6.0-4,
// 5/4.1.0-1, 3.1.1/4.1.0-1.
func TestResend(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "t")
		s := shared.connect(t, v, name(t, "s"), keep)
		s.subscribe(topic + " 2")
		p := shared.connect(t, v, name(t, "p"))
		ids := make([]packet.ID, 8)
		for i := range ids {
			p.publish(topic, fmt.Sprint(i), uint8(1+i%2), nil)
			ids[i] = s.wantPublish(fmt.Sprintf("PUBLISH %s %d qos%d", topic, i, 1+i%2))
		}
		s.send(s.ack(packet.TypePuback, ids[2]), s.ack(packet.TypePubrec, ids[3]), s.ack(packet.TypePubrec, ids[1]))
		s.want("PUBREL "+idText(ids[3])+" 0x00", "PUBREL "+idText(ids[1])+" 0x00")
		again := []int{0, 4, 5, 6, 7}
		if v == packet.V5 { // a refusal is an answer
			s.send(s.nack(packet.TypePuback, ids[4], packet.UnspecifiedError), s.nack(packet.TypePubrec, ids[5], packet.NotAuthorized))
			again = []int{0, 6, 7}
		}
		s.fence()
		for range 2 {
			s.drop()
			s = shared.resume(t, v, name(t, "s"))
			s.want("PUBREL "+idText(ids[3])+" 0x00", "PUBREL "+idText(ids[1])+" 0x00")
			for _, i := range again {
				s.want(fmt.Sprintf("PUBLISH %s %d qos%d id%d dup", topic, i, 1+i%2, ids[i]))
			}
		}
		p.publish(topic, "new", 1, nil)
		if id := s.wantPublish("PUBLISH " + topic + " new qos1"); slices.Contains(ids, id) {
			t.Errorf("packet id %d may still mean an old message", id)
		}
		s.nothing()
	})
}

// TestReceiveMaximum: no more than the client allows is on its way, other
// packets do not wait for it, and a client that ignores ours is told 0x93.
// Rules 5/3.3.4-7, 5/3.3.4-9, 5/3.3.4-10, 5/4.9.0-1, 5/4.9.0-2, 5/4.9.0-3.
func TestReceiveMaximum(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	for i, ws := range [][]with{{receiveMax(2)}, {receiveMax(2), keep}} {
		s := shared.connect(t, packet.V5, name(t, fmt.Sprint("s", i)), ws...)
		s.subscribe(topic + " 2")
		p := shared.connect(t, packet.V5, name(t, "p"))
		for n := range 5 {
			p.publish(topic, fmt.Sprint(n), uint8(1+n%2), nil)
		}
		zero := s.wantPublish("PUBLISH " + topic + " 0 qos1")
		one := s.wantPublish("PUBLISH " + topic + " 1 qos2")
		p.publish(topic, "free", 0, nil) // QoS 0 knows no quota
		s.want("PUBLISH " + topic + " free qos0")
		s.nothing()
		s.send(s.ack(packet.TypePuback, zero))
		two := s.wantPublish("PUBLISH " + topic + " 2 qos1")
		s.send(s.ack(packet.TypePubrec, one))
		s.want("PUBREL " + idText(one) + " 0x00")
		s.nothing() // QoS 2 counts until PUBCOMP
		s.send(s.ack(packet.TypePubcomp, one))
		s.wantPublish("PUBLISH " + topic + " 3 qos2")
		s.send(s.nack(packet.TypePuback, two, packet.UnspecifiedError))
		s.wantPublish("PUBLISH " + topic + " 4 qos1")
		s.leave()
	}
	p := shared.connect(t, packet.V5, name(t, "p"))
	var all []byte
	for id := packet.ID(1); id <= 51; id++ { // the shared node says 50
		all = append(all, p.pub(topic, "", 2, id, nil)...)
	}
	p.send(all)
	got := p.receive()
	for strings.HasPrefix(got, "PUBREC ") {
		got = p.receive()
	}
	if !strings.HasPrefix(got, "DISCONNECT 0x93") {
		t.Errorf("after 51 publishes: %s", got)
	}
	p.want(closed)
}

// TestTopicAliases: both directions, and only for one connection. Rules
// 5/3.1.2-26, 5/3.1.2-27, 5/3.2.2-18, 5/3.3.2-7, 5/3.3.2-10, 5/3.3.2-11,
// 5/3.3.2-12.
func TestTopicAliases(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	alias := func(n uint16) func(*packet.Publish) {
		return func(p *packet.Publish) { p.Properties.Set, p.Properties.TopicAlias = packet.PropTopicAlias, n }
	}
	some := func(n uint16) with {
		return func(c *packet.Connect) {
			c.Properties.Set |= packet.PropTopicAliasMaximum
			c.Properties.TopicAliasMaximum = n
		}
	}
	none, one := shared.connect(t, packet.V5, name(t, "none")), shared.connect(t, packet.V5, name(t, "one"), some(1))
	none.subscribe(topic + "/#")
	one.subscribe(topic + "/#")
	p := shared.connect(t, packet.V5, name(t, "p"))
	for n := uint16(1); n <= 4; n++ { // all that CONNACK allows
		p.publish(fmt.Sprint(topic, "/", n), "set", 0, alias(n))
		p.publish("", "used", 0, alias(n))
		for _, payload := range []string{"set", "used"} {
			none.want(fmt.Sprintf("PUBLISH %s/%d %s qos0", topic, n, payload))
		}
	}
	p.publish(topic+"/9", "moved", 0, alias(4))
	p.publish("", "there", 0, alias(4))
	none.want("PUBLISH "+topic+"/9 moved qos0", "PUBLISH "+topic+"/9 there qos0")
	one.want("PUBLISH "+topic+"/1 set qos0 {topic-alias=1}", "PUBLISH  used qos0 {topic-alias=1}", "PUBLISH "+topic+"/2 set qos0")
	p.leave()
	p = shared.connect(t, packet.V5, name(t, "p"))
	p.send(p.pub("", "forgotten", 0, 0, alias(1)))
	p.wantPrefix("DISCONNECT 0x82")
	p.want(closed)
}

// TestTooLargeToSend: a message beyond the client's Maximum Packet Size counts
// as delivered, and an alias that only it would have set is not used. Rules
// 5/3.1.2-24, 5/3.1.2-25.
func TestTooLargeToSend(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	for i, ws := range [][]with{{}, {keep}} {
		ws = append(ws, packetMax(uint32(len(topic)+20)), receiveMax(1), func(c *packet.Connect) {
			c.Properties.Set |= packet.PropTopicAliasMaximum
			c.Properties.TopicAliasMaximum = 2
		})
		s := shared.connect(t, packet.V5, name(t, fmt.Sprint("s", i)), ws...)
		s.subscribe(topic + " 1")
		p := shared.connect(t, packet.V5, name(t, "p"))
		for qos := range uint8(3) {
			p.publish(topic, strings.Repeat("x", 100), qos, nil)
		}
		p.publish(topic, "small", 0, nil)
		s.want("PUBLISH " + topic + " small qos0 {topic-alias=1}")
		p.publish(topic, "small", 1, nil)
		s.wantPrefix("PUBLISH  small qos1 id")
		s.leave()
		p.leave()
	}
}
