package replica

import (
	"testing"

	"tombolo/dvv"
)

// TestLostDeleteSpreads: a delete, and a value, of writers that nobody will hear of again
// took effect at one store alone. Clocks are the same, and so is what each lacks: by the
// comparison of ranges all learn of it (I16; losses, seed 111,967 of the simulator).
func TestLostDeleteSpreads(t *testing.T) {
	c := compared(t, 3)
	a := c.nodes[0]
	for key, actor := range map[string]dvv.Actor{"s10": 77, "r20": 78} {
		old, err := a.core.get(objectKey([]byte(key)))
		if err != nil || len(old.Siblings()) != 1 {
			t.Fatal(old, err)
		}
		lost := dvv.NewVV(old.Siblings()[0].Dot, dvv.Dot{Actor: actor, Counter: 2})
		a.core.mergeAll(c.now, a.core.peer(2), dvv.VV{}, []wireRecord{{key: []byte(key), object: dvv.NewObject(lost)}})
	}
	c.settle(900)
	c.wantAll("s10", "")
	c.wantAll("r20", "")
	c.wantAll("s11", "value 11")
	c.check(false)
	for _, n := range c.nodes {
		if v := n.core.lasting.contexts["s10"]; v.Get(77) != 2 {
			t.Errorf("node %d keeps %v of the lost delete", n.id, v)
		}
		if n.events[EventMended] > 0 {
			t.Errorf("node %d: %v", n.id, n.events)
		}
	}
}
