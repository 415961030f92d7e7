// Package cluster makes one node a member of a cluster: it connects the links,
// the detector, the gate, the members, the registrar, the metadata store and the
// broker, none of which knows another.
//
// Purpose: what comes over a link goes to the part whose message it is; what the
// detector finds becomes a verdict, a state of the gate and the news of who is
// reachable; what the broker asks of other nodes goes out on the right stream.
// There is no rule of the protocol here beyond that, except how routes are fed
// to peers and when a peer is ready (R6, R7, R28).
//
// State owned: the peers that are linked with what they have been told, the
// current verdict and members, and those who wait for announcements. The parts
// own the rest.
//
// Concurrency: a Cluster is safe for concurrent use. Run starts the mesh, which
// steps the detector from one goroutine; a teller, which tells the broker and
// the registrar of verdicts and members, one after the other; an announcer,
// which feeds routes; and a caller, which calls back. Locks do not nest, but
// for the broker's lock of the routes, under which the feeds' lock is taken.
//
// Guarantees:
//
//  1. The gate is closed until this node is a member, and knows of every other
//     joined member either that it is away or that its routes are here (R7).
//  2. A peer is up by verdict only after both have pulled each other's metadata,
//     exchanged registries and taken in each other's routes (R28).
//  3. The gate follows a verdict before anybody is told of it.
//  4. What was announced is confirmed only by a peer that has taken it in; a
//     peer whose link or verdict went down gets everything anew (R5, R6).
//  5. No method of broker.Cluster calls back before it has returned.
//
// On failure: a message that cannot be read is refused and counted. Waits end
// with an error after a time; nothing hangs on a peer that is slow.
package cluster
