// Package netsplit decides whether the cluster is whole, and what clients may
// do while it is not.
//
// Purpose. A Detector gathers evidence from heartbeats on both connections of
// every pair of nodes and pronounces a Verdict; a Policy turns the verdict
// into a Snapshot; a Gate publishes the snapshot, which every CONNECT, PUBLISH,
// SUBSCRIBE and UNSUBSCRIBE asks.
//
// State owned. The Detector owns what it has heard, and when. The Gate owns
// one immutable Snapshot behind an atomic pointer.
//
// Concurrency. The Detector is a pure core: it is stepped by one goroutine
// with time as an argument, and returns effects. Gate is safe for concurrent
// use; readers take no lock.
//
// Guarantees.
//
//  1. A link is up only while both directions of both its connections are
//     proven: the peer echoes what it has heard of us.
//  2. A link that carries nothing is down after DownAfter, on both its ends,
//     whatever the shape of the cut; never for silence that our own lateness
//     explains. A member that has just joined is no exception, but that it may be
//     silent for JoinWithin, and may take its time to fill its tables.
//  3. A link is up again after HealAfter without a gap and one completed
//     exchange, not before.
//  4. With the policy Majority a gate is open in at most one group of nodes
//     that reach each other, at any time and for any shape of cut (R25).
//     A node that is in the majority before a change and after it stays there
//     meanwhile, though nodes learn of it one after the other: among several
//     groups that hold a majority the primary is one of those who are seated and
//     do not doubt each other. In return a node counts for its majority only
//     members that it has heard within SuspectAfter while any is missing; and for
//     seatedWithin the primary may be smaller than the largest group.
//  5. One Snapshot answers all questions about one packet, so that admission
//     is decided once (R9); a Snapshot never changes.
//
// On failure. There is nothing here that can fail; a peer's heartbeat that
// makes no sense is ignored and counted.
package netsplit
