package sim

import (
	"testing"

	"tombolo/dvv"
)

// TestHeldElsewhere: only a store that may still give a write counts as its holder.
// Another's clock would excuse its loss, or blame the product for it.
func TestHeldElsewhere(t *testing.T) {
	d := dvv.Dot{Actor: 1, Counter: 2}
	for _, c := range []struct {
		name   string
		change func(o *slot)
		want   bool
	}{
		{"it has the dot", func(*slot) {}, true},
		{"it has another one", func(o *slot) { o.checks.last.Clock = dvv.Clock{}.Add(dvv.Dot{Actor: 1, Counter: 3}) }, false},
		{"it is down", func(o *slot) { o.up, o.core = false, nil }, true},
		{"it is removed, and may return", func(o *slot) { o.removed = true }, true},
		{"it is taken out for good", func(o *slot) { o.retired = true }, false},
		{"it is a copy", func(o *slot) { o.copied = true }, false},
	} {
		w := &World{oracle: newOracle()}
		s, o := w.addSlot(1), w.addSlot(2)
		s.checks.last.Clock = dvv.Clock{}.Add(d)
		o.checks.last.Clock = s.checks.last.Clock
		c.change(o)
		if got := w.heldElsewhere(s, &opRecord{dot: d, there: true}); got != c.want {
			t.Errorf("%s: held elsewhere is %v", c.name, got)
		}
	}
}
