package link

import (
	"errors"
	"sort"
	"sync"

	"tombolo/internal/wire"
)

// ErrSpoolFull says that a message needs the spool and does not fit: it is not
// admitted (R11).
var ErrSpoolFull = errors.New("the spool for this node is full")

// Spooled is one message in a spool. Place is given by the spool, rises, and is
// never zero.
type Spooled struct {
	Place uint64
	Kind  wire.Type
	Body  []byte
}

// Spool is the tail of the publish streams for nodes that are away or slow
// (R11). The mesh calls it from one goroutine for each peer, never under a
// lock, so that it may wait for a disk. MemorySpool is the form without one;
// the form on disk belongs to whoever owns the message store.
type Spool interface {
	// Durable says whether what Append took survives a crash. If so, the
	// publisher of a message that is in the spool is acknowledged.
	Durable() bool
	// Append takes all of the list, in its order, behind what it has for the
	// peer, and sets the places. It returns when they are as safe as Durable
	// says, or with an error and has taken none.
	Append(to NodeID, list []Spooled) error
	// Read returns messages behind a place, in order: at least one if there
	// is one, else no more than the limits say.
	Read(to NodeID, after uint64, countMax, bytesMax int) ([]Spooled, error)
	// Remove forgets messages that have ended. What is lost of it in a crash
	// only sends them once more, under the same message ids.
	Remove(to NodeID, places []uint64) error
	// Count is how many messages it has for the peer.
	Count(to NodeID) uint64
}

// MemorySpool keeps messages in memory, up to a number of bytes for each peer;
// at the bound Append fails. Safe for concurrent use.
type MemorySpool struct {
	bytesMax int
	mu       struct {
		sync.Mutex
		peers map[NodeID]*memoryTail
	}
}

// memoryTail is what waits for one peer. Guarded by MemorySpool.mu.
type memoryTail struct {
	list  []Spooled // by place; one without a Kind has ended
	live  uint64
	bytes int
	next  uint64
}

// spooledOverhead is what a message costs beside its body.
const spooledOverhead = 64

// NewMemorySpool holds up to bytesMax for each peer.
func NewMemorySpool(bytesMax int) *MemorySpool {
	s := &MemorySpool{bytesMax: bytesMax}
	s.mu.peers = map[NodeID]*memoryTail{}
	return s
}

func (s *MemorySpool) tailLocked(to NodeID) *memoryTail {
	t := s.mu.peers[to]
	if t == nil {
		t = &memoryTail{next: 1}
		s.mu.peers[to] = t
	}
	return t
}

// Durable is false: a crash takes everything.
func (s *MemorySpool) Durable() bool { return false }

// Append implements Spool.
func (s *MemorySpool) Append(to NodeID, list []Spooled) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tailLocked(to)
	need := 0
	for i := range list {
		need += len(list[i].Body) + spooledOverhead
	}
	if t.bytes+need > s.bytesMax {
		return ErrSpoolFull
	}
	for i := range list {
		list[i].Place = t.next
		t.next++
	}
	t.list = append(t.list, list...)
	t.live += uint64(len(list))
	t.bytes += need
	return nil
}

// at is where the message of a place stands, or the next one.
func (t *memoryTail) at(place uint64) int {
	return sort.Search(len(t.list), func(i int) bool { return t.list[i].Place >= place })
}

// Read implements Spool.
func (s *MemorySpool) Read(to NodeID, after uint64, countMax, bytesMax int) ([]Spooled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tailLocked(to)
	var out []Spooled
	bytes := 0
	for _, m := range t.list[t.at(after+1):] {
		if m.Kind == 0 {
			continue
		}
		if len(out) > 0 && (len(out) >= countMax || bytes+len(m.Body) > bytesMax) {
			break
		}
		bytes += len(m.Body)
		out = append(out, m)
	}
	return out, nil
}

// Remove implements Spool.
func (s *MemorySpool) Remove(to NodeID, places []uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tailLocked(to)
	for _, p := range places {
		i := t.at(p)
		if i == len(t.list) || t.list[i].Place != p || t.list[i].Kind == 0 {
			continue
		}
		t.bytes -= len(t.list[i].Body) + spooledOverhead
		t.live--
		t.list[i] = Spooled{Place: p}
	}
	n := 0
	for n < len(t.list) && t.list[n].Kind == 0 {
		n++
	}
	t.list = t.list[n:]
	return nil
}

// Count implements Spool.
func (s *MemorySpool) Count(to NodeID) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tailLocked(to).live
}
