package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/cache"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// OpenLevel opens the goleveldb database in dir and creates it where there is
// none, unless the options say otherwise.
func OpenLevel(dir string, o Options) (DB, *Report, error) {
	return OpenLevelOn(OSDisk(dir), o)
}

// OpenLevelOn opens a goleveldb database on d.
func OpenLevelOn(d Disk, o Options) (DB, *Report, error) {
	unlock, err := d.Lock(o.ReadOnly)
	if err != nil {
		return nil, nil, classify(d, "lock", err)
	}
	db, report, err := openLocked(d, o)
	if err != nil {
		return nil, report, classify(d, "open", errors.Join(err, unlock()))
	}
	db.unlock = unlock
	return db, report, nil
}

func openLocked(d Disk, o Options) (*levelDB, *Report, error) {
	verify, err := readLines(d, verifyName)
	if err != nil {
		return nil, nil, err
	}
	suspect, err := readLines(d, suspectName)
	if err != nil {
		return nil, nil, err
	}
	x, err := examine(d, o.VerifyAll || len(verify) > 0)
	if err != nil {
		return nil, nil, err
	}
	report := &Report{Created: x.fresh, Clean: x.clean, Rebuilt: x.rebuild, TornTail: x.tornTail, Dropped: x.damaged()}
	if x.fresh && (o.MustExist || o.ReadOnly) {
		return nil, report, fmt.Errorf("%s holds no database: %w", d.Name(), fs.ErrNotExist)
	}
	if len(x.faults) > 0 && (o.ReadOnly || o.NoRepair) {
		return nil, report, fmt.Errorf("%w: %s: %s: start the node, which sets the damaged files aside and is refilled from its peers, or restore the directory from a backup",
			ErrCorrupted, d.Name(), strings.Join(report.Dropped, "; "))
	}
	if o.ReadOnly {
		return openReadOnly(d, o, x, report, suspect)
	}
	suspect = addReasons(suspect, report.Dropped)
	if err := prepare(x, report, suspect); err != nil {
		return nil, report, err
	}
	db, err := openEngine(d, o, x.rebuild)
	if err != nil {
		return nil, report, err
	}
	// The second net: what goleveldb left out although the examination saw
	// nothing wrong.
	if drops := db.st.drops(); len(drops) > 0 && len(x.faults) == 0 && !x.tornTail {
		report.Dropped = append(report.Dropped, drops...)
		suspect = addReasons(suspect, drops)
		err = writeLines(d, suspectName, suspect)
	}
	if err == nil && len(verify) > 0 {
		err = removeIfThere(d, verifyName)
	}
	if err != nil {
		err = errors.Join(err, db.db.Close())
		db.st.removals.close()
		return nil, report, err
	}
	report.Suspect = suspect
	db.mu.suspect = append([]string(nil), suspect...)
	return db, report, nil
}

// prepare writes down what is suspect before anything else changes, and
// repairs.
func prepare(x *examination, report *Report, suspect []string) error {
	if len(x.faults) > 0 {
		if err := writeLines(x.disk, suspectName, suspect); err != nil {
			return err
		}
	}
	if err := removeIfThere(x.disk, cleanName); err != nil {
		return err
	}
	return newRepairer(x, report).run()
}

func openReadOnly(d Disk, o Options, x *examination, report *Report, suspect []string) (*levelDB, *Report, error) {
	if x.trim >= 0 {
		data, err := readFile(d, x.manifest)
		if err != nil {
			return nil, report, err
		}
		d = patchedDisk{Disk: d, name: x.manifest, data: data[:x.trim]}
	}
	db, err := openEngine(d, o, false)
	if err != nil {
		return nil, report, err
	}
	report.Suspect = suspect
	db.mu.suspect = suspect
	return db, report, nil
}

// openEngine hands the directory to goleveldb. A rebuild reads every table and
// ignores the manifest, so that tables which were deleted, but whose files were
// still there, come back: the database is suspect after it.
func openEngine(d Disk, o Options, rebuild bool) (*levelDB, error) {
	var p *pace
	if o.Sync == SyncAlways && !o.ReadOnly {
		writeBuffer, _ := split(o.MemoryBudget)
		p = newPace(writeBuffer)
	}
	st := newLevelStorage(d, p)
	open := leveldb.Open
	if rebuild {
		open = leveldb.Recover
	}
	settings := o.engine()
	blocks := cache.NewLRU(settings.BlockCacheCapacity)
	settings.BlockCacher = opt.PassthroughCacher(blocks)
	engine, err := open(st, settings)
	if err != nil {
		st.removals.close()
		return nil, err
	}
	if p != nil {
		p.opened(engine)
	}
	return newLevelDB(d, st, engine, blocks, o), nil
}

// split divides a memory budget: goleveldb holds three write buffers at times,
// the block cache takes the rest.
func split(budget int64) (writeBuffer, blockCache int) {
	if budget <= 0 {
		budget = DefaultMemoryBudget
	}
	wb := min(max(budget/(2*writeBuffers), writeBufferMin), writeBufferMax)
	return int(wb), int(max(budget-writeBuffers*wb, blockCacheMin))
}

const (
	writeBuffers   = 3 // one fills, one is written to a table, one is kept for use again
	writeBufferMin = 256 << 10
	writeBufferMax = 32 << 20
	blockCacheMin  = 128 << 10
)

// engine is the options in goleveldb's words.
func (o Options) engine() *opt.Options {
	writeBuffer, blockCache := split(o.MemoryBudget)
	e := &opt.Options{
		WriteBuffer:            writeBuffer,
		BlockCacheCapacity:     blockCache,
		CompactionTableSize:    8 << 20,
		CompactionTotalSize:    64 << 20,
		CompactionL0Trigger:    4,
		WriteL0SlowdownTrigger: 16,
		WriteL0PauseTrigger:    32,
		OpenFilesCacheCapacity: 500,
		Filter:                 filter.NewBloomFilter(10),
		Strict:                 opt.DefaultStrict,
		ReadOnly:               o.ReadOnly,
		// A batch that is larger than the write buffer stays in the journal:
		// as a transaction it would stop all others, and leave a gap in the
		// sequence of the journals.
		DisableLargeBatchTransaction: true,
		// Compaction because of reads surprises writers.
		DisableSeeksCompaction: true,
	}
	if o.NoCompression {
		e.Compression = opt.NoCompression
	}
	return e
}
