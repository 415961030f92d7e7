package kv

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
)

const (
	// pieceBytes is what of a table is synced at once while others commit. A commit
	// that comes meanwhile waits for the piece; for a table of 8 MiB it is tens of
	// milliseconds.
	pieceBytes = 128 << 10
	// restShare is how many times as long as a piece's sync took the disk is left to
	// those who commit, restMax how long at most.
	restShare = 2
	restMax   = 20 * time.Millisecond
	// restTables is up to how many tables at level 0 there is time to rest. Writes
	// are throttled at twice as many (Options.engine).
	restTables = 8
)

// pace lets commits go first: tables are written in small pieces with rests between
// them as long as journals are synced meanwhile. It is only for databases that sync;
// the methods of nil do nothing. Safe for use from any goroutine.
type pace struct {
	commits  atomic.Uint64 // syncs of journals
	journals atomic.Int64  // that are there; with a second one memory waits to become a table
	filled   atomic.Int64  // bytes in the newest journal
	hurry    int64         // from so many on the next journal is near
	engine   atomic.Pointer[leveldb.DB]
}

func newPace(writeBuffer int) *pace { return &pace{hurry: int64(writeBuffer) / 2} }

// opened is called once: journals of an earlier run are gone by then.
func (p *pace) opened(db *leveldb.DB) {
	p.journals.Store(1)
	p.engine.Store(db)
}

func (p *pace) journalMade() {
	if p != nil {
		p.journals.Add(1)
		p.filled.Store(0)
	}
}

func (p *pace) journalRemoved() {
	if p != nil {
		p.journals.Add(-1)
	}
}

func (p *pace) journalWritten(n int) {
	if p != nil {
		p.filled.Add(int64(n))
	}
}

func (p *pace) committed() {
	if p != nil {
		p.commits.Add(1)
	}
}

// yields reports whether somebody has committed since seen, and whether nobody
// who writes has to wait for tables to be written soon: those who do are served by
// an early end, not by rests.
func (p *pace) yields(seen *uint64) bool {
	if p == nil {
		return false
	}
	before := *seen
	*seen = p.commits.Load()
	if *seen == before || p.journals.Load() > 1 && p.filled.Load() >= p.hurry {
		return false
	}
	db := p.engine.Load()
	if db == nil {
		return false // it is being opened
	}
	tables, err := db.GetProperty("leveldb.num-files-at-level0")
	if err != nil {
		return false // it is being closed
	}
	n, err := strconv.Atoi(tables)
	return err == nil && n < restTables
}

// rest leaves the disk to others after a sync that took so long.
func (p *pace) rest(took time.Duration) { time.Sleep(min(restShare*took, restMax)) }
