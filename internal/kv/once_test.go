package kv_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"tombolo/internal/kv"
)

// TestOnceLeavesCache: a walk with Once reads the same and keeps nothing of it.
func TestOnceLeavesCache(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	db, _, err := kv.OpenLevel(dir, kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const keys = 4000
	var b kv.Batch
	for i := range keys {
		value := make([]byte, 1024)
		for j := 0; j < len(value); j += 8 {
			binary.LittleEndian.PutUint64(value[j:], r.Uint64())
		}
		b.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), value)
	}
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if err := db.CompactRange(kv.Range{}); err != nil {
		t.Fatal(err)
	}
	walk := func(once bool) (n int, grew int64) {
		before := db.Stats().MemoryBytes
		it := db.Iterator(kv.Range{Once: once})
		for it.Next() {
			n++
		}
		it.Close()
		return n, db.Stats().MemoryBytes - before
	}
	// What is left of the compaction's own reading is a few index blocks.
	if n, grew := walk(true); n != keys || grew > 1<<20 {
		t.Errorf("%d keys, and the cache grew by %d bytes", n, grew)
	}
	if n, grew := walk(false); n != keys || grew < 3<<20 {
		t.Errorf("without Once: %d keys, and the cache grew by %d bytes", n, grew)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
