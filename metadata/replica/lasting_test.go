package replica

import (
	"fmt"
	"testing"
	"time"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// lose has a write of n under key reach nobody, and the next one, of other, reach
// node 1: a gap. The members go on without n.
func (c *cluster) lose(n *node, key, other string) dvv.Dot {
	c.isolate(n, true)
	c.put(n, key, "lost")
	d := dvv.Dot{Actor: n.core.actor, Counter: n.core.own}
	c.put(n, other, "arrived")
	o, err := n.core.get(objectKey([]byte(other)))
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.nodes[0].core
	r.mergeAll(c.now, r.peer(n.id), n.core.bases, []wireRecord{{key: []byte(other), object: o}})
	for _, m := range c.nodes {
		if m != n {
			m.core.SetMembers(c.now, 2, []Member{{ID: 1}, {ID: 2}})
		}
	}
	return d
}

// TestGapStaysOpen: what nobody has is put aside with its contexts, and if it comes
// back after all it counts as what it is: news, or overwritten (I14, I24, I28).
func TestGapStaysOpen(t *testing.T) {
	c := calm(t, 3, nil)
	a, away := c.nodes[0], c.nodes[2]
	d := c.lose(away, "s1", "s2")
	// An object that had overwritten the lost value, by a write that is lost as well,
	// and one that had deleted it.
	for _, key := range []string{"s3", "s4"} {
		e := dvv.Dot{Actor: 77, Counter: 1}
		w := stale(key, e)
		if key == "s4" {
			e = dvv.Dot{Actor: 78, Counter: 1}
			w = &wireRecord{key: []byte(key), deletes: []dvv.Dot{e}}
		}
		w.object = dvv.NewObject(dvv.NewVV(e, dvv.Dot{Actor: d.Actor, Counter: d.Counter + 3}), w.object.Siblings()...)
		a.core.mergeAll(c.now, a.core.peer(2), dvv.VV{}, []wireRecord{*w})
	}
	c.run(5 * time.Second)
	for _, n := range c.nodes[:2] {
		if n.core.clock.Has(d) || len(n.core.lasting.contexts) < 2 {
			t.Fatalf("clock %v, lasting contexts %v", n.core.clock, n.core.lasting.contexts)
		}
		for key, p := range map[string]string{"s3": "x", "s4": ""} {
			o, err := n.core.get(objectKey([]byte(key)))
			if err != nil || o.Context().Len() > 0 {
				t.Fatalf("%s holds %v, not %q, and %v", key, o, p, err)
			}
		}
	}
	c.put(away, "s3", "overwritten")
	c.put(away, "s4", "deleted")
	for _, n := range c.nodes {
		c.members(n, 3, 3)
	}
	c.isolate(away, false)
	c.settle(900)
	c.wantAll("s1", "lost")
	c.wantAll("s2", "arrived")
	c.wantAll("s4", "")
	c.run(2 * time.Second)
	for _, n := range c.nodes {
		if o, _ := n.core.get(objectKey([]byte("s3"))); len(o.Siblings()) != 1 || o.Siblings()[0].Dot.Actor != 77 {
			t.Fatalf("node %d: s3 is %v", n.id, o)
		}
		if len(n.core.lasting.contexts) > 0 {
			t.Fatalf("node %d: %v under %v", n.id, n.core.lasting.contexts, n.core.clock)
		}
	}
	if away.core.actor == d.Actor {
		t.Fatal("the retired actor still writes")
	}
	c.check(false)
}

// TestTooManyGapsClose: above the bound the gaps of a settled actor are closed for
// good, on all members, and below it they are not.
func TestTooManyGapsClose(t *testing.T) {
	c := calm(t, 2, nil)
	for n, actor := range map[int]dvv.Actor{gapsMax: 77, gapsMax + 1: 78} {
		var dots []dvv.Dot
		for i := range n {
			dots = append(dots, dvv.Dot{Actor: actor, Counter: uint64(2*i + 2)})
		}
		c.nodes[0].core.setClock(c.nodes[0].core.clock.Add(dots...))
	}
	c.run(5 * time.Second)
	for _, n := range c.nodes {
		if n.core.clock.Contiguous(77) || !n.core.clock.Contiguous(78) {
			t.Fatalf("node %d: %d gaps of one actor, %d of the other", n.id, len(n.core.clock.Gaps(77)), len(n.core.clock.Gaps(78)))
		}
	}
	c.check(false)
}

// TestLastingIsBounded: where there is no room a context stays with its object.
func TestLastingIsBounded(t *testing.T) {
	c := calm(t, 2, nil)
	r := c.nodes[0].core
	o := dvv.NewObject(dvv.NewVV(dvv.Dot{Actor: 77, Counter: 3}))
	full := map[string]dvv.VV{}
	for i := range lastingMax {
		full[fmt.Sprint(i)] = dvv.VV{}
	}
	r.lasting.contexts = full
	if got := r.outlast([]byte("s1"), o, map[dvv.Actor]bool{}); !got.Equal(o) {
		t.Fatalf("%v became %v", o, got)
	}
	r.lasting.contexts = map[string]dvv.VV{}
	if got := r.outlast([]byte("s1"), o, map[dvv.Actor]bool{}); !got.IsEmpty() || r.whole([]byte("s1"), got).Context().Len() != 1 {
		t.Fatalf("%v became %v", o, got)
	}
}

// TestJoiningIsNoDonor: who owes a full join gives none while somebody may owe none,
// and gives one when all do (I29).
func TestJoiningIsNoDonor(t *testing.T) {
	c := calm(t, 3, nil)
	r, p := c.nodes[0].core, c.nodes[0].core.peer(2)
	ask := func(id uint64) bool {
		body := pack.AppendBytes(pack.AppendBytes(pack.AppendUint(nil, id), nil), dvv.Clock{}.Append(nil))
		rd := pack.NewReader(body)
		p.endTransfer()
		r.asked(c.now, p, true, 3, &rd)
		given := p.outgoing != nil
		p.endTransfer()
		return given
	}
	if !ask(1001) {
		t.Fatal("who serves gives no join")
	}
	r.oweJoin()
	if p.joining = true; ask(1002) {
		t.Fatal("who owes a join gives one while member 3 may serve")
	}
	if r.peer(3).joining = true; !ask(1003) {
		t.Fatal("nobody begins")
	}
}
