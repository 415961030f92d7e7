package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// membersChange has a run change its members, besides crashes.
func membersChange(p *Profile) { p.Weights = members }

// repeating has every node mint the same actor again and again.
func repeating(m Maker) Maker {
	return func(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error) {
		c.Rand = func() uint64 { return c.Node<<40 | 1 }
		return m(db, c, now, out)
	}
}

// hasty answers a writer before the core has written.
type hasty struct{ Core }

func (h hasty) Write(now time.Duration, op Op, out *Output) error {
	if v := h.View(); v.Phase == PhaseReady && !op.Delete {
		dot := dvv.Dot{Actor: v.Actor, Counter: v.Clock.Top(v.Actor) + 1}
		out.Acks = append(out.Acks, Ack{Op: op.ID, Dot: dot, HLC: uint64((time.Duration(replicaEpoch.UnixNano()) + now).Milliseconds()) << 16})
		var inner Output
		defer func() { out.Send = append(out.Send, inner.Send...) }()
		return h.Core.Write(now, op, &inner)
	}
	return h.Core.Write(now, op, out)
}

// wrapped makes cores and puts something around them.
func wrapped(m Maker, around func(c Core) Core) Maker {
	return func(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error) {
		core, err := m(db, c, now, out)
		if err != nil {
			return nil, err
		}
		return around(core), nil
	}
}

// forgetful shows, after each seventh write of its own, a clock that has seen
// more than the store holds.
type forgetful struct{ Core }

func (f forgetful) View() View {
	v := f.Core.View()
	if n := v.Clock.Base(v.Actor); n > 0 && n%7 == 0 {
		v.Objects = nil
	}
	return v
}

// amputated is a disk that keeps no context that names lost dots.
type amputated struct{ kv.DB }

func (a amputated) Write(b *kv.Batch, sync bool) error {
	var kept kv.Batch
	b.Each(func(key, value []byte, deleted bool) {
		switch {
		case key[0] == 'l':
		case deleted:
			kept.Delete(key)
		default:
			kept.Put(key, value)
		}
	})
	return a.DB.Write(&kept, sync)
}

// eager says that it serves while it joins.
type eager struct{ Core }

func (e eager) View() View {
	v := e.Core.View()
	if v.Phase == PhaseJoining {
		v.Phase = PhaseReady
	}
	return v
}

// TestPlantedAroundTheProduct plants bugs around the product's own core: in its
// disks, its chance, and the shell that steps it.
func TestPlantedAroundTheProduct(t *testing.T) {
	product := ReplicaMaker()
	for _, b := range []struct {
		name     string
		make     Maker
		change   func(p *Profile)
		checkers []string
	}{
		{"disks lie about a sync", product, func(p *Profile) { p.LyingDisks = true }, []string{"I3", "I27", "I31"}},
		{"a crash leaves half a batch", product, func(p *Profile) { p.SplitDisks = true }, []string{"I30"}},
		{"an actor is minted again and again", repeating(product), nil, []string{"I1", "I2", "I25", "I31", "R30"}},
		{"answered before it is written", wrapped(product, func(c Core) Core { return hasty{c} }), nil, []string{"I31"}},
		{"objects are lost and the clock is not", wrapped(product, func(c Core) Core { return forgetful{c} }), nil, []string{"I13", "I15"}},
		{"somebody writes after the heal", product, func(p *Profile) { p.Late = true }, []string{"I17"}},
		{"it says that it serves while it joins", wrapped(product, func(c Core) Core { return eager{c} }), membersChange, []string{"I29"}},
		{"what names lost dots is thrown away", func(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error) {
			return product(amputated{db}, c, now, out)
		}, membersChange, []string{"I30"}},
		{"digests are not compared by range", wrapped(product, func(c Core) Core { return unequal{c.(*replicaCore)} }), func(p *Profile) { p.Rot = 1 }, []string{"R32"}},
		{"digests are compared by range at equal clocks alone", tampering(product, onlyAtEqualClocks), func(p *Profile) { p.Rot = 1 }, []string{"R32"}},
		{"a resumed join skips what was written meanwhile", tampering(product, skipsCatchUp), membersChange, []string{"I14", "I15", "I16", "I20", "I29"}},
	} {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			others := ""
			for seed := range uint64(40) {
				p := Profiles(b.make)[1] // crashes
				if b.change != nil {
					b.change(&p)
				}
				r := Run(seed, p)
				if r.Violation != nil && slices.Contains(b.checkers, r.Violation.Checker) {
					return
				}
				if r.Violation != nil {
					others += fmt.Sprintf(" %s@%d", r.Violation.Checker, seed)
				}
			}
			t.Fatalf("not caught by one of %v in 40 seeds; others:%s", b.checkers, others)
		})
	}
}
