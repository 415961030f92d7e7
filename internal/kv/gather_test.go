package kv

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// countingDisk counts the writes to its files, and refuses them if broken is set.
// Owned by its test.
type countingDisk struct {
	Disk
	writes int
	broken error
}

type countingFile struct {
	DiskWriter
	d *countingDisk
}

func (d *countingDisk) Create(name string) (DiskWriter, error) {
	w, err := d.Disk.Create(name)
	return &countingFile{w, d}, err
}

func (f *countingFile) Write(p []byte) (int, error) {
	if f.d.broken != nil {
		return 0, f.d.broken
	}
	f.d.writes++
	return f.DiskWriter.Write(p)
}

// TestTablesAreWrittenInLargePieces: goleveldb hands a table out block by block, some
// hundred bytes each; the disk gets some hundred blocks at once, all of them with the
// sync, and a journal's bytes at once.
func TestTablesAreWrittenInLargePieces(t *testing.T) {
	const blocks, size = 1000, 533
	d := &countingDisk{Disk: OSDisk(t.TempDir())}
	s := newLevelStorage(d, nil)
	t.Cleanup(s.removals.close)
	for _, c := range []struct {
		kind storage.FileType
		most int
	}{
		{storage.TypeTable, blocks*size/gatherBytes + 1},
		{storage.TypeJournal, blocks},
	} {
		d.writes = 0
		fd := storage.FileDesc{Type: c.kind, Num: 1}
		w, err := s.Create(fd)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for i := range blocks {
			block := bytes.Repeat([]byte{byte(i)}, size)
			want = append(want, block...)
			if n, err := w.Write(block); n != size || err != nil {
				t.Fatal(n, err)
			}
			if c.kind == storage.TypeJournal && d.writes != i+1 {
				t.Fatalf("%d of %d writes to a journal have reached the disk", d.writes, i+1)
			}
		}
		if err := errors.Join(w.Sync(), w.Close()); err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(fd)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes came back of %d, %v", c.kind, len(got), len(want), err)
		}
		if d.writes > c.most {
			t.Errorf("%v: %d writes, want %d at most", c.kind, d.writes, c.most)
		}
	}
}

// TestGatheredTableThatCannotBeWritten: the sync tells of it, as it would of what it
// has to bring to the disk itself.
func TestGatheredTableThatCannotBeWritten(t *testing.T) {
	d := &countingDisk{Disk: OSDisk(t.TempDir()), broken: errors.New("no space")}
	s := newLevelStorage(d, nil)
	t.Cleanup(s.removals.close)
	w, err := s.Create(storage.FileDesc{Type: storage.TypeTable, Num: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("little")); err != nil {
		t.Fatalf("a write that is gathered: %v", err)
	}
	if err := w.Sync(); !errors.Is(err, d.broken) {
		t.Errorf("a sync of what cannot be written says %v", err)
	}
	if _, err := w.Write(make([]byte, gatherBytes)); !errors.Is(err, d.broken) {
		t.Errorf("a write that is not gathered any more says %v", err)
	}
	_ = w.Close()
}
