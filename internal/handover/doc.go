// Package handover takes what a node that is no member of its cluster any more
// still holds out of its data directory, for the members to take in (R23).
//
// Purpose: a node that was removed by name, because it was dead, may have had
// messages that were acknowledged to their publishers. A [Holding] reads the queues
// of its stopped node, gives them to a function part by part, and deletes what that
// function has passed on. Whom to give it to, and how, the function knows. What the
// node had in its spool for members that it could not reach is put into the queues
// of the sessions that it is for, first of all (R11).
//
// State owned: the message store and the spool in the data directory while they are
// open; nothing else in there is changed.
//
// Concurrency: a Holding is used from one goroutine. Its store has goroutines of its
// own until Close.
//
// Guarantees:
//
//  1. A message is deleted here only when the function has returned nil for the part
//     that it is in, durably before the next part is read.
//  2. Each part carries the places that its messages had in their queue (R20), so
//     that a home which gets a part twice, since this process or that one died
//     between, knows it again.
//  3. A message leaves the spool when it is in the queues, on the disk; one that was
//     left behind by a process that died between is not put there twice.
//  4. Packet ids of QoS 2 are not given: the client has used them since.
//
// On failure: the first error ends a queue; what was passed on by then stays passed
// on, and running it again goes on with the rest.
package handover
