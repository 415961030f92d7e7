package kv

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/cache"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// levelDB is a goleveldb database with our classes of errors and our stance
// after one: no further write. Safe for use from any goroutine; what changes is
// guarded by mu, or atomic.
type levelDB struct {
	disk        Disk
	st          *levelStorage
	db          *leveldb.DB
	blocks      cache.Cacher // what of the tables is in memory
	writeSynced *opt.WriteOptions
	policy      SyncPolicy
	readOnly    bool
	buffers     int64 // bytes reserved for write buffers
	unlock      func() error
	batches     sync.Pool // of *leveldb.Batch

	upgraded atomic.Uint64
	failed   atomic.Pointer[error] // the first error of a write

	mu struct {
		sync.Mutex
		suspect []string
		closed  bool
	}
}

func newLevelDB(d Disk, st *levelStorage, engine *leveldb.DB, blocks cache.Cacher, o Options) *levelDB {
	writeBuffer, _ := split(o.MemoryBudget)
	return &levelDB{
		disk: d, st: st, db: engine, blocks: blocks,
		writeSynced: &opt.WriteOptions{Sync: o.Sync == SyncAlways},
		policy:      o.Sync, readOnly: o.ReadOnly, buffers: writeBuffers * int64(writeBuffer),
		batches: sync.Pool{New: func() any { return new(leveldb.Batch) }},
	}
}

func (l *levelDB) Get(key []byte) ([]byte, error) {
	v, err := l.db.Get(key, nil)
	return v, l.readError(err)
}

func (l *levelDB) Write(b *Batch, sync bool) error {
	if l.readOnly {
		return fmt.Errorf("%w: %s was opened for reading only", ErrReadOnly, l.disk.Name())
	}
	if err := l.failed.Load(); err != nil {
		return fmt.Errorf("%s takes no writes since an earlier error: %w", l.disk.Name(), *err)
	}
	if l.policy == SyncAlways && !sync {
		l.upgraded.Add(1)
	}
	if b.Len() == 0 {
		return nil
	}
	lb := l.batches.Get().(*leveldb.Batch)
	defer l.batches.Put(lb)
	err := lb.Load(b.data)
	if err == nil {
		err = l.db.Write(lb, l.writeSynced)
	}
	if err == nil {
		err = l.st.err()
	}
	if err == nil {
		return nil
	}
	if err = classify(l.disk, "write", err); errors.Is(err, ErrClosed) {
		return err
	}
	// The journal may end in half a record now, or hold one that was not
	// synced though a later one would be. Only opening it again mends that.
	l.failed.CompareAndSwap(nil, &err)
	if errors.Is(err, ErrCorrupted) {
		l.sawDamage(err)
	}
	return err
}

func (l *levelDB) Snapshot() (Snapshot, error) {
	s, err := l.db.GetSnapshot()
	if err != nil {
		return nil, classify(l.disk, "snapshot", err)
	}
	return &levelSnapshot{l: l, s: s}, nil
}

func (l *levelDB) Iterator(r Range) Iterator {
	return &levelIterator{l: l, it: l.db.NewIterator(&util.Range{Start: r.Start, Limit: r.Limit}, readOnce(r))}
}

func readOnce(r Range) *opt.ReadOptions { return &opt.ReadOptions{DontFillCache: r.Once} }

func (l *levelDB) CompactRange(r Range) error {
	return classify(l.disk, "compact", l.db.CompactRange(util.Range{Start: r.Start, Limit: r.Limit}))
}

func (l *levelDB) Size(r Range) (int64, error) {
	if r.Limit == nil {
		it := l.Iterator(r)
		if it.Last() {
			r.Limit = append(append([]byte(nil), it.Key()...), 0)
		}
		it.Close()
		if err := it.Err(); err != nil {
			return 0, err
		}
	}
	sizes, err := l.db.SizeOf([]util.Range{{Start: r.Start, Limit: r.Limit}})
	if err != nil {
		return 0, classify(l.disk, "size", err)
	}
	return sizes.Sum(), nil
}

func (l *levelDB) Stats() Stats {
	s := Stats{Engine: "goleveldb", Upgraded: l.upgraded.Load()}
	if err := l.failed.Load(); err != nil {
		s.Failed = (*err).Error()
	}
	var e leveldb.DBStats
	if l.db.Stats(&e) != nil {
		return s // closed: nothing is in use
	}
	s.MemoryBytes = l.buffers + int64(e.BlockCacheSize)
	for i, n := range e.LevelTablesCounts {
		s.TableCount += n
		s.TableBytes += e.LevelSizes[i]
	}
	s.LevelTables = e.LevelTablesCounts
	if len(s.LevelTables) > 0 {
		s.Level0Tables = s.LevelTables[0]
	}
	s.OpenTables = e.OpenedTablesCount
	s.AliveSnapshots, s.AliveIterators = int(e.AliveSnapshots), int(e.AliveIterators)
	s.BytesRead, s.BytesWritten = e.IORead, e.IOWrite
	s.WriteDelays, s.WritePaused = int64(e.WriteDelayCount), e.WritePaused
	return s
}

func (l *levelDB) Suspect() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.mu.suspect...)
}

func (l *levelDB) ClearSuspect() error {
	if l.readOnly {
		return fmt.Errorf("%w: %s was opened for reading only", ErrReadOnly, l.disk.Name())
	}
	if err := removeIfThere(l.disk, suspectName); err != nil {
		return classify(l.disk, "remove "+suspectName, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.suspect = nil
	return nil
}

// readError classifies the error of a read and remembers damage.
func (l *levelDB) readError(err error) error {
	if err == nil {
		return nil
	}
	err = classify(l.disk, "read", err)
	if errors.Is(err, ErrCorrupted) {
		l.sawDamage(err)
	}
	return err
}

// sawDamage makes the database suspect and has the next opening read every
// block. That the markers cannot be written is no second error: the first one
// is on its way to the caller, and damage will be met again.
func (l *levelDB) sawDamage(err error) {
	l.mu.Lock()
	before := len(l.mu.suspect)
	l.mu.suspect = addReasons(l.mu.suspect, []string{err.Error()})
	reasons := append([]string(nil), l.mu.suspect...)
	l.mu.Unlock()
	if len(reasons) == before || l.readOnly {
		return
	}
	_ = errors.Join(writeLines(l.disk, verifyName, reasons[before:]), writeLines(l.disk, suspectName, reasons))
}

// levelSnapshot is safe for use from any goroutine, as goleveldb's is.
type levelSnapshot struct {
	l *levelDB
	s *leveldb.Snapshot
}

func (s *levelSnapshot) Get(key []byte) ([]byte, error) {
	v, err := s.s.Get(key, nil)
	return v, s.l.readError(err)
}

func (s *levelSnapshot) Iterator(r Range) Iterator {
	return &levelIterator{l: s.l, it: s.s.NewIterator(&util.Range{Start: r.Start, Limit: r.Limit}, readOnce(r))}
}

func (s *levelSnapshot) Release() { s.s.Release() }

// levelIterator is owned by the goroutine that made it.
type levelIterator struct {
	l     *levelDB
	it    iterator.Iterator
	moved bool
	on    bool
	err   error
}

func (i *levelIterator) move(on bool) bool {
	i.moved, i.on = true, on
	if !on && i.err == nil {
		i.err = i.l.readError(i.it.Error())
	}
	return on
}

func (i *levelIterator) First() bool          { return i.move(i.it.First()) }
func (i *levelIterator) Last() bool           { return i.move(i.it.Last()) }
func (i *levelIterator) Seek(key []byte) bool { return i.move(i.it.Seek(key)) }
func (i *levelIterator) Next() bool           { return i.move(i.it.Next()) }

func (i *levelIterator) Prev() bool {
	if !i.moved { // goleveldb's fresh cursor stands before the first key for Prev as well
		return i.Last()
	}
	return i.move(i.it.Prev())
}

func (i *levelIterator) Key() []byte {
	if !i.on {
		return nil
	}
	return i.it.Key()
}

func (i *levelIterator) Value() []byte {
	if !i.on {
		return nil
	}
	return i.it.Value()
}

func (i *levelIterator) Err() error { return i.err }

func (i *levelIterator) Close() {
	i.on = false
	i.it.Release()
}
