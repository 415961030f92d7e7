package conformance

import (
	"fmt"
	"strings"
	"testing"

	"tombolo/mqtt/packet"
)

// TestSuback: one answer, one code a filter, in order. Rules 3.1.1/3.8.4-1,
// 3.1.1/3.8.4-2, 3.1.1/3.8.4-4, 3.1.1/3.8.4-5, 3.1.1/3.9.3-1, 3.1.1/3.9.3-2,
// 3.1.1/2.3.1-7, 5/3.8.4-1, 5/3.8.4-2, 5/3.8.4-5, 5/3.8.4-6, 5/3.8.4-7,
// 5/3.9.3-1, 5/3.9.3-2, 5/2.2.1-6.
func TestSuback(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		base := name(t, "")
		c := shared.connect(t, v, name(t, "c"))
		s := packet.Subscribe{ID: 0xfffe}
		for i, f := range []string{"a", "b/#/c", "c/+", "", "e"} {
			if f != "" {
				f = base + f
			}
			s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: []byte(f), QoS: uint8(2 - i/2)})
		}
		c.send(packet.AppendSubscribe(nil, v, &s))
		if v == packet.V5 {
			c.wantPrefix("SUBACK id65534 0x02,0x8f,0x01,0x8f,0x00")
		} else {
			c.want("SUBACK id65534 0x02,0x80,0x01,0x80,0x00")
		}
		for topic, want := range map[string]string{"a": "qos2 ", "c/x": "qos1 ", "e": "qos0"} {
			id := c.id()
			c.send(c.pub(base+topic, "x", 2, id, nil))
			a, b := c.receive(), c.receive()
			if strings.HasPrefix(b, "PUBLISH") {
				a, b = b, a
			}
			if !strings.HasPrefix(a, "PUBLISH "+base+topic+" x "+want) || !strings.HasPrefix(b, "PUBREC ") {
				t.Errorf("published to %s, received %s and %s", topic, a, b)
			}
			c.send(c.ack(packet.TypePubrel, id))
			c.wantPrefix("PUBCOMP ")
		}
	})
}

// TestResubscribe: the same filter again replaces the subscription, brings what
// is retained again and loses nothing. Rules 3.1.1/3.8.4-3, 5/3.8.4-3,
// 5/3.8.4-4.
func TestResubscribe(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "t")
		s, p := shared.connect(t, v, name(t, "s")), shared.connect(t, v, name(t, "p"))
		p.publish(topic, "kept", 1, retained)
		s.subscribe(topic + " 0")
		s.want("PUBLISH " + topic + " kept qos0 retain")
		p.publish(topic, "1", 1, nil)
		s.want("PUBLISH " + topic + " 1 qos0")
		s.subscribe(topic + " 1")
		s.want("PUBLISH " + topic + " kept qos1 id1 retain")
		p.publish(topic, "2", 1, nil)
		s.want("PUBLISH " + topic + " 2 qos1 id2")
		s.nothing()
	})
}

// TestUnsubscribe: filters are compared byte by byte, every UNSUBSCRIBE is
// answered once, and what is on its way is completed. Rules 3.1.1/3.10.4-1,
// 3.1.1/3.10.4-2, 3.1.1/3.10.4-3, 3.1.1/3.10.4-4, 3.1.1/3.10.4-5,
// 3.1.1/3.10.4-6, 3.1.1/2.3.1-7, 5/3.10.4-1, 5/3.10.4-2, 5/3.10.4-3,
// 5/3.10.4-4, 5/3.10.4-5, 5/3.10.4-6, 5/3.11.3-1, 5/3.11.3-2, 5/2.2.1-6.
func TestUnsubscribe(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		base := name(t, "")
		s, p := shared.connect(t, v, name(t, "s")), shared.connect(t, v, name(t, "p"))
		s.subscribe(base+"a/+ 2", base+"b 1")
		p.publish(base+"a/x", "on its way", 2, nil)
		s.want("PUBLISH " + base + "a/x on its way qos2 id1")
		unsubscribe := func(codes string, filters ...string) {
			t.Helper()
			u := packet.Unsubscribe{ID: 77}
			for _, f := range filters {
				u.Filters = append(u.Filters, []byte(base+f))
			}
			s.send(packet.AppendUnsubscribe(nil, v, &u))
			if v != packet.V5 {
				codes = ""
			}
			s.want("UNSUBACK id77 " + codes)
		}
		unsubscribe("0x11,0x11", "a/x", "a/#") // they match, but are not the same
		unsubscribe("0x11,0x00,0x11,0x8f", "nothing", "a/+", "a/+", "a/#/b")
		s.send(s.ack(packet.TypePubrec, 1))
		s.want("PUBREL id1 0x00")
		s.send(s.ack(packet.TypePubcomp, 1))
		p.publish(base+"a/x", "late", 2, nil)
		p.publish(base+"b", "still", 1, nil)
		s.want("PUBLISH " + base + "b still qos1 id2")
		s.nothing()
	})
}

// TestSharedPolicies: under every policy each message goes to one member, to
// one that is online before one that is not, and all members have their turn.
// Rules 5/4.8.2-3.
func TestSharedPolicies(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"prefer_local", "random", "local_only", "prefer_online_before_local"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			b := start(t, "shared_subscription_policy="+policy)
			gone := b.connect(t, packet.V5, "gone", keep)
			gone.subscribe("$share/g/t 1")
			gone.leave()
			p := b.connect(t, packet.V5, "p")
			p.publish("t", "for the absent", 1, nil)
			var members []*client
			for _, id := range []string{"a", "b", "c"} {
				m := b.connect(t, packet.V5, id)
				m.subscribe("$share/g/t 1", "$share/other/t 0")
				members = append(members, m)
			}
			const messages = 90
			for range messages {
				p.publish("t", "m", 1, nil)
			}
			atOnce, once := 0, 0
			for _, m := range members {
				ones := 0
				m.send(packet.AppendPingreq(nil))
				for got := m.receive(); got != "PINGRESP"; got = m.receive() {
					switch {
					case strings.HasPrefix(got, "PUBLISH t m qos1"):
						ones++
					case got == "PUBLISH t m qos0":
						once++
					default:
						t.Fatal(got)
					}
				}
				if ones == 0 {
					t.Error("a member had no turn")
				}
				atOnce += ones
			}
			if atOnce != messages || once != messages {
				t.Errorf("groups received %d and %d of %d messages", atOnce, once, messages)
			}
			gone = b.resume(t, packet.V5, "gone")
			gone.wantPrefix("PUBLISH t for the absent qos1")
			gone.nothing()
		})
	}
}

// TestSharedBelongsToItsMember: what one member was sent, or refused, goes to
// no other. Rules 5/4.8.2-4, 5/4.8.2-5, 5/4.8.2-6.
func TestSharedBelongsToItsMember(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	filter := "$share/g/" + topic + " 2"
	a := shared.connect(t, packet.V5, name(t, "a"), keep)
	a.subscribe(filter)
	p := shared.connect(t, packet.V5, name(t, "p"))
	p.publish(topic, "begun", 2, nil)
	begun := a.receive()
	p.publish(topic, "refused", 2, nil)
	second := a.wantPublish("PUBLISH " + topic + " refused qos2")
	p.publish(topic, "refused", 1, nil)
	third := a.wantPublish("PUBLISH " + topic + " refused qos1")
	b := shared.connect(t, packet.V5, name(t, "b"))
	b.subscribe(filter)
	a.send(a.nack(packet.TypePubrec, second, packet.UnspecifiedError), a.nack(packet.TypePuback, third, packet.QuotaExceeded))
	a.fence()
	b.nothing()
	a.drop()
	b.nothing()
	a = shared.resume(t, packet.V5, name(t, "a"))
	a.want(begun + " dup")
	a.nothing()
	a.drop()
	// The session ends before it has answered: nobody else gets the message.
	shared.connect(t, packet.V5, name(t, "a")).leave()
	b.nothing()
}

// TestMountpoints: topics and client ids of listeners with different
// mountpoints have nothing to do with each other.
func TestMountpoints(t *testing.T) {
	t.Parallel()
	b := start(t, "listener.tcp.a=127.0.0.1:0", "listener.tcp.b=127.0.0.1:0", "listener.tcp.b.mountpoint=other")
	in := func(listener int, id string) *client {
		c := &client{t: t, conn: b.socket(t, listener), v: packet.V5, key: id}
		c.send(hello(packet.V5, id))
		c.wantPrefix("CONNACK 0x00")
		return c
	}
	sa, sb, pa, pb := in(0, "same"), in(1, "same"), in(0, "p"), in(1, "p")
	pa.publish("kept", "in a", 1, retained)
	sa.subscribe("t", "t/#")
	sb.subscribe("t", "t/#")
	pa.publish("t", "from a", 1, nil)
	sa.want("PUBLISH t from a qos0")
	sb.nothing()
	pb.publish("t", "from b", 0, nil)
	sb.want("PUBLISH t from b qos0")
	sa.nothing()
	sb.subscribe("kept")
	sb.caughtUp(pb)
	sa.subscribe("kept")
	sa.want("PUBLISH kept in a qos0 retain")
}

// TestSubscribeStorm: a client that subscribes faster than retained messages
// can be looked up is slowed down, not cut off, and gets every answer.
func TestSubscribeStorm(t *testing.T) {
	const packets, each = 50, 200
	base := name(t, "")
	c := shared.connect(t, packet.V311, name(t, "c"))
	var storm []byte
	for i := range packets {
		s := packet.Subscribe{ID: packet.ID(i + 1)}
		for j := range each {
			s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Appendf(nil, "%s%d/%d/+", base, i, j)})
		}
		storm = packet.AppendSubscribe(storm, packet.V311, &s)
	}
	c.send(storm)
	for i := range packets {
		c.wantPrefix(fmt.Sprintf("SUBACK id%d ", i+1))
	}
	c.send(c.pub(base+"49/199/x", "y", 0, 0, nil))
	c.want("PUBLISH " + base + "49/199/x y qos0")
}
