package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"tombolo/internal/kv"
)

// model is the naive twin: a map and a sort. It belongs to one test.
type model map[string]string

func (m model) sorted(r kv.Range) []string {
	var keys []string
	for k := range m {
		if bytes.Compare([]byte(k), r.Start) >= 0 && (r.Limit == nil || bytes.Compare([]byte(k), r.Limit) < 0) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// testAgainstModel does random things to a database and to its naive twin.
func testAgainstModel(t *testing.T, m Maker) {
	const seed, steps = 7, 600
	rng := rand.New(rand.NewPCG(seed, 1))
	db := m.Open(t)
	twin := model{}
	key := func() string { return fmt.Sprintf("k%02d", rng.IntN(60)) }
	for step := range steps {
		switch op := rng.IntN(20); {
		case op < 10:
			var b kv.Batch
			for range 1 + rng.IntN(5) {
				k := key()
				if rng.IntN(3) == 0 {
					b.Delete([]byte(k))
					delete(twin, k)
				} else {
					v := fmt.Sprintf("v%d", rng.IntN(1000))
					b.Put([]byte(k), []byte(v))
					twin[k] = v
				}
			}
			if err := db.Write(&b, true); err != nil {
				t.Fatalf("seed %d step %d: write: %v", seed, step, err)
			}
		case op < 14:
			k := key()
			got, err := db.Get([]byte(k))
			want, ok := twin[k]
			if ok != (err == nil) || string(got) != want || !ok && !errors.Is(err, kv.ErrNotFound) {
				t.Fatalf("seed %d step %d: get %q: %q, %v; want %q, %v", seed, step, k, got, err, want, ok)
			}
		case op < 18:
			r := kv.Range{Start: []byte(key()), Limit: []byte(key())}
			if rng.IntN(4) == 0 {
				r.Limit = nil
			}
			walk(t, rng, db.Iterator(r), twin, r, fmt.Sprintf("seed %d step %d", seed, step))
		case op == 18:
			if err := db.CompactRange(kv.Range{}); err != nil {
				t.Fatalf("seed %d step %d: compact: %v", seed, step, err)
			}
		case m.Reopen != nil && rng.IntN(4) == 0:
			db = m.Reopen(t, db)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// walk moves a cursor at random and compares it with an index into the sorted
// keys of the twin; -1 and len are the places before and behind them.
func walk(t *testing.T, rng *rand.Rand, it kv.Iterator, twin model, r kv.Range, where string) {
	t.Helper()
	defer it.Close()
	keys := twin.sorted(r)
	at, moved := -1, ""
	for range 30 {
		var ok bool
		switch rng.IntN(8) {
		case 0:
			moved, ok, at = "first", it.First(), 0
		case 1:
			moved, ok, at = "last", it.Last(), len(keys)-1
		case 2:
			k := fmt.Sprintf("k%02d", rng.IntN(62))
			moved, ok = "seek "+k, it.Seek([]byte(k))
			at = sort.SearchStrings(keys, k)
		case 3, 4, 5:
			moved, ok, at = "next", it.Next(), min(at+1, len(keys))
		default:
			if moved == "" {
				at = len(keys) // a fresh cursor goes to the last key
			}
			moved, ok, at = "prev", it.Prev(), max(at-1, -1)
		}
		on := at >= 0 && at < len(keys)
		if ok != on || on && (string(it.Key()) != keys[at] || string(it.Value()) != twin[keys[at]]) {
			t.Fatalf("%s: range %q to %q: %s: %v on %q = %q, want place %d of %q", where, r.Start, r.Limit, moved, ok, it.Key(), it.Value(), at, keys)
		}
		if len(keys) == 0 {
			return // where a cursor stands in an empty range has no meaning
		}
	}
	if err := it.Err(); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
}
