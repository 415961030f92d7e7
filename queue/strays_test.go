package queue

import (
	"fmt"
	"slices"
	"testing"

	"tombolo/internal/kv"
)

// strayList is all that EachStray tells.
func strayList(t *testing.T, s *running) (list []string) {
	t.Helper()
	err := s.EachStray(func(peer uint64, name string, v []byte) {
		list = append(list, fmt.Sprintf("%d %q %s", peer, name, v))
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestR11Strays: what is noted of a session that has left is there after a crash,
// whatever became of its queue, as it was last; nothing of what was forgotten. One
// that is damaged is reported, and the others are told.
func TestR11Strays(t *testing.T) {
	db := kv.NewMemory()
	s := start(t, db, StoreConfig{})
	id, _ := s.open("m\x00c")
	note := func(peer uint64, name string, v []byte) {
		t.Helper()
		done := make(chan error, 1)
		s.Stray(peer, name, v, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	note(7, "m\x00c", []byte("one"))
	note(7, "m\x00c", []byte("two"))
	note(7, "m\x00gone", []byte("x"))
	note(1<<60+9, "m\x00c", []byte("other"))
	note(7, "m\x00gone", nil)
	note(8, "never", nil)
	s.Drop(id, nil)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	want := []string{`7 "m\x00c" two`, `1152921504606846985 "m\x00c" other`}
	after := start(t, db.Fork(), StoreConfig{})
	if got := strayList(t, after); !slices.Equal(got, want) || len(after.faults()) != 0 {
		t.Errorf("noted: %q, %v", got, after.faults())
	}

	var b kv.Batch
	b.Put(strayKey(7, "m\x00c"), []byte{formatVersion + 1, 1})
	b.Put([]byte{tableStray, 1, 2}, []byte{formatVersion})
	spoilt := db.Fork()
	if err := spoilt.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	after = start(t, spoilt, StoreConfig{})
	if got := strayList(t, after); !slices.Equal(got, want[1:]) || len(after.faults()) != 2 {
		t.Errorf("with damage: %q, %v", got, after.faults())
	}
}
