package queue

import (
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// The loads below run small with every test, so that nothing rots, and in real
// size with TOMBOLO_QUEUE_LOAD set to a factor, usually 100:
//
//	TOMBOLO_QUEUE_LOAD=100 go test -run Load -v ./queue
func factor() int {
	if n, err := strconv.Atoi(os.Getenv("TOMBOLO_QUEUE_LOAD")); err == nil && n > 0 {
		return n
	}
	return 1
}

// figure is one measurement: how many, in which wall and CPU time.
type figure struct {
	started time.Time
	cpu     time.Duration
}

func measure() figure { return figure{time.Now(), cpuTime()} }

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (f figure) report(t *testing.T, what string, n int) float64 {
	wall, cpu := time.Since(f.started), cpuTime()-f.cpu
	rate := float64(n) / wall.Seconds()
	t.Logf("%-44s %8d in %6.2f s: %8.0f/s, %5.2f µs CPU each", what, n, wall.Seconds(), rate, float64(cpu.Microseconds())/float64(n))
	return rate
}

func loadDB(t *testing.T, p kv.SyncPolicy) kv.DB { return loadDBIn(t, t.TempDir(), p) }

func loadDBIn(t *testing.T, dir string, p kv.SyncPolicy) kv.DB {
	t.Helper()
	db, _, err := kv.OpenLevel(dir, kv.Options{Sync: p, NoCompression: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// bare is the control: 256 goroutines that write one synced record each.
func bare(t *testing.T, db kv.DB, n int, v []byte) float64 {
	var next atomic.Int64
	var wg sync.WaitGroup
	f := measure()
	for range 256 {
		wg.Go(func() {
			var b kv.Batch
			for {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				b.Reset()
				b.Put(binary.BigEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15), v)
				if err := db.Write(&b, true); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return f.report(t, "bare, 256 goroutines Put(Sync)", n)
}

// subscriber is a session with a durable queue whose client acknowledges at
// once. Guarded by mu, which stands for the session's lock.
type subscriber struct {
	s    *Store
	id   QueueID
	peer uint64 // if not 0 its messages come as frames of that peer (R2)
	mu   struct {
		sync.Mutex
		q   *Queue
		ops []Op
		got int
	}
}

func newSubscriber(s *Store, id QueueID, st State, c Config) *subscriber {
	sub := &subscriber{s: s, id: id}
	sub.mu.q = New(c, true, st)
	return sub
}

func (s *subscriber) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.q.Admit(1) <= AcceptEvictOldest
}

func (s *subscriber) committed(e Entry) {
	s.mu.Lock()
	s.mu.q.Committed(e)
	s.pump()
}

// pump delivers and acknowledges what is ready, and unlocks.
func (s *subscriber) pump() {
	for e, ok := s.mu.q.Next(0); ok; e, ok = s.mu.q.Next(0) {
		s.mu.got++
		s.mu.q.Ack(e.Seq)
	}
	ops := s.mu.q.Ops(nil)
	s.mu.Unlock()
	s.s.Do(s.id, ops, s.answer)
}

func (s *subscriber) answer(tag uint64, es []Entry, more bool, err error) {
	s.mu.Lock()
	if err != nil {
		s.mu.q.ReadFailed(tag)
	} else {
		s.mu.q.Loaded(tag, es, more)
	}
	s.pump()
}

func (s *subscriber) received() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.got
}

func (s *subscriber) connect() {
	s.mu.Lock()
	s.mu.q.SetOnline(true, 0)
	s.pump()
}

// publish sends n messages of a size to subscribers in turn, with window
// outstanding, and returns their latencies if asked.
func publish(t *testing.T, subs []*subscriber, n, size, window int) []time.Duration {
	s := subs[0].s
	slots := make(chan struct{}, window)
	body := make([]byte, size)
	lat := make([]time.Duration, n)
	for i := range n {
		slots <- struct{}{}
		sub := subs[i%len(subs)]
		if !sub.admit() {
			t.Fatalf("message %d was not admitted", i)
		}
		sent := time.Now()
		ev := &Event{Msg: &Message{ID: s.NextID(), QoS: 1, Body: body}, Targets: []Target{{Queue: sub.id, QoS: 1}}}
		if sub.peer != 0 {
			ev.Applied = &Applied{Peer: sub.peer, Incarnation: 1, Stream: 6, Sequence: uint64(i + 1)}
		}
		s.Append(ev, func(err error) {
			if err != nil {
				t.Errorf("message %d: %v", i, err)
			}
			lat[i] = time.Since(sent)
			sub.committed(Entry{Seq: ev.Targets[0].Seq, Msg: ev.Msg, QoS: 1})
			<-slots
		})
	}
	for range window {
		slots <- struct{}{}
	}
	slices.Sort(lat)
	return lat
}

func unlimited() Config { return Config{MaxOnline: -1, MaxOffline: -1} }

func loadOnline(t *testing.T, d Durability, p kv.SyncPolicy, n int, peer uint64) {
	s := start(t, loadDB(t, p), StoreConfig{Durability: d})
	id, st := s.open("a")
	sub := newSubscriber(s.Store, id, st, unlimited())
	sub.peer = peer
	sub.connect()
	f := measure()
	lat := publish(t, []*subscriber{sub}, n, 256, 256)
	f.report(t, "QoS 1 to one online queue, 256 in flight, "+d.String()+[]string{"", ", from a peer"}[min(peer, 1)], n)
	t.Logf("p50 %v p99 %v max %v, %d commits, %d cursors", lat[n/2], lat[n*99/100], lat[n-1], s.Stats().Commits, s.counts.cursors.Value())
	s.sync()
	if got := sub.received(); got != n {
		t.Errorf("%d of %d delivered", got, n)
	}
	if left := keys(t, s.db, tableRecord); left != 0 {
		t.Errorf("%d records are left", left)
	}
}

func TestLoadOnlineAgainstBareDatabase(t *testing.T) {
	n := 20_000 * factor()
	bare(t, loadDB(t, kv.SyncAlways), n, make([]byte, 256))
	loadOnline(t, Fsync, kv.SyncAlways, n, 0)
	loadOnline(t, Fsync, kv.SyncAlways, n, 11)
	loadOnline(t, OS, kv.SyncNever, n, 0)
	loadOnline(t, OS, kv.SyncNever, n, 11)
}

func heapMB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// reopen stops the store and starts it again, and tells how long it took until
// the first queue could be served.
func reopen(t *testing.T, s *running, dir string, queues int) (*running, kv.DB, []*subscriber) {
	t.Helper()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	db := loadDBIn(t, dir, kv.SyncAlways)
	opened := time.Since(began)
	s = start(t, db, StoreConfig{})
	var subs []*subscriber
	for i := range queues {
		id, st := s.open("client " + strconv.Itoa(i))
		subs = append(subs, newSubscriber(s.Store, id, st, unlimited()))
		if i == 0 {
			t.Logf("boot: database open after %v, first queue after %v", opened, time.Since(began))
		}
	}
	t.Logf("boot: all %d queues open after %v", queues, time.Since(began))
	return s, db, subs
}

func TestLoadManyQueuesStoreAndReplay(t *testing.T) {
	n, queues := 10_000*factor(), 10*min(factor(), 100)
	dir := t.TempDir()
	db := loadDBIn(t, dir, kv.SyncAlways)
	s := start(t, db, StoreConfig{})
	before := heapMB()
	var subs []*subscriber
	for i := range queues {
		id, st := s.open("client " + strconv.Itoa(i))
		subs = append(subs, newSubscriber(s.Store, id, st, unlimited()))
	}
	f := measure()
	publish(t, subs, n, 100, 4096)
	f.report(t, "store for "+strconv.Itoa(queues)+" offline queues", n)
	t.Logf("heap grew by %.1f MB, database holds %.1f MB in memory", heapMB()-before, float64(db.Stats().MemoryBytes)/(1<<20))
	s, db, subs = reopen(t, s, dir, queues)
	f = measure()
	for _, sub := range subs {
		sub.connect()
	}
	eventually(t, "every message is delivered", func() bool {
		total := 0
		for _, sub := range subs {
			total += sub.received()
		}
		return total == n
	})
	f.report(t, "replay to all of them, acknowledged", n)
	t.Logf("heap grew by %.1f MB", heapMB()-before)
	s.sync()
	if left := keys(t, db, tableRecord); left != 0 {
		t.Errorf("%d records are left", left)
	}
}

// TestLoadMigration moves a backlog between two stores on disk, and has it
// delivered at the new home as it comes.
func TestLoadMigration(t *testing.T) {
	n := 1000 * factor()
	b, c := start(t, loadDB(t, kv.SyncAlways), StoreConfig{}), start(t, loadDB(t, kv.SyncAlways), StoreConfig{})
	source, st := b.generation("s", 100)
	publish(t, []*subscriber{newSubscriber(b.Store, source, st, unlimited())}, n, 100, 4096)
	target, st := c.generation("s", 200)
	sub := newSubscriber(c.Store, target, st, unlimited())
	sub.connect()
	f := measure()
	var first time.Duration
	for at := (Place{}); ; {
		batch := b.export(source, at, 1000, 1<<20)
		got := carried(t, batch)
		done := make(chan error, 1)
		c.Import(target, got, nil, func(stored []Record, err error) {
			sub.mu.Lock()
			sub.mu.q.Imported(got, stored)
			sub.pump()
			done <- err
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if at == (Place{}) {
			eventually(t, "a message is delivered", func() bool { return sub.received() > 0 })
			first = time.Since(f.started)
		}
		if err := b.release(source, batch); err != nil {
			t.Fatal(err)
		}
		if at = batch.Next; !batch.More {
			break
		}
	}
	eventually(t, "all are delivered", func() bool { return sub.received() == n })
	f.report(t, "migrate a backlog and deliver it", n)
	t.Logf("first message after %v", first)
	b.sync()
	c.sync()
	if left := keys(t, b.db, tableRecord) + keys(t, c.db, tableRecord); left != 0 {
		t.Errorf("%d records are left", left)
	}
}
