// Package tidy holds the house rules as tests: which package imports which,
// what a core must not call, how long a file and a function may be, that each
// package says what it is for, and which dependencies there are and why.
//
// A rule that is broken fails with the place, the rule and the way out. Old
// exceptions are named in ratchet_test.go, where they can only shrink; new
// code has none.
//
// State owned: none. Concurrency: none. The package has no code outside its
// tests.
package tidy
