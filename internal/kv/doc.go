// Package kv is the seam between the stores above and an ordered key-value
// database on disk.
//
// Purpose: one small interface, [DB], with three makers that pass one contract
// suite (package kvtest): memory ([NewMemory]), goleveldb on a directory
// ([OpenLevel]) and goleveldb on any [Disk] ([OpenLevelOn]), which tests use
// with a disk that loses, tears, flips and refuses. No type of goleveldb
// appears in an exported signature, so that another engine can take its place.
//
// State owned: the files of one directory, the marker SUSPECT beside them and
// the folders damaged-<time>, into which what is damaged is set aside. Nothing
// damaged is ever deleted.
//
// Concurrency: a DB and a Snapshot are safe from any goroutine. A Batch and an
// Iterator belong to one goroutine at a time. Writers do not queue fairly; the
// stores above have one committer each. Under SyncAlways compactions rest while
// others write; under SyncNever a journal is synced beside its writes, so that its
// end holds nobody up. Files that are not needed any more are removed by a goroutine
// that lives as long as there are some; Close waits for both.
//
// Guarantees:
//  1. A batch is atomic: after a crash at any byte all of it is there or none.
//  2. Under SyncAlways, when Write returned nil the batch survives power loss,
//     and so does every batch before it: what is left is a prefix of the writes.
//  3. Under SyncNever the rest of a crash is a prefix of the writes as well,
//     as long as the operating system lived; power loss may take any suffix.
//  4. A snapshot and an iterator see the database of one instant.
//  5. What recovery dropped, set aside or rebuilt is in the Report of the
//     opening. Whenever synced data may have been lost or deleted keys may have
//     come back the database is *suspect*: a sticky fact on disk that lasts
//     until the store above has dealt with it (a replica treats it as amnesia)
//     and calls ClearSuspect.
//
// On failure: errors are classified by the sentinels below. ErrLocked,
// ErrFull, ErrReadOnly and ErrCorrupted name the file or directory and say what
// to do. An error of the disk on a write makes the database refuse all further
// writes (a half-written journal must not be continued); reads go on. The cure
// is to open it again, which repairs what can be repaired.
package kv
