package member

import (
	"flag"
	"fmt"
	"testing"

	"tombolo/internal/wire"
)

// schedules is how many random schedules a test runs; -schedules 10000 is a
// minute's worth.
var schedules = flag.Uint64("schedules", 60, "random schedules of the member set to run")

// chaos runs a random schedule over formed nodes: changes from everywhere,
// cuts, deaths, losses; then quiet, after which all agree and a change passes.
func chaos(t testing.TB, seed uint64, set func(w *world)) *world {
	w := newWorld(t, seed, 3+int(seed%3))
	w.formed()
	if set != nil {
		set(w)
	}
	w.lossy = true
	for range 800 {
		n := w.nodes[w.rnd.IntN(len(w.nodes))]
		if n.dead && w.rnd.IntN(4) == 0 {
			w.start(n)
		}
		switch w.rnd.IntN(40) {
		case 0, 1, 2:
			n.cut = !n.cut
			w.relink()
		case 3, 4, 5:
			other := w.nodes[w.rnd.IntN(len(w.nodes))].self.ID
			state := wire.MemberState(w.rnd.IntN(4))
			w.ask(n, func(c *core, id uint64) {
				c.request(&request{id: id, change: change{kind: changeState, member: wire.Member{ID: other, State: state}}})
			})
		case 6, 7: // members come and go
			other := w.nodes[w.rnd.IntN(len(w.nodes))].self
			kind := changeRemove
			if w.rnd.IntN(3) > 0 {
				kind = changeAdd
			}
			w.ask(n, func(c *core, id uint64) {
				c.request(&request{id: id, change: change{kind: kind, member: other}})
			})
		case 9:
			n.self.Link = fmt.Sprintf("l%d", w.rnd.IntN(1000))
			w.crash(n)
		}
		w.pass()
	}
	w.quiet()
	w.agree()
	if err := w.change(); err != nil {
		// A proposer that died may have left a value that this change had to
		// complete first: it can be a removal of the very member.
		if err = w.change(); err != nil {
			w.fault("a change after quiet: %v", err)
		}
	}
	return w
}

// change has a member make a change.
func (w *world) change() error {
	n := w.nodes[0]
	for _, o := range w.nodes {
		if o.core.member() {
			n = o
		}
	}
	other := n.core.kept.record.Members[0].ID
	return w.do(n, func(c *core, id uint64) {
		c.request(&request{id: id, change: change{kind: changeState, member: wire.Member{ID: other, State: wire.MemberLeaving}}})
	})
}

// TestSchedules is R24 under every schedule that the seeds make.
func TestSchedules(t *testing.T) {
	for seed := range *schedules {
		w := chaos(t, seed, nil)
		w.report()
		if t.Failed() {
			t.Fatalf("seed %d; alone: go test ./internal/member -run TestSchedules -schedules %d", seed, seed+1)
		}
	}
}

// TestCheckersSeePlantedBugs breaks the protocol in four ways and wants the
// checkers of TestSchedules to say so.
func TestCheckersSeePlantedBugs(t *testing.T) {
	for name, set := range map[string]func(w *world){
		"votes are forgotten in a crash": func(w *world) { w.forget = true },
		"a promise hides what was taken before": func(w *world) {
			w.plant = func(_ wire.NodeID, m *wire.Members) {
				if m.Step == wire.MembersPromise {
					m.Accepted, m.List = 0, nil
				}
			}
		},
		"a refusal counts as a confirmation": func(w *world) {
			w.plant = func(_ wire.NodeID, m *wire.Members) {
				if m.Step == wire.MembersRefuse {
					m.Step, m.Round = wire.MembersConfirm, m.Round-1
				}
			}
		},
		"a promise counts as a confirmation": func(w *world) {
			w.plant = func(_ wire.NodeID, m *wire.Members) {
				if m.Step == wire.MembersPropose {
					m.Step = wire.MembersPrepare
				} else if m.Step == wire.MembersPromise && m.Round%2 == 0 {
					m.Step = wire.MembersConfirm
				}
			}
		},
	} {
		caught := false
		for seed := uint64(0); seed < 300 && !caught; seed++ {
			caught = len(chaos(t, seed, set).faults) > 0
		}
		if !caught {
			t.Errorf("%s, and no checker notices", name)
		}
	}
}

// TestFounding: nodes that all seek, in every order of starting and with
// everything that can be lost, make one cluster.
func TestFounding(t *testing.T) {
	for seed := range *schedules {
		w := newWorld(t, seed, 3+int(seed%3))
		if len(w.nodes) > 3 || seed%2 == 0 {
			w.expected = len(w.nodes)
			for _, n := range w.nodes {
				n.core.settings.expected = w.expected
			}
		}
		settled := 0 // of three nodes may be one stands by itself and seeks nobody
		if len(w.nodes) == 3 {
			settled = int(seed % 4)
		}
		for i, n := range w.nodes {
			if n.seeking = i+1 != settled; n.seeking {
				w.step(n, n.core.begin)
			}
		}
		w.lossy = true
		for range 200 {
			n := w.nodes[w.rnd.IntN(len(w.nodes))]
			switch w.rnd.IntN(30) {
			case 0:
				n.cut = !n.cut
				w.relink()
			case 1:
				w.crash(n)
			case 2, 3:
				if n.dead {
					w.start(n)
				}
			}
			w.pass()
		}
		w.quiet()
		w.agree()
		origin := wire.NodeID(0)
		for _, n := range w.nodes {
			origin = max(origin, n.core.kept.record.Origin)
		}
		for _, n := range w.nodes {
			if n.core.standing() == Alone && !n.seeking {
				continue // the others may have founded while it was away
			}
			if n.core.standing() != Joined && n.seeking || n.core.formed() && n.core.kept.record.Origin != origin {
				w.fault("%s: %v, pledged to %x, %s", n.self.Name, n.core.standing(), uint64(n.core.kept.pledge), n.core.seekText())
			}
		}
		if w.report(); t.Failed() {
			return
		}
	}
}

// TestMarkGoesLast is R27: the mark of a stop goes only when metadata was
// exchanged with all that are not away, and they have had the node in their group
// for a while; an end of a link begins anew.
func TestMarkGoesLast(t *testing.T) {
	w := newWorld(t, 1, 4)
	w.formed()
	a, c := w.nodes[0], w.nodes[2]
	mark := func(n *node, s wire.MemberState) {
		t.Helper()
		if err := w.do(a, func(c *core, id uint64) {
			c.request(&request{id: id, change: change{kind: changeState, member: wire.Member{ID: n.self.ID, State: s}}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.crash(w.nodes[3])
	mark(w.nodes[3], wire.MemberStopped)
	mark(c, wire.MemberStopped)
	w.crash(c)
	w.start(c)
	all := []wire.NodeID{1, 2, 3}
	for i, step := range []func(){
		func() { c.core.view.exchanged[1] = true },
		func() { c.core.sees(all, all) },
		func() { c.core.view.exchanged[2] = true; c.core.sees(all, all[:2]) },
		func() { c.core.sees(all, all); c.core.down(1); c.core.up(1) },
		func() { c.core.view.exchanged[1] = true },
	} {
		w.step(c, step)
		for range 5 { // half the time that it has to last
			w.pass()
		}
		if got := a.core.kept.record.Members[2].State; got != wire.MemberStopped {
			t.Fatalf("after step %d the mark is gone", i)
		}
		for range 20 {
			if i < 4 {
				w.pass()
			}
		}
		if got := a.core.kept.record.Members[2].State; got != wire.MemberStopped {
			t.Fatalf("some time after step %d the mark is gone", i)
		}
	}
	for range 20 {
		w.pass()
	}
	if got := a.core.kept.record; describe(&got) != "n1, n2, n3, n4 (stopped)" {
		t.Errorf("in the end: %s", describe(&got))
	}
	w.report()
}
