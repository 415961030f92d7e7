// Package sim runs N replicas in one goroutine, over a network, disks and clocks
// that fail as one seed decides.
//
// Purpose: the promises of the replicated store hold in every schedule, or a
// seed is found in which one does not. First comes chaos: links are cut, messages
// lost, doubled, reordered and late, clocks jump, processes die at every commit
// boundary, disks are restored from old images and copied, members join, leave
// and return; all the while the safety checkers look. Then everything is healed,
// and convergence is demanded. Each invariant of reference/replication.md §1.6
// is a checker of its own, I1 to I35, and so are R18, R30 and R32 of CLUSTER.md.
//
// State owned: a [World], which belongs to one goroutine. Nothing reads a clock
// or starts a goroutine: the same seed and [Profile] give the same run, event by
// event.
//
// Guarantees:
//  1. A [Result] with a violation names the checker, the seed and the profile,
//     and the one command that runs it again.
//  2. The oracle knows the exact causal past of every write, kept outside the
//     algorithm: by the values that the writer had before it.
//  3. Every checker is shown to work: by a bug planted in the naive replica of
//     package twin, or by a wrapper around the algebra, the disk or the network.
//
// On failure: the first violation ends a run.
package sim
