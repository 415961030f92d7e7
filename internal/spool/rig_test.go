package spool

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
	"tombolo/internal/link"
	"tombolo/internal/wire"
)

// TestMain looks for goroutines that were left; one of goleveldb's ends a second
// after its database.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

const roomy = 1 << 40

// small makes goleveldb rotate and compact within a test.
var small = Config{BytesMax: roomy, MemoryBudget: 1 << 20, NoCompression: true}

func openOn(t testing.TB, d kv.Disk, c Config) *Spool {
	t.Helper()
	s, _, err := OpenOn(d, c)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

func closeIt(t testing.TB, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// message is one with a body that says which it is.
func message(n, size int) link.Spooled {
	body := make([]byte, max(size, 8))
	copy(body, fmt.Sprintf("%08d", n))
	return link.Spooled{Kind: wire.TypePublish, Body: body}
}

func number(t testing.TB, m link.Spooled) int {
	t.Helper()
	n := 0
	if _, err := fmt.Sscanf(string(m.Body[:8]), "%d", &n); err != nil {
		t.Fatalf("body %q: %v", m.Body, err)
	}
	return n
}

// all reads everything there is for a node, in pieces.
func all(t testing.TB, s *Spool, to link.NodeID) []link.Spooled {
	t.Helper()
	var list []link.Spooled
	for after := uint64(0); ; {
		part, err := s.Read(to, after, 7, 1<<20)
		if err != nil {
			t.Fatalf("read behind %d: %v", after, err)
		}
		if len(part) == 0 {
			return list
		}
		list = append(list, part...)
		after = list[len(list)-1].Place
	}
}

// check holds every tail to its invariants.
func (s *Spool) check(t testing.TB) {
	t.Helper()
	for _, x := range s.tails() {
		x.mu.Lock()
		what := x.checkLocked()
		x.mu.Unlock()
		if what != "" {
			t.Fatalf("node %v: %s", x.to, what)
		}
	}
}

// model is what a spool is to hold. Owned by one test.
type model map[link.NodeID][]link.Spooled

func (m model) remove(to link.NodeID, places []uint64) {
	m[to] = slices.DeleteFunc(m[to], func(o link.Spooled) bool { return slices.Contains(places, o.Place) })
}

// holds demands that a spool holds what the model does.
func (m model) holds(t testing.TB, s *Spool, where string) {
	t.Helper()
	s.check(t)
	for to, want := range m {
		got := all(t, s, to)
		if !slices.EqualFunc(got, want, equal) {
			t.Fatalf("%s: node %v: %d messages, want %d", where, to, len(got), len(want))
		}
		if n := s.Count(to); n != uint64(len(want)) {
			t.Fatalf("%s: node %v: Count is %d, want %d", where, to, n, len(want))
		}
	}
}

func equal(a, b link.Spooled) bool {
	return a.Place == b.Place && a.Kind == b.Kind && bytes.Equal(a.Body, b.Body)
}

// step makes one random change to both.
func step(t *testing.T, r *rand.Rand, s *Spool, m model, n *int) {
	to := link.NodeID(1 + r.IntN(2))
	switch k := r.IntN(10); {
	case k < 6:
		list := make([]link.Spooled, 1+r.IntN([]int{1, 1, 4, 300}[r.IntN(4)]))
		for i := range list {
			*n++
			list[i] = message(*n, r.IntN([]int{20, 300, 2000}[r.IntN(3)]))
		}
		if err := s.Append(to, list); err != nil {
			t.Fatal(err)
		}
		m[to] = append(m[to], list...)
	case k < 9 && len(m[to]) > 0: // mostly the oldest, some of them left
		var places []uint64
		for _, o := range m[to][:1+r.IntN(len(m[to]))] {
			if r.IntN(20) > 0 {
				places = append(places, o.Place)
			}
		}
		if err := s.Remove(to, append(places, 1<<60, 0)); err != nil {
			t.Fatal(err)
		}
		m.remove(to, places)
	default:
		var gone []uint64
		err := s.Scan(to, func(o link.Spooled) bool {
			keep := r.IntN(10) > 0
			if !keep {
				gone = append(gone, o.Place)
			}
			return keep
		})
		if err != nil {
			t.Fatal(err)
		}
		m.remove(to, gone)
	}
}

// TestModel holds a spool to a list in memory, over restarts in order.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r, disk, m, n := rand.New(rand.NewPCG(seed, 5)), faulty.New(seed), model{1: nil, 2: nil}, 0
			s := openOn(t, disk, small)
			for i := range 80 {
				step(t, r, s, m, &n)
				if i%10 == 9 {
					m.holds(t, s, fmt.Sprint("step ", i))
				}
				if i%40 == 39 {
					closeIt(t, s)
					s = openOn(t, disk, small)
					m.holds(t, s, fmt.Sprint("reopened after step ", i))
				}
			}
			closeIt(t, s)
		})
	}
}
