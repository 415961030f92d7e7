package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// user is our own MQTT 5 client, for what libraries do not let a test say.
// Owned by its test.
type user struct {
	*client.Client
	tb testing.TB
}

// join connects; configure changes the CONNECT.
func (n *node) join(id string, configure func(*packet.Connect)) *user {
	n.tb.Helper()
	c := packet.Connect{Version: packet.V5, CleanStart: true, ClientID: []byte(id), KeepAlive: 60}
	if configure != nil {
		configure(&c)
	}
	ctx, cancel := limited()
	defer cancel()
	cl, err := client.Dial(ctx, client.Config{Address: n.tcp, Connect: c, Timeout: patience})
	if err != nil {
		n.tb.Fatalf("%s: %v", id, err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cl.Run(n.tb.Context()) }()
	n.tb.Cleanup(func() { cl.Close(); <-ended })
	return &user{cl, n.tb}
}

// keeping resumes a session or begins one that lives for so many seconds.
func keeping(seconds uint32) func(*packet.Connect) {
	return func(c *packet.Connect) {
		c.CleanStart = false
		c.Properties.Set |= packet.PropSessionExpiry
		c.Properties.SessionExpiry = seconds
	}
}

// willing adds a will to a session.
func willing(topic string, delay uint32, then func(*packet.Connect)) func(*packet.Connect) {
	return func(c *packet.Connect) {
		then(c)
		c.HasWill = true
		c.Will = packet.Will{QoS: 1, Topic: []byte(topic), Payload: []byte("will")}
		c.Will.Properties.Set |= packet.PropWillDelay
		c.Will.Properties.WillDelay = delay
	}
}

func (u *user) listen(filter string, qos byte) {
	u.tb.Helper()
	ctx, cancel := limited()
	defer cancel()
	s := packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: qos}}}
	if reasons, err := u.Subscribe(ctx, &s); err != nil || reasons[0] != packet.ReasonCode(qos) {
		u.tb.Fatalf("subscribing to %s: %v %v", filter, reasons, err)
	}
}

func (u *user) leave(filter string) {
	u.tb.Helper()
	ctx, cancel := limited()
	defer cancel()
	if _, err := u.Unsubscribe(ctx, &packet.Unsubscribe{Filters: [][]byte{[]byte(filter)}}); err != nil {
		u.tb.Fatalf("unsubscribing %s: %v", filter, err)
	}
}

func (u *user) send(topic, payload string, qos byte, retain bool) {
	u.tb.Helper()
	ctx, cancel := limited()
	defer cancel()
	p := packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, Retain: retain}
	if reason, text, err := u.Publish(ctx, &p); err != nil || reason.Failed() {
		u.tb.Fatalf("publishing to %s: %v %s %v", topic, reason, text, err)
	}
}

// gets wants one message.
func (u *user) gets(topic, payload string) *packet.Publish {
	u.tb.Helper()
	p := receive(u.tb, "a message on "+topic, u.Messages())
	if string(p.Topic) != topic || string(p.Payload) != payload {
		u.tb.Fatalf("received %s %q, want %s %q", p.Topic, p.Payload, topic, payload)
	}
	return p
}

// ends are the two ways in which a node may go down.
var ends = map[string]func(*node){
	"kill -9": (*node).kill,
	"SIGTERM": (*node).terminate,
}

// TestRestartKeeps: what is still there when a node comes back.
func TestRestartKeeps(t *testing.T) {
	for name, end := range ends {
		for _, durability := range []string{"fsync", "os"} {
			t.Run(name+" "+durability, func(t *testing.T) {
				n := startNode(t, "durability", durability)
				testRestartKeeps(n, end)
			})
		}
	}
}

func testRestartKeeps(n *node, end func(*node)) {
	first := n.join("away", keeping(3600))
	first.listen("news/#", 2)
	first.listen("old/#", 1)
	first.leave("old/#")
	away := n.join("away", keeping(3600)) // takes over, so that the first is gone for certain
	away.Disconnect(packet.Success)
	pub := n.join("pub", nil)
	for i := range 5 {
		pub.send(fmt.Sprintf("news/%d", i), "queued", 2, false)
	}
	pub.send("kept/one", "old", 0, true)
	pub.send("kept/one", "retained at 0", 0, true)
	pub.send("kept/two", "retained at 1", 1, true)
	pub.send("kept/gone", "cleared", 1, true)
	pub.send("kept/gone", "", 1, true)
	pub.send("ping", "", 1, false) // a retained message at QoS 0 is written when this is acknowledged, or soon after
	n.joined("online", keeping(3600), "live")
	end(n)
	n.start()
	back := n.join("away", keeping(3600))
	if !back.Connack().SessionPresent {
		n.tb.Error("the session is gone")
	}
	for i := range 5 {
		back.gets(fmt.Sprintf("news/%d", i), "queued")
	}
	n.join("pub", nil).send("old/news", "not subscribed any more", 1, false)
	n.join("pub", nil).send("news/after", "still subscribed", 1, false)
	back.gets("news/after", "still subscribed")
	if !n.join("online", keeping(3600)).Connack().SessionPresent {
		n.tb.Error("the session that was connected is gone")
	}
	late := n.join("late", nil)
	late.listen("kept/two", 1)
	if p := late.gets("kept/two", "retained at 1"); !p.Retain {
		n.tb.Error("a retained message without its flag")
	}
	late.listen("kept/gone", 1)
	n.join("last", nil).send("kept/gone", "live", 1, false)
	late.gets("kept/gone", "live")
}

// joined connects a client and leaves it connected with a subscription.
func (n *node) joined(id string, configure func(*packet.Connect), filter string) *user {
	n.tb.Helper()
	u := n.join(id, configure)
	u.listen(filter, 1)
	return u
}

// TestMemoryKeepsSessionsOnly: with durability = memory messages do not
// outlive the process, sessions, subscriptions and retained messages do.
func TestMemoryKeepsSessionsOnly(t *testing.T) {
	n := startNode(t, "durability", "memory")
	u := n.joined("away", keeping(3600), "news")
	u.Disconnect(packet.Success)
	pub := n.join("pub", nil)
	pub.send("news", "lost", 1, false)
	pub.send("kept", "here", 1, true)
	n.terminate()
	n.start()
	back := n.join("away", keeping(3600))
	if !back.Connack().SessionPresent {
		t.Error("the session is gone")
	}
	n.join("pub", nil).send("news", "after", 1, false)
	back.gets("news", "after")
	back.listen("kept", 1)
	back.gets("kept", "here")
}

// TestExpiryCountsOn: the time that a session lives without its client goes on
// while the node is down.
func TestExpiryCountsOn(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			n.joined("short", keeping(2), "a").Disconnect(packet.Success)
			n.joined("long", keeping(3600), "a").Disconnect(packet.Success)
			n.sessions("the first has left", func(s string) bool { return strings.Count(s, `"is_online":true`) == 0 })
			left := time.Now()
			end(n)
			n.start()
			n.sessions("one session is left", func(s string) bool {
				return !strings.Contains(s, `"short"`) && strings.Contains(s, `"long"`)
			})
			if after := time.Since(left); after < 2*time.Second {
				t.Errorf("the session ended after %v, 2 s were asked for", after)
			} else if after > 6*time.Second {
				t.Logf("the session ended late, after %v", after)
			}
			if n.join("short", keeping(2)).Connack().SessionPresent {
				t.Error("an expired session came back")
			}
		})
	}
}

// sessions waits until the list of sessions is as it should be.
func (n *node) sessions(what string, holds func(list string) bool) {
	n.tb.Helper()
	var list string
	if !within(patience, func() bool {
		_, list = n.ask("/api/v1/sessions?fields=client_id,is_online")
		return holds(list)
	}) {
		n.tb.Fatalf("%s: still %s", what, list)
	}
}

// TestWillsAfterRestart: the will of a client that a crash cut off, and one
// whose delay runs out after a restart.
func TestWillsAfterRestart(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			n.joined("heir", keeping(3600), "will/#").Disconnect(packet.Success)
			n.join("cut", willing("will/cut", 0, keeping(3600)))
			n.join("bound", willing("will/bound", 0, func(*packet.Connect) {}))
			n.join("returning", willing("will/returning", 4, keeping(3600)))
			n.join("delayed", willing("will/delayed", 2, keeping(3600))).Close()
			n.sessions("the delayed one is offline", func(s string) bool { return strings.Count(s, `"is_online":true`) == 3 })
			end(n)
			n.start()
			heir := n.join("heir", keeping(3600))
			n.join("returning", keeping(3600)) // in time: its will is called off
			got := map[string]bool{}
			for range 3 {
				got[string(receive(t, "a will", heir.Messages()).Topic)] = true
			}
			for _, want := range []string{"will/cut", "will/bound", "will/delayed"} {
				if !got[want] {
					t.Errorf("%s did not come: %v", want, got)
				}
			}
			n.join("end", nil).send("will/end", "", 1, false)
			heir.gets("will/end", "")
		})
	}
}

// TestOneConnectionMore: a session that was resumed for the time of one
// connection ends with the crash that ends the connection, and leaves nothing.
func TestOneConnectionMore(t *testing.T) {
	n := startNode(t)
	n.joined("brief", keeping(3600), "news").Disconnect(packet.Success)
	if !n.join("brief", keeping(0)).Connack().SessionPresent {
		t.Fatal("the session was not resumed")
	}
	n.kill()
	n.start()
	n.sessions("the session has ended", func(list string) bool { return !strings.Contains(list, `"brief"`) })
	if n.join("brief", keeping(3600)).Connack().SessionPresent {
		t.Error("the session came back")
	}
	if _, list := n.ask("/api/v1/subscriptions?topic=news"); strings.Contains(list, "brief") {
		t.Errorf("its subscription is still there: %s", list)
	}
}
