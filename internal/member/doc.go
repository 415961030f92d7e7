// Package member holds the durable set of members of a cluster, and finds their
// nodes.
//
// Purpose. The member set is one versioned record that every node keeps. A join,
// a removal, a mark (absent, stopped, leaving), a new name or address makes the
// next version, which takes effect when a majority of the members of the version
// before has confirmed it (R24). [Set] is a node's end of it; memberlist below it
// finds nodes and tells them of each other. What is a split is judged elsewhere:
// gossip has no part in it. docs/formats/members.md has the bytes and the steps.
//
// State owned. One file with the record in effect and this node's vote on the
// next version; key "cluster" of the table members, which holds a copy of the
// record; the gossip port.
//
// Concurrency. The core (core.go, ballot.go, seek.go, wants.go and what they are
// made of) is stepped by the goroutine of Run. A second goroutine looks for nodes
// that are not there, beside memberlist's own. A Set is safe from any goroutine;
// no two locks nest, and no callback is called under one.
//
// Guarantees.
//
//  1. Without force no two records of one version are ever in effect, whatever is
//     lost, repeated or reordered, and whoever dies when (R24): a version is
//     decided by ballots, as in Paxos, and a vote is on disk before it is told.
//  2. Absent and stopped members stay in the denominator; only the primary side
//     marks a member absent. A node by itself is a majority.
//  3. After quiet every node that is linked to a member has the same record.
//  4. A stop mark is held by every linked member when SetState returns, and goes
//     when its node has exchanged metadata with all that are not away (R27).
//  5. The end of a process is never a leave. A node is the same member for the
//     life of its data directory, under whatever name and address it comes back.
//  6. A node that belongs to a cluster, has data of its own, or was removed, joins
//     no other; it is told what to do.
//  7. Of nodes that seek each other no two found clusters of their own, if three
//     nodes are meant or cluster.expected_members says how many are.
//  8. Gossip is heard within one cluster name and secret; it listens on no
//     routable address without a secret unless the operator says so.
//
// On failure. An error of the file is tried again every second: nothing that was not stored
// is told. Frames that make no sense are logged and dropped; lost ones are sent
// again. A change that cannot reach a majority waits until its caller gives up,
// and says whom it misses.
package member
