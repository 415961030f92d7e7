// Package metadata is the replicated store of what every node must know:
// sessions, subscriptions, retained messages, members, settings. Every member
// holds all of it, takes writes without asking the others, and converges with
// them after any split.
//
// # Purpose
//
// Typed access to tables ([Store.PutSession], [Store.MatchRetained], …) over one
// ordered database, watches of what changed, and replication. The protocol is a
// core that is stepped, package replica; the algebra below it is package dvv.
// This package is the shell around them: one committer, the disk, the links.
//
// # State owned
//
// All keys of the database that it is given, and nothing beside it. Memory: the
// writes that wait (bounded by Config.QueueBytes), what is on its way to the disk,
// up to 4096 keys for each watch, up to 65,536 callers that wait for other members,
// 1024 frames that came in and 1024 that are to go out, and 50 bytes for each of the keys that were
// written last (replica.Config.SummariesMax). The index lies on disk.
//
// # Concurrency
//
// A Store is safe from any goroutine; a Cursor belongs to one. Run has the core to
// itself; a second goroutine is busy with the disk, a third answers writers, two
// more sweep and audit at their own pace. The write queue's lock is taken before
// the overlay's, so that readers see writes in the order of their tickets; no
// other locks nest.
//
// # Guarantees
//
//  1. done is called with nil only once the write is durable, in commit order,
//     from one goroutine, never from inside the call that wrote.
//  2. A reader of this store sees its writes at once, before they are durable.
//  3. Reads wait neither for commits nor for other nodes.
//  4. The changes of one Write are there after a crash all together or not at all.
//  5. Nothing leaves for another node before it is durable here.
//  6. A session is never written under a lower epoch than it has; its floor and
//     its end never go back (R17, R18).
//  7. Retained messages that have expired, and subscriptions below their session's
//     floor, are filtered at every read (R18, R31).
//  8. A watch tells every key that changed after it was made, or says that it fell
//     behind.
//  9. MatchRetained costs what matches, not what is stored.
//  10. Replicated is answered with nil only once every member whose link stood when
//     it was called, and stands, holds what was acknowledged before; who owes a
//     full join, or is no member, is not waited for (R6, R8, R29).
//  11. An Exchange is told once each side has pulled a clock that the other took
//     after it began, and that is durable here (R28).
//  12. A peer that is slow, or that sends without end, costs a bounded number of
//     frames: what comes above it is dropped, and counted.
//
// # On failure
//
// An error of the disk ends Run with it: what was not durable is answered with
// the error, and nothing is acknowledged any more; reads go on. A database that
// lost data is rebuilt from what is left under a new actor and refilled from the
// other members before writes are taken. Peers and their frames are never
// trusted: what cannot be read is counted and dropped.
package metadata
