package queue

import (
	"context"
	"errors"

	"tombolo/internal/kv"
)

// Run commits and answers until ctx ends; then what was handed in is committed
// and Run returns. A store whose writes fail keeps running, to fail what comes.
func (s *Store) Run(ctx context.Context) error { return errNotYet }

// Close ends the use of the store; the database stays open. Run must have
// returned.
func (s *Store) Close() error { return errNotYet }

// OpenStore opens the message store in db. It costs the same whatever is in
// there.
func OpenStore(db kv.DB, c StoreConfig) (*Store, error) { return nil, errNotYet }

// Store is the message store.
type Store struct{}

// NextID returns a message id that was never given before (R1).
func (s *Store) NextID() MessageID { return MessageID{} }

// Open returns the queue with this name (mountpoint, a zero byte, client id) and
// its durable state; it is created if there is none, and emptied first if fresh.
func (s *Store) Open(name string, fresh bool) (QueueID, State, error) { return 0, State{}, errNotYet }

// Lookup returns the queue with this name.
func (s *Store) Lookup(name string) (QueueID, bool) { return 0, false }

// Each calls fn for every queue, by name; false ends it.
func (s *Store) Each(fn func(name string, id QueueID, st State) bool) error { return errNotYet }

// Append stores an event. Sequences are assigned before it returns. It does no
// I/O and blocks only while MaxBytesPending is reached.
func (s *Store) Append(ev *Event, done Done) {}

// InboundOnly binds a publisher's packet id to a message that no durable queue
// wants.
func (s *Store) InboundOnly(in Inbound, id MessageID, done Done) {}

// Do does what a Queue asked for. done is called for each op with a tag, from
// the completion goroutine.
func (s *Store) Do(id QueueID, ops []Op, done Answer) {}

// Drop removes the queue and all that is in it.
func (s *Store) Drop(id QueueID, done Done) {}

// Barrier calls done when everything handed in before is durable.
func (s *Store) Barrier(done Done) {}

// Sync waits until everything handed in before is durable.
func (s *Store) Sync() error { return errNotYet }

var errNotYet = errors.New("queue: the store is not connected yet")
