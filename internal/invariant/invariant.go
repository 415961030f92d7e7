// Package invariant is how this codebase says "we are wrong".
//
// Purpose: a condition that only a bug of ours can break is checked with
// [Check]; the peer's mistakes and the world's (disk, network, clock) are
// ordinary errors and never come here. State owned: none. Concurrency: safe
// from any goroutine.
//
// Guarantees:
//  1. A broken check panics with a *[Violation] whose message begins "BUG:".
//  2. [Check] is always on: use it for constant-time conditions. Walks over a
//     whole structure stand behind `if invariant.Enabled { … }`, which is a
//     constant, so that the compiler removes them from a release build; they
//     are built in with -tags invariants.
//
// On failure: a session's loop recovers the violation and ends that session;
// the store and the algebra let it end the process; in tests both are fatal.
package invariant

import "fmt"

// Violation is what a broken invariant panics with. Immutable once built.
type Violation struct {
	message string
}

// Error begins with "BUG:" and holds the numbers of the check.
func (v *Violation) Error() string { return v.message }

// Check panics with a *Violation unless cond holds. The arguments are only
// formatted on failure, but they are evaluated always: keep them cheap.
func Check(cond bool, format string, args ...any) {
	if !cond {
		Fail(format, args...)
	}
}

// Fail panics with a *Violation; for the branch that cannot be reached.
func Fail(format string, args ...any) {
	panic(&Violation{message: "BUG: " + fmt.Sprintf(format, args...)})
}
