//go:build invariants

package invariant

// Enabled is true with -tags invariants: checks that walk a whole structure
// run after every change.
const Enabled = true
