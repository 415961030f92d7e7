package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tombolo/mqtt/packet"
)

// TestRetained walks through the life of retained messages. Rules 3.1.1/3.3.1-5,
// 3.1.1/3.3.1-6, 3.1.1/3.3.1-7, 3.1.1/3.3.1-8, 3.1.1/3.3.1-9, 3.1.1/3.3.1-10,
// 3.1.1/3.3.1-11, 3.1.1/3.3.1-12, 3.1.1/3.1.2-7, 5/3.3.1-5, 5/3.3.1-6,
// 5/3.3.1-7, 5/3.3.1-8, 5/3.3.1-9, 5/3.3.1-12, 5/3.3.2-3, 3.1.1/3.3.2-3.
func TestRetained(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		a, b := name(t, "a"), name(t, "b")
		p, live := shared.connect(t, v, name(t, "p"), keep), shared.connect(t, v, name(t, "live"))
		other := shared.connect(t, v, name(t, "other"))
		live.subscribe(a)
		live.caughtUp(other)
		n := 0
		look := func(filter string, texts ...string) {
			t.Helper()
			n++
			s := shared.connect(t, v, name(t, "s")+string('0'+rune(n)))
			s.subscribe(filter + " 2")
			s.want(texts...)
			s.caughtUp(other)
			s.nothing()
			s.leave()
		}
		p.publish(a, "1", 1, retained)
		live.want("PUBLISH " + a + " 1 qos0")
		p.publish(b, "2", 0, retained)
		look(a, "PUBLISH "+a+" 1 qos1 id1 retain")
		look(b, "PUBLISH "+b+" 2 qos0 retain")
		// Not retained: what is kept stays as it is.
		p.publish(a, "3", 1, nil)
		live.want("PUBLISH " + a + " 3 qos0")
		look(a, "PUBLISH "+a+" 1 qos1 id1 retain")
		// QoS 0 replaces as well.
		p.publish(a, "4", 0, retained)
		live.want("PUBLISH " + a + " 4 qos0")
		look(a, "PUBLISH "+a+" 4 qos0 retain")
		// Retained messages are no part of the publisher's session.
		p.leave()
		shared.connect(t, v, name(t, "p")).leave()
		look(a, "PUBLISH "+a+" 4 qos0 retain")
		// An empty payload removes, and is delivered to who is subscribed.
		p = shared.connect(t, v, name(t, "p2"))
		p.publish(a, "", 1, retained)
		live.want("PUBLISH " + a + "  qos0")
		look(a)
		look(b, "PUBLISH "+b+" 2 qos0 retain")
	})
}

// TestRetainHandling: when a subscription asks for what is retained. Rules
// 5/3.3.1-9, 5/3.3.1-10, 5/3.3.1-11, 5/3.8.4-4, 5/3.8.4-3.
func TestRetainHandling(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	p := shared.connect(t, packet.V5, name(t, "p"))
	p.publish(topic, "r", 1, retained)
	kept := "PUBLISH " + topic + " r qos0 retain"
	s := shared.connect(t, packet.V5, name(t, "s"))
	s.subscribe(topic + " rh2")
	s.caughtUp(p)
	s.subscribe(topic + " rh1") // it exists already
	s.caughtUp(p)
	s.subscribe(topic + " rh0")
	s.want(kept)
	s.subscribe(topic + " rh0")
	s.want(kept)
	fresh := shared.connect(t, packet.V5, name(t, "fresh"))
	fresh.subscribe(topic + " rh1")
	fresh.want(kept)
	fresh.subscribe("$share/g/" + topic + " rh0") // none for a shared one
	fresh.caughtUp(p)
	fresh.nothing()
}

// TestRetainAsPublished: the RETAIN flag on its way to who is subscribed. Rules
// 5/3.3.1-12, 5/3.3.1-13.
func TestRetainAsPublished(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	p := shared.connect(t, packet.V5, name(t, "p"))
	plain, as := shared.connect(t, packet.V5, name(t, "plain")), shared.connect(t, packet.V5, name(t, "as"))
	plain.subscribe(topic + " 1")
	as.subscribe(topic + " 1 rap")
	plain.caughtUp(p)
	as.caughtUp(p)
	p.publish(topic, "1", 1, retained)
	p.publish(topic, "0", 1, nil)
	plain.want("PUBLISH "+topic+" 1 qos1 id1", "PUBLISH "+topic+" 0 qos1 id2")
	as.want("PUBLISH "+topic+" 1 qos1 id1 retain", "PUBLISH "+topic+" 0 qos1 id2")
	p.publish(topic, "", 0, retained)
	as.want("PUBLISH " + topic + "  qos0 retain")
}

// TestNoLocal: a client does not get its own messages through a subscription
// with No Local. Rules 5/3.8.3-3.
func TestNoLocal(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	a, b := shared.connect(t, packet.V5, name(t, "a")), shared.connect(t, packet.V5, name(t, "b"))
	a.subscribe(topic + " 1 nl")
	b.subscribe(topic + " 1 nl")
	a.publish(topic, "from a", 1, nil)
	b.wantPrefix("PUBLISH " + topic + " from a qos1")
	a.nothing()
	b.publish(topic, "from b", 0, nil)
	a.want("PUBLISH " + topic + " from b qos0")
	b.nothing()
}

// TestOverlap: one copy for all subscriptions that match, at the highest QoS,
// with all identifiers. Rules 3.1.1/3.3.5-1, 5/3.3.4-2, 5/3.3.4-3, 5/3.3.4-4.
func TestOverlap(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		base := name(t, "o")
		s, p := shared.connect(t, v, name(t, "s")), shared.connect(t, v, name(t, "p"))
		ids, told := [3]string{}, ""
		if v == packet.V5 {
			ids, told = [3]string{" id3", " id5", ""}, " {subscription-identifier=[3 5]}"
		}
		s.subscribe(base + "/+ 0" + ids[0])
		s.subscribe(base + "/# 2" + ids[1])
		s.subscribe(base + "/x 1" + ids[2])
		p.publish(base+"/x", "m", 2, nil)
		got := s.receive()
		got = strings.Replace(got, "[5 3]", "[3 5]", 1)
		if want := "PUBLISH " + base + "/x m qos2 id1" + told; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		s.nothing()
	})
}

// TestMessageArrivesWhole: topic, payload and properties come as they went, the
// user properties in order; DUP does not travel. Rules 5/3.3.2-4, 5/3.3.2-15,
// 5/3.3.2-16, 5/3.3.2-17, 5/3.3.2-18, 5/3.3.2-20, 5/3.3.1-3, 3.1.1/3.3.1-3,
// 5/1.5.4-3, 3.1.1/1.5.3-3, 5/4.7.3-4, 3.1.1/4.7.3-4.
func TestMessageArrivesWhole(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "\ufeffA\u030a//\u212b ") // nothing is normalised or stripped
		for _, qos := range []uint8{0, 1, 2} {
			s, p := shared.connect(t, v, name(t, "s")), shared.connect(t, v, name(t, "p"))
			sub := packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte(topic), QoS: qos}}}
			s.send(packet.AppendSubscribe(nil, v, &sub))
			s.wantPrefix("SUBACK id1 ")
			told := ""
			full := func(p *packet.Publish) { p.Dup = qos > 0 }
			if v == packet.V5 {
				full = func(p *packet.Publish) {
					p.Dup = qos > 0
					p.Properties = everything
				}
				told = " {payload-format-indicator=1 content-type=text/plain response-topic=r/t correlation-data=00ff user-property=b:2 user-property=a:1 user-property=b:2}"
			}
			p.publish(topic, "x", qos, full)
			s.want("PUBLISH " + topic + " x qos" + [...]string{"0", "1 id1", "2 id1"}[qos] + told)
			p.publish(strings.Replace(topic, "//", "/", 1), "x", qos, nil)
			s.nothing()
			s.leave()
		}
	})
}

// everything is all that travels with a message.
var everything = packet.Properties{
	Set: packet.PropPayloadFormat | packet.PropContentType | packet.PropResponseTopic |
		packet.PropCorrelationData | packet.PropUser,
	PayloadFormat: 1, ContentType: []byte("text/plain"), ResponseTopic: []byte("r/t"), CorrelationData: []byte{0, 0xff},
	User: []packet.UserProperty{{Name: []byte("b"), Value: []byte("2")}, {Name: []byte("a"), Value: []byte("1")}, {Name: []byte("b"), Value: []byte("2")}},
}

// TestDeliveryQoS: the lower of the publisher's and the subscriber's. The
// publisher gets the answer of its own QoS. Rules 3.1.1/3.8.4-6, 5/3.8.4-8,
// 3.1.1/3.3.4-1, 5/3.3.4-1, 3.1.1/4.3.1-1, 5/4.3.1-1, 5/2.2.1-2,
// 3.1.1/2.3.1-5, 5/4.8.2-3.
func TestDeliveryQoS(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "t")
		p := shared.connect(t, v, name(t, "p"))
		subs := make([]*client, 6)
		for i := range subs {
			subs[i] = shared.connect(t, v, name(t, "s")+string('0'+rune(i)))
			filter := topic
			if i > 2 {
				filter = "$share/g" + string('0'+rune(i)) + "/" + topic
			}
			subs[i].subscribe(filter + " " + string('0'+rune(i%3)))
		}
		for qos := range uint8(3) {
			p.publish(topic, "m", qos, nil)
			for i, s := range subs {
				want := "PUBLISH " + topic + " m qos" + string('0'+rune(min(int(qos), i%3)))
				if got := s.receive(); got != want && !strings.HasPrefix(got, want+" id") || strings.HasSuffix(want, "0") && got != want {
					t.Errorf("published at %d, granted %d: got %s", qos, i%3, got)
				}
			}
		}
	})
}

// TestMatching holds the wildcards to the standard over the wire; the oracle
// tests of package topic do so for everything else. Rules 3.1.1/4.7.1-2,
// 3.1.1/4.7.1-3, 5/4.7.1-1, 5/4.7.1-2, 5/4.8.2-1, 5/4.8.2-2, 3.1.1/3.8.3-2.
func TestMatching(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		base := name(t, "m")
		p := shared.connect(t, v, name(t, "p"))
		for i, c := range []struct{ filter, yes, no string }{
			{"/a/#", "/a /a/b /a/b/c /a/", "/b /ab"},
			{"/+/b", "/a/b //b", "/a/b/c /a"},
			{"/a/+", "/a/b /a/", "/a /a/b/c"},
			{"/a/+/+/#", "/a/b/c /a/b/c/d", "/a/b"},
			{"/a", "/a", "/A /a/ /a/b"},
		} {
			s := shared.connect(t, v, name(t, "s")+string('0'+rune(i)))
			s.subscribe(base + c.filter)
			for _, topic := range strings.Fields(c.yes) {
				p.publish(base+topic, "x", 0, nil)
				s.want("PUBLISH " + base + topic + " x qos0")
			}
			for _, topic := range strings.Fields(c.no) {
				p.publish(base+topic, "x", 0, nil)
			}
			s.nothing()
			s.leave()
		}
		s := shared.connect(t, v, name(t, "s"))
		for _, f := range []string{"a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+/c", "##", "$share/g", "$share//a", "$share/g+/a", "$share/g#/a", "$share/g/", "$share/g/a#"} {
			sub := packet.Subscribe{ID: 9, Subscriptions: []packet.Subscription{{Filter: []byte(f)}}}
			s.send(packet.AppendSubscribe(nil, v, &sub))
			if got := s.receive(); !strings.HasPrefix(got, "SUBACK id9 0x8") {
				t.Errorf("filter %s: got %s", f, got)
			}
		}
	})
}

// TestServerTopics: a wildcard in the first level matches nothing of $SYS, and
// clients cannot publish there. Rules 3.1.1/4.7.2-1, 5/4.7.2-1.
func TestServerTopics(t *testing.T) {
	t.Parallel()
	b := start(t, "systree_enabled=on", "systree_interval=1s", "nodename=n@h")
	all, sys := b.connect(t, packet.V5, "all"), b.connect(t, packet.V311, "sys")
	all.subscribe("#", "+/#", "+/n@h/#")
	sys.subscribe("$SYS/n@h/sessions/online")
	sys.wantPrefix("PUBLISH $SYS/n@h/sessions/online ")
	all.send(all.pub("$SYS/n@h/forged", "x", 1, 1, nil))
	all.wantPrefix("PUBACK id1 0x87")
	all.nothing()
}

// TestRefusedPublish: what the rules forbid is answered as each version can.
// Rules 3.1.1/3.3.5-2, 3.1.1/3.8.4-5, 5/3.8.4-7, 5/3.4.2-1, 5/3.5.2-1.
func TestRefusedPublish(t *testing.T) {
	t.Parallel()
	acl := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(acl, []byte("topic open\ntopic read seen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, "vmq_acl.acl_file="+acl)
	five := b.connect(t, packet.V5, "five")
	five.send(five.pub("seen", "x", 1, 1, nil), five.pub("seen", "x", 2, 2, nil), five.pub("seen", "x", 0, 0, nil))
	five.wantPrefix("PUBACK id1 0x87")
	five.wantPrefix("PUBREC id2 0x87")
	five.nothing()
	sub := packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("open"), QoS: 1}, {Filter: []byte("secret")}}}
	five.send(packet.AppendSubscribe(nil, packet.V5, &sub))
	five.wantPrefix("SUBACK id1 0x01,0x87 {reason-string=")
	for qos := range uint8(3) {
		old := b.connect(t, packet.V311, "old")
		old.send(old.pub("seen", "x", qos, packet.ID(min(qos, 1)), nil), packet.AppendPingreq(nil))
		old.want(closed)
	}
	old := b.connect(t, packet.V311, "old")
	old.send(packet.AppendSubscribe(nil, packet.V311, &sub))
	old.want("SUBACK id1 0x01,0x80")
}
