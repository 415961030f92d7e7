package metadata

import (
	"errors"
	"sync"

	"tombolo/metadata/replica"
)

// The errors of a write that a caller branches on.
var (
	// ErrBusy refuses a write while the queue is at its bound.
	ErrBusy = errors.New("metadata: too many writes are waiting for the disk")
	// ErrClosed refuses a write after Close.
	ErrClosed = errors.New("metadata: the store is closed")
	// ErrTooLarge refuses a key or a value above its bound.
	ErrTooLarge = errors.New("metadata: key or value too large")
	// ErrEpoch refuses to write a session under a lower epoch than it has (R17).
	ErrEpoch = errors.New("metadata: the session has a higher epoch")
	// ErrMembers refuses a member set of a lower version than there is (R24).
	ErrMembers = errors.New("metadata: the member set has a higher version")
)

// The bounds of a record.
const (
	keyBytesMax   = 256 << 10
	valueBytesMax = 64 << 20
)

// Write is one change of one key.
type Write struct {
	Table  Table
	Key    []byte
	Value  []byte
	Delete bool
}

// op is one change on its way to the committer.
type op = replica.Op

// write is the ops that become durable as one. Immutable once built.
type write struct {
	ops    []op
	done   func(error)
	ticket uint64
	bytes  int
}

// queue holds the writes that wait for the committer. Guarded by mu; at the
// bound a write is refused with ErrBusy.
type queue struct {
	ready    chan struct{} // holds a token while there may be something
	bytesMax int
	mu       struct {
		sync.Mutex
		writes []write
		bytes  int
		wakeAt int // how many have to wait before ready is told; 0 is any
		ticket uint64
		closed error
	}
}

func newQueue(bytesMax int) *queue {
	return &queue{ready: make(chan struct{}, 1), bytesMax: bytesMax}
}

// add queues w after show has made it visible to readers, both in the order of
// tickets.
func (q *queue) add(w write, show func(ticket uint64)) error {
	q.mu.Lock()
	switch {
	case q.mu.closed != nil:
		q.mu.Unlock()
		return q.mu.closed
	case q.mu.bytes+w.bytes > q.bytesMax && len(q.mu.writes) > 0:
		q.mu.Unlock()
		return ErrBusy
	}
	q.mu.ticket++
	w.ticket = q.mu.ticket
	q.mu.writes = append(q.mu.writes, w)
	q.mu.bytes += w.bytes
	show(w.ticket)
	enough := len(q.mu.writes) >= q.mu.wakeAt
	q.mu.Unlock()
	if enough {
		q.wake()
	}
	return nil
}

// await has ready be told once n writes wait: the committer is not woken for each of
// many that come at once. It looks by itself when the disk is free, and when its time
// to wait for company is over.
func (q *queue) await(n int) {
	q.mu.Lock()
	q.mu.wakeAt = n
	enough := len(q.mu.writes) > 0 && len(q.mu.writes) >= n
	q.mu.Unlock()
	if enough {
		q.wake()
	}
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take appends writes of about bytesMax bytes to dst.
func (q *queue) take(dst []write, bytesMax int) []write {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.mu.writes) && (n == 0 || size+q.mu.writes[n].bytes <= bytesMax) {
		size += q.mu.writes[n].bytes
		n++
	}
	dst = append(dst, q.mu.writes[:n]...)
	rest := copy(q.mu.writes, q.mu.writes[n:])
	clear(q.mu.writes[rest:])
	q.mu.writes = q.mu.writes[:rest]
	q.mu.bytes -= size
	if rest > 0 {
		q.wake()
	}
	return dst
}

// shut refuses all further writes with err and returns those that wait.
func (q *queue) shut(err error) []write {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed == nil {
		q.mu.closed = err
	}
	rest := q.mu.writes
	q.mu.writes, q.mu.bytes = nil, 0
	return rest
}

// Put sets key to value. done is called once, after the commit is durable or
// has failed, from the completion goroutine and in commit order; nil is
// allowed. A reader of this store sees the value at once. The store keeps key
// and value: do not change them afterwards.
func (s *Store) Put(t Table, key, value []byte, done func(error)) {
	s.Write([]Write{{Table: t, Key: key, Value: value}}, done)
}

// Delete removes key; done as for Put.
func (s *Store) Delete(t Table, key []byte, done func(error)) {
	s.Write([]Write{{Table: t, Key: key, Delete: true}}, done)
}

// Write makes several changes as one: after a crash all of them are there or
// none. done as for Put; a nil done makes sense where another write follows.
// Without changes it is a mark: done is called when all before it were answered.
func (s *Store) Write(ws []Write, done func(error)) {
	w := write{ops: make([]op, len(ws)), done: done}
	for i, c := range ws {
		if len(c.Key) > keyBytesMax || len(c.Value) > valueBytesMax {
			s.refuse(w, ErrTooLarge)
			return
		}
		key := appendTable(append(make([]byte, 0, len(c.Key)+8), areaObject), c.Table)
		w.ops[i] = op{Key: append(key, c.Key...), Value: c.Value, Delete: c.Delete}
		w.bytes += len(c.Key) + len(c.Value) + 64
	}
	err := s.queue.add(w, func(ticket uint64) { s.overlay.put(w.ops, ticket) })
	if err != nil {
		s.refuse(w, err)
	}
}

// refuse completes w from the completion goroutine, so that done is never
// called from inside Write.
func (s *Store) refuse(w write, err error) {
	s.completer.add([]completion{{done: w.done, err: err}})
}
