//go:build !invariants

package invariant

// Enabled is false in ordinary builds: checks that walk a whole structure are
// compiled away.
const Enabled = false
