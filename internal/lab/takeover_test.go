//go:build linux

package lab

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// TestTakeover: a second CONNECT with the same client id takes over on another
// node within 2 s, the first gets 0x8E, or a close before MQTT 5, and a
// persistent session comes along with what waits for it (P8, P9).
func TestTakeover(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, nil)
	writer := admit(t, trial, 2, visit{id: "writer"})
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		id := fmt.Sprintf("one-%v", v)
		first := admit(t, trial, 0, visit{id: id, version: v, persistent: true})
		if got := first.subscribe(within(t, 5*time.Second), "to/"+id, 1); got != "ok" {
			t.Fatal(got)
		}
		began := time.Now()
		second := admit(t, trial, 1, visit{id: id, version: v, persistent: true})
		if took := time.Since(began); took > 2*time.Second+standstill.since(began) {
			t.Errorf("%v: CONNACK after %v", v, took)
		}
		if !second.Connack().SessionPresent {
			t.Errorf("%v: the session did not come along", v)
		}
		select {
		case <-first.gone:
		case <-time.After(2 * time.Second):
			t.Errorf("%v: the first client is still connected", v)
		}
		var ended *client.DisconnectedError
		if v == packet.V5 && (!errors.As(first.err, &ended) || ended.Reason != packet.SessionTakenOver) {
			t.Errorf("the first client was told %v, want 0x8E", first.err)
		}
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint(id, i))
			if got := writer.publish(within(t, 5*time.Second), "to/"+id, want[i]); got != "ok" {
				t.Fatal(got)
			}
		}
		second.expect(t, 5*time.Second, want...)
	}
}

// TestBacklogMoves: what waited at one node is delivered at the next one where
// the client connects, in order (P9).
func TestBacklogMoves(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, nil)
	c := admit(t, trial, 0, visit{id: "mover", persistent: true})
	if got := c.subscribe(within(t, 5*time.Second), "m", 1); got != "ok" {
		t.Fatal(got)
	}
	c.Close()
	writer := admit(t, trial, 1, visit{id: "writer"})
	const count = 300
	for i := range count {
		if got := writer.publish(within(t, 5*time.Second), "m", fmt.Sprintf("%04d", i)); got != "ok" {
			t.Fatal(got)
		}
	}
	next := admit(t, trial, 2, visit{id: "mover", persistent: true})
	last, limit := "", time.After(10*time.Second)
	for i := range count {
		select {
		case m := <-next.Messages():
			if m == nil || string(m.Payload) <= last {
				t.Fatalf("after %q came %v", last, m)
			}
			last = string(m.Payload)
		case <-limit:
			t.Fatalf("%d of %d messages have come, the last is %q", i, count, last)
		}
	}
}

// TestDeadHome: after kill -9 of the node where a session lives, its client's
// first CONNECT on a survivor is answered within 5 s, and once the split is
// noticed it succeeds at the first try where the flag allows it (P10).
func TestDeadHome(t *testing.T) {
	for _, mode := range []string{"on", "majority"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			trial := newCluster(t, 3, map[string]string{"allow_register_during_netsplit": mode, "allow_subscribe_during_netsplit": mode, "allow_publish_during_netsplit": mode})
			for i := range 4 {
				c := admit(t, trial, 0, visit{id: fmt.Sprint("s", i), persistent: true})
				if got := c.subscribe(within(t, 5*time.Second), fmt.Sprint("to/", i), 1); got != "ok" {
					t.Fatal(got)
				}
			}
			trial.Brokers[0].Kill()
			began := time.Now()
			_, err := call(t, trial, 1, visit{id: "s0", persistent: true})
			if took := time.Since(began); took > answeredWithin+standstill.since(began) {
				t.Errorf("the first CONNECT took %v: %v", took, err)
			}
			t.Logf("within the window: %s after %v", refusal(err), time.Since(began))
			must(t, trial, began, noticedWithin, "noticed and open", []int{1, 2}, func(v *admin.ClusterView) bool { return v.Split && v.Gate.Register && v.Gate.Publish })
			writer := admit(t, trial, 2, visit{id: "writer"})
			for i := 1; i < 4; i++ {
				c := admit(t, trial, 1+i%2, visit{id: fmt.Sprint("s", i), persistent: true})
				if !c.Connack().SessionPresent {
					t.Errorf("s%d is a new session", i)
				}
				if got := writer.publish(within(t, 5*time.Second), fmt.Sprint("to/", i), "hello"); got != "ok" {
					t.Errorf("publish to s%d: %s", i, got)
				}
				c.expect(t, 5*time.Second, "hello")
			}
			if err := trial.Brokers[0].Start(within(t, 20*time.Second)); err != nil {
				t.Fatal(err)
			}
			if err := trial.AwaitWhole(within(t, 20*time.Second)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBothSides: with everything on, both sides of a split let one client id in;
// after the heal exactly one connection stays, and what was queued on the other
// side reaches it (P8).
func TestBothSides(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, map[string]string{"trade_consistency": "on"})
	c := admit(t, trial, 1, visit{id: "twin", persistent: true})
	if got := c.subscribe(within(t, 5*time.Second), "twin", 1); got != "ok" {
		t.Fatal(got)
	}
	began := time.Now()
	trial.Net.Cut([]int{0}, []int{1, 2})
	must(t, trial, began, noticedWithin, "noticed", trial.All(), Torn)
	left := admit(t, trial, 0, visit{id: "twin", persistent: true})
	right := admit(t, trial, 2, visit{id: "twin", persistent: true})
	// Neither reads what comes now: both are away, on both sides.
	left.Close()
	right.Close()
	var want []string
	for n := range trial.Brokers {
		w := admit(t, trial, n, visit{id: fmt.Sprint("writer", n)})
		for i := range 5 {
			payload := fmt.Sprintf("%d-%d", n, i)
			if got := w.publish(within(t, 5*time.Second), "twin", payload); got == "ok" {
				want = append(want, payload)
			} else {
				t.Errorf("publish at node %d: %s", n+1, got)
			}
		}
	}
	live := []*person{admit(t, trial, 0, visit{id: "live"}), admit(t, trial, 2, visit{id: "live"})}
	began = time.Now()
	trial.Net.Heal()
	must(t, trial, began, healedWithin, "open again", trial.All(), Whole)
	admit(t, trial, 1, visit{id: "twin", persistent: true}).expect(t, 10*time.Second, want...)
	gone := 0
	for _, p := range live {
		select {
		case <-p.gone:
			gone++
		case <-time.After(2 * time.Second):
		}
	}
	if gone != 1 {
		t.Errorf("%d of two connections with one client id have ended, want 1", gone)
	}
}
