// Package twin is a small, slow replica that follows reference/replication.md
// step by step, and can be told to make any of the mistakes listed there.
//
// Purpose: the simulator's checkers must be shown to work. A twin with one
// planted [Bug] must be caught by a named checker; a twin without must pass
// all of them. It is also the second opinion beside the replica of package
// metadata: both run under the same seeds.
//
// State owned: one replica's objects, index, clock and digest, in memory and,
// batch by batch, in a kv.DB. Concurrency: a Replica belongs to the simulator's
// one goroutine. It reads no clock, draws no random number but from Config.Rand
// and sends nothing: effects leave in Output.
//
// Guarantees: those of reference §1.6, unless a Bug is planted.
//
// On failure: an error of the database ends the replica: every further step
// returns it.
package twin
