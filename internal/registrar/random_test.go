package registrar

import (
	"fmt"
	"testing"

	"tombolo/internal/wire"
)

func clientOf(i int) wire.Client { return wire.Client{ID: fmt.Sprintf("c%d", i)} }

// schedule is one random run: first anything, then quiet.
func schedule(seed uint64, tune func(*world)) []string {
	w := newWorld(seed, 2+int(seed%4))
	w.open, w.quorum, w.chaos = seed%3 == 0, seed%3 == 1, seed%5 == 4
	tune(w)
	w.run(500)
	for range 120 {
		w.act()
		w.run(w.r.Int64N(150))
	}
	clear(w.cut)
	for _, x := range w.nodes {
		x.stalled = 0
	}
	w.run(8000)
	if w.chaos {
		w.run(12_000) // half of the tries are lost
	}
	w.quiet()
	return w.broken
}

// act does something: mostly a client comes, sometimes the world goes wrong.
func (w *world) act() {
	x := w.nodes[w.r.IntN(len(w.nodes))]
	k := clientOf(w.r.IntN(5))
	switch n := w.r.IntN(40); {
	case n < 28:
		if x.stalled <= w.now {
			x.ask(k)
		}
	case n < 33:
		if x.stalled <= w.now {
			x.leave(k)
		}
	case n < 36:
		y := w.nodes[w.r.IntN(len(w.nodes))]
		w.cut[[2]wire.NodeID{x.id, y.id}] = x != y
	case n < 37:
		for _, y := range w.nodes {
			if y != x {
				w.cut[[2]wire.NodeID{x.id, y.id}], w.cut[[2]wire.NodeID{y.id, x.id}] = true, true
			}
		}
	case n < 39:
		clear(w.cut)
	default:
		x.stalled = w.now + 100 + w.r.Int64N(2000)
		for c, v := range x.calls { // who does not run answers nobody
			v.limit += x.stalled - w.now
			x.calls[c] = v
		}
	}
}

// quiet demands that one view holds everybody, that each client is at one node,
// and that registering works.
func (w *world) quiet() {
	for _, x := range w.nodes {
		if len(x.core.view.Reachable) != len(w.nodes) || !x.core.leader.complete() {
			w.fail("quiet: node %d reaches %v, listings %v", x.id, x.core.view.Reachable, x.core.leader.listing)
		}
	}
	for i := range 6 {
		k, at := clientOf(i), 0
		for _, x := range w.nodes {
			if _, ok := x.connected[k]; ok {
				at++
			}
		}
		if at > 1 {
			w.fail("quiet: %s is connected at %d nodes", k.ID, at)
		}
	}
	w.chaos = false
	for i, x := range w.nodes {
		before := len(w.granted)
		x.ask(clientOf(i))
		w.run(1000)
		if len(w.granted) != before+1 {
			w.fail("quiet: node %d is not granted %s", x.id, clientOf(i).ID)
		}
	}
}

// TestRandomSchedules holds R16 and R17 under views that differ, cuts of one
// way, stalls, and messages that are lost, doubled and overtake each other. Run
// one schedule alone with -run TestRandomSchedules/SEED.
func TestRandomSchedules(t *testing.T) {
	seeds := 600
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			for _, b := range schedule(uint64(seed), func(*world) {}) {
				t.Error(b)
			}
		})
	}
}

// TestPartialCut: when each node reaches others than its neighbours do, and
// registering is open, a client is let in all the same, and soon (R16, P10).
func TestPartialCut(t *testing.T) {
	w := newWorld(1, 3)
	w.open = true
	w.run(500)
	w.cut[[2]wire.NodeID{1, 3}] = true
	w.run(5000)
	for i := range 12 {
		x := w.nodes[i%3]
		before := len(w.granted)
		x.ask(clientOf(i))
		w.run(700)
		if len(w.granted) != before+1 {
			w.fail("node %d is not granted %s in a partial cut", x.id, clientOf(i).ID)
		}
	}
	for _, b := range w.broken {
		t.Error(b)
	}
}

// TestClosedGate: with registering closed a node whose leader it is says so at
// once, and one whose leader has gone silent answers in time (R17).
func TestClosedGate(t *testing.T) {
	w := newWorld(1, 3)
	w.run(500)
	w.nodes[2].stalled = w.now + 60_000 // nobody has noticed yet
	refused := 0
	for _, x := range w.nodes[:2] {
		for i := range 6 {
			x.ask(clientOf(i))
		}
	}
	w.run(AnswerMax.Milliseconds() + 200)
	for _, x := range w.nodes[:2] {
		refused += len(x.calls)
	}
	if refused != 0 {
		w.fail("%d registrations are not answered", refused)
	}
	for _, b := range w.broken {
		t.Error(b)
	}
}
