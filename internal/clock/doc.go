// Package clock is the seam through which shells read time.
//
// Purpose: cores take the time as an argument; the shells around them read it
// here, so that a test can hold and move it. State owned: none by [System];
// [Manual] owns its time and its pending timers, [Steady] how far it has followed
// the wall clock, [Stepped] by how much it sets it wrong. Concurrency: all safe
// from any goroutine.
//
// Guarantees:
//  1. A timer of [Manual] fires during the call of Advance or Set that reaches
//     its deadline, in order of deadline and then of creation.
//  2. A timer sends at most one value for each Reset; its channel has room for
//     one, so that firing never blocks.
//  3. [Steady] goes on at the pace of the monotonic clock, within 2 %, whatever is
//     done to the wall clock.
//
// On failure: nothing here fails. A wall clock may jump: what has to know of it (the
// hybrid logical clock, R34) reads it, everything that lasts a time reads a Steady.
package clock
