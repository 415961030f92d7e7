// Package clock is the seam through which shells read time.
//
// Purpose: cores take the time as an argument; the shells around them read it
// here, so that a test can hold and move it. State owned: none by [System];
// [Manual] owns its time and its pending timers. Concurrency: all safe from
// any goroutine.
//
// Guarantees:
//  1. A timer of [Manual] fires during the call of Advance or Set that reaches
//     its deadline, in order of deadline and then of creation.
//  2. A timer sends at most one value for each Reset; its channel has room for
//     one, so that firing never blocks.
//
// On failure: nothing here fails. A wall clock may jump; what must not go
// back (the hybrid logical clock) is guarded by its user.
package clock
