// Package link connects the nodes of a cluster: a full mesh with one control
// and one bulk connection for each pair.
//
// Purpose: a [Mesh] finds its way to every peer that it is told of, proves who
// is there, and carries heartbeats, replication frames and numbered streams of
// messages. It knows no message: their bodies are of package wire, their meaning
// is the assembly's, which connects a Mesh with detector, store and router.
//
// State owned: a Mesh owns its listener, its connections, and for each peer the
// windows of its streams in both directions. What is durable (how far streams
// were applied, the spool) belongs to others, behind the interfaces Applied and
// Spool. docs/formats/link.md has the bytes.
//
// Concurrency: a Mesh may be used from any goroutine. For each connection it
// runs a reader and a writer, for each peer and numbered stream one goroutine
// that hands messages on, one for the peer's spool, and two that dial if it is
// the smaller id that dials. The cores (sender, receiver, lane) are stepped under
// the peer's lock. No callback is called under a lock; no two locks nest.
//
// Guarantees:
//
//  1. On a numbered stream every message is handed on once and in order for each
//     pair of incarnations, whatever happens to connections; after a restart of
//     the receiver, from where Applied says (R2).
//  2. A message that was sent with a ticket ends once: stored, no match, in a
//     durable spool, or lost with the stream. A refused one is tried again, and
//     holds nothing up (R10), but for what would be refused as well: while the
//     peer's store takes nothing, order is kept.
//  3. Nothing is kept without a bound: windows by count and bytes, what is
//     received by credit (R12), the spool's queue and datagrams by bytes.
//  4. A heartbeat waits for one batch of at most 128 KiB at most, never for a
//     message: those above 64 KiB go in chunks. Nobody who handles a message can
//     keep a connection from being read.
//  5. What the mesh listens on is loopback, or mutual TLS, or wants a proof of the
//     secret from everybody, or the operator asked for less in so many words.
//  6. Two processes with one node id are never linked at once (R30).
//
// On failure: a frame that makes no sense closes its connection with a reason
// that is counted, and the peer dials again with back-off. A peer that is slow
// is slow; what it is sent waits in the window, then in the spool. Only silence
// makes the detector doubt it, and that is not judged here. The secret proves
// who is at the other end; only TLS protects the bytes between.
package link
