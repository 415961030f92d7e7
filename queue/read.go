package queue

import (
	"errors"
	"fmt"
	"sync"
)

// readerCount is how many queues are read at a time: a slow read of one does not
// hold up all others. All reads of one queue are done by the same reader, in
// order.
const readerCount = 4

// One answer holds at most this much, or one message.
const (
	readEntriesMax = 1024
	readBytesMax   = 64 << 10
)

// pointReadsMax is how many records are looked up one by one behind a place that
// cannot be read. A damaged block of a table holds fewer.
const pointReadsMax = 4096

// readJob is a read, or something that has to read before it can forget.
type readJob struct {
	strand  *strand
	op      Op
	answer  Answer
	barrier *barrier   // the only field that is set
	export  *exportJob // then strand tells only which reader
}

// readQueue is what one reader has to do. Guarded by mu. Bounded by one read and
// the evictions of each queue, which are merged.
type readQueue struct {
	mu struct {
		sync.Mutex
		more    sync.Cond
		jobs    []readJob
		forgets int // jobs to forget something, with the one that runs
		stopped bool
	}
}

// barrier is passed once every reader that had something to forget passed it.
// Guarded by Store.mu.
type barrier struct {
	left int
	done Done
}

func newReadQueue() *readQueue {
	r := &readQueue{}
	r.mu.more.L = &r.mu.Mutex
	return r
}

func (r *readQueue) stop() {
	r.mu.Lock()
	r.mu.stopped = true
	r.mu.Unlock()
	r.mu.more.Signal()
}

// take waits for a job; once stopped it still gives out what is there.
func (r *readQueue) take() (readJob, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.mu.jobs) == 0 && !r.mu.stopped {
		r.mu.more.Wait()
	}
	if len(r.mu.jobs) == 0 {
		return readJob{}, false
	}
	j := r.mu.jobs[0]
	r.mu.jobs[0] = readJob{}
	r.mu.jobs = r.mu.jobs[1:]
	return j, true
}

// readLocked hands a job to the reader of its queue.
func (s *Store) readLocked(j readJob) {
	r := s.readers[uint64(j.strand.lane.id)%readerCount]
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.mu.jobs); n > 0 {
		last := &r.mu.jobs[n-1]
		if last.strand == j.strand && last.op.Kind == OpEvict && j.op.Kind == OpEvict && last.op.N > 0 && j.op.N > 0 && last.op.Seq == j.op.Seq {
			last.op.N += j.op.N
			return
		}
	}
	if j.op.Kind != OpRead {
		r.mu.forgets++
	}
	r.mu.jobs = append(r.mu.jobs, j)
	r.mu.more.Signal()
}

// forgot counts a job that is done.
func (r *readQueue) forgot() {
	r.mu.Lock()
	r.mu.forgets--
	r.mu.Unlock()
}

// barrierLocked puts b behind everything that readers are to forget.
func (s *Store) barrierLocked(b *barrier) {
	for _, r := range s.readers {
		r.mu.Lock()
		if r.mu.forgets > 0 {
			b.left++
			r.mu.jobs = append(r.mu.jobs, readJob{barrier: b})
			r.mu.more.Signal()
		}
		r.mu.Unlock()
	}
}

// passed says that one more reader came to b.
func (s *Store) passed(b *barrier) {
	s.mu.Lock()
	if b.left--; b.left > 0 {
		s.mu.Unlock()
		return
	}
	s.closeBarrierLocked(b.done)
}

func (s *Store) serveReads(r *readQueue) {
	for {
		j, ok := r.take()
		if !ok {
			return
		}
		if j.export != nil {
			b, err := s.export(j.export)
			if err != nil {
				s.c.Fault(err)
			}
			s.completions <- reply{then: func() { j.export.done(b, err) }}
			continue
		}
		if j.op.Kind == OpRead && j.barrier == nil {
			es, more, err := s.read(j.strand, j.op)
			if err != nil {
				s.c.Fault(err)
			}
			s.counts.reads.Inc()
			s.counts.readEntries.Add(uint64(len(es)))
			s.completions <- reply{answer: j.answer, tag: j.op.Tag, entries: es, more: more, err: err}
			continue
		}
		if j.barrier != nil {
			s.passed(j.barrier)
			continue
		}
		for !s.forgetByReading(j) {
		}
		r.forgot()
	}
}

// read collects the answer to an OpRead.
func (s *Store) read(st *strand, op Op) ([]Entry, bool, error) {
	w := s.window(st, op.Seq)
	c := &collector{s: s, w: w, max: min(max(op.N, 1), readEntriesMax), bytesMax: readBytesMax}
	err := s.walk(w, c.take)
	if err != nil && len(c.entries) == 0 {
		return nil, false, fmt.Errorf("read queue %d from %d: %w", w.id, w.lo, err)
	}
	c.finish()
	return c.entries, c.full || err != nil, nil
}

// collector makes entries of records. It belongs to one reader. Messages and
// bodies of one answer are allocated together: they are let go together, but for
// those that stay in flight.
type collector struct {
	s        *Store
	w        window
	max      int
	bytesMax int
	entries  []Entry
	messages []Message
	bodies   []byte
	ends     []int // of the bodies
	full     bool
}

func (c *collector) take(seq uint64, v []byte) bool {
	if len(c.entries) >= c.max || len(c.entries) > 0 && len(c.bodies) >= c.bytesMax {
		c.full = true
		return false
	}
	var e Entry
	var m Message
	at, err := decodeRecord(v, &e, &m)
	body := m.Body
	if err == nil && at.segment != 0 {
		body, err = c.s.bodyOf(c.w, seq, at, &m)
	}
	if err != nil {
		c.s.damage(c.w, seq, err)
		return true
	}
	m.Body = nil
	e.Seq, e.Msg, e.Dup = seq, nil, seq <= c.w.sent
	c.entries = append(c.entries, e)
	c.messages = append(c.messages, m)
	c.bodies = append(c.bodies, body...)
	c.ends = append(c.ends, len(c.bodies))
	return true
}

func (c *collector) finish() {
	start := 0
	for i := range c.entries {
		m := &c.messages[i]
		m.Body = c.bodies[start:c.ends[i]:c.ends[i]]
		start = c.ends[i]
		c.entries[i].Msg = m
	}
}

// damage reports a record that cannot be read. Unless it may be read another
// time it is forgotten, so that counts are right again.
func (s *Store) damage(w window, seq uint64, err error) {
	if errors.Is(err, errDamaged) || isNotFound(err) {
		s.lost(w, seq, seq+1, err)
		return
	}
	s.counts.damaged.Inc()
	s.c.Fault(fmt.Errorf("message %d of queue %d: %w", seq, w.id, err))
}

// lost forgets records that are not there, but for those that were forgotten
// since w was taken. Nobody acknowledged them: another node may still have them.
func (s *Store) lost(w window, lo, hi uint64, err error) {
	s.mu.Lock()
	n := w.strand.forget(lo, hi-lo, 0, true)
	if n > 0 {
		s.dirtyLocked(w.strand, n)
	}
	s.mu.Unlock()
	if n > 0 {
		s.counts.damaged.Add(uint64(n))
		s.c.Fault(fmt.Errorf("%d messages of queue %d from %d on are lost: %w", n, w.id, lo, err))
	}
}

// bodyOf reads the shared body of a record. The sweeper may move it between the
// look at the record and the look at the body: then the record tells where to.
func (s *Store) bodyOf(w window, seq uint64, at place, m *Message) ([]byte, error) {
	for {
		body, err := s.body(at)
		if !isNotFound(err) {
			m.segment = at.segment
			return body, err
		}
		var k key
		v, again := s.db.Get(k.record(w.id, w.generation, seq))
		if again != nil {
			return nil, err
		}
		var e Entry
		var unused Message
		now, again := decodeRecord(v, &e, &unused)
		if again != nil || now == at || now.segment == 0 {
			return nil, err
		}
		at = now
	}
}

// body reads a shared body and makes sure that its segment is known, so that an
// acknowledgement can be counted there.
func (s *Store) body(at place) ([]byte, error) {
	if err := s.loadSegment(at.segment); err != nil {
		return nil, err
	}
	var k key
	v, err := s.db.Get(k.body(at.segment, at.index))
	if err != nil {
		return nil, fmt.Errorf("body %d of segment %d: %w", at.index, at.segment, err)
	}
	body, _, err := decodeBody(v, false)
	return body, err
}

func (s *Store) loadSegment(id uint64) error {
	s.mu.Lock()
	known := s.mu.segments[id] != nil
	s.mu.Unlock()
	if known {
		return nil
	}
	var k key
	v, err := s.db.Get(k.segment(id))
	if id >= s.firstSegment {
		return nil // freed in this run: what refers to it is read again
	}
	var seg segment
	if err == nil {
		seg, err = decodeSegment(v)
	}
	switch {
	case err != nil && !isNotFound(err) && !errors.Is(err, errDamaged):
		return fmt.Errorf("segment %d: %w", id, err)
	case err != nil:
		s.counts.damaged.Inc()
		s.c.Fault(fmt.Errorf("segment %d is counted anew, its bodies are served: %w", id, err))
		seg = segment{bodies: segmentBodiesMax, bytes: segmentBytesMax, live: 1, inexact: true}
	case s.suspect:
		seg.live, seg.inexact = max(seg.live, 1), true
	}
	seg.id = id
	s.mu.Lock()
	if s.mu.segments[id] == nil && id < s.firstSegment {
		s.mu.segments[id] = &seg
	}
	s.mu.Unlock()
	return nil
}
