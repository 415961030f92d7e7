package spool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"tombolo/internal/kv"
	"tombolo/internal/link"
	"tombolo/internal/metric"
)

// Config is what a spool is told.
type Config struct {
	BytesMax      int64             // of each node's tail (spool_limit), 64 for each message beside its body; 0: nothing is taken
	MemoryBudget  int64             // of the database; 0: 16 MiB
	Sync          kv.SyncPolicy     // the node's durability
	NoCompression bool              // of the database
	Metrics       *metric.Registry  // nil: nobody looks
	Damaged       func(text string) // told of messages that cannot be read; nil: nobody. Must not block
}

// Spool is the tails of all nodes. Safe for use from any goroutine; its list of
// tails is guarded by mu.
type Spool struct {
	db       kv.DB
	config   Config
	counters counters
	mu       struct {
		sync.Mutex
		tails map[link.NodeID]*tail
	}
	freed      atomic.Int64 // bytes that were removed since space was last given back
	compacting atomic.Bool
	compactor  sync.WaitGroup
}

var _ link.Spool = (*Spool)(nil)

// Open opens the spool in dir and makes it where there is none. The report says
// what the database has dropped or set aside.
func Open(dir string, c Config) (*Spool, *kv.Report, error) { return OpenOn(kv.OSDisk(dir), c) }

// OpenOn opens the spool on d.
func OpenOn(d kv.Disk, c Config) (*Spool, *kv.Report, error) {
	o := kv.Options{MemoryBudget: c.MemoryBudget, Sync: c.Sync, NoCompression: c.NoCompression}
	if o.MemoryBudget == 0 {
		o.MemoryBudget = 16 << 20
	}
	db, report, err := kv.OpenLevelOn(d, o)
	if err != nil {
		return nil, report, fmt.Errorf("spool: %w", err)
	}
	s, err := New(db, c)
	if errors.Is(err, kv.ErrCorrupted) {
		// Reading all of it met what the database had not looked at: opening it
		// again sets that aside. Closing it tells of the same damage once more.
		_ = db.Close()
		o.VerifyAll = true
		if db, report, err = kv.OpenLevelOn(d, o); err != nil {
			return nil, report, fmt.Errorf("spool: %w", err)
		}
		s, err = New(db, c)
	}
	if err != nil {
		return nil, report, errors.Join(err, db.Close())
	}
	return s, report, nil
}

// New makes the spool of db, which Close closes. It reads all that is there.
func New(db kv.DB, c Config) (*Spool, error) {
	if c.Metrics == nil {
		c.Metrics = metric.New()
	}
	if c.Damaged == nil {
		c.Damaged = func(string) {}
	}
	s := &Spool{db: db, config: c}
	s.mu.tails = map[link.NodeID]*tail{}
	s.counters = newCounters(c.Metrics, s)
	if err := s.checkFormat(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if len(db.Suspect()) > 0 {
		// What is lost is told in the report; what came back is sent once more
		// under its old id. There is nothing else to be done about either.
		if err := db.ClearSuspect(); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	return s, nil
}

// Durable implements link.Spool: what Append took is as safe as the node's
// durability makes anything that it acknowledges.
func (s *Spool) Durable() bool { return true }

// tail finds a node's tail.
func (s *Spool) tail(to link.NodeID) *tail {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.mu.tails[to]
	if t == nil {
		t = newTail(s, to)
		s.mu.tails[to] = t
	}
	return t
}

func (s *Spool) tails() []*tail {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*tail, 0, len(s.mu.tails))
	for _, t := range s.mu.tails {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *tail) int { return cmp.Compare(a.to, b.to) })
	return list
}

// Append implements link.Spool.
func (s *Spool) Append(to link.NodeID, list []link.Spooled) error {
	if len(list) == 0 {
		return nil
	}
	err := s.tail(to).append(list)
	switch {
	case err == nil:
		s.counters.appended.Add(uint64(len(list)))
	case errors.Is(err, link.ErrSpoolFull):
		s.counters.refused.Add(uint64(len(list)))
	}
	return err
}

// Read implements link.Spool.
func (s *Spool) Read(to link.NodeID, after uint64, countMax, bytesMax int) ([]link.Spooled, error) {
	return s.tail(to).read(after, countMax, bytesMax)
}

// Remove implements link.Spool. A place that is not there is passed over.
func (s *Spool) Remove(to link.NodeID, places []uint64) error {
	if len(places) == 0 {
		return nil
	}
	err := s.tail(to).remove(places)
	s.giveBack()
	return err
}

// Count implements link.Spool.
func (s *Spool) Count(to link.NodeID) uint64 {
	count, _ := s.tail(to).size()
	return count
}

// Bytes is what the messages for a node count towards its limit.
func (s *Spool) Bytes(to link.NodeID) int64 {
	_, bytes := s.tail(to).size()
	return bytes
}

// Nodes is the nodes for which it has messages, ascending.
func (s *Spool) Nodes() []link.NodeID {
	var list []link.NodeID
	for _, t := range s.tails() {
		if count, _ := t.size(); count > 0 {
			list = append(list, t.to)
		}
	}
	return list
}

func (s *Spool) total() (count uint64, bytes int64) {
	for _, t := range s.tails() {
		n, b := t.size()
		count, bytes = count+n, bytes+b
	}
	return count, bytes
}

// Each calls fn for the messages for a node that are there when it begins, in
// order, until fn returns false. The body is valid during the call.
func (s *Spool) Each(to link.NodeID, fn func(m link.Spooled) bool) error {
	return s.walk(to, func(list []link.Spooled) (bool, error) {
		for i := range list {
			if !fn(list[i]) {
				return false, nil
			}
		}
		return true, nil
	})
}

// Scan calls fn for the messages for a node that are there when it begins, in
// order, and removes those for which it returns false. Who moves messages to
// another node (R11) sends each there under its own id, returns true, and removes
// it once its ticket says that it is stored or in the spool: so nothing is lost
// if either node stops meanwhile. fn may use the spool.
func (s *Spool) Scan(to link.NodeID, fn func(m link.Spooled) (keep bool)) error {
	return s.walk(to, func(list []link.Spooled) (bool, error) {
		var gone []uint64
		for i := range list {
			if !fn(list[i]) {
				gone = append(gone, list[i].Place)
			}
		}
		return true, s.Remove(to, gone)
	})
}

// walkBytes is about how much a walk reads at once.
const walkBytes = 256 << 10

func (s *Spool) walk(to link.NodeID, fn func(list []link.Spooled) (more bool, err error)) error {
	t := s.tail(to)
	end := t.end()
	for after := uint64(0); ; {
		list, err := t.read(after, chunkCountMax, walkBytes)
		if err != nil {
			return err
		}
		n := len(list)
		list = list[:behind(list, end)]
		if len(list) == 0 {
			return nil
		}
		after = list[len(list)-1].Place
		more, err := fn(list)
		if err != nil || !more || len(list) < n {
			return err
		}
	}
}

// behind is how many of list have a place below end.
func behind(list []link.Spooled, end uint64) int {
	n, _ := slices.BinarySearchFunc(list, end, func(m link.Spooled, end uint64) int { return cmp.Compare(m.Place, end) })
	return n
}

// giveBackMin is how much must have been removed before space is given back.
const giveBackMin = 64 << 20

// giveBack has the database give space back to the disk when more was removed
// than is there. Deletes alone would wait for later writes to push them down.
func (s *Spool) giveBack() {
	freed := s.freed.Load()
	if freed < giveBackMin {
		return
	}
	if _, bytes := s.total(); freed < bytes || !s.compacting.CompareAndSwap(false, true) {
		return
	}
	s.freed.Add(-freed)
	s.compactor.Go(func() {
		defer s.compacting.Store(false)
		// An error is one of the disk: the next write meets it and reports it.
		_ = s.db.CompactRange(kv.PrefixRange([]byte{areaChunk}))
	})
}

// Close writes what was removed from chunks that others share, and closes the
// database. Nothing else may be under way.
func (s *Spool) Close() error {
	s.compactor.Wait()
	var faults []error
	for _, t := range s.tails() {
		if err := t.close(); err != nil {
			faults = append(faults, err)
			break
		}
	}
	return errors.Join(append(faults, s.db.Close())...)
}

// counters is what the spool counts. Immutable once built; the values are atomic.
type counters struct {
	appended, refused, damaged *metric.Counter
}

func newCounters(r *metric.Registry, s *Spool) counters {
	r.GaugeFunc(metric.Opts{Name: "spool_messages", Help: "Messages on disk for nodes that are away or slow."}, func() float64 {
		count, _ := s.total()
		return float64(count)
	})
	r.GaugeFunc(metric.Opts{Name: "spool_bytes", Help: "Bytes of messages on disk for nodes that are away or slow, as they count towards cluster.spool_limit."}, func() float64 {
		_, bytes := s.total()
		return float64(bytes)
	})
	return counters{
		appended: r.Counter(metric.Opts{Name: "spool_appended_total", Help: "Messages that were taken into the spool."}),
		refused:  r.Counter(metric.Opts{Name: "spool_refused_total", Help: "Messages that the spool did not take since it is at cluster.spool_limit."}),
		damaged:  r.Counter(metric.Opts{Name: "spool_damaged_total", Help: "Chunks of messages in the spool that could not be read and were set aside."}),
	}
}
