//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"tombolo/internal/admin"
)

const (
	waitingMin = 2500                  // messages that wait for a session when it moves
	farAway    = 15 * time.Millisecond // one way between its old home and the new one, so that the move takes seconds
	drainStep  = 50                    // messages in one batch of a migration
)

// migration is one session with a backlog that goes from one node to another while
// three publishers go on. Owned by one test.
type migration struct {
	t              *testing.T
	trial          *Trial
	h              *History
	name           string
	source, target int
	killed         bool // the target was, so that its counters begin at zero
	brokenBefore   float64
	wg             sync.WaitGroup
	stop           context.CancelFunc
	stopPublishing context.CancelFunc
}

// newMigration fills the queue of a session at its home and connects its client
// at the target. It returns when between a tenth and three quarters have moved.
func newMigration(t *testing.T, trial *Trial, name string, source, target int) *migration {
	t.Helper()
	m := &migration{t: t, trial: trial, h: NewHistory(), name: name, source: source, target: target}
	ctx, stop := context.WithCancel(t.Context())
	publishing, stopPublishing := context.WithCancel(ctx)
	filling, filled := context.WithCancel(publishing)
	m.stop, m.stopPublishing = stop, stopPublishing
	t.Cleanup(func() {
		stop()
		m.wg.Wait()
		filled()
		stopPublishing()
	})
	first := admit(t, trial, source, visit{id: name, persistent: true})
	if got := first.subscribe(within(t, 10*time.Second), name+"/#", 2); got != "ok" {
		t.Fatal(got)
	}
	m.h.Subscribed(name, trial.Brokers[source].Address())
	first.Close()
	<-first.gone
	for n := range trial.Brokers {
		steady := m.robot(fmt.Sprintf("%s-steady%d", name, n+1), n, byte(1+n%2), 10*time.Millisecond)
		m.wg.Go(func() { steady.Publish(publishing) })
		for i := range 3 {
			fast := m.robot(fmt.Sprintf("%s-fast%d-%d", name, n+1, i), n, byte(1+i%2), 0)
			m.wg.Go(func() { fast.Publish(filling) })
		}
	}
	m.until("the backlog", 30*time.Second, func() bool { return m.acknowledged() >= waitingMin })
	filled()
	for _, way := range [][2]int{{source, target}, {target, source}} {
		trial.Net.SetRule(way[0], way[1], Rule{Delay: farAway})
	}
	m.brokenBefore = m.metric(target, "queue_order_broken_total")
	before := m.metric(target, "queue_migrated_in_total")
	moved := func() float64 { return m.metric(target, "queue_migrated_in_total") - before }
	reader := m.robot(name, target, 2, 100*time.Millisecond)
	reader.Resumes, reader.Topic = true, name+"/#"
	reader.UseBrokers(trial.Brokers[target].Address())
	m.wg.Go(func() { reader.Subscribe(ctx) })
	m.until("a part has moved", 20*time.Second, func() bool { return moved() >= waitingMin/10 })
	if n := moved(); n > 3*waitingMin/4 {
		t.Errorf("%v of %d had moved before the fault: it is not one in mid-migration", n, m.acknowledged())
	}
	return m
}

// robot is one of this session's, which begins at a node.
func (m *migration) robot(name string, n int, qos byte, pause time.Duration) *Robot {
	r := m.trial.robot(name, n, int(qos))
	r.History, r.Topic, r.QoS, r.Pause = m.h, m.name+"/"+name, qos, pause
	return r
}

func (m *migration) acknowledged() int {
	m.h.mu.Lock()
	defer m.h.mu.Unlock()
	return len(m.h.acked)
}

func (m *migration) metric(node int, name string) float64 {
	m.t.Helper()
	v, err := m.trial.Brokers[node].Metric(within(m.t, 5*time.Second), name)
	if err != nil {
		m.t.Fatal(err)
	}
	return v
}

func (m *migration) until(what string, limit time.Duration, cond func() bool) {
	m.t.Helper()
	ctx := within(m.t, limit)
	for !cond() {
		if ctx.Err() != nil {
			m.t.Fatalf("not within %v: %s; the session is at %s\n%s", limit, what, m.holds(), m.h)
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// kill ends nodes as kill -9 does, all at once, and starts them again.
func (m *migration) kill(nodes ...int) {
	m.t.Helper()
	for _, n := range nodes {
		m.trial.Brokers[n].Kill()
		m.h.Ended(m.trial.Brokers[n].Address(), true)
		m.h.Event("kill %d", n+1)
		m.killed = m.killed || n == m.target
	}
	if err := m.trial.startAll(within(m.t, 30*time.Second), nodes); err != nil {
		m.t.Fatal(err)
	}
	m.h.Event("started again")
}

// part cuts source and target from each other for a while, both ways.
func (m *migration) part(d time.Duration) {
	m.h.Event("cut for %v", d)
	m.trial.Net.Cut([]int{m.source}, []int{m.target})
	pause(m.t.Context(), d)
	m.trial.Net.Heal()
}

// end waits until all that was acknowledged has arrived and one node alone holds
// the session, with an empty queue, and holds the history to the promises. Where the
// source could not be reached for a while order is promised as long as the new home
// does not count that it goes on without it (R22).
func (m *migration) end(away bool) {
	m.t.Helper()
	m.trial.Net.Heal()
	m.h.Event("whole again")
	if err := m.trial.AwaitWhole(within(m.t, 30*time.Second)); err != nil {
		m.t.Fatal(err)
	}
	m.stopPublishing()
	m.until("everything acknowledged has arrived", 30*time.Second, func() bool { return m.h.Missing() == 0 })
	m.until("one node holds the session, and its queue is empty", 20*time.Second, func() bool { return m.holds() == fmt.Sprintf("[node%d 0 0]", m.target+1) })
	m.stop()
	m.wg.Wait()
	if m.killed {
		m.brokenBefore = 0
	}
	if n := m.metric(m.target, "queue_order_broken_total") - m.brokenBefore; n > 0 {
		m.t.Logf("the new home went on without the old one %v times", n)
		if !away {
			m.t.Error("the old home could be reached all the time")
		}
		m.h.mu.Lock()
		m.h.readers[m.name].forced = m.h.began
		m.h.mu.Unlock()
	}
	for _, fault := range m.h.Check() {
		m.t.Error(fault)
	}
	m.t.Logf("%s", m.h)
}

// holds asks every node what it holds of the session: each node that has it, once,
// with what waits there.
func (m *migration) holds() string {
	var said []string
	for _, b := range m.trial.Brokers {
		var list admin.SessionList
		query := url.Values{"client_id": {m.name}, "fields": {"node,queue_size,waiting_acks"}}
		if err := b.Ask(within(m.t, 5*time.Second), "GET", "/api/v1/sessions", query, nil, &list); err != nil {
			return err.Error()
		}
		for _, s := range list.Sessions {
			said = append(said, fmt.Sprint(s["node"], " ", s["queue_size"], " ", s["waiting_acks"]))
		}
	}
	slices.Sort(said)
	return fmt.Sprint(slices.Compact(said))
}

// TestMigrationUnderFaults (P9, R2, R20–R22): a session comes back at another node,
// some thousands of messages follow it, and publishers at all nodes go on. In the
// middle of it the old home is killed, or the new one, or both, or the wire between
// the two is cut for longer than a verdict takes, or flaps. Everything acknowledged
// arrives; nothing twice without DUP, but for what a killed node had under way; in
// order, unless the new home counts that it went on without the old one.
func TestMigrationUnderFaults(t *testing.T) {
	t.Parallel()
	trial := newCluster(t, 3, map[string]string{"trade_consistency": "on", "max_msgs_per_drain_step": fmt.Sprint(drainStep)})
	for i, c := range []struct {
		name  string
		away  bool // the source may count as down
		fault func(m *migration)
	}{
		{"source-killed", true, func(m *migration) { m.kill(m.source) }},
		{"target-killed", false, func(m *migration) { m.kill(m.target) }},
		{"both-killed", true, func(m *migration) { m.kill(m.source, m.target) }},
		{"cut", true, func(m *migration) { m.part(5 * time.Second) }},
		{"flapping", true, func(m *migration) {
			for range 6 {
				m.part(250 * time.Millisecond)
				pause(m.t.Context(), 450*time.Millisecond)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			m := newMigration(t, trial, c.name, i%3, (i+1)%3)
			c.fault(m)
			m.end(c.away)
			t.Logf("took %v", time.Since(began))
		})
		if t.Failed() {
			return // the next one would begin on what this one left
		}
	}
}
