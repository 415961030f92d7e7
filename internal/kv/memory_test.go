package kv

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestForkIsIndependent(t *testing.T) {
	m := NewMemory()
	var b Batch
	b.Put([]byte("a"), []byte("1"))
	if err := m.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	f := m.Fork()
	b.Reset()
	b.Delete([]byte("a"))
	b.Put([]byte("b"), []byte("2"))
	if err := f.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get([]byte("a")); err != nil || m.Len() != 1 {
		t.Fatalf("the original changed with its fork: %v, %d keys", err, m.Len())
	}
	if v, err := f.Get([]byte("b")); err != nil || string(v) != "2" {
		t.Fatalf("the fork holds %q, %v under b", v, err)
	}
	if got := f.Stats().MemoryBytes; got != 2 {
		t.Fatalf("%d bytes counted, want 2", got)
	}
}

// TestMemoryAgainstMap: whatever is put and deleted, and whoever still looks at an
// earlier instant, the leaves hold what a map holds, in order.
func TestMemoryAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	m, model := NewMemory(), map[string]string{}
	type held struct {
		it    Iterator
		model map[string]string
	}
	var open []held
	check := func(it Iterator, model map[string]string) {
		t.Helper()
		for _, k := range slices.Sorted(maps.Keys(model)) {
			if !it.Next() || string(it.Key()) != k || string(it.Value()) != model[k] {
				t.Fatalf("%q is followed by %q = %q, want %q = %q", k, it.Key(), it.Value(), k, model[k])
			}
		}
		if it.Next() {
			t.Fatalf("%q behind the end", it.Key())
		}
		it.Close()
	}
	for round := range 4_000 {
		var b Batch
		for range 1 + rng.IntN(3) {
			k := strconv.Itoa(rng.IntN(400))
			if b.Put([]byte(k), []byte(strconv.Itoa(round))); rng.IntN(5) < 2+round/2_000 {
				b.Delete([]byte(k))
				delete(model, k)
			} else {
				model[k] = strconv.Itoa(round)
			}
		}
		if err := m.Write(&b, true); err != nil {
			t.Fatal(err)
		}
		switch rng.IntN(20) {
		case 0:
			open = append(open, held{m.Iterator(Range{}), maps.Clone(model)})
		case 1:
			m = m.Fork()
		case 2:
			for _, h := range open {
				check(h.it, h.model)
			}
			open = open[:0]
			check(m.Iterator(Range{}), model)
		}
	}
	if m.Len() != len(model) {
		t.Fatalf("%d keys, want %d", m.Len(), len(model))
	}
}
