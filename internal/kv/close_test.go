package kv_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// blocks fills a database with n values that take a block of a table each.
func blocks(t *testing.T, db kv.DB, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var b kv.Batch
	value := make([]byte, 4096)
	for i := range n {
		for j := 0; j < len(value); j += 512 {
			binary.LittleEndian.PutUint64(value[j:], r.Uint64())
		}
		b.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), value)
		if b.Bytes() < 1<<20 && i < n-1 {
			continue
		}
		if err := db.Write(&b, false); err != nil {
			t.Fatal(err)
		}
		b.Reset()
	}
}

// TestCloseWithFullCache: to close takes a small part of the time in which the
// cache was filled from the files. goleveldb by itself takes several times as long
// as that here, and minutes for a cache of some hundred megabytes. The machine may
// do something else meanwhile: one of a few attempts has to do.
func TestCloseWithFullCache(t *testing.T) {
	for range 5 {
		filled, took := closeFull(t)
		t.Logf("filled in %v, closed in %v", filled, took)
		if took <= filled/4 {
			return
		}
	}
	t.Error("to close took more than a quarter of the time in which the cache was filled, each time")
}

// closeFull fills the cache of a store from its files and closes it.
func closeFull(t *testing.T) (filled, took time.Duration) {
	t.Helper()
	const n = 16_000
	db, _, err := kv.OpenLevel(t.TempDir(), kv.Options{Sync: kv.SyncNever, NoCompression: true, MemoryBudget: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	blocks(t, db, n)
	if err := db.CompactRange(kv.Range{}); err != nil {
		t.Fatal(err)
	}
	before, began := db.Stats().MemoryBytes, time.Now()
	it := db.Iterator(kv.Range{})
	for it.Next() {
	}
	it.Close()
	filled = time.Since(began)
	if grew := db.Stats().MemoryBytes - before; grew < n*4000 {
		t.Fatalf("the cache grew by %d bytes only", grew)
	}
	began = time.Now()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return filled, time.Since(began)
}

// heldDisk holds the reads of tables up once it is told to, and counts them.
type heldDisk struct {
	kv.Disk
	held    atomic.Bool
	reads   chan struct{} // capacity 1: there was one
	release chan struct{} // closed: go on
	read    atomic.Int64
}

func (d *heldDisk) Open(name string) (kv.DiskReader, error) {
	r, err := d.Disk.Open(name)
	if err != nil || !strings.HasSuffix(name, ".ldb") {
		return r, err
	}
	return &heldReader{r, d}, nil
}

type heldReader struct {
	kv.DiskReader
	d *heldDisk
}

func (r *heldReader) ReadAt(p []byte, off int64) (int, error) {
	if r.d.held.Load() {
		r.d.read.Add(1)
		select {
		case r.d.reads <- struct{}{}:
		default:
		}
		<-r.d.release
	}
	return r.DiskReader.ReadAt(p, off)
}

// TestCloseBreaksCompactionOff: a compaction that finds nothing but deleted values
// begins no table, so that goleveldb would not look whether it is to end.
func TestCloseBreaksCompactionOff(t *testing.T) {
	dir, o := t.TempDir(), kv.Options{Sync: kv.SyncNever, MemoryBudget: 256 << 20}
	disk := &heldDisk{Disk: kv.OSDisk(dir), reads: make(chan struct{}, 1), release: make(chan struct{})}
	db, _, err := kv.OpenLevelOn(disk, o)
	if err != nil {
		t.Fatal(err)
	}
	const n = 4000
	blocks(t, db, n)
	var b kv.Batch
	for i := range n {
		b.Delete(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	if err := db.Write(&b, false); err != nil {
		t.Fatal(err)
	}
	compacted := make(chan error, 1)
	disk.held.Store(true)
	go func() { compacted <- db.CompactRange(kv.Range{}) }()
	<-disk.reads
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	if err := <-compacted; !errors.Is(err, kv.ErrClosed) {
		t.Errorf("compaction ended with %v", err)
	}
	close(disk.release)
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	if read := disk.read.Load(); read > 8 {
		t.Errorf("%d reads of tables by a compaction during the first of which the database was closed", read)
	}
	db, report, err := kv.OpenLevel(dir, o)
	if err != nil || !report.Clean {
		t.Fatalf("opened again: %v, %+v", err, report)
	}
	defer db.Close()
	if _, err := db.Get(binary.BigEndian.AppendUint32(nil, 1)); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("a deleted value: %v", err)
	}
}
