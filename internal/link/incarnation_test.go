package link

import (
	"path/filepath"
	"testing"
	"time"
)

// TestIncarnation: it rises with every start, also when the clock went back.
func TestIncarnation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "incarnation")
	if last, err := LastIncarnation(path); err != nil || last != 0 {
		t.Fatalf("before the first: %d, %v", last, err)
	}
	now := time.UnixMilli(1_000_000)
	first, err := NextIncarnation(path, now)
	if err != nil || first != 1_000_000 {
		t.Fatalf("first %d, %v", first, err)
	}
	again, err := NextIncarnation(path, now.Add(-time.Minute))
	if err != nil || again != first+1 {
		t.Errorf("after the clock went back: %d, %v; want %d", again, err, first+1)
	}
	if last, err := LastIncarnation(path); err != nil || last != again {
		t.Errorf("read again: %d, %v; want %d", last, err, again)
	}
}
