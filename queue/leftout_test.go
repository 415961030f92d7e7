package queue

import (
	"fmt"
	"slices"
	"testing"

	"tombolo/internal/kv"
)

// TestLeftOutIsLearntFrom (R21): a message that came another way while the queue is
// moving is left out, but not what the client was told of it at the old home: the
// copy that is here is a duplicate, and has the packet id that the client knows.
func TestLeftOutIsLearntFrom(t *testing.T) {
	b, c := start(t, kv.OpenMemory(), StoreConfig{}), start(t, kv.OpenMemory(), StoreConfig{})
	source, _ := b.generation("s", 100)
	target, _ := c.generation("s", 200)
	c.Moving(target, 11, nil)
	_, st := c.generation("s", 200)
	d := newDrinker(c, target, st)
	d.online()
	for n := range uint64(4) {
		msg := &Message{ID: MessageID{7, n}, QoS: 2, Body: fmt.Append(nil, n)}
		if err := b.append(&Event{Msg: msg, Targets: []Target{{Queue: source, QoS: 2}}}); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			continue // the others came to the new home as well
		}
		copied := &Event{Msg: msg, Targets: []Target{{Queue: target, QoS: 2}}}
		d.q.Admit(2)
		if err := c.append(copied); err != nil {
			t.Fatal(err)
		}
		d.q.Committed(Entry{Seq: copied.Targets[0].Seq, Msg: msg, QoS: 2})
	}
	b.Do(source, []Op{{Kind: OpSent, Seq: 3}}, nil)
	b.do(source, Op{Kind: OpBind, Seq: 2, PacketID: 9, Tag: 1})
	got := carried(t, b.export(source, Place{}, 100, 1<<20))
	stored, err := c.bring(target, got, nil)
	if err != nil || len(stored) != 1 {
		t.Fatalf("%d stored, %v", len(stored), err)
	}
	d.q.Imported(got, stored)
	for _, restarted := range []bool{false, true} {
		if restarted {
			c.sync()
			c = start(t, c.db.(*kv.Memory).Fork(), StoreConfig{})
			if target, st = c.generation("s", 200); st.MovingFrom != 11 {
				t.Fatalf("%+v", st)
			}
			d = newDrinker(c, target, st)
			d.online()
		}
		d.q.SetMoving(false)
		if got := d.drink(10); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
			t.Errorf("restarted %v: delivered %q", restarted, got)
		}
		for i, e := range d.flight {
			if e.Dup != (i < 3) || e.PacketID != []uint16{0, 9, 0, 0}[i] {
				t.Errorf("restarted %v: %+v", restarted, e)
			}
		}
	}
}
