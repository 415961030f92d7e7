package dvv

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestClockAgainstOracle holds every question that a clock answers to plain sets.
func TestClockAgainstOracle(t *testing.T) {
	all := smallClocks()
	for seed := range uint64(300) {
		all = append(all, randomClock(rand.New(rand.NewPCG(seed, 2))))
	}
	const limit = 50
	for i, a := range all {
		b := all[(i*7+3)%len(all)]
		sa, sb := setOf(a, limit), setOf(b, limit)
		if err := a.check(); err != nil {
			t.Fatalf("%v: %v", a, err)
		}
		if got := setOf(a.Join(b), limit); !reflect.DeepEqual(got, sa.union(sb)) {
			t.Fatalf("%v join %v: got %v", a, b, got)
		}
		if got, want := a.Descends(b), sa.contains(sb); got != want {
			t.Fatalf("%v descends %v: got %v", a, b, got)
		}
		if got, want := a.Equal(b), reflect.DeepEqual(sa, sb); got != want {
			t.Fatalf("%v equal %v: got %v", a, b, got)
		}
		if got, want := a.HasBases(b.Bases()), a.Bases().Equal(b.Bases()); got != want {
			t.Fatalf("%v has the bases of %v: got %v", a, b, got)
		}
		for _, v := range []VV{a.Bases(), a.Tops(), b.Bases(), b.Tops()} {
			if got, want := a.Is(v), a.Equal(v.Clock()); got != want {
				t.Fatalf("%v is %v: %v, want %v", a, v, got, want)
			}
		}
		if !a.Same(a) || a.Same(b) && !a.Equal(b) {
			t.Fatalf("%v and %v are the same, or one is not itself", a, b)
		}
		limit := all[(i*5+1)%len(all)].Tops()
		if got, want := a.DescendsUpTo(limit, b), a.Descends(b.Clip(limit)); got != want {
			t.Fatalf("%v descends %v up to %v: got %v", a, b, limit, got)
		}
		checkMissing(t, a, b, sa, sb)
		checkAt(t, a, b)
		checkEntry(t, a, sa)
		checkClip(t, a, b.Bases(), sa)
	}
}

func checkMissing(t *testing.T, a, b Clock, sa, sb dotSet) {
	t.Helper()
	got := dotSet{}
	for _, s := range a.Missing(b) {
		if s.First > s.Last {
			t.Fatalf("%v missing %v: empty span %v", a, b, s)
		}
		for n := s.First; n <= s.Last; n++ {
			if got[Dot{s.Actor, n}] {
				t.Fatalf("%v missing %v: %d twice", a, b, n)
			}
			got[Dot{s.Actor, n}] = true
		}
	}
	want := dotSet{}
	for d := range sa {
		if !sb[d] {
			want[d] = true
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%v missing %v: got %v, want %v", a, b, got, want)
	}
}

// checkAt holds the looks at one actor to one another.
func checkAt(t *testing.T, a, b Clock) {
	t.Helper()
	if got := len(a.Actors()); got != a.Len() {
		t.Fatalf("%v has %d actors, and %d", a, got, a.Len())
	}
	for i, actor := range a.Actors() {
		at, base, top, gaps := a.At(i)
		if at != actor || base != a.Base(at) || top != a.Top(at) || gaps != len(a.Gaps(at)) {
			t.Fatalf("%v at %d: %v %d %d, %d gaps", a, i, at, base, top, gaps)
		}
		same := base == b.Base(at) && top == b.Top(at) && reflect.DeepEqual(a.Gaps(at), b.Gaps(at))
		if got := a.SameOf(b, at); got != same {
			t.Fatalf("%v and %v have the same of %v: %v", a, b, at, got)
		}
	}
}

func checkEntry(t *testing.T, c Clock, s dotSet) {
	t.Helper()
	for a := Actor(1); a <= 6; a++ {
		base, top := uint64(0), uint64(0)
		for n := uint64(1); n <= 50; n++ {
			if s[Dot{a, n}] {
				top = n
				if base == n-1 {
					base = n
				}
			}
		}
		if c.Base(a) != base || c.Top(a) != top || c.Contiguous(a) != (base == top) {
			t.Fatalf("%v: base %d, top %d; want %d, %d", c, c.Base(a), c.Top(a), base, top)
		}
		for _, g := range c.Gaps(a) {
			for n := g.First; n <= g.Last; n++ {
				if s[Dot{a, n}] {
					t.Fatalf("%v: gap %v holds a seen dot", c, g)
				}
			}
		}
		if sealed := c.Seal(a); sealed.Base(a) != top || !sealed.Descends(c) {
			t.Fatalf("%v sealed: %v", c, sealed)
		}
	}
}

func checkClip(t *testing.T, c Clock, limit VV, s dotSet) {
	t.Helper()
	want := dotSet{}
	for d := range s {
		if limit.Covers(d) {
			want[d] = true
		}
	}
	clipped := c.Clip(limit)
	if got := setOf(clipped, 50); !reflect.DeepEqual(got, want) || clipped.check() != nil {
		t.Fatalf("%v clipped at %v: got %v, want %v", c, limit, clipped, want)
	}
}

// TestSyncAgainstOracle holds Sync to plain sets, and to I11: it invents nothing
// and drops nothing that both have.
func TestSyncAgainstOracle(t *testing.T) {
	all := smallObjects()
	for seed := range uint64(200) {
		all = append(all, randomObject(rand.New(rand.NewPCG(seed, 3))))
	}
	for _, a := range all {
		for _, b := range all {
			got := Sync(a, b)
			if want := naiveOf(a).sync(naiveOf(b)); !reflect.DeepEqual(naiveOf(got), want) {
				t.Fatalf("sync of %v and %v: got %v, want %v", a, b, got, want)
			}
			for _, s := range got.Siblings() {
				if !a.Live(s.Dot) && !b.Live(s.Dot) {
					t.Fatalf("sync of %v and %v invented %v", a, b, s.Dot)
				}
				if !got.Context().Covers(s.Dot) {
					t.Fatalf("sync of %v and %v: %v is not covered (I9)", a, b, s.Dot)
				}
			}
			for _, s := range a.Siblings() {
				if b.Live(s.Dot) && !got.Live(s.Dot) {
					t.Fatalf("sync of %v and %v dropped %v", a, b, s.Dot)
				}
			}
		}
	}
}

// TestStable: a dot is stable when every row covers it, whatever their order, and with no
// rows nothing is.
func TestStable(t *testing.T) {
	if v := Stable(); v.Len() > 0 {
		t.Errorf("without rows %v is stable", v)
	}
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 5))
		rows := make([]VV, 1+rng.IntN(4))
		for i := range rows {
			rows[i] = randomClock(rng).Bases()
		}
		got := Stable(rows...)
		for d := range setOf(Stable(rows[0]).Clock(), 50) {
			want := true
			for _, row := range rows {
				want = want && row.Covers(d)
			}
			if got.Covers(d) != want {
				t.Fatalf("%v in %v: stable is %v", d, rows, got)
			}
		}
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		if again := Stable(rows...); !again.Equal(got) || !rows[0].Descends(got) {
			t.Fatalf("%v: stable is %v, and in another order %v", rows, got, again)
		}
	}
}

// TestStripFill is I8.
func TestStripFill(t *testing.T) {
	for _, o := range smallObjects() {
		for _, c := range smallClocks() {
			bases := c.Bases()
			stripped := o.Strip(bases)
			if !stripped.Strip(bases).Equal(stripped) {
				t.Fatalf("strip of %v at %v is not idempotent", o, c)
			}
			if back := stripped.Fill(bases); !back.Equal(o.Fill(bases)) {
				t.Fatalf("%v stripped and filled at %v: got %v", o, c, back)
			}
			if filled := o.Fill(bases); !filled.Strip(bases).Fill(bases).Equal(filled) {
				t.Fatalf("%v filled at %v does not come back", o, c)
			}
		}
	}
}

// TestPutDelete is I13: a put observed by a delete goes, a concurrent one stays.
func TestPutDelete(t *testing.T) {
	one := Object{}.Put(VV{}, Dot{1, 1}, []byte("x"))
	two := one.Put(VV{}, Dot{2, 1}, []byte("y"))
	if got := fmt.Sprint(two); got != "(0000:1 0000:1 | [0000:1 0000:1])" || len(two.Siblings()) != 2 {
		t.Fatalf("a put that saw nothing: %v", got)
	}
	deleted := one.Delete(one.Context(), Dot{1, 2})
	if len(deleted.Siblings()) != 0 || deleted.Context().Get(1) != 2 {
		t.Fatalf("a delete that saw all: %v", deleted)
	}
	if got := Sync(deleted, two); len(got.Siblings()) != 1 || !got.Live(Dot{2, 1}) {
		t.Fatalf("a delete beside a put: %v", got)
	}
	if over := two.Put(two.Context(), Dot{2, 2}, []byte("z")); len(over.Siblings()) != 1 {
		t.Fatalf("a put that saw both: %v", over)
	}
	gone := two.Drop(func(s Sibling) bool { return s.Dot.Actor == 1 })
	if got := Sync(gone, two); got.Live(Dot{1, 1}) || !got.Live(Dot{2, 1}) {
		t.Fatalf("a dropped value came back: %v", got)
	}
}

// TestSameDotTwoValues shows that all replicas choose alike (R30).
func TestSameDotTwoValues(t *testing.T) {
	d := Dot{1, 1}
	a, b := Object{}.Put(VV{}, d, []byte("x")), Object{}.Put(VV{}, d, []byte("y"))
	if got := Conflicts(a, b); len(got) != 1 || got[0] != d {
		t.Fatalf("conflicts: got %v", got)
	}
	if !Sync(a, b).Equal(b) || !Sync(b, a).Equal(b) || len(Conflicts(a, a)) != 0 {
		t.Fatal("the greater value was not chosen on both sides")
	}
}

// TestHostileNumbers holds decoding to refuse what would overflow.
func TestHostileNumbers(t *testing.T) {
	actor := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}
	for name, b := range map[string][]byte{
		"count":        huge,
		"base":         append(append([]byte{1}, actor...), append(huge, 0)...),
		"runs":         append(append([]byte{1}, actor...), append([]byte{1}, huge...)...),
		"run":          append(append([]byte{1}, actor...), append([]byte{1, 1}, append(huge, 0)...)...),
		"length":       append(append([]byte{1}, actor...), append([]byte{1, 1, 0}, huge...)...),
		"empty":        append(append([]byte{1}, actor...), 0, 0),
		"long varint":  append(append([]byte{1}, actor...), 0x81, 0x00, 0),
		"actors twice": append(append(append(append([]byte{2}, actor...), 1, 0), actor...), 2, 0),
	} {
		if c, _, err := DecodeClock(b); err == nil {
			t.Errorf("%s: decoded as %v", name, c)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 4))
	for range 8 {
		f.Add(randomClock(r).Append(nil))
		f.Add(randomObject(r).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, rest, err := DecodeClock(b); err == nil {
			if err := c.check(); err != nil {
				t.Fatal(err)
			}
			if got := c.Append(nil); string(got) != string(b[:len(b)-len(rest)]) {
				t.Fatalf("clock %v: bytes %x from %x", c, got, b)
			}
		}
		if o, rest, err := DecodeObject(b); err == nil {
			if got := o.Append(nil); string(got) != string(b[:len(b)-len(rest)]) {
				t.Fatalf("object %v: bytes %x from %x", o, got, b)
			}
		}
		if v, rest, err := DecodeVV(b); err == nil {
			if got := v.Append(nil); string(got) != string(b[:len(b)-len(rest)]) {
				t.Fatalf("vector %v: bytes %x from %x", v, got, b)
			}
		}
	})
}
