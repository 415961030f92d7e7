//go:build linux

package lab

import (
	"testing"
	"time"

	"tombolo/internal/admin"
	"tombolo/mqtt/packet"
)

// drifted waits until a node says whether its wall clock is off.
func drifted(t *testing.T, b *Broker, want float64) {
	t.Helper()
	ctx := within(t, 15*time.Second)
	for {
		got, err := b.Metric(ctx, "metadata_clock_drifted")
		if err == nil && got == want {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("metadata_clock_drifted is %v (%v), want %v", got, err, want)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// lasting is a message that expires after so many seconds.
func lasting(topic, payload string, seconds uint32, retain bool) *packet.Publish {
	p := &packet.Publish{Topic: []byte(topic), QoS: 1, Payload: []byte(payload), Retain: retain}
	p.Properties.Set, p.Properties.MessageExpiry = packet.PropMessageExpiry, seconds
	return p
}

// sessionFor makes a session last so many seconds.
func sessionFor(seconds uint32) func(c *packet.Connect) {
	return func(c *packet.Connect) {
		c.CleanStart = false
		c.Properties.Set |= packet.PropSessionExpiry
		c.Properties.SessionExpiry = seconds
	}
}

// clockTest is a cluster whose first node's clock is set. Owned by its test.
type clockTest struct {
	*testing.T
	trial  *Trial
	writer *person // at another node
}

// set sets the wall clock of the first node.
func (c *clockTest) set(by time.Duration) {
	c.Helper()
	if err := c.trial.Brokers[0].SetClock(c.Context(), by); err != nil {
		c.Fatal(err)
	}
}

func (c *clockTest) send(p *packet.Publish) {
	c.Helper()
	if reason, _, err := c.writer.Publish(within(c.T, 5*time.Second), p); err != nil || reason.Failed() {
		c.Fatalf("publish to %s: %v %v", p.Topic, reason, err)
	}
}

// away leaves a session at the first node whose connection was lost.
func (c *clockTest) away(id string, seconds uint32, will *packet.Will) {
	c.Helper()
	p := admit(c.T, c.trial, 0, visit{id: id, with: func(connect *packet.Connect) {
		sessionFor(seconds)(connect)
		if connect.HasWill = will != nil; connect.HasWill {
			connect.Will = *will
		}
	}})
	if got := p.subscribe(within(c.T, 5*time.Second), "to/"+id, 1); got != "ok" {
		c.Fatalf("%s subscribes: %s", id, got)
	}
	p.Close()
}

// TestR34ClockSteps: the wall clock of a node is set by an hour, outside a split and
// during one. The node raises an alarm and takes writes as before (R34); what is to
// last for a time lasts for that time, be it a connection, a session, a message or a will
// that there was before, or one that begins after it; the verdict is as quick.
func TestR34ClockSteps(t *testing.T) {
	for name, by := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trial := newCluster(t, 3, map[string]string{"trade_consistency": "on"})
			c := &clockTest{T: t, trial: trial, writer: admit(t, trial, 1, visit{id: "writer"})}
			awake := admit(t, trial, 0, visit{id: "awake"})
			if got := awake.subscribe(within(t, 5*time.Second), "awake", 1); got != "ok" {
				t.Fatal(got)
			}
			c.away("before", 1800, nil)
			c.send(lasting("to/before", "before the step", 600, false))
			c.send(lasting("kept", "retained", 600, true))
			c.set(by)
			drifted(t, trial.Brokers[0], 1)
			drifted(t, trial.Brokers[1], 0)
			c.stepped(awake)

			began := time.Now()
			trial.Net.Cut([]int{0}, []int{1, 2})
			must(t, trial, began, noticedWithin, "noticed", trial.All(), Torn)
			c.set(-by)
			c.away("alone", 1800, nil)
			began = time.Now()
			trial.Net.Heal()
			must(t, trial, began, healedWithin, "open again", trial.All(), Whole)
			drifted(t, trial.Brokers[0], 1)
			c.healed()
			c.set(0)
			drifted(t, trial.Brokers[0], 0)
			must(t, trial, time.Now(), time.Second, "whole", trial.All(), func(v *admin.ClusterView) bool { return Whole(v) && len(v.Members) == 3 })
		})
	}
}

// stepped asks for what begins after a step: it ends in its time, neither at once
// nor an hour late.
func (c *clockTest) stepped(awake *person) {
	c.Helper()
	will := &packet.Will{Topic: []byte("awake"), QoS: 1, Payload: []byte("last will")}
	will.Properties.Set, will.Properties.WillDelay = packet.PropWillDelay, 1
	c.away("after", 3, will)
	c.send(lasting("to/after", "short", 600, false))
	c.send(lasting("to/before", "gone in a second", 1, false))
	c.send(lasting("awake", "still here", 600, false))
	awake.expect(c.T, 10*time.Second, "still here", "last will")
	pause(c.Context(), 5*time.Second)
	if after := admit(c.T, c.trial, 0, visit{id: "after", with: sessionFor(3)}); after.Connack().SessionPresent {
		c.Error("a session of 3 s is there after 5")
	}
}

// healed asks for what there was before, at other nodes.
func (c *clockTest) healed() {
	c.Helper()
	for _, id := range []string{"before", "alone"} {
		c.send(lasting("to/"+id, "after the heal", 600, false))
	}
	before := admit(c.T, c.trial, 2, visit{id: "before", with: sessionFor(1800)})
	if !before.Connack().SessionPresent {
		c.Error("a session of half an hour has ended")
	}
	for _, want := range []string{"before the step", "after the heal"} {
		select {
		case m := <-before.Messages():
			if m == nil || string(m.Payload) != want {
				c.Fatalf("came %v, want %q", m, want)
			}
		case <-time.After(10 * time.Second):
			c.Fatalf("%q does not come", want)
		}
	}
	if got := before.subscribe(within(c.T, 5*time.Second), "kept", 1); got != "ok" {
		c.Fatal(got)
	}
	before.expect(c.T, 5*time.Second, "retained")
	admit(c.T, c.trial, 1, visit{id: "alone", with: sessionFor(1800)}).expect(c.T, 10*time.Second, "after the heal")
}

// TestR34ClocksUnderLoad: while clients work, clocks are set forth and back, outside a
// split and during one, and a node starts with a clock that was set back: nothing is
// lost, and order is kept.
func TestR34ClocksUnderLoad(t *testing.T) {
	t.Parallel()
	trial := newTrial(t, 3, map[string]string{"trade_consistency": "on"})
	steps, err := Parse("clock [0] by 1h 1, clock [1] by -10m 1, split [0] 1, clock [0] by -1h 3, clock [2] by 6h 0.5, heal 1.5, wander 6, restart [1] 1, clock [0] by 0s 4, heal 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := trial.Play(within(t, 2*time.Minute), steps); err != nil {
		t.Fatal(err)
	}
	settle(t, trial)
}
