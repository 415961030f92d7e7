package node

import (
	"strconv"
	"testing"

	"tombolo/queue"
)

// TestQueuesHoldTwoWindows: what a queue keeps in memory follows what may be on its way
// to a client, from the default up to a bound, and bytes with messages.
func TestQueuesHoldTwoWindows(t *testing.T) {
	for _, c := range []struct{ window, entries int }{
		{0, queue.DefaultMemoryEntries}, {20, queue.DefaultMemoryEntries}, {256, 512}, {65535, memoryEntriesMax},
	} {
		got := queueConfig(load(t, "max_inflight_messages", strconv.Itoa(c.window)))
		if got.MemoryEntries != c.entries || got.MemoryBytes*queue.DefaultMemoryEntries != c.entries*queue.DefaultMemoryBytes {
			t.Errorf("a window of %d: %d messages, %d bytes, want %d messages", c.window, got.MemoryEntries, got.MemoryBytes, c.entries)
		}
	}
}
