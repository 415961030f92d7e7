package spool

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tombolo/internal/goldentest"
	"tombolo/internal/kv"
	"tombolo/internal/link"
	"tombolo/internal/wire"
)

// sample is a chunk of node 7 whose first message was removed and whose third has
// no body.
func sample() (first uint64, list []link.Spooled) {
	return 300, []link.Spooled{
		{Place: 301, Kind: wire.TypePublish, Body: []byte("one")},
		{Place: 302, Kind: wire.TypePublish, Body: []byte("two")},
		{Place: 560, Kind: wire.TypePublish, Body: []byte{}},
	}
}

// goldenValues is one example of every key and value, with what it means.
func goldenValues() string {
	var b strings.Builder
	add := func(name string, key, value []byte) {
		fmt.Fprintf(&b, "%s\n  key   %s\n  value %s\n", name, hex.EncodeToString(key), hex.EncodeToString(value))
	}
	first, list := sample()
	add("format", []byte{areaFormat}, []byte{formatVersion})
	add("chunk of node 7, places 300 to 560, of which 301, 302 and 560 are left", chunkKey(areaChunk, 7, first), appendChunk(nil, first, list))
	add("damaged chunk", chunkKey(areaDamaged, 7, 600), []byte{formatVersion, 9, 9, 9})
	return b.String()
}

func TestFormatIsAsInTheGoldenFile(t *testing.T) {
	goldentest.Text(t, "format-v1.txt", goldenValues(),
		"the bytes on disk changed; that needs a new format version, and code that reads the old one")
}

// TestGoldenDatabaseIsRead puts the golden bytes into a database and opens it.
func TestGoldenDatabaseIsRead(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "format-v1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var b kv.Batch
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for entry := range slices.Chunk(lines, 3) {
		var bytes [2][]byte
		for i, line := range entry[1:] {
			if bytes[i], err = hex.DecodeString(strings.Fields(line)[1]); err != nil {
				t.Fatal(err)
			}
		}
		b.Put(bytes[0], bytes[1])
	}
	db := kv.OpenMemory()
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	s, err := New(db, small)
	if err != nil {
		t.Fatal(err)
	}
	_, want := sample()
	if got := all(t, s, 7); !slices.EqualFunc(got, want, equal) || s.Count(7) != 3 {
		t.Errorf("got %v, Count %d; want %v", got, s.Count(7), want)
	}
	if err := s.Append(7, []link.Spooled{message(1, 1)}); err != nil {
		t.Fatal(err)
	}
	if list := all(t, s, 7); list[3].Place != 561 {
		t.Errorf("the next place is %d", list[3].Place)
	}
	closeIt(t, s)
}

// FuzzChunk holds the decoder of chunks: no panic, bounded memory, and what is read
// is written as it means.
func FuzzChunk(f *testing.F) {
	first, list := sample()
	f.Add(appendChunk(nil, first, list), first)
	f.Add([]byte{formatVersion, 255, 255, 3}, uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, first uint64) {
		if first == 0 || first > 1<<60 {
			return
		}
		list, err := readChunk(b, first)
		if err != nil {
			return
		}
		again, err := readChunk(appendChunk(nil, first, list), first)
		if err != nil || !slices.EqualFunc(again, list, equal) {
			t.Fatalf("%v: again %v, %v", list, again, err)
		}
		c := describe(first, list)
		if what := c.check(); what != "" {
			t.Fatalf("%v: %s", list, what)
		}
	})
}
