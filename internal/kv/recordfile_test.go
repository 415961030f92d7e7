package kv

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/journal"
)

// recordFile is a file as goleveldb writes it, with records that cross blocks.
func recordFile(t testing.TB, records [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := journal.NewWriter(&out)
	for _, rec := range records {
		r, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func someRecords(rng *rand.Rand) [][]byte {
	var records [][]byte
	for range 1 + rng.IntN(12) {
		rec := make([]byte, rng.IntN(3*blockBytes/2))
		for i := range rec {
			rec[i] = byte(rng.Uint32())
		}
		records = append(records, rec)
	}
	return records
}

func TestScanReadsWhatGoleveldbWrites(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		records := someRecords(rng)
		s := scanRecords(recordFile(t, records))
		if s.torn || len(s.damage) > 0 || len(s.records) != len(records) {
			t.Fatalf("%d records of %d, torn %v, damage %q", len(s.records), len(records), s.torn, s.damage)
		}
		for i := range records {
			if !bytes.Equal(s.records[i], records[i]) {
				t.Fatalf("record %d differs", i)
			}
		}
	}
}

// TestScanTellsTornFromDamaged cuts files, which a crash explains, and flips
// bits before the last record, which none does.
func TestScanTellsTornFromDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		records := append(someRecords(rng), make([]byte, 100), make([]byte, 3*blockBytes))
		data := recordFile(t, records)
		cut := scanRecords(data[:rng.IntN(len(data))])
		if len(cut.damage) > 0 {
			t.Fatalf("a cut file is called damaged: %q", cut.damage)
		}
		for i, rec := range cut.records {
			if !bytes.Equal(rec, records[i]) {
				t.Fatalf("record %d of a cut file differs", i)
			}
		}
		at := rng.IntN(len(data) - 3*blockBytes) // good data follows in a later block
		flipped := bytes.Clone(data)
		flipped[at] ^= 1 << rng.IntN(8)
		if s := scanRecords(flipped); len(s.damage) == 0 && len(s.records) == len(records) && !s.torn && !onlyPadding(data, at) {
			t.Fatalf("a flipped bit at byte %d of %d was not seen", at, len(data))
		}
	}
}

// onlyPadding says whether a byte is the rest of a block that no chunk fits in:
// nobody reads it.
func onlyPadding(data []byte, at int) bool {
	end := min(at-at%blockBytes+blockBytes, len(data))
	for pos := at - at%blockBytes; pos < end; {
		if end-pos < headerBytes {
			return at >= pos
		}
		pos += headerBytes + int(binary.LittleEndian.Uint16(data[pos+4:]))
		if at < pos {
			return false
		}
	}
	return false
}

func FuzzRecordFile(f *testing.F) {
	f.Add(recordFile(f, [][]byte{[]byte("one"), make([]byte, blockBytes)}))
	f.Add([]byte{})
	f.Add(make([]byte, 2*blockBytes))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scanRecords(data)
		total := 0
		for _, rec := range s.records {
			total += len(rec)
		}
		if total > len(data) || s.goodEnd > len(data) {
			t.Fatalf("%d bytes of records, end %d, in a file of %d", total, s.goodEnd, len(data))
		}
		if m, err := readManifest(s.records); err == nil && m == nil {
			t.Fatal("a manifest without state and without error")
		}
		followSequence(s.records, 1)
	})
}
