// Package doctor looks at the machine with the eyes of a broker that is about
// to run on it, and says for each thing that is not right what to do about it.
//
// Each check is in two halves: a probe asks the system, a judgement turns what
// the probe saw into a Finding. Judgements are functions of plain values and
// are where the tests are.
//
// State owned: none. One file is written to the data directory to measure it
// and removed again.
//
// Concurrency: Run works in the caller's goroutine and starts none.
//
// Guarantees:
//
//  1. Every finding that is not well has a remedy.
//  2. Nothing on the machine is changed.
//  3. Run ends within its context, or some seconds.
//
// On failure: what cannot be looked at is a finding of its own, never an
// error and never taken for well.
package doctor
