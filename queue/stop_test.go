package queue

import (
	"testing"
	"time"

	"tombolo/internal/kv"
)

// stuckDB compacts until it is closed.
type stuckDB struct {
	kv.DB
	began  chan struct{}
	closed chan struct{}
}

func (d *stuckDB) CompactRange(kv.Range) error {
	d.began <- struct{}{}
	<-d.closed
	return kv.ErrClosed
}

func (d *stuckDB) Close() error {
	close(d.closed)
	return d.DB.Close()
}

// TestStopDoesNotWaitForCompaction: however long the database compacts, the store
// stops, and says of nothing that it failed.
func TestStopDoesNotWaitForCompaction(t *testing.T) {
	db := &stuckDB{kv.OpenMemory(), make(chan struct{}), make(chan struct{})}
	s := start(t, db, StoreConfig{})
	id, st := s.open("a")
	publish(t, []*subscriber{newSubscriber(s.Store, id, st, unlimited())}, compactWorth/10, 1, 4096)
	s.Drop(id, func(error) {})
	<-db.began
	ended := make(chan error, 1)
	go func() { ended <- s.end() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the store waits for the compaction")
		defer func() { <-ended }() // which the close of the database ends
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if f := s.faults(); len(f) > 0 {
		t.Errorf("faults: %v", f)
	}
}
