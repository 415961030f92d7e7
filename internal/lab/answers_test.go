//go:build linux

package lab

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tombolo/internal/admin"
	"tombolo/mqtt/packet"
)

// guest is a client of each version at a node, connected before the cut.
type guest struct {
	node    int
	version packet.Version
	*person
}

// answers is what clients of one node are given. "held" is a publish that is not
// answered while the split lasts.
type answers struct{ connect3, connect5, publish3, publish5, subscribe3, subscribe5, unsubscribe3, unsubscribe5 string }

var (
	opened = answers{"ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"}
	// MQTT 3 says 3 where MQTT 5 says 0x88; the client library reads it so.
	refused = answers{"0x88", "0x88", "held", "held", "0x80", "0x83", "ok", "0x83"}
)

// TestAnswers: what clients of each version get from each side of a split is the
// table of DESIGN §4, for off, on and majority (P4).
func TestAnswers(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, map[string]string{"netsplit_hold_timeout": "60s"})
	var guests []guest
	for n := range trial.Brokers {
		for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
			g := guest{n, v, admit(t, trial, n, visit{id: fmt.Sprintf("guest-%d-%v", n, v), version: v})}
			if got := g.subscribe(within(t, 5*time.Second), "before", 0); got != "ok" {
				t.Fatalf("subscribe before the cut: %s", got)
			}
			guests = append(guests, g)
		}
	}
	began := time.Now()
	trial.Net.Cut([]int{0}, []int{1, 2})
	must(t, trial, began, noticedWithin, "noticed", trial.All(), Torn)
	must(t, trial, began, noticedWithin, "the majority knows it", []int{1, 2}, func(v *admin.ClusterView) bool { return v.Majority })
	for _, c := range []struct {
		mode string
		want [3]answers
	}{
		{"on", [3]answers{opened, opened, opened}},
		{"majority", [3]answers{refused, opened, opened}},
		{"off", [3]answers{refused, refused, refused}},
	} {
		allow(t, trial, c.mode)
		var wg sync.WaitGroup
		for _, g := range guests {
			wg.Go(func() { g.check(t, trial, c.mode, &c.want[g.node]) })
		}
		wg.Wait()
	}
	var wg sync.WaitGroup
	for _, g := range guests {
		wg.Go(func() { g.held(t, trial) })
	}
	pause(t.Context(), 500*time.Millisecond)
	trial.Net.Heal()
	wg.Wait()
}

// check asks for everything and compares.
func (g *guest) check(t *testing.T, trial *Trial, mode string, want *answers) {
	connect, publish, subscribe, unsubscribe := want.connect3, want.publish3, want.subscribe3, want.unsubscribe3
	if g.version == packet.V5 {
		connect, publish, subscribe, unsubscribe = want.connect5, want.publish5, want.subscribe5, want.unsubscribe5
	}
	say := func(what, got, want string) {
		if got != want {
			t.Errorf("%s, node %d, MQTT %v: %s is answered %s, want %s", mode, g.node+1, g.version, what, got, want)
		}
	}
	began := time.Now()
	p, err := call(t, trial, g.node, visit{id: fmt.Sprintf("new-%s-%d-%v", mode, g.node, g.version), version: g.version})
	say("CONNECT", refusal(err), connect)
	if took := time.Since(began); took > answeredWithin+standstill.since(began) {
		t.Errorf("%s, node %d: CONNECT took %v", mode, g.node+1, took)
	}
	say("SUBSCRIBE", g.subscribe(within(t, 5*time.Second), "during/"+mode, 1), subscribe)
	say("UNSUBSCRIBE", g.unsubscribe(within(t, 5*time.Second), "before"), unsubscribe)
	if p == nil {
		return // held publishes are another's matter: they block what comes after
	}
	got := p.publish(within(t, 2*time.Second), "during/"+mode, "x")
	if got == "silence" {
		got = "held"
	}
	say("PUBLISH at QoS 1", got, publish)
}

func (p *person) unsubscribe(ctx context.Context, filter string) string {
	codes, err := p.Unsubscribe(ctx, &packet.Unsubscribe{Filters: [][]byte{[]byte(filter)}})
	for _, c := range codes {
		return said(c, err)
	}
	return said(0, err)
}

// held publishes at QoS 1 while everything is off: the answer comes with the
// heal, not before, and is a good one.
func (g *guest) held(t *testing.T, trial *Trial) {
	began := time.Now()
	got := g.publish(within(t, 15*time.Second), "held", "x")
	v, err := trial.Brokers[g.node].View(within(t, 5*time.Second))
	if got != "ok" || err != nil || !v.Gate.Publish {
		t.Errorf("node %d, MQTT %v: a held publish is answered %s after %v, with the gate open %v", g.node+1, g.version, got, time.Since(began), v.Gate.Publish)
	}
}

// TestHeldTooLong: a publish that is held for longer than netsplit_hold_timeout
// ends the connection (R14), and with netsplit_publish_response = error MQTT 5
// gets 0x83 at once.
func TestHeldTooLong(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, map[string]string{"netsplit_hold_timeout": "1s"})
	old, young := admit(t, trial, 0, visit{id: "old", version: packet.V311}), admit(t, trial, 0, visit{id: "young"})
	began := time.Now()
	trial.Net.Cut([]int{0}, []int{1, 2})
	must(t, trial, began, noticedWithin, "noticed", trial.All(), Torn)
	if err := trial.Brokers[0].Set(t.Context(), "netsplit_publish_response", "error"); err != nil {
		t.Fatal(err)
	}
	if got := young.publish(within(t, 5*time.Second), "a", "x"); got != "0x83" {
		t.Errorf("MQTT 5 with netsplit_publish_response = error: %s", got)
	}
	began = time.Now()
	if got, took := old.publish(within(t, 10*time.Second), "a", "x"), time.Since(began); got != "closed" || took < 900*time.Millisecond || took > 3*time.Second+standstill.since(began) {
		t.Errorf("MQTT 3.1.1: %s after %v, want closed after 1 s", got, took)
	}
	if n, err := trial.Brokers[0].Metric(t.Context(), "netsplit_held_closed_total"); err != nil || n != 1 {
		t.Errorf("netsplit_held_closed_total = %v (%v)", n, err)
	}
}

// TestUndetectedWindow: between the cut and the verdict every CONNECT is answered
// within 5 s, new or known elsewhere, and a publish is acknowledged or not, but
// never acknowledged and lost (R9, R16).
func TestUndetectedWindow(t *testing.T) {
	for _, mode := range []string{"off", "on"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			trial := newCluster(t, 3, map[string]string{"trade_consistency": mode})
			const known = 4
			for i := range known {
				for n := range trial.Brokers {
					admit(t, trial, n, visit{id: fmt.Sprintf("known-%d-%d", n, i)})
				}
			}
			trial.Net.Cut([]int{0}, []int{1, 2})
			var wg sync.WaitGroup
			for round := range 10 {
				for n := range trial.Brokers {
					id := fmt.Sprintf("new-%d-%d", n, round)
					if round < known {
						id = fmt.Sprintf("known-%d-%d", (n+1)%3, round)
					}
					wg.Go(func() {
						began := time.Now()
						_, err := call(t, trial, n, visit{id: id, timeout: 15 * time.Second})
						if took := time.Since(began); took > answeredWithin+standstill.since(began) || refusal(err) == "silence" {
							t.Errorf("CONNECT of %s at node %d: %s after %v", id, n+1, refusal(err), took)
						}
					})
				}
				pause(t.Context(), 250*time.Millisecond)
			}
			wg.Wait()
		})
	}
}
