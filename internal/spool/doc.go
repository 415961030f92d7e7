// Package spool keeps on disk what could not be sent yet: for each node of the
// cluster the tail of its publish stream (R9, R11).
//
// Purpose: a [Spool] is link.Spool on a database of its own. A publisher is
// acknowledged for what is in it, so that it survives crashes; it takes no more
// than a number of bytes for each node, and what has ended gives its space back.
// What a message is for, package wire and the router know.
//
// State owned: one directory, docs/formats/spool.md, and in memory 50 bytes and a
// bit for each message of a chunk of messages. A chunk holds what came in one
// Append, up to 64 KiB or 256 messages; small ones are merged as others follow,
// so that a chunk of a long tail has 8 KiB or more. An index of what is where
// is made at opening, by reading all of it.
//
// Concurrency: safe for use from any goroutine. Each node's tail has a lock,
// which is held over the commit of a change, so that the changes of one tail are
// in order and those of several share syncs. The spool's own lock is for the list
// of tails; it is never held with another. Callbacks are called without a lock.
// At most one goroutine, which gives space back, runs beside the callers; Close
// waits for it.
//
// Guarantees:
//
//  1. Append takes all of its list or none, in order. What it took is there after
//     a crash of the process, and with Config.Sync = SyncAlways of the machine.
//  2. Places rise and are never zero. Read gives the messages behind a place in
//     order, none twice, none that was removed.
//  3. A message that was removed is gone for good once the spool was closed in
//     order; after a crash some that shared a chunk with others may come back.
//  4. A node's tail never takes more than Config.BytesMax: Append fails with
//     link.ErrSpoolFull and nothing is evicted (R11).
//  5. What was removed takes no more space on disk than what is there, and
//     64 MiB.
//
// On failure: an error of the disk is the caller's, and the database takes no
// more writes until it is opened again. Damaged files are set aside by package kv
// and reported; a chunk that cannot be read is set aside in the database and told
// to Config.Damaged; the rest goes on.
package spool
