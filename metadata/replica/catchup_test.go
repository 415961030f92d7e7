package replica

import (
	"fmt"
	"testing"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// brokenJoin is three stores: the second owes a full join, has had some of the keys of
// the first one, and not yet s5, when the link broke; the first wrote s5 before that,
// and deletes it now. The third saw neither.
func brokenJoin(t *testing.T) (c *cluster, before dvv.Dot) {
	c = calm(t, 3, nil)
	a, b, third := c.nodes[0], c.nodes[1], c.nodes[2]
	for i := range 200 {
		c.put(a, fmt.Sprintf("s1%03d", i), "x")
	}
	c.put(third, "s5", "old")
	c.settle(600)
	c.isolate(b, true)
	c.isolate(third, true)
	c.put(a, "s5", "new")
	before = dvv.Dot{Actor: a.core.actor, Counter: a.core.own}
	b.core.oweJoin()
	c.isolate(b, false)
	c.cut[[2]int{1, 2}], c.cut[[2]int{2, 1}] = true, true
	c.link()
	for n := 0; b.core.join == nil || len(b.core.join.cursor) == 0; n++ {
		if c.run(20 * time.Millisecond); n > 200 {
			c.fatalf("no join began: %+v", b.core.join)
		}
	}
	if b.core.join.clock.Top(a.core.actor) < before.Counter || b.core.join.reflects([]byte("s5")) {
		c.fatalf("the join is not where the test wants it: %+v", b.core.join)
	}
	c.isolate(b, true)
	c.put(a, "s5", "")
	return c, before
}

// heals links two of the stores again, and no others.
func (c *cluster) heals(x, y *node) {
	c.isolate(x, true)
	c.isolate(y, true)
	i, j := int(x.id-1), int(y.id-1)
	c.cut[[2]int{i, j}], c.cut[[2]int{j, i}] = false, false
	c.link()
}

// TestResumedJoinClaimsNothingEarly: what a third store learns from one whose full
// join was resumed is whole. The value that the third one holds was replaced before
// the first of the donor's snapshots, and what replaced it was deleted before the
// second (I14; seed 21,049 of the simulator's members).
func TestResumedJoinClaimsNothingEarly(t *testing.T) {
	c, replaced := brokenJoin(t)
	a, b, third := c.nodes[0], c.nodes[1], c.nodes[2]
	c.heals(a, b)
	for n := 0; !b.core.clock.Has(replaced); n++ {
		if c.run(20 * time.Millisecond); n > 500 {
			c.fatalf("the join does not end: %+v", b.core.join)
		}
	}
	c.heals(b, third)
	c.run(2 * time.Second)
	if !third.core.clock.Has(replaced) {
		c.fatalf("the third store has not pulled: %v, the joiner has %v", third.core.clock, b.core.clock)
	}
	if got := c.get(third, "s5"); got != "" {
		c.fatalf("the third store has seen %v, which replaced its value, and shows %q", replaced, got)
	}
	c.settle(900)
	c.wantAll("s5", "")
	c.check(false)
}

// TestCatchUpOutlivesRestart: that a join used several snapshots is durable.
func TestCatchUpOutlivesRestart(t *testing.T) {
	c, replaced := brokenJoin(t)
	a, b := c.nodes[0], c.nodes[1]
	c.heals(a, b)
	for n := 0; b.core.peer(1).incoming == nil || !b.core.peer(1).incoming.catchUp; n++ {
		c.deliverAll()
		if c.tickAll(); n > 500 {
			c.fatalf("nothing is caught up with: %+v", b.core.join)
		}
	}
	if b.core.clock.Has(replaced) {
		c.fatalf("%v claims %v before the join has ended", b.core.clock, replaced)
	}
	c.crash(b, false)
	if j := b.core.join; j == nil || j.clock.Descends(j.last) || len(j.parts) != 2 {
		c.fatalf("after a restart nothing is left to catch up with: %+v", j)
	}
	c.settle(900)
	c.wantAll("s5", "")
	c.check(false)
}

// TestPartsOfResumedJoin: the bases of the snapshot that a key was merged from are the
// whole truth of a key that it did not have, and those of no other snapshot. In the first
// one s5 was gone and its context said so, above a gap of the donor's clock; by the second
// the gap was filled, and nothing was left of s5 but the delete (members, seed 110,908 of
// the simulator). s2 was absent from the first and may have got a value since (I14, I15).
func TestPartsOfResumedJoin(t *testing.T) {
	c := calm(t, 3, nil)
	r, p := c.nodes[2].core, c.nodes[2].core.peer(1)
	missed, old, del := dvv.Dot{Actor: 77, Counter: 1}, dvv.Dot{Actor: 77, Counter: 2}, dvv.Dot{Actor: 88, Counter: 1}
	first := dvv.Clock{}.Add(old, del)
	second := first.Add(missed)
	r.join = &joining{joinState: joinState{donor: 1}}
	p.incoming = &incoming{full: true}
	r.beganJoin(p, &begin{full: true, clock: first})
	r.join.cursor = []byte("s3")
	r.beganJoin(p, &begin{full: true, clock: first})
	r.beganJoin(p, &begin{full: true, clock: second}) // the one before gave nothing
	r.join.cursor, r.join.keysDone = []byte("s9"), true
	r.mergeAll(c.now, p, second.Bases(), []wireRecord{{key: []byte("s5"), deletes: []dvv.Dot{del}, only: true}})
	r.mergeAll(c.now, r.peer(2), dvv.VV{}, []wireRecord{*stale("s5", old), *stale("s2", missed)})
	if o, err := r.get(objectKey([]byte("s5"))); err != nil || o.Live(old) {
		t.Fatalf("what was deleted before the first snapshot came in: %v, %v", o, err)
	}
	if o, err := r.get(objectKey([]byte("s2"))); err != nil || !o.Live(missed) {
		t.Fatalf("of a key before the break the second snapshot is believed: %v, %v", o, err)
	}
	if n := len(r.join.parts); n != 2 {
		t.Fatalf("%d parts of %+v", n, r.join.parts)
	}
}

// TestJoinBrokenTooOften: the parts of a join stand in its record.
func TestJoinBrokenTooOften(t *testing.T) {
	c := calm(t, 2, nil)
	r, p := c.nodes[1].core, c.nodes[1].core.peer(1)
	r.join = &joining{joinState: joinState{donor: 1}}
	for n := 0; n <= joinPartsMax; n++ {
		p.incoming = &incoming{full: true}
		r.beganJoin(p, &begin{full: true, clock: dvv.Clock{}.Add(dvv.Dot{Actor: 77, Counter: 1})})
		if again := n == joinPartsMax; again != (p.incoming == nil) || again != (len(r.join.parts) == 0) {
			t.Fatalf("begun %d times: %d parts, cursor %q, transfer %v", n+1, len(r.join.parts), r.join.cursor, p.incoming)
		}
		r.join.cursor = fmt.Appendf(nil, "s%04d", n)
	}
}

// tickAll lets some time pass on all nodes, and all that is written be durable.
func (c *cluster) tickAll() {
	for _, n := range c.nodes {
		c.tick(n, 10*time.Millisecond)
		for len(n.ready) > 0 {
			c.commit(n)
		}
	}
}

// deliverAll hands over what is on the wire now.
func (c *cluster) deliverAll() {
	for k := len(c.wire); k > 0; k-- {
		c.deliver()
	}
}

// TestCatchUpIsNoRow: who catches up names a clock that it does not have yet. It holds
// back collection as before.
func TestCatchUpIsNoRow(t *testing.T) {
	c := calm(t, 2, nil)
	r, p := c.nodes[0].core, c.nodes[0].core.peer(2)
	row := p.row
	d := dvv.Dot{Actor: 77, Counter: 1}
	r.setClock(r.clock.Add(d))
	ask := func(id uint64, fields int, catchUp bool) {
		rd := pack.NewReader(pack.AppendBool(pack.AppendBytes(pack.AppendUint(nil, id), r.clock.Append(nil)), catchUp))
		r.asked(c.now, p, false, fields, &rd)
		p.endTransfer()
	}
	ask(1001, 3, true)
	if !p.row.Equal(row) || p.clock.Has(d) {
		t.Fatalf("row %v, clock %v", p.row, p.clock)
	}
	if ask(1002, 3, false); !p.row.Has(d) {
		t.Fatalf("the row of a plain pull is %v", p.row)
	}
	ask(1003, 2, false) // from before there was catching up
	if p.request.id != 1003 {
		t.Fatal("a pull of an earlier build is not answered")
	}
}

// TestCatchUpAgainstCollection: the donor has collected what the catching up needs:
// the join begins again from its first key, instead of asking for the same for ever.
func TestCatchUpAgainstCollection(t *testing.T) {
	c := calm(t, 2, nil)
	r, p := c.nodes[1].core, c.nodes[1].core.peer(1)
	clock := dvv.Clock{}.Add(dvv.Dot{Actor: 77, Counter: 1})
	r.join = &joining{joinState: joinState{donor: 1, clock: clock, last: clock.Add(dvv.Dot{Actor: 77, Counter: 2}), cursor: []byte("s5")}}
	p.incoming = &incoming{id: 5, catchUp: true}
	r.refused(c.now, p, refuseNeedJoin)
	if r.join == nil || len(r.join.cursor) > 0 || p.incoming == nil || !p.incoming.full {
		t.Fatalf("join %+v, transfer %+v", r.join, p.incoming)
	}
}

// TestJoinRecordOfEarlierBuild: it does not say which snapshots were used, so the
// join begins again.
func TestJoinRecordOfEarlierBuild(t *testing.T) {
	old := pack.AppendUint(pack.AppendUint(pack.AppendArray(nil, 4), recordVersion), 2)
	old = pack.AppendBytes(pack.AppendBytes(old, sampleClock.Append(nil)), []byte("s5"))
	db := kv.NewMemory()
	var b kv.Batch
	b.Put(metaJoin, old)
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	r := &Replica{view: db}
	if _, err := r.load(); err != nil || r.join == nil || r.join.donor != 2 || r.join.cursor != nil {
		t.Fatalf("%+v, %v", r.join, err)
	}
	five := func(last dvv.Clock) joinState { // nor from where on they were used
		raw := (&joinState{donor: 2, clock: sampleClock, cursor: []byte("s5"), last: last}).append(nil)
		raw[0], raw = raw[0]-1, raw[:len(raw)-1]
		j, err := decodeJoin(raw)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	if j := five(sampleClock); len(j.cursor) == 0 || !j.parts[0].bases.Equal(sampleClock.Bases()) {
		t.Fatalf("one that never broke off: %+v", j)
	}
	if j := five(sampleClock.Add(dvv.Dot{Actor: 77, Counter: 1})); len(j.cursor) > 0 {
		t.Fatalf("one that broke off: %+v", j)
	}
}

// TestGoalsOfJoiners: a store whose full join has ended does not wait for another one
// that owes a join itself: that one may wait for it in turn, and gives it no join
// (members seed 30,886 of the simulator of its day). If all owe one, it does wait.
func TestGoalsOfJoiners(t *testing.T) {
	c := calm(t, 3, nil)
	r := c.nodes[0].core
	p, q := r.peer(2), r.peer(3)
	beyond := r.clock.Add(dvv.Dot{Actor: 77, Counter: 1})
	wait := func() bool {
		r.phase, r.identity.joins = Joining, true
		r.goals = []goal{{node: 2, nonce: p.nonce, clock: beyond}}
		r.reachGoals(c.now)
		return r.goals != nil
	}
	if !wait() {
		t.Fatal("a member that serves is not waited for")
	}
	if p.joining = true; wait() {
		t.Fatal("one that owes a join is")
	}
	if q.joining = true; !wait() {
		t.Fatal("all owe a join, and nobody is waited for")
	}
}

// TestGoalOfWhoWentBack: what a member had in an opening before this one it may have
// lost: what it has now is waited for (everything, seed 30,362).
func TestGoalOfWhoWentBack(t *testing.T) {
	c := calm(t, 3, nil)
	r := c.nodes[0].core
	p := r.peer(2)
	r.phase, r.identity.joins = Joining, true
	beyond := r.clock.Add(dvv.Dot{Actor: 77, Counter: 1})
	r.goals = []goal{{node: 2, nonce: p.nonce, clock: beyond}}
	p.clock = r.clock
	if r.reachGoals(c.now); r.goals == nil {
		t.Fatal("an old frame of the same opening is believed")
	}
	p.nonce++
	if r.reachGoals(c.now); r.goals != nil {
		t.Fatalf("%v is waited for", r.goals)
	}
}
