// Package split cuts a cluster while clients of every node go on, and tells
// second by second what they saw.
//
// Purpose: the scenario tombolo bench netsplit, against any cluster: the commands
// that cut and heal are given. State owned: the probes' connections, for one run.
// Concurrency: Run may be called from anywhere, once at a time for one cluster.
// Guarantees: (1) a probe that waits for an answer holds no other probe up, so
// that one client that hangs is not mistaken for all; (2) a probe counts in the
// second in which it began, with the time that its answer took; (3) a probe
// without an answer within HangAfter is counted as hung. On failure: a command
// that fails ends the run with what it printed; a client that fails is a figure.
package split
