package conformance

import (
	"fmt"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// TestWill: when it is published and when not. Rules 3.1.1/3.1.2-8,
// 3.1.1/3.1.2-10, 3.1.1/3.1.2-12, 3.1.1/3.14.4-3, 5/3.1.2-7, 5/3.1.2-8,
// 5/3.1.2-10, 5/3.14.4-3, 5/3.14.4-2.
func TestWill(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "w")
		s := shared.connect(t, v, name(t, "s"))
		s.subscribe(topic + " 2")
		ends := []struct {
			name string
			end  func(*client)
			due  bool
			five bool
		}{
			{name: "lost", end: func(c *client) { c.drop() }, due: true},
			{name: "left", end: func(c *client) { c.leave() }},
			{name: "broken", end: func(c *client) { c.sendHex("e1 00") }, due: true},
			{name: "asked for it", end: func(c *client) { c.sendHex("e0 01 04"); c.want(closed) }, due: true, five: true},
			{name: "left with an error", end: func(c *client) { c.sendHex("e0 01 80"); c.want(closed) }, due: true, five: true},
			{name: "left with a code", end: func(c *client) { c.sendHex("e0 01 00"); c.want(closed) }, five: true},
		}
		for i, e := range ends {
			for _, ws := range [][]with{{}, {keep}} {
				if e.five && v != packet.V5 {
					continue
				}
				id := name(t, fmt.Sprint("c", i))
				c := shared.connect(t, v, id, append(ws, will(topic, e.name, 1, false))...)
				e.end(c)
				if e.due {
					s.wantPublish("PUBLISH " + topic + " " + e.name + " qos1")
				}
				// Published once, or not at all: it is gone with that connection.
				shared.connect(t, v, id).leave()
				shared.connect(t, v, id).drop()
				s.nothing()
			}
		}
	})
}

// TestWillIsAMessage: it has the QoS, RETAIN flag and properties of the CONNECT
// that brought it. Rules 3.1.1/3.1.2-16, 3.1.1/3.1.2-17, 5/3.1.2-14,
// 5/3.1.2-15, 5/3.1.3-10.
func TestWillIsAMessage(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		for _, retain := range []bool{false, true} {
			topic := name(t, fmt.Sprint(retain))
			s := shared.connect(t, v, name(t, "s"))
			s.subscribe(topic + " 2")
			s.caughtUp(shared.connect(t, v, name(t, "p")))
			told := ""
			props := func(*packet.Connect) {}
			if v == packet.V5 {
				props = func(c *packet.Connect) { c.Will.Properties = everything }
				told = " {payload-format-indicator=1 content-type=text/plain response-topic=r/t correlation-data=00ff user-property=b:2 user-property=a:1 user-property=b:2}"
			}
			c := shared.connect(t, v, name(t, "c"), will(topic, "w", 2, retain), props)
			c.drop()
			s.want("PUBLISH " + topic + " w qos2 id1" + told)
			late := shared.connect(t, v, name(t, "late"))
			late.subscribe(topic + " 2")
			if retain {
				late.want("PUBLISH " + topic + " w qos2 id1 retain" + told)
			}
			late.caughtUp(shared.connect(t, v, name(t, "q")))
			late.nothing()
		}
	})
}

// TestWillDelay: it waits for its delay or the end of the session, whichever
// comes first, and is called off by a new connection. Rules 5/3.1.2-8,
// 5/3.1.3-9.
func TestWillDelay(t *testing.T) {
	t.Parallel()
	watch := func(t *testing.T) (string, *client) {
		topic := name(t, "w")
		s := shared.connect(t, packet.V5, name(t, "s"))
		s.subscribe(topic)
		return topic, s
	}
	for _, c := range []struct {
		name          string
		delay, expiry uint32
		seconds       float64
	}{{"delay", 1, 600, 1}, {"session ends first", 600, 1, 1}, {"no session", 600, 0, 0}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			topic, s := watch(t)
			p := shared.connect(t, packet.V5, name(t, "c"), will(topic, "w", 0, false), willDelay(c.delay), expiry(c.expiry))
			begun := time.Now()
			p.drop()
			s.want("PUBLISH " + topic + " w qos0")
			if took := time.Since(begun).Seconds(); took < c.seconds-0.1 || took > c.seconds+5 {
				t.Errorf("the will came after %.2f s, not %v", took, c.seconds)
			}
		})
	}
	t.Run("back in time", func(t *testing.T) {
		t.Parallel()
		topic, s := watch(t)
		p := shared.connect(t, packet.V5, name(t, "c"), will(topic, "w", 0, false), willDelay(1), expiry(600))
		p.drop()
		p = shared.resume(t, packet.V5, name(t, "c"))
		wait := shared.connect(t, packet.V5, name(t, "clock"), will(topic, "later", 0, false), willDelay(2), expiry(600))
		wait.drop() // its will is due when the other would long have been
		s.want("PUBLISH " + topic + " later qos0")
		p.leave()
	})
	t.Run("a clean start ends the session", func(t *testing.T) {
		t.Parallel()
		topic, s := watch(t)
		p := shared.connect(t, packet.V5, name(t, "c"), will(topic, "w", 0, false), willDelay(600), expiry(600))
		p.drop()
		shared.connect(t, packet.V5, name(t, "c")).leave()
		s.want("PUBLISH " + topic + " w qos0")
	})
}
