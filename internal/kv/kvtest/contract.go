// Package kvtest holds the one contract suite that every maker of a kv.DB
// passes: memory, goleveldb on a directory, goleveldb on the faulty disk.
//
// State owned: none. Concurrency: each test opens databases of its own. On
// failure: a test says the input, what came and what was wanted.
package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"tombolo/internal/kv"
)

// Maker makes databases for the suite.
type Maker struct {
	// Open returns an empty database.
	Open func(t *testing.T) kv.DB
	// Reopen closes db and opens the same one again; nil where nothing is kept.
	Reopen func(t *testing.T, db kv.DB) kv.DB
}

// Run runs the whole contract.
func Run(t *testing.T, m Maker) {
	for name, test := range map[string]func(*testing.T, Maker){
		"GetPutDelete":     testGetPutDelete,
		"BatchIsOrdered":   testBatchIsOrdered,
		"BatchIsReusable":  testBatchIsReusable,
		"ValuesAreOwned":   testValuesAreOwned,
		"EmptyKeyAndValue": testEmptyKeyAndValue,
		"IteratorWalks":    testIteratorWalks,
		"IteratorRanges":   testIteratorRanges,
		"SnapshotsHold":    testSnapshotsHold,
		"SizeAndCompact":   testSizeAndCompact,
		"Closed":           testClosed,
		"ManyGoroutines":   testManyGoroutines,
		"AgainstModel":     testAgainstModel,
		"LargeBatch":       testLargeBatch,
		"Reopen":           testReopen,
	} {
		t.Run(name, func(t *testing.T) { test(t, m) })
	}
}

// Put writes pairs in one batch: key, value, key, value …
func Put(t testing.TB, db kv.DB, pairs ...string) {
	t.Helper()
	var b kv.Batch
	for i := 0; i < len(pairs); i += 2 {
		b.Put([]byte(pairs[i]), []byte(pairs[i+1]))
	}
	if err := db.Write(&b, true); err != nil {
		t.Fatalf("write %q: %v", pairs, err)
	}
}

// Want checks one value; "" with missing for a key that is not there.
func Want(t testing.TB, r interface {
	Get([]byte) ([]byte, error)
}, key, want string) {
	t.Helper()
	if got, err := r.Get([]byte(key)); err != nil || string(got) != want {
		t.Fatalf("get %q: %q, %v; want %q", key, got, err, want)
	}
}

// WantMissing checks that a key is not there.
func WantMissing(t testing.TB, r interface {
	Get([]byte) ([]byte, error)
}, key string) {
	t.Helper()
	if got, err := r.Get([]byte(key)); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("get %q: %q, %v; want ErrNotFound", key, got, err)
	}
}

// Keys walks a range forward and joins the keys with spaces.
func Keys(t testing.TB, it kv.Iterator) string {
	t.Helper()
	defer it.Close()
	var out []byte
	for it.Next() {
		out = append(append(out, it.Key()...), ' ')
	}
	if err := it.Err(); err != nil {
		t.Fatalf("walk: %v", err)
	}
	return string(bytes.TrimSpace(out))
}

func open(t *testing.T, m Maker) kv.DB {
	db := m.Open(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func testGetPutDelete(t *testing.T, m Maker) {
	db := open(t, m)
	WantMissing(t, db, "a")
	Put(t, db, "a", "1", "b", "2")
	Want(t, db, "a", "1")
	Put(t, db, "a", "3")
	Want(t, db, "a", "3")
	var b kv.Batch
	b.Delete([]byte("a"))
	b.Delete([]byte("never there"))
	if err := db.Write(&b, false); err != nil {
		t.Fatal(err)
	}
	WantMissing(t, db, "a")
	Want(t, db, "b", "2")
	if len(db.Suspect()) != 0 || db.ClearSuspect() != nil {
		t.Fatalf("a new database is suspect: %q", db.Suspect())
	}
}

func testBatchIsOrdered(t *testing.T, m Maker) {
	db := open(t, m)
	var b kv.Batch
	b.Put([]byte("a"), []byte("1"))
	b.Delete([]byte("a"))
	b.Delete([]byte("b"))
	b.Put([]byte("b"), []byte("1"))
	b.Put([]byte("b"), []byte("2"))
	if b.Len() != 5 || b.Bytes() == 0 {
		t.Fatalf("batch of 5 says %d, %d bytes", b.Len(), b.Bytes())
	}
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	WantMissing(t, db, "a")
	Want(t, db, "b", "2")
}

func testBatchIsReusable(t *testing.T, m Maker) {
	db := open(t, m)
	var b kv.Batch
	if err := db.Write(&b, true); err != nil {
		t.Fatalf("an empty batch: %v", err)
	}
	key, value := []byte("a"), []byte("1")
	b.Put(key, value)
	key[0], value[0] = 'x', 'x' // the batch has its own copy
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Put([]byte("b"), []byte("2"))
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Put([]byte("zzz"), []byte("garbage over the old memory"))
	Want(t, db, "a", "1")
	Want(t, db, "b", "2")
	WantMissing(t, db, "x")
}

func testValuesAreOwned(t *testing.T, m Maker) {
	db := open(t, m)
	Put(t, db, "a", "1")
	v, err := db.Get([]byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	v[0] = 'x'
	Want(t, db, "a", "1")
}

func testEmptyKeyAndValue(t *testing.T, m Maker) {
	db := open(t, m)
	Put(t, db, "", "empty key", "k", "", "\x00", "nul", "\xff\xff", "high")
	Want(t, db, "", "empty key")
	Want(t, db, "k", "")
	Want(t, db, "\x00", "nul")
	if got := Keys(t, db.Iterator(kv.Range{})); got != "\x00 k \xff\xff" { // the empty key leaves only its space, trimmed
		t.Fatalf("keys %q", got)
	}
	if got := Keys(t, db.Iterator(kv.PrefixRange([]byte("\xff")))); got != "\xff\xff" {
		t.Fatalf("keys under 0xff %q", got)
	}
}

func testIteratorWalks(t *testing.T, m Maker) {
	db := open(t, m)
	Put(t, db, "b", "2", "d", "4", "c", "3")
	it := db.Iterator(kv.Range{})
	defer it.Close()
	if it.Key() != nil || it.Value() != nil {
		t.Fatal("a fresh cursor stands on a key")
	}
	type step struct {
		name string
		move func() bool
		want string // "" for the end
	}
	seek := func(k string) func() bool { return func() bool { return it.Seek([]byte(k)) } }
	for i, s := range []step{
		{"next", it.Next, "b"}, {"next", it.Next, "c"}, {"prev", it.Prev, "b"}, {"prev", it.Prev, ""},
		{"prev", it.Prev, ""}, {"next", it.Next, "b"}, {"last", it.Last, "d"}, {"next", it.Next, ""},
		{"next", it.Next, ""}, {"prev", it.Prev, "d"}, {"seek", seek("bb"), "c"}, {"next", it.Next, "d"},
		{"seek", seek("a"), "b"}, {"seek", seek("e"), ""}, {"prev", it.Prev, "d"}, {"seek", seek("c"), "c"},
		{"prev", it.Prev, "b"}, {"first", it.First, "b"}, {"next", it.Next, "c"},
	} {
		ok := s.move()
		if ok != (s.want != "") || string(it.Key()) != s.want {
			t.Fatalf("step %d %s: %v on %q, want %q", i, s.name, ok, it.Key(), s.want)
		}
		if !ok && (it.Key() != nil || it.Value() != nil) {
			t.Fatalf("step %d %s: past the end the cursor has a key", i, s.name)
		}
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	back := db.Iterator(kv.Range{})
	defer back.Close()
	if !back.Prev() || string(back.Key()) != "d" || string(back.Value()) != "4" {
		t.Fatalf("Prev of a fresh cursor: on %q, want the last key", back.Key())
	}
}

func testIteratorRanges(t *testing.T, m Maker) {
	db := open(t, m)
	for i := range 200 { // more than one run of the memory cursor
		Put(t, db, fmt.Sprintf("k%03d", i), "v")
	}
	Put(t, db, "a", "", "z", "")
	r := kv.Range{Start: []byte("k050"), Limit: []byte("k150")}
	it := db.Iterator(r)
	n := 0
	for it.Next() {
		if want := fmt.Sprintf("k%03d", 50+n); string(it.Key()) != want {
			t.Fatalf("key %d is %q, want %q", n, it.Key(), want)
		}
		n++
	}
	for it.Prev() {
		n--
		if want := fmt.Sprintf("k%03d", 50+n); string(it.Key()) != want {
			t.Fatalf("backward key %d is %q, want %q", n, it.Key(), want)
		}
	}
	if n != 0 {
		t.Fatalf("the ways there and back differ by %d", n)
	}
	if it.Seek([]byte("a")); string(it.Key()) != "k050" {
		t.Fatalf("a seek below the range stands on %q", it.Key())
	}
	if it.Seek([]byte("k150")) {
		t.Fatalf("a seek at the limit stands on %q", it.Key())
	}
	if it.Last(); string(it.Key()) != "k149" {
		t.Fatalf("the last of the range is %q", it.Key())
	}
	it.Close()
	if got := Keys(t, db.Iterator(kv.PrefixRange([]byte("k00")))); got != "k000 k001 k002 k003 k004 k005 k006 k007 k008 k009" {
		t.Fatalf("under k00: %q", got)
	}
	if got := Keys(t, db.Iterator(kv.Range{Start: []byte("x"), Limit: []byte("b")})); got != "" {
		t.Fatalf("an upside-down range holds %q", got)
	}
}

func testSnapshotsHold(t *testing.T, m Maker) {
	db := open(t, m)
	Put(t, db, "a", "1", "b", "1")
	it := db.Iterator(kv.Range{})
	snap, err := db.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b kv.Batch
	b.Put([]byte("a"), []byte("2"))
	b.Delete([]byte("b"))
	b.Put([]byte("c"), []byte("2"))
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	Want(t, snap, "a", "1")
	Want(t, snap, "b", "1")
	WantMissing(t, snap, "c")
	if got := Keys(t, it); got != "a b" {
		t.Fatalf("the older cursor walks %q", got)
	}
	if got := Keys(t, snap.Iterator(kv.Range{})); got != "a b" {
		t.Fatalf("the snapshot walks %q", got)
	}
	if got := Keys(t, db.Iterator(kv.Range{})); got != "a c" {
		t.Fatalf("the database walks %q", got)
	}
	snap.Release()
	snap.Release()
	if _, err := snap.Get([]byte("a")); !errors.Is(err, kv.ErrClosed) {
		t.Fatalf("get after release: %v, want ErrClosed", err)
	}
}

func testSizeAndCompact(t *testing.T, m Maker) {
	db := open(t, m)
	if n, err := db.Size(kv.Range{}); err != nil || n != 0 {
		t.Fatalf("an empty database has %d bytes, %v", n, err)
	}
	for i := range 64 {
		Put(t, db, fmt.Sprintf("k%02d", i), string(bytes.Repeat([]byte{byte(i)}, 1000)))
	}
	if err := db.CompactRange(kv.Range{}); err != nil {
		t.Fatalf("compact: %v", err)
	}
	if n, err := db.Size(kv.Range{}); err != nil || n == 0 {
		t.Fatalf("64 KB have %d bytes, %v", n, err)
	}
	for i := range 64 {
		Want(t, db, fmt.Sprintf("k%02d", i), string(bytes.Repeat([]byte{byte(i)}, 1000)))
	}
	if s := db.Stats(); s.Engine == "" || s.MemoryBytes <= 0 || s.Failed != "" {
		t.Fatalf("stats %+v", s)
	}
}

func testClosed(t *testing.T, m Maker) {
	db := m.Open(t)
	Put(t, db, "a", "1")
	if err := db.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	var b kv.Batch
	b.Put([]byte("a"), nil)
	_, getErr := db.Get([]byte("a"))
	_, snapErr := db.Snapshot()
	it := db.Iterator(kv.Range{})
	if it.Next() {
		t.Error("a cursor on a closed database moves")
	}
	for what, err := range map[string]error{
		"get": getErr, "snapshot": snapErr, "write": db.Write(&b, true), "compact": db.CompactRange(kv.Range{}),
		"close": db.Close(), "cursor": it.Err(),
	} {
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("%s after close: %v, want ErrClosed", what, err)
		}
	}
	it.Close()
	db.Stats() // must not panic
}

func testManyGoroutines(t *testing.T, m Maker) {
	db := open(t, m)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 50 {
				var b kv.Batch
				// Two keys that always hold the same value.
				v := fmt.Appendf(nil, "%d", i)
				b.Put(fmt.Appendf(nil, "x%d", g), v)
				b.Put(fmt.Appendf(nil, "y%d", g), v)
				if err := db.Write(&b, true); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				snap, err := db.Snapshot()
				if err != nil {
					t.Errorf("snapshot: %v", err)
					return
				}
				for o := range 4 {
					x, xerr := snap.Get(fmt.Appendf(nil, "x%d", o))
					y, yerr := snap.Get(fmt.Appendf(nil, "y%d", o))
					if !bytes.Equal(x, y) || errors.Is(xerr, kv.ErrNotFound) != errors.Is(yerr, kv.ErrNotFound) {
						t.Errorf("half a batch is visible: %q and %q", x, y)
					}
				}
				snap.Release()
			}
		}()
	}
	wg.Wait()
}

func testLargeBatch(t *testing.T, m Maker) {
	db := open(t, m)
	var b kv.Batch
	value := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for i := range 80 { // 5 MiB: more than a small write buffer
		b.Put(fmt.Appendf(nil, "k%02d", i), value)
	}
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	Want(t, db, "k79", string(value))
}

func testReopen(t *testing.T, m Maker) {
	if m.Reopen == nil {
		return // a maker that keeps nothing has nothing to show
	}
	db := m.Open(t)
	Put(t, db, "a", "1", "b", "2")
	db = m.Reopen(t, db)
	Want(t, db, "a", "1")
	Put(t, db, "a", "2")
	var b kv.Batch
	b.Delete([]byte("b"))
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if err := db.CompactRange(kv.Range{}); err != nil {
		t.Fatal(err)
	}
	db = m.Reopen(t, db)
	Want(t, db, "a", "2")
	WantMissing(t, db, "b")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
