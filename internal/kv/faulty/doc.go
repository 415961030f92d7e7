// Package faulty is a disk in memory that fails in every way a real one does.
//
// Purpose: the file handling of package kv, and goleveldb on top of it, run
// on a [Disk] unchanged while a test loses power at any byte, fills the disk,
// breaks the nth operation, flips bits, cuts files, restores old images and
// copies a directory.
//
// State owned: the files, what of them is durable, and the faults that are
// armed. Concurrency: safe from any goroutine; goleveldb compacts in the
// background, so a test that counts operations or bytes is deterministic only
// as long as no compaction runs. Chance comes from the seed alone.
//
// Guarantees:
//  1. After [Disk.PowerLoss] a file holds everything that was synced, and of
//     what was not a part that the seed chooses, perhaps with a garbled end.
//  2. Creations, removals and renames that no SyncDir followed survive up to
//     a point that the seed chooses, in order.
//  3. After [Disk.Kill] everything that was written is there.
//  4. After either, everything that was open fails, and the lock is free.
//
// On failure: the errors are those of the operating system (ENOSPC, EIO,
// EROFS), wrapped in fs.PathError, so that classification is tested as well.
package faulty
