package kv

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// slowDisk takes a time for each sync and removal, and notes what it did.
// Guarded by mu.
type slowDisk struct {
	Disk
	mu      sync.Mutex
	syncs   []int // bytes of a file since its last sync
	removed []string
	broken  error // of every sync
}

const slow = 4 * time.Millisecond

type slowFile struct {
	d *slowDisk
	n int
}

func (d *slowDisk) Create(string) (DiskWriter, error) { return &slowFile{d: d}, nil }
func (d *slowDisk) SyncDir() error                    { return nil }

func (d *slowDisk) Remove(name string) error {
	<-time.After(slow)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.removed = append(d.removed, name)
	return errors.New("goes to the log")
}

func (f *slowFile) Write(p []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n += len(p)
	return len(p), nil
}

func (f *slowFile) Close() error { return nil }

func (f *slowFile) Sync() error {
	<-time.After(slow)
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.syncs = append(f.d.syncs, f.n)
	f.n = 0
	return f.d.broken
}

// paceOf is the pace of a database without tables, as if it had such a write buffer.
func paceOf(t *testing.T, writeBuffer int) *pace {
	t.Helper()
	db, _, err := OpenLevel(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	p := newPace(writeBuffer)
	p.opened(db.(*levelDB).db)
	return p
}

func number(n int64, kind storage.FileType) storage.FileDesc {
	return storage.FileDesc{Type: kind, Num: n}
}

// writeTable writes a table block by block, with a commit between any two if
// asked for, and returns how long that took and what was synced.
func writeTable(t *testing.T, d *slowDisk, s *levelStorage, blocks int, commit bool) (time.Duration, []int) {
	t.Helper()
	w, err := s.Create(number(9, storage.TypeTable))
	if err != nil {
		t.Fatal(err)
	}
	d.syncs = nil
	began := time.Now()
	for range blocks {
		if commit {
			s.pace.committed()
		}
		if _, err := w.Write(make([]byte, pieceBytes/4)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Sync(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return time.Since(began), d.syncs
}

// TestPieces: while others commit a table is synced piece by piece, with rests, and
// else as a whole: if nobody commits, if the memory that waits to become a table is
// waited for, and in a database that does not sync.
func TestPieces(t *testing.T) {
	p := paceOf(t, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{}
		s := newLevelStorage(d, p)
		pieces := []int{pieceBytes, pieceBytes, pieceBytes, pieceBytes, 0}
		whole := []int{4 * pieceBytes}
		check := func(what string, s *levelStorage, commit bool, want []int, took time.Duration) {
			t.Helper()
			if d, syncs := writeTable(t, d, s, 16, commit); !slices.Equal(syncs, want) || d != took {
				t.Errorf("%s: synced %v in %v, want %v in %v", what, syncs, d, want, took)
			}
		}
		check("nobody commits", s, false, whole, slow)
		check("others commit", s, true, pieces, 5*slow+4*restShare*slow)

		if _, err := s.Create(number(10, storage.TypeJournal)); err != nil {
			t.Fatal(err)
		}
		check("a second journal, empty", s, true, pieces, 5*slow+4*restShare*slow)
		s.pace.journalWritten(1 << 19)
		check("a second journal, half full", s, true, whole, slow)
		if err := s.Remove(number(8, storage.TypeJournal)); err != nil {
			t.Error(err)
		}
		s.removals.close()
		check("the first one gone", s, true, pieces, 5*slow+4*restShare*slow)
		check("no syncs", newLevelStorage(d, nil), false, whole, slow)
	})
}

// TestRemovals: tables are removed behind whoever asks for it, with rests while
// others commit, one that is made again not at all, and all before the end.
func TestRemovals(t *testing.T) {
	p := paceOf(t, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{}
		s := newLevelStorage(d, p)
		began := time.Now()
		var names []string
		for n := range int64(5) {
			fd := number(n+1, storage.TypeTable)
			names = append(names, fileName(fd))
			if err := s.Remove(fd); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // the first one is being removed
		p.committed()
		if _, err := s.Create(number(1, storage.TypeTable)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != slow {
			t.Errorf("made again after %v, want %v: what is being removed, and no more", took, slow)
		}
		if _, err := s.Create(number(3, storage.TypeTable)); err != nil {
			t.Fatal(err)
		}
		names = slices.Delete(names, 2, 3)
		s.removals.close()
		if took, want := time.Since(began), slow+restShare*slow+3*slow; took != want {
			t.Errorf("%v in all, want %v: one rest after one commit", took, want)
		}
		if !slices.Equal(d.removed, names) {
			t.Errorf("removed %v, want %v", d.removed, names)
		}
		if want := fmt.Sprintf("remove %s: goes to the log", names[0]); len(s.mu.lines) != 4 || s.mu.lines[0] != want {
			t.Errorf("log %q, want %q first", s.mu.lines, want)
		}
	})
}

// TestJournalBehind: a journal that nobody syncs is synced beside its writes, so that
// little is left when it is full; an error of that stops the database (guarantee 3).
func TestJournalBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{}
		s := newLevelStorage(d, nil)
		write := func(n int) *levelWriter {
			t.Helper()
			w, err := s.Create(number(1, storage.TypeJournal))
			if err != nil {
				t.Fatal(err)
			}
			for range n {
				if _, err := w.Write(make([]byte, behindBytes/4)); err != nil {
					t.Fatal(err)
				}
			}
			return w.(*levelWriter)
		}
		began := time.Now()
		w := write(7) // one goes on still when the next one could begin
		if took := time.Since(began); took != 0 {
			t.Errorf("writes took %v", took)
		}
		synctest.Wait()
		if err := w.Close(); err != nil || s.err() != nil {
			t.Fatal(err, s.err())
		}
		if took := time.Since(began); took != 2*slow || !slices.Equal(d.syncs, []int{7 * behindBytes / 4, 0}) {
			t.Errorf("closed after %v, synced %v", took, d.syncs)
		}
		d.broken = errors.New("disk gone")
		w = write(4)
		<-time.After(2 * slow)
		w.piece = behindBytes
		if _, err := w.Write(nil); !errors.Is(err, d.broken) {
			t.Errorf("a write after a sync that failed: %v", err)
		}
		w = write(4)
		synctest.Wait()
		if _ = w.Close(); !errors.Is(s.err(), d.broken) {
			t.Errorf("closed after a sync that failed: %v", s.err())
		}
	})
}
