package replica

import (
	"testing"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// stale is a record with one live value that some store still holds.
func stale(key string, d dvv.Dot, context ...dvv.Dot) *wireRecord {
	value := appendPayload(nil, payload{hlc: 1, value: []byte("stale")})
	return &wireRecord{key: []byte(key), object: dvv.NewObject(dvv.NewVV(append(context, d)...), dvv.Sibling{Dot: d, Value: value})}
}

// TestStaleThirdInJoin: what the donor of a full join has seen gone does not come
// in from a third store behind the join's cursor (I14).
func TestStaleThirdInJoin(t *testing.T) {
	c := calm(t, 3, nil)
	n := c.nodes[2]
	r, d := n.core, dvv.Dot{Actor: 77, Counter: 1}
	clock := dvv.Clock{}.Add(d, dvv.Dot{Actor: 77, Counter: 2})
	r.join = &joining{joinState: joinState{donor: 1, clock: clock, cursor: []byte("s5"), parts: []joinPart{{bases: clock.Bases()}}}}
	r.mergeAll(c.now, r.peer(2), dvv.VV{}, []wireRecord{*stale("s1", d)})
	if o, err := r.get(objectKey([]byte("s1"))); err != nil || o.Live(d) {
		t.Fatalf("the merged key took in %v, %v", o, err)
	}
	ahead := dvv.Dot{Actor: 78, Counter: 1}
	r.mergeAll(c.now, r.peer(2), dvv.VV{}, []wireRecord{*stale("s7", ahead)})
	if o, err := r.get(objectKey([]byte("s7"))); err != nil || !o.Live(ahead) {
		t.Fatalf("a key that the join has yet to reach did not take in %v, %v", o, err)
	}
	r.join.keysDone, d.Counter = true, 2
	r.mergeAll(c.now, r.peer(2), dvv.VV{}, []wireRecord{*stale("s8", d)})
	if o, err := r.get(objectKey([]byte("s8"))); err != nil || o.Live(d) {
		t.Fatalf("after all keys %v was taken in, %v", o, err)
	}
}

// TestJoinedDeleteHasEffect: who is in the middle of a full join passes on a
// delete of a key that neither side of the join holds with its effect (I14).
func TestJoinedDeleteHasEffect(t *testing.T) {
	c := calm(t, 2, nil)
	r, p := c.nodes[0].core, c.nodes[0].core.peer(2)
	put, del := dvv.Dot{Actor: 77, Counter: 1}, dvv.Dot{Actor: 77, Counter: 2}
	clock := dvv.Clock{}.Add(put, del)
	r.join = &joining{joinState: joinState{donor: 2, clock: clock, parts: []joinPart{{bases: clock.Bases()}}}, keysDone: true}
	r.mergeAll(c.now, p, clock.Bases(), []wireRecord{{key: []byte("s1"), deletes: []dvv.Dot{del}, only: true}})
	o, err := r.get(objectKey([]byte("s1")))
	if err != nil || !r.clock.Has(del) || !o.Fill(r.bases).Context().Covers(put) {
		t.Fatalf("clock %v, and the key says %v, %v", r.clock, o, err)
	}
}

// TestRipeRowKeepsOpening: what a member had may become known after its session
// has ended. The opening that had it stays noted, or nobody would see that the
// next one has less.
func TestRipeRowKeepsOpening(t *testing.T) {
	c := calm(t, 2, nil)
	r, p := c.nodes[0].core, c.nodes[0].core.peer(2)
	opening := p.nonce
	d := dvv.Dot{Actor: 77, Counter: 1}
	r.noteRow(p, r.clock.Add(d))
	p.reset()
	r.setClock(r.clock.Add(d))
	r.ripen(p)
	if !p.row.Has(d) || p.rowNonce != opening {
		t.Fatalf("row %v of opening %x, not %x", p.row, p.rowNonce, opening)
	}
}

// TestGoneStaysIndexed: a value goes by a write that is not here yet; whoever
// lacks the value is still sent the key, until all have its dot.
func TestGoneStaysIndexed(t *testing.T) {
	c := calm(t, 2, nil)
	n := c.nodes[0]
	r, d, unseen := n.core, dvv.Dot{Actor: 77, Counter: 1}, dvv.Dot{Actor: 88, Counter: 1}
	r.mergeAll(c.now, r.peer(2), dvv.VV{}, []wireRecord{*stale("s1", d)})
	c.take(n)
	c.commit(n)
	r.collectFrom[77] = 9
	gone := &wireRecord{key: []byte("s1"), object: dvv.NewObject(dvv.NewVV(d, unseen))}
	r.mergeAll(c.now, r.peer(2), dvv.VV{}, []wireRecord{*gone})
	c.take(n)
	c.commit(n)
	entry, err := n.db.Get(appendDotKey(nil, areaGarbage, d))
	if err != nil || string(entry) != "ds1" {
		t.Fatalf("of what went is said %q, %v", entry, err)
	}
	if r.collectFrom[77] != 1 {
		t.Fatalf("collection begins at %d and would never find it", r.collectFrom[77])
	}
	c.settle(900) // that write is lost: its name has to last, and not with the key
	if r.clock.Has(unseen) || r.garbage != 0 || !r.lasting.contexts["s1"].Covers(unseen) {
		t.Fatalf("clock %v, %d entries wait, %v lasts", r.clock, r.garbage, r.lasting.contexts)
	}
	c.check(false)
}

// asks has p answer a hello of n's present opening, and says whether that opening may
// go on as its actor.
func (c *cluster) asks(p, n *node) bool {
	c.t.Helper()
	h := header{kind: frameHello, from: n.core.nonce, fields: frameFields[frameHello]}
	g := n.core.greeting(c.now)
	p.core.Receive(c.now, n.id, appendGreeting(appendHeader(nil, h), &g, false))
	ready, _ := p.core.Ready()
	if err := p.db.Write(ready.Batch, true); err != nil {
		c.t.Fatal(err)
	}
	defer p.core.Committed(ready.Seq)
	for _, m := range ready.Messages {
		rd := pack.NewReader(m.Frame)
		if h := readHeader(&rd); h.kind == frameWelcome && h.to == n.core.nonce {
			return (*known)(nil).readGreeting(&rd, true, h).nonceOK
		}
	}
	c.t.Fatal("no answer")
	return false
}

// stops ends n in order.
func (c *cluster) stops(n *node) {
	n.core.Stop()
	c.take(n)
	for len(n.ready) > 0 {
		c.commit(n)
	}
	n.core.Release()
}

// TestOneOfTwoCopies: of a directory that was stopped cleanly and its copy one is
// told that it may go on, also when nothing else of it was heard and the member
// that said so has been started anew (R30).
func TestOneOfTwoCopies(t *testing.T) {
	c := calm(t, 2, nil)
	a, p := c.nodes[0], c.nodes[1]
	c.put(a, "r1", "x")
	c.settle(300)
	actor := a.core.Actor()
	c.stops(a)
	twin := &node{id: a.id, db: a.db.Fork(), events: map[EventKind]int{}}
	c.start(a)
	c.start(twin)
	c.now = c.now.Add(2 * time.Second)
	if a.core.Actor() != actor || twin.core.Actor() != actor || !c.asks(p, twin) || !c.asks(p, twin) {
		t.Fatal("the first that asks may go on")
	}
	if c.asks(p, a) {
		t.Fatal("the second may go on as well")
	}
	p.core.Release()
	c.start(p)
	if c.asks(p, a) || !c.asks(p, twin) {
		t.Fatal("after a restart it is forgotten who may go on")
	}
}

// TestRestoredTwice: the same older directory comes back a second time. That its actor
// went on once is not forgotten over the actor that was minted the first time, of which
// nothing but a hello was heard (I1, R30).
func TestRestoredTwice(t *testing.T) {
	for _, mints := range []int{1, proofsMax + 3} {
		c := calm(t, 2, nil)
		a, p := c.nodes[0], c.nodes[1]
		c.put(a, "r1", "x")
		c.settle(300)
		actor := a.core.Actor()
		c.stops(a)
		backup := a.db.Fork()
		c.start(a)
		c.now = c.now.Add(2 * time.Second)
		if !c.asks(p, a) {
			t.Fatal("a clean stop is not believed")
		}
		for range mints {
			a.core.Release()
			a.db = backup.Fork()
			c.start(a)
			if a.core.Actor() != actor || c.asks(p, a) {
				t.Fatal("an opening that nobody heard of may go on")
			}
			a.core.mint("told so")
			if !c.asks(p, a) {
				t.Fatal("a new actor may not go on")
			}
			p.core.Release()
			c.start(p)
		}
		if n := len(p.core.peer(a.id).proofs); n > proofsMax {
			t.Fatalf("%d actors are remembered", n)
		}
		a.core.Release()
		a.db = backup
		c.start(a)
		if a.core.Actor() != actor || c.asks(p, a) {
			t.Fatalf("after %d new actors the one before may go on", mints)
		}
	}
}

// TestWipedActorRetires: nobody but the others can retire the actor of a node
// that lost its disk.
func TestWipedActorRetires(t *testing.T) {
	c := calm(t, 3, nil)
	n := c.nodes[2]
	c.put(n, "s1", "x")
	c.settle(300)
	old := n.core.Actor()
	n.core.Release()
	n.db = kv.NewMemory()
	c.start(n)
	c.members(n, 1, 3)
	c.link()
	c.settle(900)
	for _, n := range c.nodes {
		if !n.core.isRetired(old) {
			t.Fatalf("node %d does not count %v as retired", n.id, old)
		}
	}
	c.wantAll("s1", "x")
	c.check(false)
}

// TestJoinServesNothingBefore: an empty store that is to join takes no writes,
// also across a restart, before it has what the others had (I29).
func TestJoinServesNothingBefore(t *testing.T) {
	c := calm(t, 3, nil)
	n := c.nodes[2]
	c.put(c.nodes[0], "s1", "x")
	c.settle(300)
	want := c.nodes[0].core.Clock()
	n.core.Release()
	n.db = kv.NewMemory()
	c.tune = func(cfg *Config) { cfg.Join = true }
	c.start(n)
	if n.core.Phase() != Joining {
		t.Fatalf("the empty store is %v", n.core.Phase())
	}
	c.isolate(n, true)
	c.members(n, 1, 3)
	c.run(3 * time.Second)
	c.crash(n, true)
	c.run(3 * time.Second)
	if n.core.Phase() == Serving {
		t.Fatal("it serves although it could join from nobody")
	}
	c.isolate(n, false)
	for round := 0; n.core.Phase() != Serving && round < 500; round++ {
		c.run(40 * time.Millisecond)
	}
	if n.core.Phase() != Serving || !n.core.Clock().Descends(want) {
		t.Fatalf("it is %v with %v, and had to have %v", n.core.Phase(), n.core.Clock(), want)
	}
}
