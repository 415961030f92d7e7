package kv

// SyncPolicy is when writes reach stable storage; one for the whole database.
type SyncPolicy uint8

const (
	// SyncAlways syncs every write before it returns, also those that did not
	// ask for it: the journal of a database that mixes both can lose an
	// earlier unsynced write and keep a later synced one.
	SyncAlways SyncPolicy = iota
	// SyncNever leaves writing to the operating system: a killed process
	// loses nothing, a power loss takes the tail.
	SyncNever
)

// Options are valid for every database; the zero value takes the defaults.
type Options struct {
	// MemoryBudget bounds the memory that goleveldb takes for caches and
	// buffers, in bytes; zero means DefaultMemoryBudget. The split is that of
	// func split: a sixth for each of three write buffers (one fills, one is
	// being written out, one waits to be used again), at most 32 MiB each, and
	// the rest, half as a rule, for the block cache. Compactions and the tables that
	// are open come on top: with budgets of 16, 64 and 128 MiB the live heap peaked
	// at 66, 91 and 145 MiB in a run of 500,000 random records of 256 bytes with
	// reads between, on a busy machine of two cores.
	MemoryBudget int64
	// Sync is when writes reach stable storage.
	Sync SyncPolicy
	// NoCompression leaves out snappy: for values that are compressed already.
	NoCompression bool
	// ReadOnly opens without changing a byte; writes fail with ErrReadOnly
	// and damage is an error instead of being repaired.
	ReadOnly bool
	// NoRepair makes damage an error that says what is wrong, instead of
	// setting the damaged file aside and going on with what is left.
	NoRepair bool
	// VerifyAll reads every block of every table at opening. Without it the
	// tables are only read when an earlier run met damage.
	VerifyAll bool
	// MustExist refuses to create a database where there is none.
	MustExist bool
}

// DefaultMemoryBudget gives write buffers of 16 MiB and a block cache of 48 MiB.
const DefaultMemoryBudget = 96 << 20

// Report is what opening found and did. Immutable once returned.
type Report struct {
	Created  bool     // there was no database
	Clean    bool     // it was closed in order, and nothing was changed since
	Rebuilt  bool     // the manifest was made anew from the tables
	TornTail bool     // the last journal ends in half a record: an ordinary crash
	Dropped  []string // one sentence for each piece of data that could not be read
	SetAside []string // paths of the damaged files, in their damaged-<time> folder
	Suspect  []string // the reasons as DB.Suspect tells them
}
