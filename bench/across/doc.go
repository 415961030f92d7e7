// Package across holds what a message to another node of a cluster costs against
// one that stays on its node.
//
// Purpose: the rows of tombolo bench across: pairs as fast as their windows allow,
// by the processor time of all nodes, and pairs at 1,000 messages a second, by
// their latency, from when a message was written and from when it was due, which
// has the generator's own lag in it; each on one node and on two. State owned: none between runs.
// Concurrency: Run may be called from anywhere, once at a time for one cluster.
// Guarantees: (1) the two placements of a row are run in turn, in each repetition
// anew, so that what else the machine does meets both; (2) a figure is the median
// of the repetitions, with the least and the most beside it; (3) no row counts
// that lost, repeated or reordered a message: Write says so. On failure: the first
// run that fails ends all.
package across
