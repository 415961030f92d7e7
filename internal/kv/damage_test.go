package kv_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
	"tombolo/internal/kv/kvtest"
)

// filled is a disk whose database has tables of two levels and a journal.
func filled(t *testing.T, clean bool) *faulty.Disk {
	t.Helper()
	d := faulty.New(5)
	db, _ := openOn(t, d, small)
	for round := range 3 {
		for i := range 300 {
			kvtest.Put(t, db, fmt.Sprintf("k%04d", i), fmt.Sprintf("%d-%0500d", round, i*7919%1000))
		}
		if round < 2 {
			if err := db.CompactRange(kv.Range{}); err != nil {
				t.Fatal(err)
			}
			// Opening again removes the tables that are out of force.
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db, _ = openOn(t, d, small)
		}
	}
	if !clean {
		d.Kill()
		_ = db.Close()
		return d
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// named is the first file with an ending or a beginning.
func named(t *testing.T, d *faulty.Disk, part string) string {
	t.Helper()
	for _, n := range d.Names() {
		if !strings.Contains(n, "/") && (strings.HasSuffix(n, part) || strings.HasPrefix(n, part)) {
			return n
		}
	}
	t.Fatalf("no %s among %q", part, d.Names())
	return ""
}

// TestDamage hurts one file in one way: opening repairs, sets the file aside,
// is suspect and says so; read-only opening says what is wrong instead.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name, file string
		how        func(d *faulty.Disk, name string)
		crashed    bool   // the process had been killed
		verify     bool   // only reading every block finds it
		says       string // part of the sentence
		gone       bool   // nothing is left to set aside
	}{
		{"table missing", ".ldb", (*faulty.Disk).Lose, false, false, "is missing", true},
		{"table cut", ".ldb", cut(0.5), false, false, "bytes instead of", false},
		{"table emptied", ".ldb", cut(0), false, false, "bytes instead of", false},
		{"table flipped", ".ldb", flip(0.3), false, true, "is damaged", false},
		{"table footer flipped", ".ldb", flip(0.99999), false, true, "is damaged", false},
		{"journal missing", ".log", (*faulty.Disk).Lose, false, false, "is missing", true},
		{"journal flipped", ".log", flip(0.3), true, false, "checksum mismatch", false},
		{"journal cut after a close", ".log", cut(0.9), false, false, "when the database was closed", false},
		{"journal emptied after a close", ".log", cut(0), false, false, "when the database was closed", false},
		{"manifest missing", "MANIFEST", (*faulty.Disk).Lose, false, false, "is missing", true},
		{"manifest flipped", "MANIFEST", flip(0.2), true, false, "is damaged", false},
		{"manifest emptied", "MANIFEST", cut(0), true, false, "lacks its first record", false},
		{"manifest cut after a close", "MANIFEST", cut(0.7), false, false, "when the database was closed", false},
		{"CURRENT missing", "CURRENT", (*faulty.Disk).Lose, true, false, "CURRENT is missing", true},
		{"CURRENT emptied", "CURRENT", cut(0), true, false, "instead of the name of a manifest", false},
		{"CURRENT garbled", "CURRENT", flip(0.5), true, false, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := filled(t, !c.crashed)
			file := named(t, d, c.file)
			c.how(d, file)
			hurt := d.Content(file)
			o := kv.Options{MemoryBudget: 1 << 20, VerifyAll: c.verify}
			refuse(t, d, o, c.says)
			db, report := openOn(t, d, o)
			if len(report.Suspect) == 0 || len(report.Dropped) == 0 {
				t.Fatalf("silent: %+v", report)
			}
			if c.gone == false {
				aside(t, d, file, hurt)
			}
			useAgain(t, d, db)
		})
	}
}

func cut(part float64) func(*faulty.Disk, string) {
	return func(d *faulty.Disk, name string) { d.Truncate(name, int(part*float64(d.Size(name)))) }
}

func flip(part float64) func(*faulty.Disk, string) {
	return func(d *faulty.Disk, name string) { d.Flip(name, int(part*float64(8*d.Size(name)))) }
}

// refuse opens without the right to repair.
func refuse(t *testing.T, d *faulty.Disk, o kv.Options, says string) {
	t.Helper()
	before := fmt.Sprint(d.Names())
	for _, o := range []kv.Options{
		{MemoryBudget: o.MemoryBudget, VerifyAll: o.VerifyAll, NoRepair: true},
		{MemoryBudget: o.MemoryBudget, VerifyAll: o.VerifyAll, ReadOnly: true},
	} {
		_, _, err := kv.OpenLevelOn(d, o)
		if !errors.Is(err, kv.ErrCorrupted) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "start the node") {
			t.Fatalf("opening with %+v: %v; want ErrCorrupted that says %q and what to do", o, err, says)
		}
	}
	if after := fmt.Sprint(d.Names()); after != before {
		t.Fatalf("a refused opening changed the files from %s to %s", before, after)
	}
}

// aside finds the bytes of the hurt file in a damaged- folder.
func aside(t *testing.T, d *faulty.Disk, file string, hurt []byte) {
	t.Helper()
	for _, n := range d.Names() {
		if strings.HasPrefix(n, "damaged-") && strings.HasSuffix(n, "/"+file) && string(d.Content(n)) == string(hurt) {
			return
		}
	}
	t.Fatalf("%s as it was found is not among %q", file, d.Names())
}

// useAgain writes, reads everything, and finds the suspicion kept until it
// is cleared.
func useAgain(t *testing.T, d *faulty.Disk, db kv.DB) {
	t.Helper()
	kvtest.Put(t, db, "after", "the damage")
	it := db.Iterator(kv.Range{})
	n := 0
	for it.Next() {
		n++
	}
	if err := it.Err(); err != nil {
		t.Fatalf("walk after the repair: %v", err)
	}
	it.Close()
	t.Logf("%d keys are left", n)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, report := openOn(t, d, small)
	if len(report.Suspect) == 0 || len(db.Suspect()) == 0 || len(report.Dropped) != 0 {
		t.Fatalf("the suspicion did not last: %+v", report)
	}
	kvtest.Want(t, db, "after", "the damage")
	if err := db.ClearSuspect(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, report = openOn(t, d, small)
	if len(report.Suspect)+len(db.Suspect()) != 0 {
		t.Fatalf("cleared, and suspect again: %+v", report)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFlipAnywhere turns one random bit over and demands that no wrong value
// is ever read: what is there is as it was written, or is missing and reported.
func TestFlipAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	base := filled(t, true).Snapshot()
	for round := range 60 {
		d := faulty.New(1)
		d.Restore(base)
		names := d.Names()
		file := names[rng.IntN(len(names))]
		if d.Size(file) == 0 {
			continue
		}
		d.Flip(file, rng.IntN(8*d.Size(file)))
		db, report, err := kv.OpenLevelOn(d, kv.Options{MemoryBudget: 1 << 20, VerifyAll: true})
		if err != nil {
			t.Fatalf("round %d, %s: %v", round, file, err)
		}
		missing := 0
		for i := range 300 {
			v, err := db.Get(fmt.Appendf(nil, "k%04d", i))
			want := fmt.Sprintf("2-%0500d", i*7919%1000)
			old := err == nil && (string(v) == "1"+want[1:] || string(v) == "0"+want[1:])
			switch {
			case err == nil && string(v) == want:
			case errors.Is(err, kv.ErrNotFound) || old:
				missing++
			default:
				t.Fatalf("round %d, %s: key %d: %.20q, %v", round, file, i, v, err)
			}
		}
		if missing > 0 && len(report.Suspect) == 0 {
			t.Fatalf("round %d, %s: %d keys lost in silence: %+v", round, file, missing, report)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamageMetWhileRunning flips a bit that only a read finds: the read fails
// with ErrCorrupted, and the next opening repairs without being asked.
func TestDamageMetWhileRunning(t *testing.T) {
	d := filled(t, true)
	flip(0.3)(d, named(t, d, ".ldb"))
	db, report := openOn(t, d, small)
	if len(report.Dropped) != 0 {
		t.Fatalf("found without reading: %+v", report)
	}
	it := db.Iterator(kv.Range{})
	for it.Next() {
	}
	if err := it.Err(); !errors.Is(err, kv.ErrCorrupted) || !strings.Contains(err.Error(), "start the node again") {
		t.Fatalf("walking over the damage: %v", err)
	}
	it.Close()
	if len(db.Suspect()) == 0 {
		t.Fatal("damage was met and the database is not suspect")
	}
	_ = db.Close()
	db, report = openOn(t, d, small)
	if !report.Rebuilt || len(report.SetAside) == 0 {
		t.Fatalf("the next opening repaired nothing: %+v", report)
	}
	useAgain(t, d, db)
}

func TestFullDisk(t *testing.T) {
	d := faulty.New(1)
	db, _ := openOn(t, d, small)
	kvtest.Put(t, db, "before", "1")
	d.Arm(faulty.Faults{FullAfterBytes: 5000})
	var b kv.Batch
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		b.Put([]byte("k"), make([]byte, 1000))
		err = db.Write(&b, true)
	}
	if !errors.Is(err, kv.ErrFull) || !strings.Contains(err.Error(), "free space") {
		t.Fatalf("writing to a full disk: %v", err)
	}
	d.Arm(faulty.Faults{})
	if err := db.Write(&b, true); !errors.Is(err, kv.ErrFull) {
		t.Fatalf("writing after half a record: %v; want the first error again", err)
	}
	if db.Stats().Failed == "" {
		t.Fatal("the stats do not say that it failed")
	}
	kvtest.Want(t, db, "before", "1")
	_ = db.Close()
	d.Kill()
	db, report := openOn(t, d, small)
	if len(report.Suspect) != 0 {
		t.Fatalf("a full disk makes it suspect: %+v", report)
	}
	kvtest.Want(t, db, "before", "1")
	kvtest.Put(t, db, "after", "1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	d.Arm(faulty.Faults{FullAfterBytes: 1})
	if _, _, err := kv.OpenLevelOn(d, small); !errors.Is(err, kv.ErrFull) {
		t.Fatalf("opening on a full disk: %v", err)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	d := filled(t, true)
	d.Arm(faulty.Faults{ReadOnly: true})
	if _, _, err := kv.OpenLevelOn(d, small); !errors.Is(err, kv.ErrReadOnly) || !strings.Contains(err.Error(), "writable") {
		t.Fatalf("opening on a read-only disk: %v", err)
	}
	o := small
	o.ReadOnly = true
	db, _ := openOn(t, d, o)
	kvtest.Want(t, db, "k0000", fmt.Sprintf("2-%0500d", 0))
	var b kv.Batch
	b.Put([]byte("a"), nil)
	if err := db.Write(&b, true); !errors.Is(err, kv.ErrReadOnly) {
		t.Fatalf("writing to a database opened for reading: %v", err)
	}
	if err := db.ClearSuspect(); !errors.Is(err, kv.ErrReadOnly) {
		t.Fatalf("clearing a database opened for reading: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSecondOpenerIsToldWho(t *testing.T) {
	dir := t.TempDir()
	db, _, err := kv.OpenLevel(dir, small)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []kv.Options{small, {ReadOnly: true}} {
		_, _, err = kv.OpenLevel(dir, o)
		want := fmt.Sprintf("process %d", os.Getpid())
		if !errors.Is(err, kv.ErrLocked) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "API") {
			t.Fatalf("the second opener is told %v; want %q and what to do", err, want)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, _, err = kv.OpenLevel(dir, small); err != nil {
		t.Fatalf("open after close: %v", err)
	}
	_ = db.Close()
}

func TestMustExistAndStrangers(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := kv.OpenLevel(filepath.Join(dir, "no"), kv.Options{MustExist: true}); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("opening what is not there: %v", err)
	}
	if _, _, err := kv.OpenLevel(dir, kv.Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("reading what is not there: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte("a stranger"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, report, err := kv.OpenLevel(dir, small)
	if err != nil || !report.Created {
		t.Fatalf("a stranger's file disturbs: %+v, %v", report, err)
	}
	_ = db.Close()
	_, report, err = kv.OpenLevel(dir, small)
	if err != nil || report.Created || !report.Clean {
		t.Fatalf("opening again: %+v, %v", report, err)
	}
}

// TestRepairOnDirectory is one damage on a real directory, where closing a file
// twice is an error.
func TestRepairOnDirectory(t *testing.T) {
	dir := t.TempDir()
	db, _, err := kv.OpenLevel(dir, small)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		kvtest.Put(t, db, fmt.Sprintf("k%04d", i), fmt.Sprintf("%0500d", i*7919%1000))
	}
	if err := errors.Join(db.CompactRange(kv.Range{}), db.Close()); err != nil {
		t.Fatal(err)
	}
	db, report, err := kv.OpenLevel(dir, kv.Options{MemoryBudget: 1 << 20, VerifyAll: true})
	if err != nil || len(report.Dropped) != 0 {
		t.Fatalf("a sound directory: %+v, %v", report, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables %q, %v", tables, err)
	}
	data, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/3] ^= 1
	if err := os.WriteFile(tables[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, report, err = kv.OpenLevel(dir, kv.Options{MemoryBudget: 1 << 20, VerifyAll: true})
	if err != nil || !report.Rebuilt || len(report.SetAside) == 0 {
		t.Fatalf("a damaged table: %+v, %v", report, err)
	}
	aside, err := os.ReadFile(report.SetAside[0])
	if err != nil || string(aside) != string(data) {
		t.Fatalf("%s does not hold the damaged table: %v", report.SetAside[0], err)
	}
	kvtest.Put(t, db, "after", "the damage")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
