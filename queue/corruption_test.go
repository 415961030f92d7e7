package queue

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
)

// smallTables makes a store of a few hundred messages one of several tables.
var smallTables = kv.Options{MemoryBudget: 1 << 20, NoCompression: true}

const heldMax = 600 // messages of each queue of a storedDisk

// storedDisk is the disk of a store with tables of several levels and a journal.
// Queue a holds messages from 100 on, some of whose bodies b shares, and b all.
func storedDisk(t *testing.T, clean bool) *faulty.Disk {
	t.Helper()
	d := faulty.New(5)
	for round := range 3 {
		db, _, err := kv.OpenLevelOn(d, smallTables)
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
		a, _ := s.open("a")
		b, _ := s.open("b")
		for i := range heldMax / 3 {
			s.Append(s.event(numbered(round*heldMax/3+i, []int{20, 300}[i%2]), a, b), nil)
		}
		if round == 0 {
			s.sync()
			_, st := s.open("a")
			s.ack(a, s.all(a, st)[:100]...)
		}
		s.sync()
		if round < 2 {
			if err := s.Compact(); err != nil {
				t.Fatal(err)
			}
		}
		if round == 2 && !clean {
			d.Kill()
		}
		_ = s.end()
		_ = db.Close()
	}
	return d
}

// begins opens the database and the store as a node does that is started again if
// it is told to.
func begins(t *testing.T, d *faulty.Disk) (s *running, told int) {
	t.Helper()
	for {
		db, report, err := kv.OpenLevelOn(d, smallTables)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		told += len(report.Suspect) + len(db.Suspect())
		c := StoreConfig{TidyEvery: 1 << 40}
		if _, err := OpenStore(db, c); err == nil {
			return start(t, db, c), told
		} else if told > 0 && len(report.SetAside) > 0 || !errors.Is(err, kv.ErrCorrupted) || !strings.Contains(err.Error(), "start the node again") {
			t.Fatalf("open the store: %v", err)
		}
		told++
		_ = db.Close()
	}
}

// survives opens what damage has left: nothing is served that was not stored, or out
// of order, what is lost is told unless the damage looks like a crash, and the store
// goes on without giving any place again. It returns how many messages each queue
// has.
func survives(t *testing.T, d *faulty.Disk, what string, silent bool) (left [2]int) {
	t.Helper()
	s, told := begins(t, d)
	defer s.db.Close()
	var ids [2]QueueID
	for i, name := range []string{"a", "b"} {
		id, st := s.open(name)
		last := -1
		for _, body := range s.told(id, st) {
			if body == "later" { // of the opening before
				continue
			}
			var n int
			if _, err := fmt.Sscanf(body, "message %d ", &n); err != nil || body != numbered(n, []int{20, 300}[n%(heldMax/3)%2]) || n <= last {
				t.Fatalf("%s: queue %s serves %q after %d", what, name, body, last)
			}
			last = n
			left[i]++
		}
		ids[i] = id
	}
	whole := left[0] >= heldMax-100 && left[1] >= heldMax
	if told += len(s.db.Suspect()) + len(s.faults()); !whole && told == 0 && !silent {
		t.Errorf("%s: %v messages are left, and nobody was told", what, left)
	}
	fresh, st := s.open("made after the damage")
	if st.Total() != 0 && !silent || slices.Contains(ids[:], fresh) {
		t.Fatalf("%s: a new queue is %d, with %+v; the others are %v", what, fresh, st, ids)
	}
	s.put("later", ids[0], ids[1], fresh)
	s.sync()
	for i, name := range []string{"a", "b", "made after the damage"} {
		id, st := s.open(name)
		got := s.told(id, st)
		if len(got) == 0 || got[len(got)-1] != "later" || i == 2 && len(got) > 2 {
			t.Fatalf("%s: queue %s has %d messages, the last is not the one that came after the damage", what, name, len(got))
		}
	}
	if err := s.end(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return left
}

// biggest is the largest file with an ending or a beginning.
func biggest(t *testing.T, d *faulty.Disk, part string) (name string) {
	t.Helper()
	for _, n := range d.Names() {
		if !strings.Contains(n, "/") && (strings.HasSuffix(n, part) || strings.HasPrefix(n, part)) && (name == "" || d.Size(n) > d.Size(name)) {
			name = n
		}
	}
	if name == "" {
		t.Fatalf("no %s among %q", part, d.Names())
	}
	return name
}

// TestDamagedFiles hurts one file of the store in one way: what is not in it is
// served, and the store goes on.
func TestDamagedFiles(t *testing.T) {
	cut := func(part float64) func(*faulty.Disk, string) {
		return func(d *faulty.Disk, name string) { d.Truncate(name, int(part*float64(d.Size(name)))) }
	}
	flip := func(part float64) func(*faulty.Disk, string) {
		return func(d *faulty.Disk, name string) { d.Flip(name, int(part*float64(8*d.Size(name)))) }
	}
	for _, c := range []struct {
		name, file string
		how        func(d *faulty.Disk, name string)
	}{
		{"table missing", ".ldb", (*faulty.Disk).Lose},
		{"table cut", ".ldb", cut(0.5)},
		{"table emptied", ".ldb", cut(0)},
		{"table flipped", ".ldb", flip(0.3)},
		{"table footer flipped", ".ldb", flip(0.99999)},
		{"journal missing", ".log", (*faulty.Disk).Lose},
		{"journal cut", ".log", cut(0.5)},
		{"journal emptied", ".log", cut(0)},
		{"journal flipped", ".log", flip(0.3)},
		{"manifest missing", "MANIFEST", (*faulty.Disk).Lose},
		{"manifest cut", "MANIFEST", cut(0.7)},
		{"manifest flipped", "MANIFEST", flip(0.2)},
		{"CURRENT missing", "CURRENT", (*faulty.Disk).Lose},
		{"CURRENT emptied", "CURRENT", cut(0)},
	} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, clean %v", c.name, clean), func(t *testing.T) {
				d := storedDisk(t, clean)
				file := biggest(t, d, c.file)
				c.how(d, file)
				// What a crash has not written cannot be told from what was cut off.
				torn := !clean && (c.name == "journal cut" || c.name == "journal emptied")
				left := survives(t, d, c.name, torn)
				t.Logf("%s: %v are left", file, left)
				if again := survives(t, d, "opened again", true); again[0] < left[0] || again[1] < left[1] {
					t.Errorf("%v at the next opening", again)
				}
			})
		}
	}
}

// TestFlippedBitAnywhere turns one random bit of one file over.
func TestFlippedBitAnywhere(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	base := storedDisk(t, true).Snapshot()
	for round := range 30 {
		d := faulty.New(1)
		d.Restore(base)
		names := d.Names()
		file := names[rnd.IntN(len(names))]
		if d.Size(file) == 0 {
			continue
		}
		bit := rnd.IntN(8 * d.Size(file))
		d.Flip(file, bit)
		survives(t, d, fmt.Sprintf("round %d, bit %d of %s", round, bit, file), false)
	}
}

// TestReadOnlyDisk: a store on a disk that takes no writes is refused at its
// opening, or fails with the first write and goes on to be read; then it is as it
// was.
func TestReadOnlyDisk(t *testing.T) {
	d := storedDisk(t, true)
	db := openFaulty(t, d)
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	b, st := s.open("b")
	d.Arm(faulty.Faults{ReadOnly: true})
	if err := s.append(s.event("not stored", b)); !errors.Is(err, kv.ErrReadOnly) {
		t.Errorf("a write on a read-only disk: %v", err)
	}
	if n := len(s.told(b, st)); n != heldMax {
		t.Errorf("%d of %d are read", n, heldMax)
	}
	_ = s.end()
	_ = db.Close()
	if _, _, err := kv.OpenLevelOn(d, smallTables); !errors.Is(err, kv.ErrReadOnly) {
		t.Errorf("opened: %v", err)
	}
	d.Arm(faulty.Faults{})
	if left := survives(t, d, "after a read-only disk", false); left != [2]int{heldMax - 100, heldMax} {
		t.Errorf("%v are left", left)
	}
}
