package dvv_test

import (
	"fmt"

	"tombolo/dvv"
)

const (
	a = dvv.Actor(0xa000_0000_0000_0000)
	b = dvv.Actor(0xb000_0000_0000_0000)
)

// Two stores write one key without hearing from each other; after the exchange
// both values stand, and a delete that has read both leaves nothing behind.
func Example() {
	// A puts red, B hears of it.
	clockA := dvv.Clock{}.Add(dvv.Dot{Actor: a, Counter: 1})
	clockB := clockA
	red := dvv.Object{}.Put(dvv.VV{}, dvv.Dot{Actor: a, Counter: 1}, []byte("red"))
	atA, atB := red.Strip(clockA.Bases()), red.Strip(clockB.Bases())

	// A puts blue, having read red; B puts green, having read red as well.
	full := atA.Fill(clockA.Bases())
	clockA = clockA.Add(dvv.Dot{Actor: a, Counter: 2})
	atA = full.Put(full.Context(), dvv.Dot{Actor: a, Counter: 2}, []byte("blue")).Strip(clockA.Bases())

	full = atB.Fill(clockB.Bases())
	clockB = clockB.Add(dvv.Dot{Actor: b, Counter: 1})
	atB = full.Put(full.Context(), dvv.Dot{Actor: b, Counter: 1}, []byte("green")).Strip(clockB.Bases())
	fmt.Println("at A", atA, "at B", atB)

	// A receives B's object.
	merged := dvv.Sync(atA.Fill(clockA.Bases()), atB.Fill(clockB.Bases()))
	clockA = clockA.Add(dvv.Dot{Actor: b, Counter: 1})
	atA = merged.Strip(clockA.Bases())
	fmt.Println("merged", merged, "stored", atA)

	// A deletes what it has read.
	full = atA.Fill(clockA.Bases())
	clockA = clockA.Add(dvv.Dot{Actor: a, Counter: 3})
	gone := full.Delete(full.Context(), dvv.Dot{Actor: a, Counter: 3})
	fmt.Println("deleted", gone, "stored", gone.Strip(clockA.Bases()))

	// B receives the delete.
	fmt.Println("at B", dvv.Sync(gone, atB.Fill(clockB.Bases())))
	// Output:
	// at A (a000:2 | []) at B (b000:1 | [])
	// merged (a000:2 b000:1 | [a000:2 b000:1]) stored (a000:2 b000:1 | [])
	// deleted (| [a000:3 b000:1]) stored (| [])
	// at B (| [a000:3 b000:1])
}

// A dot that comes early leaves a gap: the base stays, and contexts that need
// it are kept until the gap closes.
func ExampleClock() {
	c := dvv.Clock{}.Add(dvv.Dot{Actor: a, Counter: 1}, dvv.Dot{Actor: a, Counter: 3})
	o := dvv.Object{}.Put(dvv.VV{}, dvv.Dot{Actor: a, Counter: 3}, []byte("x"))
	fmt.Println(c, c.Gaps(a), o.Strip(c.Bases()))
	c = c.Add(dvv.Dot{Actor: a, Counter: 2})
	fmt.Println(c, c.Gaps(a), o.Strip(c.Bases()))
	// Output:
	// {a000:1+3} [{2 2}] (a000:3 | [a000:3])
	// {a000:3} [] (a000:3 | [])
}

// What one store has and the other lacks, and what all are known to have.
func ExampleClock_Missing() {
	x := dvv.Clock{}.AddSpan(dvv.Span{Actor: a, First: 1, Last: 9}).Add(dvv.Dot{Actor: b, Counter: 4})
	y := dvv.Clock{}.AddSpan(dvv.Span{Actor: a, First: 1, Last: 5}).Add(dvv.Dot{Actor: a, Counter: 7})
	fmt.Println(x.Missing(y))
	fmt.Println(dvv.Stable(x.Bases(), y.Bases()))
	// Output:
	// [{a000000000000000 6 6} {a000000000000000 8 9} {b000000000000000 4 4}]
	// [a000:5]
}
