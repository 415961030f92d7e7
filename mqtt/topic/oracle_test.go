package topic

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// model is the naive twin of Index: a map and a loop. Owned by one test.
type model map[modelKey]Options

type modelKey struct {
	f     Filter
	group string
	s     int
}

// view is a result in a form without order. Immutable.
type view struct {
	direct map[int]Hit[int]
	shared map[string]map[int]Hit[int]
}

func (m model) match(n Name) view {
	v := view{map[int]Hit[int]{}, map[string]map[int]Hit[int]{}}
	for k, o := range m {
		if !levelsMatch(k.f, n) {
			continue
		}
		var ids []uint32
		if o.ID != 0 {
			ids = []uint32{o.ID}
		}
		if k.group != "" {
			g := k.group + " " + string(k.f)
			if v.shared[g] == nil {
				v.shared[g] = map[int]Hit[int]{}
			}
			v.shared[g][k.s] = Hit[int]{Sub: k.s, Options: o, IDs: ids}
			continue
		}
		h, ok := v.direct[k.s]
		if !ok {
			h = Hit[int]{Sub: k.s, Options: Options{NoLocal: true}}
		}
		h.Options.QoS = max(h.Options.QoS, o.QoS)
		h.Options.NoLocal = h.Options.NoLocal && o.NoLocal
		h.Options.RetainAsPublished = h.Options.RetainAsPublished || o.RetainAsPublished
		h.IDs = append(h.IDs, ids...)
		slices.Sort(h.IDs)
		v.direct[k.s] = h
	}
	return v
}

// viewOf brings a result into the form of the model and checks guarantee 3.
func viewOf(t *testing.T, r *Result[int]) view {
	t.Helper()
	v := view{map[int]Hit[int]{}, map[string]map[int]Hit[int]{}}
	for _, h := range r.Direct {
		if _, twice := v.direct[h.Sub]; twice {
			t.Fatalf("subscriber %d stands twice in %v", h.Sub, r.Direct)
		}
		h.IDs = slices.Clone(h.IDs)
		slices.Sort(h.IDs)
		// These two come from any of the filters.
		h.Options.ID, h.Options.RetainHandling = 0, 0
		v.direct[h.Sub] = h
	}
	for _, g := range r.Shared {
		key := g.Name + " " + string(g.Filter)
		if v.shared[key] != nil {
			t.Fatalf("group %q stands twice", key)
		}
		v.shared[key] = map[int]Hit[int]{}
		for _, h := range g.Members {
			v.shared[key][h.Sub] = h
		}
		if len(v.shared[key]) != len(g.Members) || len(g.Members) == 0 {
			t.Fatalf("group %q has the members %v", key, g.Members)
		}
	}
	return v
}

// alphabet is what one oracle run draws from. Immutable.
type alphabet struct {
	name        string
	levels      []string
	depth, subs int
	config      Config
	ops         int
}

func (a alphabet) filter(r *rand.Rand) Filter {
	levels := make([]string, 1+r.IntN(a.depth))
	for i := range levels {
		switch p := r.IntN(10); {
		case p < 3:
			levels[i] = "+"
		case p < 4 && i == len(levels)-1:
			levels[i] = "#"
		default:
			levels[i] = a.levels[r.IntN(len(a.levels))]
		}
	}
	return Filter(strings.Join(levels, "/"))
}

func (a alphabet) topic(r *rand.Rand) Name {
	levels := make([]string, 1+r.IntN(a.depth))
	for i := range levels {
		levels[i] = a.levels[r.IntN(len(a.levels))]
	}
	return Name(strings.Join(levels, "/"))
}

var alphabets = []alphabet{
	{"dense", []string{"a", "b"}, 3, 4, Config{}, 6000},
	{"dollar and empty", []string{"a", "", "$S", "$"}, 3, 3, Config{}, 6000},
	{"tiny cache", []string{"a", "b", "c"}, 4, 5, Config{CacheEntries: 4, CacheHits: 40}, 6000},
	{"no cache", []string{"a", "b", ""}, 3, 5, Config{CacheEntries: -1}, 6000},
	{"crowds", []string{"a"}, 2, 400, Config{}, 5000},
	{"wide", wideLevels(300), 2, 3, Config{}, 6000},
	{"deep", []string{"a", "b"}, 10, 3, Config{}, 5000},
}

func wideLevels(n int) []string {
	levels := make([]string, n)
	for i := range levels {
		levels[i] = fmt.Sprint("n", i)
	}
	return levels
}

// TestOracle runs the same random calls on Index and on the model. Half of
// the subscribes aim at what is there already, so that replacing, unsubscribe
// and pruning happen often.
func TestOracle(t *testing.T) {
	for _, a := range alphabets {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%s/%d", a.name, seed), func(t *testing.T) {
				runOracle(t, a, rand.New(rand.NewPCG(seed, 7)))
			})
		}
	}
}

func runOracle(t *testing.T, a alphabet, r *rand.Rand) {
	x, m := NewIndex[int](a.config), model{}
	var keys []modelKey
	if raceEnabled {
		a.ops /= 4
	}
	for op := range a.ops {
		k := modelKey{f: a.filter(r), s: r.IntN(a.subs)}
		if r.IntN(4) == 0 {
			k.group = fmt.Sprint("g", r.IntN(3))
		}
		if len(keys) > 0 && r.IntN(2) == 0 {
			k = keys[r.IntN(len(keys))]
		}
		// Phases of growth and of decay, so that tables shrink as well.
		grow := 7 - 5*(op/(a.ops/6)%2)
		switch p := r.IntN(10); {
		case p >= 8:
			n := a.topic(r)
			got, want := viewOf(t, x.Match([]byte(n))), m.match(n)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("op %d: Match(%q)\n got %v\nwant %v", op, n, got, want)
			}
		case p < grow:
			o := Options{QoS: uint8(r.IntN(3)), NoLocal: r.IntN(2) == 0, RetainAsPublished: r.IntN(2) == 0, ID: uint32(r.IntN(3))}
			_, want := m[k]
			got := x.SubscribeShared(k.group, k.f, k.s, o)
			if got != want {
				t.Fatalf("op %d: Subscribe(%v) = %v, want %v", op, k, got, want)
			}
			m[k] = o
			keys = append(keys, k)
		default:
			_, want := m[k]
			if got := x.UnsubscribeShared(k.group, k.f, k.s); got != want {
				t.Fatalf("op %d: Unsubscribe(%v) = %v, want %v", op, k, got, want)
			}
			delete(m, k)
		}
		if x.Len() != len(m) {
			t.Fatalf("op %d: Len() = %d, want %d", op, x.Len(), len(m))
		}
	}
	compareEach(t, x, m)
	drain(t, x, m)
}

// compareEach holds Each against the model, and its order against itself.
func compareEach(t *testing.T, x *Index[int], m model) {
	t.Helper()
	seen := model{}
	x.Each(func(f Filter, group string, s int, o Options) bool {
		k := modelKey{f, group, s}
		if _, twice := seen[k]; twice {
			t.Fatalf("Each yields %v twice", k)
		}
		seen[k] = o
		return true
	})
	if !reflect.DeepEqual(seen, m) {
		t.Fatalf("Each yields %d subscriptions, want %d\n got %v\nwant %v", len(seen), len(m), seen, m)
	}
}

// drain removes everything and looks for nodes that stay behind.
func drain(t *testing.T, x *Index[int], m model) {
	t.Helper()
	for k := range m {
		if !x.UnsubscribeShared(k.group, k.f, k.s) {
			t.Fatalf("%v is not there to be removed", k)
		}
	}
	if x.Len() != 0 || !x.root.empty() {
		t.Fatalf("after all is removed, Len() = %d and the trie is empty: %v", x.Len(), x.root.empty())
	}
	for i := range x.exacts {
		if n := x.exacts[i].size(); n != 0 {
			t.Fatalf("after all is removed, shard %d holds %d exact filters", i, n)
		}
	}
}

// TestOrder: equal histories give equal results, whatever the hash seeds
// (guarantee 6), and Each has one order.
func TestOrder(t *testing.T) {
	a := alphabets[4]
	a.levels = []string{"a", "b", "c"}
	run := func() (results []string) {
		r := rand.New(rand.NewPCG(1, 2))
		x := NewIndex[int](Config{})
		for range 1200 {
			f, s, group := a.filter(r), r.IntN(a.subs), ""
			if r.IntN(3) == 0 {
				group = fmt.Sprint("g", r.IntN(20))
			}
			if r.IntN(3) == 0 {
				x.UnsubscribeShared(group, f, s)
			} else {
				x.SubscribeShared(group, f, s, Options{ID: uint32(s)})
			}
			res := x.Match([]byte(a.topic(r)))
			line := fmt.Sprint(res.Direct)
			for _, g := range res.Shared {
				line += fmt.Sprint(g.Name, g.Filter, g.Members)
			}
			results = append(results, line)
		}
		x.Each(func(f Filter, group string, s int, o Options) bool {
			results = append(results, fmt.Sprint(f, group, s, o))
			return true
		})
		return results
	}
	first, second := run(), run()
	for i := range first {
		if first[i] != second[i] {
			t.Fatalf("step %d differs:\n%s\n%s", i, first[i], second[i])
		}
	}
}
