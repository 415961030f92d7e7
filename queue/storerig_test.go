package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// running is a store that runs, for one test.
type running struct {
	*Store
	t      testing.TB
	cancel context.CancelFunc
	ended  chan error

	mu struct {
		sync.Mutex
		faults []error
	}
}

func start(t testing.TB, db kv.DB, c StoreConfig) *running {
	t.Helper()
	r := &running{t: t}
	c.Fault = r.fault
	s, err := OpenStore(db, c)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.Store, r.cancel, r.ended = s, cancel, make(chan error, 1)
	go func() { r.ended <- s.Run(ctx) }()
	t.Cleanup(func() { _ = r.end() })
	return r
}

func (r *running) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.faults = append(r.mu.faults, err)
}

func (r *running) faults() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.faults)
}

// end stops the store in order and returns what Run returned.
func (r *running) end() error {
	r.cancel()
	err, ok := <-r.ended
	if ok {
		close(r.ended)
	}
	return err
}

func (r *running) open(name string) (QueueID, State) {
	r.t.Helper()
	id, st, err := r.Open(name, false)
	if err != nil {
		r.t.Fatalf("open %q: %v", name, err)
	}
	return id, st
}

// put appends one message for some queues and waits until it is durable.
func (r *running) put(body string, ids ...QueueID) *Event {
	r.t.Helper()
	ev := r.event(body, ids...)
	if err := r.append(ev); err != nil {
		r.t.Fatalf("append %q: %v", body, err)
	}
	return ev
}

func (r *running) event(body string, ids ...QueueID) *Event {
	ev := &Event{Msg: &Message{ID: r.NextID(), QoS: 2, Body: []byte(body)}}
	for _, id := range ids {
		ev.Targets = append(ev.Targets, Target{Queue: id, QoS: 1})
	}
	return ev
}

func (r *running) append(ev *Event) error {
	result := make(chan error, 1)
	r.Append(ev, func(err error) { result <- err })
	return <-result
}

// answer is what Do answered.
type answer struct {
	es   []Entry
	more bool
	err  error
}

// do runs one op and waits for its answer.
func (r *running) do(id QueueID, op Op) answer {
	if op.Tag == 0 {
		op.Tag = 1
	}
	result := make(chan answer, 1)
	r.Do(id, []Op{op}, func(_ uint64, es []Entry, more bool, err error) { result <- answer{es, more, err} })
	return <-result
}

// all reads a whole queue.
func (r *running) all(id QueueID, st State) []Entry {
	r.t.Helper()
	var all []Entry
	from := st.Head
	for {
		a := r.do(id, Op{Kind: OpRead, Seq: from, N: 100, Tag: ReadTag + 1})
		if a.err != nil {
			r.t.Fatalf("read %d from %d: %v", id, from, a.err)
		}
		all = append(all, a.es...)
		if !a.more {
			return all
		}
		from = all[len(all)-1].Seq + 1
	}
}

func bodies(es []Entry) []string {
	var all []string
	for _, e := range es {
		all = append(all, string(e.Msg.Body))
	}
	return all
}

// ack acknowledges entries as a Queue would.
func (r *running) ack(id QueueID, es ...Entry) {
	var ops []Op
	for _, e := range es {
		ops = append(ops, Op{Kind: OpAck, Seq: e.Seq, N: 1, segment: e.Msg.segment})
	}
	r.Do(id, ops, nil)
}

func (r *running) sync() {
	r.t.Helper()
	if err := r.Sync(); err != nil {
		r.t.Fatalf("sync: %v", err)
	}
}

// eventually polls until cond holds; the deadline is far beyond what a busy
// machine needs.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// keys counts the keys of a table.
func keys(t testing.TB, db kv.DB, table byte) int {
	t.Helper()
	it := db.Iterator(kv.PrefixRange([]byte{table}))
	defer it.Close()
	n := 0
	for it.Next() {
		n++
	}
	if err := it.Err(); err != nil {
		t.Fatalf("count keys of %q: %v", table, err)
	}
	return n
}

// numbered is a body of some length that tells which it is.
func numbered(n, length int) string {
	s := fmt.Sprintf("message %d ", n)
	return s + strings.Repeat(".", max(0, length-len(s)))
}

// makers are the databases that every store test runs on.
func makers(t *testing.T, test func(t *testing.T, db kv.DB)) {
	t.Run("memory", func(t *testing.T) { test(t, kv.OpenMemory()) })
	t.Run("goleveldb", func(t *testing.T) { test(t, openLevel(t, t.TempDir())) })
}

func openLevel(t testing.TB, dir string) kv.DB {
	t.Helper()
	db, _, err := kv.OpenLevel(dir, kv.Options{MemoryBudget: 8 << 20})
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// InboundOnly binds a publisher's packet id to a message that no queue here wants.
func (s *Store) InboundOnly(in Inbound, id MessageID, done Done) {
	s.Append(&Event{Msg: &Message{ID: id}, Inbound: in}, done)
}
