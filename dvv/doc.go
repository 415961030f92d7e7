// Package dvv is the algebra of the replicated store: dotted version vectors
// for each key, and one server-wide clock for each store.
//
// # Purpose
//
// Several stores hold the same keys, each takes writes without asking the
// others, and messages between them are lost, doubled and late. The algebra
// says for any two states of a key what both together know, so that all stores
// end with the same values, no write that nobody has seen is overwritten, and
// nothing that was deleted comes back. No wall clock has a say.
//
// # The idea
//
// Every write gets a name that is used once, its dot: (actor, counter), where
// an actor is one incarnation of one store and the counter counts its writes to
// all keys, without gaps. Deletes have dots as well.
//
// A key is an [Object]: its live values, each with the dot that wrote it, and a
// context, a version vector ([VV]) that says for which dots the object is the
// whole truth. A dot that the context covers and that is not live was
// overwritten or deleted. So two replicas of a key merge by [Sync]: keep what both
// have; keep what one has and the other's context does not cover, since the
// other never heard of it; drop the rest, since the other saw it and saw it go.
//
// A context for each key is a lot of numbers, and almost all of them are the
// same. What a store has seen as a whole is its server-wide [Clock]: for each
// actor a base, up to which nothing is missing, and the dots that came early. If
// the base of actor a is n, then for every key everything of a up to n has been
// taken account of: that is what the store must guarantee when it raises a
// base. Then the part of a key's context that the bases cover need not be
// stored: [Object.Strip] takes it away and [Object.Fill] brings it back. In a
// store whose clock has no gaps every context strips to nothing: a live key
// costs one dot for each value, and a deleted key costs nothing at all.
//
// Two rules keep this true. Fill with the clock of the store that the object
// came from, taken in the same instant as the object or later than its strip:
// never with another's. And adopt another store's clock only after all that it
// has and you lack was merged.
//
// # Worked example
//
// Stores A and B, one key. A writes "red": dot a1. B receives it, then both
// write without hearing from each other:
//
//	                      at A                      at B
//	A puts red            red(a1)     {a:1}
//	B hears of it         red(a1)     {a:1}         red(a1)     {a:1}
//	A puts blue           blue(a2)    {a:2}         red(a1)     {a:1}
//	B puts green          blue(a2)    {a:2}         green(b1)   {a:1 b:1}
//
// The contexts are stripped: at A the object is blue(a2) alone, since a:2 stands
// in A's clock. B sends its object filled with its clock: (green(b1) | a:1 b:1).
// A fills its own, (blue(a2) | a:2), and merges:
//
//	blue(a2)    B's context has a:1, not a:2: B never heard of it  → stays
//	green(b1)   A's context has nothing of b                       → stays
//
// Both stay, beside each other: two writes that did not know of each other.
// The context is a:2 b:1, which A's clock, with b1 added, covers, and it strips
// to nothing. When A now deletes the key with the dot a3, having read both, its
// object is empty with context a:3 b:1, and strips to no object at all. A sends
// (– | a:3 b:1) to B, where blue and green are covered and not live: they go, and
// B too stores nothing. Had B written b2 meanwhile, b2 would not be covered, and
// would stay: an add wins over a delete that did not see it. See the examples of
// this package for the same in code.
//
// What remains of a delete is the memory that a3 deleted this key, for stores
// that have not heard of it; it can be forgotten once a3 is stable, that is, covered
// by the clocks of all replicas ([Stable]). That memory lies outside of this
// package, in the store's index.
//
// # State, concurrency, guarantees
//
// State owned: none. All values are immutable, and functions return new ones;
// everything is safe from any goroutine. Guaranteed, each by a law in the tests:
//
//  1. Join of vectors and clocks, Meet of clocks, and Sync of filled objects, are commutative,
//     associative and idempotent.
//  2. What a clock or vector has seen, it has seen in every later one that was
//     made from it by Add, With, Join or Seal.
//  3. Sync invents no value and drops none that both sides hold.
//  4. Fill after Strip with the same bases restores an object that was filled
//     with them; Strip twice is Strip once.
//  5. Equal values have equal bytes, and decoding accepts no other bytes.
//
// # On failure
//
// Only decoding can fail, with [ErrMalformed]; it allocates no more than its
// input is long, times a small constant.
package dvv
