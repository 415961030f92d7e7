package queue

import (
	"errors"
	"os"
	"strings"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
)

func TestWriteErrorMakesTheStoreReadOnly(t *testing.T) {
	broken := errors.New("the disk is broken")
	db := newGate(kv.OpenMemory())
	s := start(t, db, StoreConfig{})
	id, st := s.open("a")
	s.put("kept", id)
	db.shut()
	db.fail(broken)
	results := make(chan error, 10)
	for range 5 {
		s.Append(s.event("lost", id), func(err error) { results <- err })
	}
	s.Do(id, []Op{{Kind: OpBind, Seq: 1, PacketID: 1, Tag: 4}}, func(_ uint64, _ []Entry, _ bool, err error) { results <- err })
	s.InboundOnly(Inbound{id, 4, false}, MessageID{}, func(err error) { results <- err })
	s.Drop(id+1, func(err error) { results <- err })
	db.open()
	for range 8 {
		if err := <-results; !errors.Is(err, broken) || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("done: %v", err)
		}
	}
	// The error sticks, though the disk is well again.
	db.fail(nil)
	if err := s.append(s.event("later", id)); !errors.Is(err, broken) {
		t.Errorf("append: %v", err)
	}
	if err := s.Sync(); !errors.Is(err, broken) {
		t.Errorf("sync: %v", err)
	}
	if _, _, err := s.Open("b", false); !errors.Is(err, broken) {
		t.Errorf("open: %v", err)
	}
	if got := bodies(s.all(id, st)); len(got) != 1 || got[0] != "kept" {
		t.Errorf("reads give %v", got)
	}
	if err := s.end(); !errors.Is(err, broken) {
		t.Errorf("Run returned %v", err)
	}
	if f := s.faults(); len(f) != 1 {
		t.Errorf("faults: %v", f)
	}
	s = start(t, db.DB, StoreConfig{})
	id, st = s.open("a")
	if got := bodies(s.all(id, st)); len(got) != 1 || len(st.Bound) != 0 {
		t.Errorf("after a restart: %v %+v", got, st)
	}
}

func TestPublisherAtTheBoundLearnsOfTheError(t *testing.T) {
	broken := errors.New("the disk is broken")
	db := newGate(kv.OpenMemory())
	s := start(t, db, StoreConfig{MaxBytesPending: 500})
	id, _ := s.open("a")
	s.sync()
	db.shut()
	results := make(chan error, 4)
	go func() {
		for range 4 {
			s.Append(s.event(numbered(1, 400), id), func(err error) { results <- err })
		}
	}()
	eventually(t, "the publisher waits", func() bool { return s.counts.blocked.Value() > 0 })
	db.fail(broken)
	db.open()
	for range 4 {
		if err := <-results; !errors.Is(err, broken) {
			t.Errorf("done: %v", err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	disk := faulty.New(3)
	db := openFaulty(t, disk)
	s := start(t, db, StoreConfig{})
	id, _ := s.open("a")
	s.put("first", id)
	disk.Arm(faulty.Faults{FullAfterBytes: 20_000})
	acked := 1
	for range 100 {
		if err := s.append(s.event(numbered(acked, 1000), id)); err != nil {
			if !errors.Is(err, kv.ErrFull) {
				t.Errorf("append: %v", err)
			}
			continue
		}
		acked++
	}
	if acked < 5 || acked > 20 {
		t.Errorf("%d of 101 messages of 1,000 bytes fit into 20,000 bytes", acked)
	}
	if err := s.end(); !errors.Is(err, kv.ErrFull) {
		t.Errorf("Run returned %v", err)
	}
	_ = db.Close()
	disk.Arm(faulty.Faults{})
	disk.Kill()
	db = openFaulty(t, disk)
	audit(t, db)
	s = start(t, db, StoreConfig{})
	id, st := s.open("a")
	if got := s.all(id, st); len(got) != acked {
		t.Errorf("%d messages, %d were acknowledged", len(got), acked)
	}
	s.put("room again", id)
}

func openFaulty(t *testing.T, disk *faulty.Disk) kv.DB {
	t.Helper()
	db, _, err := kv.OpenLevelOn(disk, kv.Options{MemoryBudget: 1 << 20, NoCompression: true})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestDamagedRecordsAreReportedAndPassed damages each kind of value in place:
// the checksum of the database is right, the content is not.
func TestDamagedRecordsAreReportedAndPassed(t *testing.T) {
	var fifth, tenth, body, cursor, seg key
	tests := []struct {
		name  string
		key   []byte
		value []byte // nil deletes
		left  int    // messages of queue a
	}{
		{"record is empty", fifth.record(1, 1, 5), []byte{}, 9},
		{"record of a later version", fifth.record(1, 1, 5), []byte{9, 0}, 9},
		{"record is gone", fifth.record(1, 1, 5), nil, 9},
		{"last record is gone", tenth.record(1, 1, 10), nil, 9},
		{"body is gone", body.body(1, 3), nil, 9},
		{"body is damaged", body.body(1, 3), []byte{1, 200}, 9},
		{"cursor is gone", cursor.cursor(1, 1), nil, 10},
		{"cursor is damaged", cursor.cursor(1, 1), []byte{1, 2, 3}, 10},
		{"segment is gone", seg.segment(1), nil, 10},
		{"segment is damaged", seg.segment(1), []byte{7}, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { damageOne(t, tt.key, tt.value, tt.left) })
	}
}

func damageOne(t *testing.T, k, v []byte, left int) {
	db := kv.NewMemory()
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	a, _ := s.open("a")
	b, _ := s.open("b")
	for i := range 10 {
		s.put(numbered(i, 300), a, b)
	}
	_ = s.end()
	var batch kv.Batch
	batch.Put(k, v)
	if v == nil {
		batch.Delete(k)
	}
	if err := db.Write(&batch, true); err != nil {
		t.Fatal(err)
	}
	s = start(t, db, StoreConfig{TidyEvery: 1 << 40})
	a, st := s.open("a")
	q := New(unlimited(), true, st)
	q.SetOnline(true, 0)
	got := 0
	for {
		for e, ok := q.Next(0); ok; e, ok = q.Next(0) {
			q.Ack(e.Seq)
			got++
		}
		ops := q.Ops(nil)
		if len(ops) == 0 {
			break
		}
		results := make(chan answer, 1)
		s.Do(a, ops, func(_ uint64, es []Entry, more bool, err error) { results <- answer{es, more, err} })
		if op := ops[len(ops)-1]; op.Kind == OpRead {
			r := <-results
			q.Loaded(op.Tag, r.es, r.more)
		}
	}
	if got != left || q.Len() != 0 {
		t.Errorf("%d messages are served, want %d; %+v", got, left, q.Stats())
	}
	if left < 10 && (len(s.faults()) == 0 || s.Stats().Damaged == 0) {
		t.Error("nobody was told")
	}
	s.put("it goes on", a)
	if ev := s.put("", a); ev.Targets[0].Seq <= 10 {
		t.Errorf("sequence %d is given again", ev.Targets[0].Seq)
	}
	b, st = s.open("b")
	if other := s.all(b, st); left > 0 && len(other) < 9 {
		t.Errorf("the other queue has %d messages", len(other))
	}
}

// TestDamagedTableLosesOnlyWhatWasInIt flips bits in a table of goleveldb while
// the store has it open: reads step over what cannot be read.
func TestDamagedTableLosesOnlyWhatWasInIt(t *testing.T) {
	disk := faulty.New(5)
	db := openFaulty(t, disk)
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	a, _ := s.open("a")
	const n = 2000
	for i := range n {
		s.Append(s.event(numbered(i, 200), a), nil)
	}
	s.sync()
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	_ = s.end()
	_ = db.Close()
	db = openFaulty(t, disk)
	s = start(t, db, StoreConfig{TidyEvery: 1 << 40})
	a, st := s.open("a")
	// The largest table is chosen now, since opening makes tables of journals.
	table, size := "", 0
	for _, name := range disk.Names() {
		if strings.HasSuffix(name, ".ldb") && disk.Size(name) > size {
			table, size = name, disk.Size(name)
		}
	}
	if size < 20_000 {
		t.Fatalf("no table is large enough among %v", disk.Names())
	}
	disk.Flip(table, 8*size/2)
	got := len(s.all(a, st))
	if got < n*9/10 || got >= n {
		t.Errorf("%d of %d messages are served after a flipped bit", got, n)
	}
	if len(s.faults()) == 0 {
		t.Error("nobody was told")
	}
	_ = s.end()
	_ = db.Close()
	// The next opening sets the table aside, or what is damaged of it.
	db = openFaulty(t, disk)
	s = start(t, db, StoreConfig{TidyEvery: 1 << 40})
	a, st = s.open("a")
	again := len(s.all(a, st))
	if again < got-50 || again >= n {
		t.Errorf("%d messages after the repair, %d before", again, got)
	}
	s.put("it goes on", a)
}

func TestStoreOfALaterVersionIsRefused(t *testing.T) {
	db := kv.OpenMemory()
	var b kv.Batch
	b.Put(leaseKey(), []byte{formatVersion + 1, 1, 2, 3})
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(db, StoreConfig{}); !errors.Is(err, ErrNewerFormat) || !strings.Contains(err.Error(), "start the version that wrote it") {
		t.Errorf("opened: %v", err)
	}
	b.Reset()
	b.Put(leaseKey(), []byte{formatVersion, 1})
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(db, StoreConfig{}); err == nil {
		t.Error("a damaged lease is accepted: ids would be given again")
	}
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}
