package conformance

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tombolo/mqtt/packet"
)

// versions are those whose standards the list holds.
var versions = []packet.Version{packet.V311, packet.V5}

// inBoth runs a test in 3.1.1 and in 5.
func inBoth(t *testing.T, f func(t *testing.T, v packet.Version)) {
	t.Parallel()
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			f(t, v)
		})
	}
}

// name makes client ids and topics of one run of a test its own.
func name(t *testing.T, s string) string {
	run, known := runs.Load(t)
	if !known {
		run, _ = runs.LoadOrStore(t, lastRun.Add(1))
	}
	return fmt.Sprintf("%s~%d/%s", strings.NewReplacer("/", "-", ".", "").Replace(t.Name()), run, s)
}

// runs numbers the runs of tests, which may be many with -count.
var (
	runs    sync.Map // of *testing.T
	lastRun atomic.Int64
)

// TestPipelined sends packets in the same segment as CONNECT; all are answered,
// CONNACK first, also where registering takes a disk. Rules 3.1.1/3.1.4-4,
// 5/3.1.4-5, 3.1.1/3.2.0-1, 5/3.2.0-1, 5/3.2.0-2, 5/3.2.2-1, 3.1.1/3.12.4-1,
// 5/3.12.4-1.
func TestPipelined(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		for _, ws := range [][]with{nil, {keep}, {will("gone", "x", 0, false)}} {
			id := name(t, fmt.Sprint(len(ws), ws != nil))
			c := shared.dial(t, v)
			s := &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte(id), QoS: 1}}}
			c.send(hello(v, id, ws...), packet.AppendSubscribe(nil, v, s), c.pub(id, "early", 0, 0, nil), packet.AppendPingreq(nil))
			c.wantPrefix("CONNACK 0x00")
			got := map[string]bool{c.receive(): true, c.receive(): true, c.receive(): true}
			for _, w := range []string{"SUBACK id1 0x01", "PUBLISH " + id + " early qos0", "PINGRESP"} {
				if !got[w] {
					t.Errorf("no %s among %v", w, got)
				}
			}
			c.leave()
		}
	})
}

// TestRefusedConnectEnds: what follows a CONNECT that is refused has no effect.
// Rules 3.1.1/3.1.4-5, 5/3.1.4-6, 3.1.1/3.1.3-9, 5/3.1.3-8, 5/3.1.4-2,
// 3.1.1/3.2.2-4, 5/3.2.2-6.
func TestRefusedConnectEnds(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "t")
		c := shared.dial(t, v)
		c.send(hello(v, strings.Repeat("x", 200)), c.pub(topic, "x", 0, 0, retained), packet.AppendPingreq(nil))
		if v == packet.V5 {
			c.wantPrefix("CONNACK 0x85 {")
		} else {
			c.want("CONNACK 0x02")
		}
		c.want(closed)
		s := shared.connect(t, v, name(t, "s"))
		s.subscribe(topic)
		s.caughtUp(shared.connect(t, v, name(t, "p")))
		s.nothing()
	})
}

// TestSessions walks through clean and kept sessions. Rules 3.1.1/3.1.2-4,
// 3.1.1/3.1.2-5, 3.1.1/3.1.2-6, 3.1.1/3.1.4-3, 3.1.1/3.2.2-1, 3.1.1/3.2.2-2,
// 3.1.1/3.2.2-3, 3.1.1/4.1.0-1, 3.1.1/4.1.0-2, 3.1.1/4.5.0-1, 3.1.1/3.1.3-2,
// 5/3.1.2-4, 5/3.1.2-5, 5/3.1.2-6, 5/3.1.2-23, 5/3.1.3-2, 5/3.1.4-4,
// 5/3.2.2-2, 5/3.2.2-3, 5/4.1.0-1, 5/4.5.0-1.
func TestSessions(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		id, topic := name(t, "c"), name(t, "t")
		c := shared.dial(t, v)
		c.send(hello(v, id, keep))
		c.want("CONNACK 0x00" + announced(v)) // a new session
		c.subscribe(topic + " 1")
		c.drop()

		p := shared.connect(t, v, name(t, "p"))
		p.publish(topic, "one", 1, nil)
		p.publish(topic, "two", 2, nil)

		c = shared.resume(t, v, id)
		c.wantPrefix("PUBLISH " + topic + " one qos1 ")
		c.wantPrefix("PUBLISH " + topic + " two qos1 ")
		c.leave()

		// A clean session has nothing of the old one, and leaves nothing.
		c = shared.dial(t, v)
		c.send(hello(v, id))
		c.want("CONNACK 0x00" + announced(v))
		p.publish(topic, "three", 1, nil)
		c.nothing()
		c.subscribe(topic + " 1")
		c.leave()

		c = shared.dial(t, v)
		c.send(hello(v, id, keep))
		c.want("CONNACK 0x00" + announced(v))
		p.publish(topic, "four", 1, nil)
		c.nothing()
		c.leave()
	})
}

// announced is what the shared node tells every MQTT 5 client.
func announced(v packet.Version) string {
	if v != packet.V5 {
		return ""
	}
	return " {receive-maximum=50 topic-alias-maximum=4 maximum-packet-size=100000}"
}

// TestSessionOutlivesRestart: what was acknowledged is there when the broker
// comes back. Rules 3.1.1/3.1.2-4, 5/3.1.2-23.
func TestSessionOutlivesRestart(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		dir := t.TempDir()
		b := startIn(t, dir)
		c := b.connect(t, v, "c", keep)
		c.subscribe("t/# 2")
		c.leave()
		p := b.connect(t, v, "p")
		p.publish("t/kept", "r", 1, retained)
		p.publish("t/1", "x", 1, nil)
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		if got := p.receive(); v == packet.V5 && !strings.HasPrefix(got, "DISCONNECT 0x8b") || v != packet.V5 && got != closed {
			t.Errorf("at shutdown the client received %s", got)
		}
		b = startIn(t, dir)
		c = b.resume(t, v, "c")
		c.wantPrefix("PUBLISH t/kept r qos1 ")
		c.wantPrefix("PUBLISH t/1 x qos1 ")
		q := b.connect(t, v, "q")
		q.subscribe("t/kept")
		q.want("PUBLISH t/kept r qos0 retain")
	})
}

// TestAssignedClientID: an empty client id gets one of its own. Rules 5/3.1.3-6,
// 5/3.1.3-7, 5/3.2.2-16, 3.1.1/3.1.3-6.
func TestAssignedClientID(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		c := shared.dial(t, packet.V5)
		c.send(hello(packet.V5, ""))
		got := c.receive()
		_, id, _ := strings.Cut(got, "assigned-client-identifier=")
		id, _, _ = strings.Cut(id, " ")
		if id == "" || seen[id] {
			t.Fatalf("no new client id in %s", got)
		}
		seen[id] = true
		again := shared.connect(t, packet.V5, id) // the id is the client's
		c.wantPrefix("DISCONNECT 0x8e")
		again.leave()
	}
	a, b := shared.connect(t, packet.V311, ""), shared.connect(t, packet.V311, "")
	a.nothing()
	b.nothing()
}

// TestClientIDs: the ids every server must take. Rules 3.1.1/3.1.3-5, 5/3.1.3-5,
// 3.1.1/3.1.3-1, 5/3.1.3-1.
func TestClientIDs(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		b := start(t) // the other version's clients have the same ids
		const all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		for _, id := range []string{"a", all[:23], all[23:46], all[39:]} {
			b.connect(t, v, id).leave()
		}
		c := &packet.Connect{Version: v, CleanStart: true, ClientID: []byte("all-fields"), HasUsername: true, Username: []byte("u"), HasPassword: true, Password: []byte("p")}
		will("w", "x", 1, true)(c)
		d := b.dial(t, v)
		d.send(packet.AppendConnect(nil, c))
		d.wantPrefix("CONNACK 0x00")
		d.leave()
	})
}

// TestTakeover: a second CONNECT with the same client id ends the first
// connection. Rules 3.1.1/3.1.4-2, 5/3.1.4-3.
func TestTakeover(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		for _, ws := range [][]with{nil, {keep}} {
			first := shared.connect(t, v, name(t, "c"), ws...)
			second := shared.connect(t, v, name(t, "c"))
			if v == packet.V5 {
				first.want("DISCONNECT 0x8e {reason-string=the client id connected again}")
			}
			first.want(closed)
			second.leave()
		}
	})
}

// TestDisconnectReasonsLeaveNothing: a client cannot pass for the server when
// it disconnects. The session must end with the connection all the same.
func TestDisconnectReasonsLeaveNothing(t *testing.T) {
	t.Parallel()
	b := start(t)
	for _, code := range []string{"00", "04", "80", "81", "82", "83", "87", "89", "8b", "8d", "8e", "93", "97", "98"} {
		c := b.connect(t, packet.V5, "leaver-"+code)
		c.sendHex("e0 01 " + code)
		for c.receive() != closed {
		}
	}
	eventually(t, "no session stays", func() bool { return b.counter(t, "sessions", "") == 0 })
}

// TestKeepAliveTold: what the client asks for holds unless CONNACK says
// otherwise. Rules 5/3.2.2-22.
func TestKeepAliveTold(t *testing.T) {
	t.Parallel()
	limited := start(t, "max_keepalive=30")
	for asked, want := range map[uint16]string{10: "CONNACK 0x00", 0: "CONNACK 0x00 {server-keep-alive=30", 60: "CONNACK 0x00 {server-keep-alive=30"} {
		c := limited.dial(t, packet.V5)
		c.send(hello(packet.V5, fmt.Sprint("c", asked), keepAlive(asked)))
		if got := c.receive(); !strings.HasPrefix(got, want) || !strings.Contains(want, "keep") && strings.Contains(got, "keep") {
			t.Errorf("keep alive %d: got %s", asked, got)
		}
	}
	told := start(t, "server_keep_alive=7")
	c := told.dial(t, packet.V5)
	c.send(hello(packet.V5, "c", keepAlive(100)))
	c.wantPrefix("CONNACK 0x00 {server-keep-alive=7")
}

// TestNoResponseInformation: it is given to nobody. Rules 5/3.1.2-28.
func TestNoResponseInformation(t *testing.T) {
	t.Parallel()
	for asked := range uint8(2) {
		c := shared.dial(t, packet.V5)
		c.send(hello(packet.V5, fmt.Sprint("ri", asked), func(c *packet.Connect) {
			c.Properties.Set |= packet.PropRequestResponseInfo
			c.Properties.RequestResponseInfo = asked
		}))
		c.want("CONNACK 0x00" + announced(packet.V5))
	}
}

// TestProblemInformation: reason strings only go to who wants them. Rules
// 5/3.1.2-29.
func TestProblemInformation(t *testing.T) {
	t.Parallel()
	quiet := func(c *packet.Connect) { c.Properties.Set |= packet.PropRequestProblemInfo }
	c := shared.connect(t, packet.V5, name(t, "quiet"), quiet)
	c.send(c.pub("$x", "", 1, 1, nil), c.pub("$x", "", 2, 2, nil))
	c.want("PUBACK id1 0x87", "PUBREC id2 0x87")
	c.sendHex("82 08 00 05 00 00 02 61 23 00") // "a#" is no filter
	c.want("SUBACK id5 0x8f")

	c = shared.connect(t, packet.V5, name(t, "curious"))
	c.send(c.pub("$x", "", 1, 1, nil))
	c.want("PUBACK id1 0x87 {reason-string=topics that begin with $ belong to the server}")
}

// TestPacketsFit: nothing larger than the client's Maximum Packet Size is sent;
// reason strings are left out first, and user properties are never added.
// Rules 5/3.1.2-24, 5/3.2.2-19, 5/3.2.2-20, 5/3.4.2-2, 5/3.4.2-3, 5/3.5.2-2,
// 5/3.5.2-3, 5/3.6.2-2, 5/3.6.2-3, 5/3.7.2-2, 5/3.7.2-3, 5/3.9.2-1, 5/3.9.2-2,
// 5/3.11.2-1, 5/3.11.2-2, 5/3.14.2-3, 5/3.14.2-4, 5/3.14.0-1.
func TestPacketsFit(t *testing.T) {
	t.Parallel()
	c := shared.connect(t, packet.V5, name(t, "c"), packetMax(19))
	c.send(c.pub("$x", "", 1, 1, nil), c.pub("$x", "", 2, 2, nil))
	c.want("PUBACK id1 0x87", "PUBREC id2 0x87")
	c.sendHex("82 08 00 05 00 00 02 61 23 00")
	c.want("SUBACK id5 0x8f")
	c.send(c.ack(packet.TypePubrel, 9), c.ack(packet.TypePubrec, 9))
	c.want("PUBCOMP id9 0x92", "PUBREL id9 0x92")
	c.sendHex("a2 06 00 06 00 00 01 7a")
	c.want("UNSUBACK id6 0x11")
	c.sendHex("e1 00")
	c.want("DISCONNECT 0x81", closed)

	c = shared.dial(t, packet.V5)
	c.send(hello(packet.V5, strings.Repeat("x", 200), packetMax(10)))
	c.want("CONNACK 0x85", closed)

	// CONNACK itself does not fit: no other packet may come in its place.
	c = shared.dial(t, packet.V5)
	c.send(hello(packet.V5, name(t, "d"), packetMax(5)))
	c.want(closed)
}
