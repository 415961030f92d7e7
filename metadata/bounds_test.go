package metadata

import (
	"sync/atomic"
	"testing"

	"tombolo/internal/kv"
)

// TestBounds: what others send, and callers that wait for others, are bounded; what
// comes above is refused and counted.
func TestBounds(t *testing.T) {
	s, err := Open(kv.OpenMemory(), Config{Node: 1})
	if err != nil {
		t.Fatal(err)
	}
	const more = 10
	for range inboxFramesMax + more {
		s.Deliver(2, []byte{1})
	}
	if got := s.counters.overrun.Value(); got != more {
		t.Errorf("%d frames were dropped, want %d", got, more)
	}
	var busy, closed atomic.Int64
	for range waitsMax + more {
		s.Replicated(func(err error) {
			switch err {
			case ErrBusy:
				busy.Add(1)
			case ErrClosed:
				closed.Add(1)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if busy.Load() != more || closed.Load() != waitsMax || s.waiting.Load() != 0 {
		t.Errorf("%d callers were refused and %d told of the end, %d count as waiting", busy.Load(), closed.Load(), s.waiting.Load())
	}
}
