package kv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// currentName is the file that names the manifest in force.
const currentName = "CURRENT"

// logLinesMax bounds what is kept of goleveldb's log: the last lines.
const logLinesMax = 200

// levelStorage is goleveldb's view of a Disk. It differs from goleveldb's own
// file storage where that one can lose what was synced: a new journal or table
// is in the directory durably before it is relied on, and a journal is synced
// when it is closed, so that rotation cannot lose unsynced writes that
// precede synced ones. Guarded by mu.
type levelStorage struct {
	disk     Disk
	pace     *pace // nil where nobody syncs
	removals *removals
	closing  atomic.Bool // no table is read any more

	mu struct {
		sync.Mutex
		lines []string // the tail of goleveldb's log
		drops []string // its lines that speak of dropped journal data
		err   error    // the first error that goleveldb does not look at
		busy  bool
	}
}

func newLevelStorage(d Disk, p *pace) *levelStorage {
	s := &levelStorage{disk: d, pace: p}
	s.removals = newRemovals(s)
	return s
}

// levelLock lets go of the storage's own lock; the disk's is held outside.
type levelLock struct{ s *levelStorage }

func (l levelLock) Unlock() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.mu.busy = false
}

func (s *levelStorage) Lock() (storage.Locker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.busy {
		return nil, storage.ErrLocked
	}
	s.mu.busy = true
	return levelLock{s}, nil
}

// Log keeps what goleveldb says in memory; what matters of it reaches the
// Report. It writes no file: a full disk must not depend on a log.
func (s *levelStorage) Log(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.lines) == logLinesMax {
		s.mu.lines = append(s.mu.lines[:0], s.mu.lines[1:]...)
	}
	s.mu.lines = append(s.mu.lines, line)
	dropped := strings.HasPrefix(line, "journal@drop") || strings.HasPrefix(line, "journal error") ||
		strings.HasPrefix(line, "manifest error")
	if dropped && len(s.mu.drops) < logLinesMax {
		s.mu.drops = append(s.mu.drops, line)
	}
}

// drops is what goleveldb said about data that it left out.
func (s *levelStorage) drops() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.mu.drops...)
}

// err is the first error that was told to goleveldb where it does not listen.
func (s *levelStorage) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.err
}

func (s *levelStorage) remember(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.err == nil {
		s.mu.err = err
	}
}

func (s *levelStorage) SetMeta(fd storage.FileDesc) error {
	return writeFile(s.disk, currentName, []byte(fileName(fd)+"\n"))
}

func (s *levelStorage) GetMeta() (storage.FileDesc, error) {
	b, err := readFile(s.disk, currentName)
	if errors.Is(err, fs.ErrNotExist) {
		return storage.FileDesc{}, os.ErrNotExist
	}
	if err != nil {
		return storage.FileDesc{}, err
	}
	fd, ok := parseCurrent(b)
	if !ok {
		return storage.FileDesc{}, &storage.ErrCorrupted{Err: fmt.Errorf("%s holds %q", currentName, b)}
	}
	return fd, nil
}

func (s *levelStorage) List(ft storage.FileType) ([]storage.FileDesc, error) {
	names, err := s.disk.List()
	if err != nil {
		return nil, err
	}
	var fds []storage.FileDesc
	for _, name := range names {
		if fd, ok := parseName(name); ok && fd.Type&ft != 0 {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

func (s *levelStorage) Open(fd storage.FileDesc) (storage.Reader, error) {
	f, err := s.disk.Open(fileName(fd))
	if err != nil && fd.Type == storage.TypeTable && errors.Is(err, fs.ErrNotExist) {
		// The name that other writers of this format give their tables.
		f, err = s.disk.Open(fmt.Sprintf("%06d.sst", fd.Num))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, os.ErrNotExist // goleveldb compares with os.IsNotExist, which does not unwrap
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &levelReader{SectionReader: io.NewSectionReader(f, 0, size), f: f, s: s, table: fd.Type == storage.TypeTable}, nil
}

// levelReader adds a position to a DiskReader; it belongs to one goroutine,
// but for ReadAt.
type levelReader struct {
	*io.SectionReader
	f     DiskReader
	s     *levelStorage
	table bool
}

func (r *levelReader) ReadAt(p []byte, off int64) (int, error) {
	if r.table && r.s.closing.Load() {
		return 0, storage.ErrClosed
	}
	return r.SectionReader.ReadAt(p, off)
}

func (r *levelReader) Close() error { return r.f.Close() }

func (s *levelStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	s.removals.keep(fd)
	w, err := s.disk.Create(fileName(fd))
	if err != nil {
		return nil, err
	}
	lw := &levelWriter{DiskWriter: w, s: s, journal: fd.Type == storage.TypeJournal, table: fd.Type == storage.TypeTable, unlisted: true}
	if lw.journal {
		s.pace.journalMade()
		// The manifest will name this journal before its first sync.
		if err := lw.list(); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	return lw, nil
}

func (s *levelStorage) Remove(fd storage.FileDesc) error {
	switch fd.Type {
	case storage.TypeJournal:
		s.pace.journalRemoved()
	case storage.TypeTable:
	default:
		return s.removeNow(fd)
	}
	s.removals.add(fd)
	return nil
}

func (s *levelStorage) removeNow(fd storage.FileDesc) error {
	err := s.disk.Remove(fileName(fd))
	if err != nil && fd.Type == storage.TypeTable && errors.Is(err, fs.ErrNotExist) {
		err = s.disk.Remove(fmt.Sprintf("%06d.sst", fd.Num))
	}
	return err
}

func (s *levelStorage) Rename(oldfd, newfd storage.FileDesc) error {
	if err := s.disk.Rename(fileName(oldfd), fileName(newfd)); err != nil {
		return err
	}
	return s.disk.SyncDir()
}

// Close does nothing: the disk outlives the database.
func (s *levelStorage) Close() error { return nil }

// levelWriter is one file that is being written. It belongs to whoever
// goleveldb lets write, one goroutine at a time.
type levelWriter struct {
	DiskWriter
	s        *levelStorage
	journal  bool
	table    bool
	unlisted bool // its directory entry is not durable yet
	dirty    bool

	gathered []byte // of a table, not given to the disk yet

	piece  int        // bytes of a table since the last piece ended, or of a journal that nobody syncs
	seen   uint64     // commits by then
	behind chan error // of a sync that goes on beside the writes, if there is one
}

// gatherBytes is how much of a table is written at once. goleveldb hands out block by
// block, some hundred bytes each where values are compressed.
const gatherBytes = 64 << 10

func (w *levelWriter) Write(p []byte) (int, error) {
	w.dirty = true
	if w.table {
		if w.gathered == nil {
			w.gathered = make([]byte, 0, gatherBytes)
		}
		if w.gathered = append(w.gathered, p...); len(w.gathered) < gatherBytes {
			return len(p), nil
		}
		if err := w.writeGathered(); err != nil {
			return 0, err
		}
		if w.piece < pieceBytes {
			return len(p), nil
		}
		w.piece = 0
		return len(p), w.yield()
	}
	n, err := w.DiskWriter.Write(p)
	if err != nil {
		return n, err
	}
	if w.journal {
		w.piece += n
		w.s.pace.journalWritten(n)
		if w.s.pace == nil && w.piece >= behindBytes {
			err = w.syncBehind()
		}
	}
	return n, err
}

// writeGathered gives the disk what of a table has come together.
func (w *levelWriter) writeGathered() error {
	if len(w.gathered) == 0 {
		return nil
	}
	n, err := w.DiskWriter.Write(w.gathered)
	w.piece += n
	w.gathered = w.gathered[:0]
	return err
}

// behindBytes is how much of a journal that nobody syncs may wait for the disk until
// a sync of it begins: what is left when it is full holds up whoever writes.
const behindBytes = 2 << 20

// syncBehind syncs a journal while it is written, and tells how the last such sync
// ended: the system says it once.
func (w *levelWriter) syncBehind() error {
	if w.behind != nil {
		select {
		case err := <-w.behind:
			w.behind = nil
			if err != nil {
				return err
			}
		default:
			return nil // it goes on still
		}
	}
	w.piece = 0
	behind := make(chan error, 1)
	w.behind = behind
	go func() { behind <- w.DiskWriter.Sync() }()
	return nil
}

// yield ends a piece of a table.
func (w *levelWriter) yield() error {
	if !w.s.pace.yields(&w.seen) {
		return nil
	}
	began := time.Now()
	if err := w.DiskWriter.Sync(); err != nil {
		return err
	}
	w.s.pace.rest(time.Since(began))
	return nil
}

func (w *levelWriter) Sync() error {
	if err := w.writeGathered(); err != nil {
		return err
	}
	if err := w.DiskWriter.Sync(); err != nil {
		return err
	}
	w.dirty = false
	if w.journal {
		w.s.pace.committed()
	}
	return w.list()
}

func (w *levelWriter) list() error {
	if !w.unlisted {
		return nil
	}
	w.unlisted = false
	return w.s.disk.SyncDir()
}

// Close syncs a journal first. goleveldb ignores what Close returns, so an
// error is remembered and stops the next write.
func (w *levelWriter) Close() error {
	var err error
	if w.behind != nil {
		err = <-w.behind
	}
	if w.journal && w.dirty {
		err = errors.Join(err, w.Sync())
	}
	if err != nil {
		w.s.remember(fmt.Errorf("sync a full journal: %w", err))
	}
	// What is gathered is of a table that was not synced: goleveldb gives it up.
	return w.DiskWriter.Close()
}

// fileName is the name of a file in the format of LevelDB.
func fileName(fd storage.FileDesc) string { return fd.String() }

// parseName reads the name of a file of the database; others are not ours.
func parseName(name string) (storage.FileDesc, bool) {
	if digits, ok := strings.CutPrefix(name, "MANIFEST-"); ok {
		return parseNumber(storage.TypeManifest, digits)
	}
	digits, ending, ok := strings.Cut(name, ".")
	if !ok {
		return storage.FileDesc{}, false
	}
	switch ending {
	case "log":
		return parseNumber(storage.TypeJournal, digits)
	case "ldb", "sst":
		return parseNumber(storage.TypeTable, digits)
	case "tmp":
		return parseNumber(storage.TypeTemp, digits)
	}
	return storage.FileDesc{}, false
}

func parseNumber(t storage.FileType, digits string) (storage.FileDesc, bool) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || len(digits) < 6 {
		return storage.FileDesc{}, false
	}
	return storage.FileDesc{Type: t, Num: n}, true
}

// parseCurrent reads what CURRENT holds.
func parseCurrent(b []byte) (storage.FileDesc, bool) {
	name, ok := strings.CutSuffix(string(b), "\n")
	if !ok {
		return storage.FileDesc{}, false
	}
	fd, ok := parseName(name)
	return fd, ok && fd.Type == storage.TypeManifest
}
