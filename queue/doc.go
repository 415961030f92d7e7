// Package queue is a session's queue and the message store behind it.
//
// Purpose: a message that was acknowledged to its publisher reaches the queue's
// client, in order, whatever crashes in between. Two halves: [Queue], a pure
// core, one for each session; and [Store], which keeps messages, queues and QoS 2
// state in a key-value database (package kv). Neither knows MQTT packets: the
// body of a message is opaque.
//
// State owned: a Queue owns what waits and what is in flight of one session. The
// Store owns its database, the ids of queues and messages, and the sequence in
// each queue. docs/formats/queue.md has the bytes.
//
// Concurrency: a Queue is owned by whoever holds its session's lock, and gives
// out what is to be stored as a list of [Op]. A Store is safe from any
// goroutine. Its Run is one committer, one completion goroutine, which calls
// every Done and every answer to Do, a few readers, and the sweeper. None of its
// callbacks is called under a lock of the Store. Lock order: Store.mu before the
// mutex of a reader's list of jobs.
//
// Guarantees of the store:
//  1. When a Done got nil, the event is durable as Config.Durability says: it
//     is there after any crash until each of its queues acknowledged it.
//  2. Dones are called in commit order, which is the order of Append, from one
//     goroutine; the next commit runs meanwhile.
//  3. Sequences in a queue rise in the order of Append. No message id is ever
//     given twice, and no sequence or queue id that anybody was told of by a
//     Done, also not after a crash. (Under OS a loss of power takes back the
//     tail of everything, sequences included; message ids begin a new
//     incarnation then.)
//  4. An acknowledged message does not come back without a crash. After one it
//     may: acknowledgements are written within AckDelay or AckCount.
//  5. A binding, a release and an inbound packet id are durable when they are
//     answered: QoS 2 state is exact after a crash (see [Queue.Bind]).
//  6. Opening the store costs the same whatever it holds; opening a queue costs
//     the same whatever it holds.
//  7. What waits to be committed is bounded by MaxBytesPending; Append blocks at
//     the bound.
//  8. Space comes back: records go with the acknowledgement's batch, shared bodies
//     a segment at a time.
//  9. The end of a peer's frame is in the batch of its effect; a frame that comes
//     again has none (R2).
//  10. A message that moves keeps its generation and sequence (R20). Import is a
//     union of what is stored and of what is acknowledged, so that batches may
//     come again and in any order; Exported deletes only what was in the batch
//     (R22).
//
// Generations: a queue that moved has several, older ones before newer ones, each
// with a cursor of its own. The newest takes what is published, older ones what
// the old home sends. While [Queue.SetMoving] is on, they come out as far as the
// old home has sent all it has, so that a queue that returns before all of it
// was gone stays in order.
//
// Crash argument for QoS 2. Outbound: the binding is durable before the PUBLISH
// goes out, so after a crash the same id is used again and the client knows it;
// the release (the message is the client's, the id stays) is durable before the
// PUBREL goes out, so a client that forgot the id on PUBREL never sees it in a
// PUBLISH again. Inbound: (session, packet id) is durable with the event before
// the PUBREC, so a PUBLISH that is sent again is known; it is forgotten durably
// before the PUBCOMP, after which the publisher may use the id for another
// message. A message that goes to other nodes has begun when this is durable, and
// leaves after that (R4): sent again after a crash it has the same id, by which
// queues and nodes that have it know it.
//
// On failure: a write error (disk full, disk error) fails every Done from there
// on and makes the store read-only with a sticky error; nothing more is
// acknowledged. Reads go on. Damage that a read meets is reported through
// Config.Fault, the message is counted as lost, other messages are served.
package queue
