package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// TestKeepAlive: silence of one and a half times the keep alive ends the
// connection as a failure of the network would, and the will is published.
// Rules 3.1.1/3.1.2-24, 5/3.1.2-22.
func TestKeepAlive(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		topic := name(t, "w")
		s := shared.connect(t, v, name(t, "s"))
		s.subscribe(topic)
		begun := time.Now()
		c := shared.connect(t, v, name(t, "c"), keepAlive(1), will(topic, "silent", 0, false))
		if v == packet.V5 {
			c.want("DISCONNECT 0x8d {reason-string=silent for 1.5 times the keep alive}")
		}
		c.want(closed)
		if took := time.Since(begun); took < 1500*time.Millisecond || took > 8*time.Second {
			t.Errorf("closed after %v", took)
		}
		s.want("PUBLISH " + topic + " silent qos0")
	})
}

// TestKeepAliveIsFed: any packet counts, and 0 switches the check off.
func TestKeepAliveIsFed(t *testing.T) {
	t.Parallel()
	idle := shared.connect(t, packet.V311, name(t, "idle"))
	c := shared.connect(t, packet.V311, name(t, "c"), keepAlive(1))
	feed := time.NewTicker(400 * time.Millisecond)
	defer feed.Stop()
	for range 6 {
		<-feed.C
		c.fence()
	}
	idle.fence()
}

// TestSessionExpiry: a session ends when its client stayed away for that long,
// with its subscriptions and messages, and DISCONNECT may change the time.
// Rules 5/4.1.0-2, 5/3.1.2-23.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	b := start(t)
	leave := func(c *client, seconds uint32) {
		d := &packet.Disconnect{}
		d.Properties.Set, d.Properties.SessionExpiry = packet.PropSessionExpiry, seconds
		c.send(packet.AppendDisconnect(nil, packet.V5, d))
		c.want(closed)
	}
	short := b.connect(t, packet.V5, "short", expiry(1))
	short.subscribe("t 1")
	long := b.connect(t, packet.V5, "long", expiry(1))
	long.subscribe("t 1")
	none := b.connect(t, packet.V5, "none", expiry(600))
	none.subscribe("t 1")
	never := b.connect(t, packet.V5, "never", expiry(0))
	short.drop()
	leave(long, 600)
	leave(none, 0)
	never.sendHex("e0 07 00 05 11 00 00 00 01")
	never.wantPrefix("DISCONNECT 0x82")
	eventually(t, "only one session stays", func() bool { return b.counter(t, "sessions", "") == 1 })
	p := b.connect(t, packet.V5, "p")
	p.publish("t", "x", 1, nil)
	for _, id := range []string{"short", "none", "never"} {
		c := b.dial(t, packet.V5)
		c.send(hello(packet.V5, id, keep))
		c.wantPrefix("CONNACK 0x00")
		c.nothing()
	}
	b.resume(t, packet.V5, "long").wantPrefix("PUBLISH t x qos1")
}

// TestMessageExpiry: what waited too long is not delivered, what is delivered
// says how long it has left; a delivery that has begun is completed, and so is
// the publisher's exchange. Rules 5/3.3.2-5, 5/3.3.2-6, 5/4.3.3-7, 5/4.3.3-13.
func TestMessageExpiry(t *testing.T) {
	t.Parallel()
	topic := name(t, "t")
	life := func(seconds uint32) func(*packet.Publish) {
		return func(p *packet.Publish) {
			p.Properties.Set, p.Properties.MessageExpiry = packet.PropMessageExpiry, seconds
		}
	}
	held := shared.connect(t, packet.V5, name(t, "held"), keep, receiveMax(1))
	held.subscribe(topic + " 2")
	p := shared.connect(t, packet.V5, name(t, "p"))
	p.publish(topic, "begun", 2, life(1))
	begun := held.wantPublish("PUBLISH " + topic + " begun qos2")
	away := shared.connect(t, packet.V5, name(t, "away"), keep)
	away.subscribe(topic + " 2")
	away.leave()
	p.publish(topic, "short", 1, life(1))
	p.publish(topic, "short", 2, life(1))
	p.publish(topic, "long", 1, life(100))
	p.publish(topic+"/kept", "short", 1, func(p *packet.Publish) { retained(p); life(1)(p) })
	p.publish(topic+"/kept2", "long", 1, func(p *packet.Publish) { retained(p); life(100)(p) })
	clock := shared.connect(t, packet.V5, name(t, "clock"), will(topic+"/clock", "", 0, false), willDelay(2), expiry(600))
	late := shared.connect(t, packet.V5, name(t, "late"))
	late.subscribe(topic + "/clock")
	clock.drop()
	late.want("PUBLISH " + topic + "/clock  qos0") // two seconds have passed
	late.subscribe(topic + "/kept")
	late.subscribe(topic + "/kept2")
	late.wantLife("PUBLISH " + topic + "/kept2 long qos0 retain")
	late.nothing()
	away = shared.resume(t, packet.V5, name(t, "away"))
	away.wantLife("PUBLISH " + topic + " long qos1 id")
	away.nothing()
	held.drop()
	held = shared.resume(t, packet.V5, name(t, "held"), receiveMax(1))
	held.wantPrefix("PUBLISH " + topic + " begun qos2 " + idText(begun) + " dup")
	held.send(held.ack(packet.TypePubrec, begun))
	held.want("PUBREL " + idText(begun) + " 0x00")
	held.send(held.ack(packet.TypePubcomp, begun))
	held.wantPrefix("PUBLISH " + topic + " long qos1")
}

// wantLife receives a packet that begins so and lived for two to thirty of its
// hundred seconds.
func (c *client) wantLife(begin string) {
	c.t.Helper()
	got := c.receive()
	left := 0
	_, life, _ := strings.Cut(got, " {message-expiry-interval=")
	if _, err := fmt.Sscanf(life, "%d}", &left); err != nil || !strings.HasPrefix(got, begin) || left < 70 || left > 98 {
		c.t.Fatalf("received\n  %s\nnot\n  %s… with 70 to 98 seconds left", got, begin)
	}
}

// TestSilence: a socket that does not finish its CONNECT is closed and counted,
// and logged once for a crowd, whether it says nothing, stops in the middle, or dribbles.
func TestSilence(t *testing.T) {
	t.Parallel()
	b := start(t, "mqtt_connect_timeout=600")
	begun := time.Now()
	silent, half, slow := b.dial(t, packet.V5), b.dial(t, packet.V5), b.dial(t, packet.V5)
	half.sendHex("10 10 00 04 4d 51")
	whole := hello(packet.V5, "slow")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := range whole {
			<-tick.C
			if _, err := slow.conn.Write(whole[i : i+1]); err != nil {
				return
			}
		}
	}()
	for _, c := range []*client{silent, half, slow} {
		c.want(closed)
	}
	if took := time.Since(begun); took < 600*time.Millisecond || took > 8*time.Second {
		t.Errorf("closed after %v", took)
	}
	slow.drop()
	<-ended
	if n := b.counter(t, "mqtt_connections_closed_total", `reason="connect_timeout"`); n != 3 {
		t.Errorf("counted %d", n)
	}
	if lines := b.logLines(t, "connection closed", "mqtt_connect_timeout"); len(lines) != 1 {
		t.Errorf("log: %q, want one line for all that do so at once", lines)
	}
	c := b.connect(t, packet.V5, "quick")
	c.fence()
}
