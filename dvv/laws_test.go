package dvv

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// lattice is what the laws need to know of a type.
type lattice[T any] struct {
	join   func(a, b T) T
	equal  func(a, b T) bool
	append func(v T, dst []byte) []byte
	decode func(b []byte) (T, []byte, error)
	below  func(a, b T) bool // a ⊑ b; nil where there is no order to ask for
}

var (
	vvs = lattice[VV]{
		join: VV.Join, equal: VV.Equal, append: VV.Append, decode: DecodeVV,
		below: func(a, b VV) bool { return b.Descends(a) },
	}
	clocks = lattice[Clock]{
		join: Clock.Join, equal: Clock.Equal, append: Clock.Append, decode: DecodeClock,
		below: func(a, b Clock) bool { return b.Descends(a) },
	}
	meets = lattice[Clock]{ // the same order, upside down
		join: Clock.Meet, equal: Clock.Equal, append: Clock.Append, decode: DecodeClock,
		below: Clock.Descends,
	}
	objects = lattice[Object]{
		join: Sync, equal: Object.Equal, append: Object.Append, decode: DecodeObject,
		below: func(a, b Object) bool { return b.Context().Descends(a.Context()) },
	}
)

func (l lattice[T]) pair(a, b T) error {
	ab := l.join(a, b)
	switch {
	case !l.equal(ab, l.join(b, a)):
		return fmt.Errorf("not commutative: %v and %v", a, b)
	case !l.equal(l.join(ab, a), ab) || !l.equal(l.join(ab, b), ab):
		return fmt.Errorf("not absorbing: %v and %v", a, b)
	case !l.below(a, ab) || !l.below(b, ab):
		return fmt.Errorf("not monotone: %v and %v", a, b)
	case l.below(a, b) && l.below(b, a) && !l.below(ab, a):
		return fmt.Errorf("not antisymmetric: %v and %v", a, b)
	}
	return nil
}

func (l lattice[T]) single(a T) error {
	if !l.equal(l.join(a, a), a) {
		return fmt.Errorf("not idempotent: %v", a)
	}
	bytes := l.append(a, nil)
	b, rest, err := l.decode(append(bytes, 1, 2))
	if err != nil || len(rest) != 2 || !l.equal(a, b) {
		return fmt.Errorf("round trip of %v: got %v, %d bytes left, %v", a, b, len(rest), err)
	}
	for i := range bytes {
		if _, _, err := l.decode(bytes[:i]); err == nil {
			return fmt.Errorf("%v: decoded from %d of %d bytes", a, i, len(bytes))
		}
	}
	return nil
}

func (l lattice[T]) triple(a, b, c T) error {
	if !l.equal(l.join(l.join(a, b), c), l.join(a, l.join(b, c))) {
		return fmt.Errorf("not associative: %v, %v and %v", a, b, c)
	}
	return nil
}

// exhaust holds every value, pair and triple of all to the laws, and their
// bytes to be one for each.
func (l lattice[T]) exhaust(t *testing.T, all []T) {
	t.Helper()
	bytes := map[string]int{}
	for i, a := range all {
		if err := l.single(a); err != nil {
			t.Fatal(err)
		}
		if j, twice := bytes[string(l.append(a, nil))]; twice {
			t.Fatalf("%v and %v have the same bytes", all[j], a)
		}
		bytes[string(l.append(a, nil))] = i
		for _, b := range all {
			if err := l.pair(a, b); err != nil {
				t.Fatal(err)
			}
			for _, c := range all {
				if err := l.triple(a, b, c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// smallClocks is all clocks over two actors and three counters.
func smallClocks() []Clock {
	var all []Clock
	for bits := range 64 {
		var c Clock
		for i := range 6 {
			if bits>>i&1 == 1 {
				c = c.Add(Dot{Actor(1 + i/3), uint64(1 + i%3)})
			}
		}
		all = append(all, c)
	}
	return all
}

func smallVVs(counterMax uint64) []VV {
	var all []VV
	for x := range counterMax + 1 {
		for y := range counterMax + 1 {
			all = append(all, NewVV(Dot{1, x}, Dot{2, y}))
		}
	}
	return all
}

// smallObjects is all objects over two actors and two counters whose context
// covers their dots: filled ones.
func smallObjects() []Object {
	var all []Object
	for _, context := range smallVVs(2) {
		var covered []Dot
		for _, d := range context.Entries() {
			for n := uint64(1); n <= d.Counter; n++ {
				covered = append(covered, Dot{d.Actor, n})
			}
		}
		for bits := range 1 << len(covered) {
			var live []Sibling
			for i, d := range covered {
				if bits>>i&1 == 1 {
					live = append(live, Sibling{d, []byte(d.String())})
				}
			}
			all = append(all, NewObject(context, live...))
		}
	}
	return all
}

func TestLawsExhaustive(t *testing.T) {
	t.Run("vv", func(t *testing.T) { vvs.exhaust(t, smallVVs(4)) })
	t.Run("clock", func(t *testing.T) { clocks.exhaust(t, smallClocks()) })
	t.Run("meet", func(t *testing.T) { meets.exhaust(t, smallClocks()) })
	t.Run("object", func(t *testing.T) { objects.exhaust(t, smallObjects()) })
}

func randomClock(r *rand.Rand) Clock {
	var c Clock
	for range r.IntN(12) {
		first := 1 + r.Uint64N(40)
		c = c.AddSpan(Span{Actor(1 + r.Uint64N(5)), first, first + r.Uint64N(6)})
	}
	return c
}

func randomObject(r *rand.Rand) Object {
	var live []Sibling
	for range r.IntN(5) {
		d := Dot{Actor(1 + r.Uint64N(4)), 1 + r.Uint64N(12)}
		live = append(live, Sibling{d, []byte(d.String())})
	}
	context := randomClock(r).Bases()
	for _, s := range live {
		context = context.With(s.Dot)
	}
	return NewObject(context, live...)
}

func TestLawsRandom(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		check := func(errs ...error) {
			for _, err := range errs {
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		a, b, c := randomClock(r), randomClock(r), randomClock(r)
		check(clocks.single(a), clocks.pair(a, b), clocks.triple(a, b, c), a.Join(b).check())
		check(meets.single(a), meets.pair(a, b), meets.triple(a, b, c), a.Meet(b).check(), distribute(a, b, c))
		x, y, z := randomObject(r), randomObject(r), randomObject(r)
		check(objects.single(x), objects.pair(x, y), objects.triple(x, y, z))
		u, v, w := a.Tops(), b.Bases(), c.Tops()
		check(vvs.single(u), vvs.pair(u, v), vvs.triple(u, v, w))
	}
}

// distribute holds Meet and Join to each other, and both to what a clock has.
func distribute(a, b, c Clock) error {
	if x, y := a.Meet(b.Join(c)), a.Meet(b).Join(a.Meet(c)); !x.Equal(y) {
		return fmt.Errorf("meet does not distribute: %v, %v and %v give %v and %v", a, b, c, x, y)
	}
	for actor := range Actor(7) {
		for n := range uint64(50) {
			d := Dot{actor, n}
			if a.Meet(b).Has(d) != (a.Has(d) && b.Has(d)) {
				return fmt.Errorf("the meet of %v and %v is %v, about %v", a, b, a.Meet(b), d)
			}
		}
	}
	if v := a.Tops(); !v.Clock().Tops().Equal(v) || !v.Clock().Bases().Equal(v) {
		return fmt.Errorf("the clock of %v is %v", v, v.Clock())
	}
	return nil
}
