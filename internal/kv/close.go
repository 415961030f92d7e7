package kv

import (
	"errors"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// Close takes two things into its own hands that goleveldb may spend minutes on.
// A compaction looks whether it is to end only when it begins a table, which it
// never does while all that it reads is deleted: its reads fail from here on. And
// the cache of blocks is closed in a time that grows with the square of what it
// holds, so that it is emptied first.
func (l *levelDB) Close() error {
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.mu.closed = true
	l.mu.Unlock()
	l.st.closing.Store(true)
	l.blocks.SetCapacity(0)
	err := l.db.Close()
	l.st.removals.close()
	if errors.Is(err, storage.ErrClosed) {
		err = nil // what the compaction read last
	}
	if err == nil {
		err = l.st.err()
	}
	if err == nil && l.failed.Load() == nil && !l.readOnly {
		err = markClean(l.disk)
	}
	return classify(l.disk, "close", errors.Join(err, l.unlock()))
}
