package kv

import "testing"

func TestForkIsIndependent(t *testing.T) {
	m := NewMemory()
	var b Batch
	b.Put([]byte("a"), []byte("1"))
	if err := m.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	f := m.Fork()
	b.Reset()
	b.Delete([]byte("a"))
	b.Put([]byte("b"), []byte("2"))
	if err := f.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get([]byte("a")); err != nil || m.Len() != 1 {
		t.Fatalf("the original changed with its fork: %v, %d keys", err, m.Len())
	}
	if v, err := f.Get([]byte("b")); err != nil || string(v) != "2" {
		t.Fatalf("the fork holds %q, %v under b", v, err)
	}
	if got := f.Stats().MemoryBytes; got != 2 {
		t.Fatalf("%d bytes counted, want 2", got)
	}
}
