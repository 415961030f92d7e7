// Package compare runs the same scenarios in turn on several brokers.
//
// Purpose: figures that can be held beside each other: one machine, one
// sitting, the same load, interleaved and repeated.
// State owned: the brokers it starts, one at a time.
// Concurrency: Run does all in its caller's goroutine.
// Guarantees: (1) every run has a broker that was started for it alone; (2)
// within a repetition each scenario runs on all brokers before the next one,
// and each repetition begins with another broker, so that what the machine does
// beside falls on all; (3) a broker that cannot do a scenario leaves a reason in
// the place of its figures.
// Failure: only what makes the whole comparison worthless is an error: a
// scenario that is wrong, a context that ended. After the latter what was
// finished is returned beside it.
package compare
