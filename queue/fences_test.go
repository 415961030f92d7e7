package queue

import (
	"testing"

	"tombolo/internal/kv"
)

// TestR21Fences: what was noted is there after a crash as it was last, and nothing is
// left of it when it is forgotten, or its queue is dropped. One that is damaged is
// reported, and the queue served.
func TestR21Fences(t *testing.T) {
	db := kv.NewMemory()
	s := start(t, db, StoreConfig{})
	id, _ := s.open("c")
	note := func(s *running, v []byte) {
		t.Helper()
		done := make(chan error, 1)
		s.Fences(id, v, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	note(s, []byte("one"))
	note(s, []byte("two"))
	for _, forget := range []func(s *running){
		func(s *running) { note(s, nil) },
		func(s *running) { s.Drop(id, nil) },
	} {
		s := start(t, db.Fork(), StoreConfig{})
		if _, st := s.open("c"); string(st.Fences) != "two" {
			t.Errorf("%q were noted", st.Fences)
		}
		forget(s)
		if err := s.Sync(); err != nil || keys(t, s.db, tableFences) != 0 {
			t.Errorf("%v, %d are left", err, keys(t, s.db, tableFences))
		}
	}
	var b kv.Batch
	var k key
	b.Put(k.fences(id), []byte{formatVersion + 1, 9})
	spoilt := db.Fork()
	if err := spoilt.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	s = start(t, spoilt, StoreConfig{})
	if _, st := s.open("c"); st.Fences != nil || len(s.faults()) != 1 {
		t.Errorf("%q and %v are said of a value that cannot be read", st.Fences, s.faults())
	}
}
