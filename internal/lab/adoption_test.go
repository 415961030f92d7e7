//go:build linux

package lab

import (
	"fmt"
	"testing"
	"time"

	"tombolo/internal/admin"
)

// TestR23AdoptedAndBack: a member is killed and marked absent. Each of its
// persistent sessions gets a survivor as its home, without a client; what is
// acknowledged from the kill on reaches the client that connects there, at once.
// The member comes back: what waited there reaches the client through the new
// home, and in the end nothing is left at the old one.
func TestR23AdoptedAndBack(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, map[string]string{"trade_consistency": "on", "cluster.dead_member_timeout": "5s"})
	const sessions, waiting = 4, 200
	writers := []*person{admit(t, trial, 1, visit{id: "writer-2"}), admit(t, trial, 2, visit{id: "writer-3"})}
	send := func(what string, count int) (all []string) {
		t.Helper()
		for i := range count {
			all = append(all, fmt.Sprintf("%s %d", what, i))
			if got := writers[i%2].publish(within(t, 10*time.Second), "all", all[i]); got != "ok" {
				t.Fatalf("%s: %s", all[i], got)
			}
		}
		return all
	}
	for i := range sessions {
		p := admit(t, trial, 0, visit{id: fmt.Sprint("s", i), persistent: true})
		if got := p.subscribe(within(t, 10*time.Second), "all", 1); got != "ok" {
			t.Fatal(got)
		}
		p.Close()
	}
	before := send("before", waiting)
	trial.Brokers[0].Kill()
	killed := time.Now()
	after := send("while it is away", 40)
	must(t, trial, killed, 15*time.Second, "marked absent", []int{1, 2}, func(v *admin.ClusterView) bool {
		for _, m := range v.Members {
			if m.Name == "node1" {
				return m.State == "absent" && !v.Split
			}
		}
		return false
	})
	ctx := within(t, 20*time.Second)
	for adopted := 0.0; adopted < sessions; pause(ctx, lookEvery) {
		adopted = 0
		for _, n := range []int{1, 2} {
			v, err := trial.Brokers[n].Metric(ctx, "sessions_adopted_total")
			if err != nil {
				t.Fatalf("%v of %d sessions are adopted: %v", adopted, sessions, err)
			}
			adopted += v
		}
	}
	after = append(after, send("adopted", 40)...)
	var clients []*person
	for i := range sessions {
		p := admit(t, trial, 1+i%2, visit{id: fmt.Sprint("s", i), persistent: true})
		if !p.Connack().SessionPresent {
			t.Errorf("s%d is a new session", i)
		}
		p.expect(t, 10*time.Second, after...)
		clients = append(clients, p)
	}
	if err := trial.Brokers[0].Start(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	back := send("it is back", 10)
	for _, p := range clients {
		p.expect(t, 20*time.Second, append(back, before...)...)
	}
	done := within(t, 20*time.Second)
	for left := 1.0; left > 0; pause(done, lookEvery) {
		var err error
		if left, err = trial.Brokers[0].Metric(done, "sessions"); err != nil {
			t.Fatalf("%v sessions are left at the old home: %v", left, err)
		}
	}
}
