package kv

import "errors"

// The classes of errors. An error of this package wraps exactly one of them,
// or is an error of the operating system that none of them describes.
var (
	ErrNotFound  = errors.New("key not found")
	ErrClosed    = errors.New("database closed")
	ErrLocked    = errors.New("database locked")
	ErrFull      = errors.New("disk full")
	ErrReadOnly  = errors.New("database read-only")
	ErrCorrupted = errors.New("database corrupted")
)

// DB is an ordered map from keys to values that survives restarts. Safe for
// use from any goroutine.
type DB interface {
	// Get returns a value that belongs to the caller, or ErrNotFound.
	Get(key []byte) (value []byte, err error)
	// Write applies b as one. Whether it is synced is the policy of the
	// database (Options.Sync): a database never mixes synced and unsynced
	// writes, since a later synced one could outlive an earlier unsynced one.
	// sync says what the caller relies on; asking for it where the policy is
	// SyncNever is not an error.
	Write(b *Batch, sync bool) error
	// Snapshot is the database at this instant. It holds back compaction:
	// release it within about 30 s.
	Snapshot() (Snapshot, error)
	// Iterator walks r on a snapshot of its own.
	Iterator(r Range) Iterator
	// CompactRange frees the space of what was deleted in r.
	CompactRange(r Range) error
	// Size is roughly the number of bytes that r takes on disk.
	Size(r Range) (int64, error)
	Stats() Stats
	// Suspect lists the reasons why this database may have lost synced data or
	// may show deleted keys again; empty means that nothing is known. The list
	// survives restarts until ClearSuspect.
	Suspect() []string
	// ClearSuspect forgets the reasons; the store above has dealt with them.
	ClearSuspect() error
	// Close waits for reads and writes, and breaks off a compaction. Iterators and
	// snapshots must be closed first.
	Close() error
}

// Snapshot is the database at one instant. Safe for use from any goroutine.
type Snapshot interface {
	Get(key []byte) (value []byte, err error)
	Iterator(r Range) Iterator
	// Release lets go of the instant; calling it twice is fine.
	Release()
}

// Iterator is a cursor over a range of keys. It belongs to one goroutine. A
// fresh one stands before the first key: Next goes to the first, Prev to the
// last. Past either end it is exhausted; First, Last and Seek revive it.
type Iterator interface {
	First() bool
	Last() bool
	// Seek goes to the first key at or after key, within the range.
	Seek(key []byte) bool
	Next() bool
	Prev() bool
	// Key and Value are valid until the cursor moves; do not change them.
	// They are nil where the cursor stands on no key.
	Key() []byte
	Value() []byte
	// Err is what ended the walk early, nil at an ordinary end.
	Err() error
	Close()
}

// Range is the keys k with Start ≤ k < Limit; nil leaves that end open.
type Range struct {
	Start, Limit []byte
	// Once is for a walk through much that is not looked at again soon: it leaves the
	// block cache to those that read here and there.
	Once bool
}

// PrefixRange is the range of all keys that begin with prefix.
func PrefixRange(prefix []byte) Range {
	r := Range{Start: append([]byte(nil), prefix...)}
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			r.Limit = append([]byte(nil), prefix[:i+1]...)
			r.Limit[i]++
			break
		}
	}
	return r
}

// Stats is what a database says about itself.
type Stats struct {
	Engine string // "memory" or "goleveldb"

	MemoryBytes    int64 // block cache, table buffers and write buffers in use
	TableCount     int
	TableBytes     int64
	LevelTables    []int // tables per level
	Level0Tables   int   // at the slowdown trigger writes are throttled
	OpenTables     int
	AliveSnapshots int
	AliveIterators int

	BytesRead, BytesWritten uint64
	WriteDelays             int64  // writes that were throttled by compaction
	WritePaused             bool   // writes stand until compaction catches up
	Upgraded                uint64 // writes that asked for no sync and got one by policy
	Failed                  string // why the database refuses writes; "" while it does not
}
