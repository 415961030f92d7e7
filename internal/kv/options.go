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
	// func split: a quarter for the write buffer that fills, a quarter for the one
	// that is being written out, half for the block cache.
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

// DefaultMemoryBudget gives the settings that were measured: a write buffer of
// 16 MiB and a block cache of 32 MiB.
const DefaultMemoryBudget = 64 << 20

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
